"""The gate of a refill request: every condition of DOMAIN 4 at its boundary, the earliest date, the way of supply."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.findings import Severity
from services.core.programme import programme
from services.prescribing.fill_rules import FillFacts, PrescriptionFacts
from services.refills.rules import NO_DATE, RefillFacts, SessionRecord, Supply, decide_supply, earliest_date, evaluate
from tests.factories_programmes import changed

TODAY = date(2026, 11, 20)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def session(days_ago: int, *, vitals: bool = True, integration: bool = True) -> SessionRecord:
    return SessionRecord(held_on=ago(days_ago), vitals_recorded=vitals, integration_done=integration)


def facts(**changes: Any) -> RefillFacts:
    """A request that nothing stands against: eight units handed out, four taken in two sessions, four left."""
    known: dict[str, Any] = {
        "on": TODAY,
        "maintenance": False,
        "eligibility_current": True,
        "has_therapist": True,
        "dispensed_units": 8,
        "taken_units": 4,
        "remaining_units": 4,
        "wasted_units": 0,
        "units_per_session": 2,
        "sessions": [session(10), session(3, integration=False)],
        "scales_on": {"phq9": ago(2), "gad7": ago(7)},
        "open_high_adverse_event": False,
        "risk_flag": False,
        "prescriber_contact_on": ago(30),
        "pdmp_checked_on": ago(7),
        "licence_valid": True,
        "dea_valid": True,
        "interval_days": 7,
    }
    return RefillFacts(**{**known, **changes})


def rules(**changes: Any) -> list[str]:
    return [finding.rule for finding in evaluate(facts(**changes), programme())]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"eligibility_current": False}, ["refills.eligibility_lapsed"]),
        ({"has_therapist": False}, ["refills.no_therapist"]),
        ({"open_high_adverse_event": True}, ["refills.adverse_event_open"]),
        ({"risk_flag": True}, ["refills.suicide_risk_open"]),
        ({"licence_valid": False}, ["refills.licence_not_valid"]),
        ({"dea_valid": False}, ["refills.dea_not_valid"]),
        ({"diversion_review_open": True}, ["refills.diversion_review_open"]),
        ({"response_undecided": True}, ["refills.response_undecided"]),
        ({"round_full": True}, ["refills.round_full"]),
        ({"taken_units": 3}, ["refills.count_off"]),
        ({"taken_units": 5}, ["refills.count_off"]),
        ({"taken_units": 3.5, "wasted_units": 0.5}, []),
        ({"taken_units": 3.5, "lost_units": 0.5}, []),
        ({"taken_units": 3.5, "returned_units": 0.5}, []),
        ({"taken_units": 3.5, "wasted_units": 0.5, "remaining_units": 3.5}, ["refills.count_off"]),
        ({"taken_units": 3, "remaining_units": 5}, ["refills.too_early"]),
        ({"taken_units": 3.5, "remaining_units": 4.5}, ["refills.too_early"]),
        ({"taken_units": 8, "remaining_units": 0}, []),
        ({"sessions": [session(10, vitals=False), session(3)]}, ["refills.vitals_missing"]),
        ({"sessions": [session(10), session(3, vitals=False)]}, ["refills.vitals_missing"]),
        ({"sessions": [session(10, integration=False), session(3)]}, ["refills.integration_missing"]),
        ({"sessions": [session(3), session(10, integration=False)]}, ["refills.integration_missing"]),
        ({"sessions": [session(20), session(10, integration=False), session(3)]}, ["refills.integration_missing"]),
        ({"sessions": [session(3, integration=False), session(10)]}, []),
        ({"sessions": []}, []),
        ({"units_per_session": 0.5, "taken_units": 7, "remaining_units": 1}, []),
        ({"taken_units": 3.99, "remaining_units": 4.01}, []),
        ({"scales_on": {"phq9": TODAY}, "prescriber_contact_on": TODAY, "pdmp_checked_on": TODAY}, []),
        ({"scales_on": {"phq9": ago(8), "gad7": ago(7)}}, ["refills.scales_too_old"]),
        ({"scales_on": {"phq9": None, "gad7": ago(1)}}, ["refills.scales_too_old"]),
        ({"scales_on": {"phq9": ago(-1)}}, ["refills.scales_too_old"]),
        ({"scales_on": {}}, ["refills.scales_missing"]),
        ({"prescriber_contact_on": ago(31)}, ["refills.prescriber_contact_too_old"]),
        ({"prescriber_contact_on": None}, ["refills.prescriber_contact_too_old"]),
        ({"pdmp_checked_on": ago(8)}, ["refills.pdmp_not_current"]),
        ({"pdmp_checked_on": None}, ["refills.pdmp_not_current"]),
        ({"maintenance": True, "scales_on": {"phq9": ago(14)}, "prescriber_contact_on": ago(90)}, []),
        ({"maintenance": True, "scales_on": {"phq9": ago(15)}}, ["refills.scales_too_old"]),
        ({"maintenance": True, "prescriber_contact_on": ago(91)}, ["refills.prescriber_contact_too_old"]),
    ],
)
def test_each_unmet_condition_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    assert rules(**changes) == expected


@pytest.mark.parametrize(("day", "last_on"), [(ago(100), "2026-08-12"), (None, None)])
def test_what_is_too_old_tells_when_it_was(day: date | None, last_on: str | None) -> None:
    found = evaluate(facts(prescriber_contact_on=day, pdmp_checked_on=day), programme())
    assert {finding.rule: finding.inputs for finding in found} == {
        "refills.prescriber_contact_too_old": {"last_on": last_on},
        "refills.pdmp_not_current": {"last_on": last_on},
    }


def test_everything_unmet_is_named_at_once_with_plain_reasons() -> None:
    worst = facts(
        eligibility_current=False, has_therapist=False, open_high_adverse_event=True, risk_flag=True,
        licence_valid=False, dea_valid=False, taken_units=0, remaining_units=7,
        sessions=[session(5, vitals=False, integration=False)] * 2,
        scales_on={"phq9": None}, prescriber_contact_on=None, pdmp_checked_on=None,
    )  # fmt: skip
    findings = evaluate(worst, programme())
    assert len(findings) == len({finding.rule for finding in findings}) == 13
    for finding in findings:
        assert finding.severity is Severity.STOP
        assert json.loads(json.dumps(finding.as_dict()))["source"].startswith("DOMAIN")
        assert finding.inputs, "nobody could see what it was judged by"
        if finding.setting:
            assert finding.value == programme().value(finding.setting)


@pytest.mark.parametrize(
    ("changes", "inputs"),
    [
        ({"eligibility_current": False}, {"eligibility_current": False}),
        ({"risk_flag": True}, {"risk_flag": True}),
        ({"sessions": [session(10, vitals=False), session(3)]}, {"sessions": [ago(10).isoformat()]}),
        ({"sessions": [session(10, integration=False), session(3)]}, {"sessions": [ago(10).isoformat()]}),
        ({"round_full": True}, {"sessions_held": 2}),
    ],
)
def test_a_finding_names_what_it_was_judged_by(changes: dict[str, Any], inputs: dict[str, Any]) -> None:
    (finding,) = evaluate(facts(**changes), programme())
    assert finding.inputs == inputs


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dispensed_units", -1),
        ("taken_units", -0.5),
        ("remaining_units", -1),
        ("wasted_units", -1),
        ("lost_units", -1),
        ("returned_units", -1),
        ("units_per_session", 0),
    ],
)
def test_a_count_that_cannot_be_names_its_field(field: str, value: float) -> None:
    with pytest.raises(InvalidInput) as refusal:
        facts(**{field: value})
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, TODAY),
        ({"pdmp_checked_on": None, "scales_on": {"phq9": None}, "taken_units": 3}, TODAY),
        ({"remaining_units": 4.5}, TODAY + timedelta(days=4)),
        ({"remaining_units": 4.01}, TODAY),
        ({"remaining_units": 6}, TODAY + timedelta(days=4)),
        ({"remaining_units": 6.01}, TODAY + timedelta(days=4)),
        ({"remaining_units": 8}, TODAY + timedelta(days=11)),
        ({"remaining_units": 8, "interval_days": 3}, TODAY + timedelta(days=3)),
        ({"remaining_units": 8, "sessions": [session(60)]}, TODAY + timedelta(days=7)),
        ({"remaining_units": 6, "sessions": []}, TODAY),
    ],
)
def test_the_earliest_date_is_when_two_doses_will_be_left(changes: dict[str, Any], expected: date) -> None:
    assert earliest_date(facts(**changes), programme()) == expected


def test_a_hundredth_of_a_dose_more_is_the_same_count() -> None:
    none_left = changed({"refills.doses_left_at_most": 0})
    same = facts(taken_units=7.99, remaining_units=0.01, units_per_session=1)
    assert evaluate(same, none_left) == []
    assert earliest_date(same, none_left) == TODAY


@pytest.mark.parametrize(
    "changes",
    [
        {"eligibility_current": False},
        {"has_therapist": False},
        {"open_high_adverse_event": True},
        {"risk_flag": True},
        {"licence_valid": False},
        {"dea_valid": False},
        {"diversion_review_open": True},
        {"response_undecided": True},
        {"round_full": True},
    ],
)
def test_some_conditions_have_no_date(changes: dict[str, Any]) -> None:
    assert earliest_date(facts(**changes), programme()) is None
    assert set(rules(**changes)) <= NO_DATE


@given(st.integers(min_value=0, max_value=20), st.sampled_from([3, 7, 30]), st.integers(min_value=0, max_value=20))
def test_taking_a_dose_at_each_interval_opens_the_gate_on_the_earliest_date(
    remaining_units: int, interval: int, last_days_ago: int
) -> None:
    before = facts(
        dispensed_units=remaining_units + 4, remaining_units=remaining_units, interval_days=interval,
        sessions=[session(last_days_ago)],
    )  # fmt: skip
    earliest = earliest_date(before, programme())
    assert earliest is not None
    left, day = float(remaining_units), max(TODAY, ago(last_days_ago) + timedelta(days=interval))
    opened = TODAY
    while left > 4:
        left, opened = left - 2, day
        day += timedelta(days=interval)
    assert earliest == opened


ISSUED = date(2026, 11, 1)
SIGNED = PrescriptionFacts(quantity_units=8, refills=1, issued_on=ISSUED)
FILLED = FillFacts(quantity_units=8, filled_on=ISSUED)
PART = FillFacts(quantity_units=5, filled_on=ISSUED)
REFILLED = FillFacts(quantity_units=8, filled_on=ISSUED, is_refill=True)


@pytest.mark.parametrize(
    ("fills", "on", "is_refill", "units"),
    [
        ([], TODAY, False, 8),
        ([FILLED], TODAY, True, 8),
        ([PART], TODAY, False, 3),
        ([FILLED], date(2027, 5, 1), True, 8),
        ([FILLED, FillFacts(quantity_units=2, filled_on=TODAY, is_refill=True)], TODAY, False, 6),
    ],
)
def test_the_next_fill_is_used_while_the_law_allows(
    fills: list[FillFacts], on: date, is_refill: bool, units: int
) -> None:
    decision = decide_supply(SIGNED, fills, on, programme())
    assert (decision.supply, decision.is_refill, decision.units_at_most) == (Supply.NEXT_FILL, is_refill, units)
    assert decision.reasons == ()


@pytest.mark.parametrize(
    ("fills", "on", "options", "reason"),
    [
        ([FILLED, REFILLED], TODAY, {}, "prescribing.no_refill_left"),
        ([FILLED], date(2027, 5, 2), {}, "prescribing.fill_after_six_months"),
        ([PART], date(2027, 5, 2), {}, "prescribing.fill_after_six_months"),
        ([FILLED], TODAY, {"units_wanted": 9}, "prescribing.refill_over_quantity"),
        ([PART], TODAY, {"units_wanted": 4}, "prescribing.fill_over_quantity"),
        ([FILLED], TODAY, {"changed": True}, "refills.prescription_changed"),
    ],
)
def test_otherwise_a_new_prescription_is_needed_and_the_reason_is_named(
    fills: list[FillFacts], on: date, options: dict[str, Any], reason: str
) -> None:
    decision = decide_supply(SIGNED, fills, on, programme(), **options)
    assert decision.supply is Supply.NEW_PRESCRIPTION
    assert [finding.rule for finding in decision.reasons] == [reason]
    assert (decision.is_refill, decision.units_at_most) == (False, 0)


def test_without_a_prescription_a_new_one_is_needed() -> None:
    decision = decide_supply(None, [], TODAY, programme())
    assert decision.supply is Supply.NEW_PRESCRIPTION
    assert decision.reasons[0].rule == "refills.no_prescription"


def test_fewer_units_than_the_next_fill_holds_are_fine_and_none_are_not() -> None:
    assert decide_supply(SIGNED, [FILLED], TODAY, programme(), units_wanted=3).supply is Supply.NEXT_FILL
    with pytest.raises(InvalidInput):
        decide_supply(SIGNED, [FILLED], TODAY, programme(), units_wanted=0)
