"""The draft of a prescription at the boundary of every rule (DOMAIN 4 and 5)."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme, programme
from services.prescribing.limits import NO_LIMITS, PatientLimits, limit_findings
from services.prescribing.routes import Route, Supplied, setting_of, supplied_by
from services.prescribing.rules import (
    Draft,
    draft_findings,
    duplicate_findings,
    home_stock_finding,
    refills_at_most,
    substance_of,
    units_needed,
)


def a_draft(**changes: Any) -> Draft:
    """A follow-up prescription that no rule objects to: 200 mg from 100 mg units, four sessions."""
    facts: dict[str, Any] = {
        "drug": "ketamine",
        "form": "lozenge",
        "strength_mg": 100,
        "quantity_units": 8,
        "sessions_supply": 4,
        "dose_mg": 200,
        "directions": "Dissolve under the tongue in the session, in two halves.",
        "issued_on": date(2026, 11, 20),
        "patient_state": "CA",
        "is_first": False,
        "last_dose_mg": 200,
        "weight_kg": 80.0,
    }
    return Draft(**{**facts, **changes})


def a_first_draft(**changes: Any) -> Draft:
    """A first prescription that no rule objects to: two sessions, the first with half the dose."""
    facts = {"is_first": True, "first_session_dose_mg": 100, "last_dose_mg": None, "sessions_supply": 2}
    return a_draft(**{**facts, "quantity_units": 4, **changes})


def programme_with(**settings: Any) -> Programme:
    """The default programme with some of its settings under ``prescribing`` changed; ``__`` stands for a dot."""
    default = programme()
    changed = {f"prescribing.{name.replace('__', '.')}": value for name, value in settings.items()}
    return Programme(default.name, default.version, {**default.settings, **changed})


def found(draft: Draft, rule: str) -> Finding | None:
    return next((finding for finding in draft_findings(draft, programme()) if finding.rule == rule), None)


@pytest.mark.parametrize(
    "draft",
    [
        a_draft(),
        a_first_draft(),
        a_draft(sessions_supply=6, quantity_units=12),
        a_draft(first_session_dose_mg=200),  # the first session is over: what was said of it counts no more
    ],
)
def test_a_usual_prescription_raises_nothing(draft: Draft) -> None:
    assert draft_findings(draft, programme()) == []


@pytest.mark.parametrize(
    ("rule", "passing", "failing"),
    [
        ("prescribing.drug_not_offered", a_draft(drug=" Ketamine "), a_draft(drug="esketamine")),
        ("prescribing.form_not_offered", a_draft(form="rapid_dissolve_tablet"), a_draft(form="nasal_spray")),
        ("prescribing.strength_not_offered", a_draft(strength_mg=50, quantity_units=16), a_draft(strength_mg=75)),
        ("prescribing.directions_missing", a_draft(directions="x"), a_draft(directions=" \n")),
        ("prescribing.refills_over_five", a_draft(refills=5), a_draft(refills=6)),
        ("prescribing.first_session_dose_missing", a_first_draft(), a_first_draft(first_session_dose_mg=None)),
        (
            "prescribing.first_session_over_half_dose",
            a_first_draft(first_session_dose_mg=100),
            a_first_draft(first_session_dose_mg=101),
        ),
        (
            "prescribing.first_session_over_half_dose",
            a_first_draft(dose_mg=150, first_session_dose_mg=75),
            a_first_draft(dose_mg=150, first_session_dose_mg=76),
        ),
        (
            "prescribing.first_session_over_limit",
            a_first_draft(dose_mg=400, first_session_dose_mg=100),
            a_first_draft(dose_mg=400, first_session_dose_mg=101),
        ),
        ("prescribing.step_over_limit", a_draft(last_dose_mg=100), a_draft(last_dose_mg=99)),
        ("prescribing.step_over_limit", a_draft(last_dose_mg=None), a_first_draft(dose_mg=201)),
        ("prescribing.step_over_limit", a_draft(dose_mg=50, last_dose_mg=400), a_first_draft(first_session_dose_mg=50)),
        ("prescribing.first_supply_over_limit", a_first_draft(sessions_supply=2), a_first_draft(sessions_supply=3)),
        ("prescribing.supply_over_limit", a_draft(sessions_supply=6), a_draft(sessions_supply=7)),
        ("prescribing.home_stock_over_limit", a_draft(home_stock_sessions=2), a_draft(home_stock_sessions=2.5)),
        ("prescribing.quantity_not_dose_times_sessions", a_draft(quantity_units=8), a_draft(quantity_units=9)),
        ("prescribing.quantity_not_dose_times_sessions", a_draft(quantity_units=8), a_draft(quantity_units=7)),
        (
            "prescribing.quantity_not_dose_times_sessions",
            a_draft(booster_mg=100, quantity_units=12),
            a_draft(booster_mg=100),
        ),
    ],
)
def test_a_stop_begins_one_past_its_limit(rule: str, passing: Draft, failing: Draft) -> None:
    assert found(passing, rule) is None
    finding = found(failing, rule)
    assert finding is not None
    assert finding.severity is Severity.STOP


@pytest.mark.parametrize(
    ("rule", "passing", "failing"),
    [
        ("prescribing.dose_high", a_draft(dose_mg=400), a_draft(dose_mg=401)),
        ("prescribing.dose_high", a_draft(dose_mg=300, booster_mg=100), a_draft(dose_mg=301, booster_mg=100)),
        ("prescribing.dose_high_for_weight", a_draft(weight_kg=40.0), a_draft(weight_kg=39.9)),
        (
            "prescribing.dose_high_for_weight",
            a_draft(weight_kg=60.0, booster_mg=100),
            a_draft(weight_kg=59.9, booster_mg=100),
        ),
        ("prescribing.dose_not_in_halves", a_draft(dose_mg=250), a_draft(dose_mg=225)),
        (
            "prescribing.dose_not_in_halves",
            a_draft(strength_mg=50, dose_mg=225),
            a_draft(strength_mg=50, booster_mg=60),
        ),
        (
            "prescribing.dose_not_in_halves",
            a_first_draft(first_session_dose_mg=50),
            a_first_draft(first_session_dose_mg=75),
        ),
        (
            "prescribing.supply_with_refills_over_limit",
            a_draft(sessions_supply=2, refills=2),
            a_draft(sessions_supply=2, refills=3),
        ),
    ],
)
def test_a_review_begins_one_past_its_limit(rule: str, passing: Draft, failing: Draft) -> None:
    assert found(passing, rule) is None
    finding = found(failing, rule)
    assert finding is not None
    assert finding.severity is Severity.REVIEW


def test_five_refills_are_within_the_limit() -> None:
    rules = [finding.rule for finding in draft_findings(a_draft(refills=5), programme())]
    assert rules == ["prescribing.supply_with_refills_over_limit"]
    strict = draft_findings(a_draft(refills=5), programme_with(refills_at_most=2))
    assert "prescribing.refills_over_limit" in [finding.rule for finding in strict]


def test_an_unknown_weight_is_said_and_stops_nothing() -> None:
    (finding,) = draft_findings(a_draft(weight_kg=None), programme())
    assert (finding.rule, finding.severity) == ("prescribing.weight_unknown", Severity.INFORM)


def test_a_first_supply_may_allow_for_the_smaller_first_session() -> None:
    assert list(units_needed(a_first_draft())) == [3, 4]
    assert list(units_needed(a_draft())) == [8]
    assert list(units_needed(a_draft(first_session_dose_mg=100))) == [8]


@pytest.mark.parametrize("first", [10, 11])
def test_a_first_session_that_is_not_smaller_changes_no_quantity(first: int) -> None:
    assert list(units_needed(a_first_draft(strength_mg=1, dose_mg=10, first_session_dose_mg=first))) == [20]


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (a_draft(quantity_units=9), "need 8 units per fill"),
        (a_first_draft(quantity_units=5), "need 3 to 4 units per fill"),
        (a_first_draft(strength_mg=50, first_session_dose_mg=50, quantity_units=9), "need 5 to 8 units per fill"),
    ],
)
def test_a_quantity_that_is_off_says_which_would_do(draft: Draft, words: str) -> None:
    finding = found(draft, "prescribing.quantity_not_dose_times_sessions")
    assert finding is not None
    assert words in finding.sentence


@given(
    strength=st.sampled_from([50, 100]),
    dose=st.integers(min_value=1, max_value=700),
    booster=st.integers(min_value=0, max_value=200),
    sessions=st.integers(min_value=1, max_value=6),
)
def test_the_needed_quantity_covers_all_sessions_and_not_one_unit_more(
    strength: int, dose: int, booster: int, sessions: int
) -> None:
    draft = a_draft(strength_mg=strength, dose_mg=dose, booster_mg=booster, sessions_supply=sessions)
    (units,) = units_needed(draft)
    assert units * strength >= (dose + booster) * sessions > (units - 1) * strength


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strength_mg", 0),
        ("quantity_units", 0),
        ("sessions_supply", -1),
        ("dose_mg", 0),
        ("booster_mg", -1),
        ("refills", -1),
        ("home_stock_sessions", -0.5),
        ("first_session_dose_mg", 0),
        ("weight_kg", 0.0),
    ],
)
def test_a_number_that_no_prescription_has_names_its_field(field: str, value: float) -> None:
    with pytest.raises(InvalidInput) as refusal:
        a_draft(**{field: value})
    assert refusal.value.field == field


def test_the_smallest_numbers_that_a_prescription_may_have() -> None:
    assert a_draft(strength_mg=1, quantity_units=1, sessions_supply=1, dose_mg=1, first_session_dose_mg=1)
    assert a_draft(weight_kg=0.5)


def test_a_clinic_may_be_stricter_than_the_law_and_never_looser() -> None:
    assert refills_at_most(programme_with(refills_at_most=2)) == 2
    assert refills_at_most(programme_with(refills_at_most=9)) == 5
    loose = draft_findings(a_draft(refills=6), programme_with(refills_at_most=9))
    assert "prescribing.refills_over_five" in [finding.rule for finding in loose]
    strict = draft_findings(a_draft(sessions_supply=1, quantity_units=2, refills=3), programme_with(refills_at_most=2))
    assert [finding.rule for finding in strict] == ["prescribing.refills_over_limit"]


def test_a_clinics_number_moves_the_limit() -> None:
    rules = [finding.rule for finding in draft_findings(a_draft(dose_mg=250), programme_with(warn_over_mg=240))]
    assert "prescribing.dose_high" in rules


@pytest.mark.parametrize("strengths", ["50", 50, [50, "100"], [True]])
def test_strengths_that_are_not_numbers_are_a_broken_programme(strengths: Any) -> None:
    with pytest.raises(InvalidConfiguration):
        draft_findings(a_draft(), programme_with(route__sublingual__strengths_mg=strengths))


def test_every_finding_has_source_setting_and_plain_json() -> None:
    worst = a_first_draft(
        drug="x", form="x", strength_mg=75, directions="", refills=6, dose_mg=700, first_session_dose_mg=600,
        sessions_supply=7, quantity_units=1, weight_kg=50.0, home_stock_sessions=3,
    )  # fmt: skip
    findings = draft_findings(worst, programme())
    assert len(findings) >= 11
    assert len({finding.rule for finding in findings}) == len(findings)
    for finding in findings:
        assert json.loads(json.dumps(finding.as_dict()))["rule"].startswith("prescribing.")
        assert finding.source.startswith(("DOMAIN", "21 CFR"))
        if finding.setting is not None:
            assert finding.value == programme().value(finding.setting)


@pytest.mark.parametrize(
    ("home", "supply", "stops"),
    [
        (0, 6, False),
        (2, 4, False),
        (2, 5, True),
        (0.5, 6, True),
        (0, 6.0000004, False),  # not more than what thirds lose in adding up
        (0, 6.000004, True),
    ],
)
def test_no_more_than_six_sessions_stand_in_a_home(home: float, supply: float, stops: bool) -> None:
    assert (home_stock_finding(home, supply, programme()) is not None) is stops


def test_a_clinic_may_let_less_stand_in_a_home() -> None:
    three = programme_with(home_stock_sessions_at_most=3)
    assert home_stock_finding(1, 2, three) is None
    assert home_stock_finding(1, 2.5, three) is not None


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        (NO_LIMITS, None),
        (PatientLimits(systolic_below=150, diastolic_below=100, interval_days=3), None),
        (PatientLimits(systolic_below=120), None),
        (PatientLimits(systolic_below=151), "prescribing.systolic_limit_too_high"),
        (PatientLimits(diastolic_below=101), "prescribing.diastolic_limit_too_high"),
        (PatientLimits(interval_days=2), "prescribing.interval_too_short"),
    ],
)
def test_a_prescriber_goes_only_so_far_with_one_patients_limits(limits: PatientLimits, rule: str | None) -> None:
    assert [finding.rule for finding in limit_findings(limits, programme())] == ([rule] if rule else [])


EVERY_ROUTE = programme_with(routes=[route.value for route in Route])


def an_infusion(**changes: Any) -> Draft:
    """A follow-up order of four infusions that no rule objects to."""
    given = {
        "route": Route.INTRAVENOUS,
        "form": "solution_for_infusion",
        "quantity_units": 4,
        "dose_mg": 40,
        "last_dose_mg": 40,
        "directions": "Infuse over 40 minutes.",
    }
    return a_draft(**{**given, **changes})


def rules_of(draft: Draft, under: Programme = EVERY_ROUTE) -> set[str]:
    return {finding.rule for finding in draft_findings(draft, under)}


def test_a_route_must_be_offered() -> None:
    assert rules_of(an_infusion()) == set()
    assert rules_of(an_infusion(), programme()) == {"prescribing.route_not_offered"}
    (refused,) = draft_findings(an_infusion(), programme())
    assert refused.sentence.endswith("it offers sublingual.")


def test_each_route_has_its_own_forms_and_strengths() -> None:
    assert "prescribing.form_not_offered" in rules_of(an_infusion(form="lozenge"))
    assert "prescribing.form_not_offered" in rules_of(a_draft(form="solution_for_infusion"))
    assert "prescribing.strength_not_offered" in rules_of(an_infusion(strength_mg=50))
    assert "prescribing.strength_not_offered" not in rules_of(a_draft(strength_mg=50))


@pytest.mark.parametrize(
    ("rule", "passing", "failing"),
    [
        (
            "prescribing.dose_high",
            an_infusion(dose_mg=120, last_dose_mg=120),
            an_infusion(dose_mg=121, last_dose_mg=121),
        ),
        ("prescribing.dose_high_for_weight", an_infusion(weight_kg=26.7), an_infusion(weight_kg=26.6)),
        ("prescribing.step_over_limit", an_infusion(last_dose_mg=10), an_infusion(last_dose_mg=9)),
        (
            "prescribing.first_session_over_limit",
            an_infusion(is_first=True, dose_mg=60, first_session_dose_mg=30),
            an_infusion(is_first=True, dose_mg=62, first_session_dose_mg=31),
        ),
        ("prescribing.supply_over_limit", an_infusion(sessions_supply=6), an_infusion(sessions_supply=7)),
        (
            "prescribing.first_supply_over_limit",
            an_infusion(is_first=True, sessions_supply=2),
            an_infusion(is_first=True, sessions_supply=3),
        ),
        ("prescribing.clinic_order_with_refills", an_infusion(refills=0), an_infusion(refills=1)),
    ],
)
def test_what_goes_into_a_vein_has_limits_of_its_own(rule: str, passing: Draft, failing: Draft) -> None:
    assert rule not in rules_of(passing)
    assert rule in rules_of(failing)


def test_halves_quantities_and_home_stock_are_questions_about_what_is_shipped() -> None:
    odd = {"dose_mg": 33, "quantity_units": 1, "home_stock_sessions": 6}
    assert rules_of(an_infusion(last_dose_mg=33, **odd)) == set()
    shipped = programme_with(routes=["intravenous"], route__intravenous__supplied="shipped")
    assert rules_of(an_infusion(last_dose_mg=33, **odd), shipped) == {
        "prescribing.quantity_not_dose_times_sessions",
        "prescribing.home_stock_over_limit",
    }
    assert "prescribing.clinic_order_with_refills" not in rules_of(a_draft(refills=1))


def test_a_route_says_how_it_is_supplied() -> None:
    assert supplied_by(Route.SUBLINGUAL, programme()) is Supplied.SHIPPED
    for route in (Route.NASAL, Route.INTRAMUSCULAR, Route.INTRAVENOUS):
        assert supplied_by(route, programme()) is Supplied.CLINIC
        assert setting_of(route, "warn_over_mg", programme()) == f"prescribing.route.{route}.warn_over_mg"
    assert setting_of(Route.SUBLINGUAL, "warn_over_mg", programme()) == "prescribing.warn_over_mg"
    with pytest.raises(InvalidConfiguration):
        supplied_by(Route.NASAL, programme_with(route__nasal__supplied="by owl"))


def test_a_second_prescription_of_the_same_asks_for_a_reason() -> None:
    assert duplicate_findings(0) == []
    (finding,) = duplicate_findings(1)
    assert (finding.rule, finding.severity) == ("prescribing.duplicate_active", Severity.REVIEW)


def test_a_salt_of_a_drug_is_the_same_substance() -> None:
    assert substance_of("Ketamine  hydrochloride") == substance_of("ketamine") == "ketamine"
    assert substance_of("esketamine") != "ketamine"
    assert substance_of(" ") == ""
