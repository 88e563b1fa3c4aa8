"""What must be on record when a prescriber signs (DOMAIN 5), day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration
from services.core.findings import Severity
from services.core.programme import Programme, programme
from services.prescribing.field_rules import REQUIRED_FIELDS, SIGNING_DISPLAY, required_field_findings
from services.prescribing.law import SCHEDULE_III, SIGNING_STATEMENT
from services.prescribing.signing_rules import (
    FollowUpFacts,
    SigningFacts,
    exception_findings,
    follow_up_findings,
    outside_findings,
    signing_findings,
)

TODAY = date(2026, 11, 20)


def facts(**changes: Any) -> SigningFacts:
    known: dict[str, Any] = {
        "signed_on": TODAY,
        "issued_on": TODAY,
        "patient_state": "CA",
        "session_mg": 300,
        "pdmp_checked_on": TODAY,
        "pdmp_states": frozenset({"CA", "NV"}),
        "may_sign": True,
    }
    return SigningFacts(**{**known, **changes})


def rules(**changes: Any) -> list[str]:
    return [finding.rule for finding in signing_findings(facts(**changes), programme())]


def test_nothing_stands_in_the_way_when_all_is_on_record() -> None:
    assert rules() == []


@pytest.mark.parametrize("days", [-1, 1])
def test_the_date_of_issue_is_the_day_signed(days: int) -> None:
    assert rules(issued_on=TODAY + timedelta(days=days)) == ["prescribing.issue_date_not_signing_date"]


@pytest.mark.parametrize(
    ("age_days", "expected"),
    [
        (0, []),
        (7, []),
        (8, ["prescribing.pdmp_too_old"]),
        (-1, ["prescribing.pdmp_in_future"]),
        (None, ["prescribing.pdmp_missing"]),
    ],
)
def test_the_pdmp_check_is_at_most_seven_days_old(age_days: int | None, expected: list[str]) -> None:
    assert rules(pdmp_checked_on=None if age_days is None else TODAY - timedelta(days=age_days)) == expected


def test_a_pdmp_check_without_the_patients_state_asks_for_review() -> None:
    (finding,) = signing_findings(facts(pdmp_states=frozenset({"NV"})), programme())
    assert (finding.rule, finding.severity) == ("prescribing.pdmp_other_states", Severity.REVIEW)


@pytest.mark.parametrize(
    ("signed_on", "evidence", "allowed"),
    [
        (date(2026, 12, 31), {}, True),
        (date(2027, 1, 1), {}, False),
        (date(2027, 1, 1), {"in_person_evaluated_on": date(2027, 1, 1)}, True),
        (date(2027, 1, 1), {"in_person_evaluated_on": date(2027, 1, 2)}, False),
        (date(2027, 1, 1), {"telemedicine_exception": "special_registration"}, True),
        (date(2027, 1, 1), {"telemedicine_exception": "because"}, False),
    ],
)
def test_after_the_flexibilities_an_evaluation_or_a_named_exception_is_needed(
    signed_on: date, evidence: dict[str, Any], allowed: bool
) -> None:
    found = rules(signed_on=signed_on, issued_on=signed_on, pdmp_checked_on=signed_on, **evidence)
    assert found == ([] if allowed else ["prescribing.no_in_person_evaluation"])


def test_an_end_that_is_no_day_is_a_broken_programme() -> None:
    default = programme()
    broken = {**default.settings, "prescribing.telemedicine_flexibility_end": "soon"}
    with pytest.raises(InvalidConfiguration):
        signing_findings(facts(), Programme(default.name, default.version, broken))


@pytest.mark.parametrize(("mg", "agreed", "stops"), [(600, False, False), (601, False, True), (601, True, False)])
def test_above_600_mg_a_second_prescriber_agrees(mg: int, agreed: bool, stops: bool) -> None:
    found = rules(session_mg=mg, second_prescriber_agreed=agreed)
    assert found == (["prescribing.second_prescriber_missing"] if stops else [])


def test_what_nobody_put_on_record_is_not_there() -> None:
    bare = SigningFacts(signed_on=TODAY, issued_on=TODAY, patient_state="CA", session_mg=601)
    assert [finding.rule for finding in signing_findings(bare, programme())] == [
        "prescribing.no_signing_access",
        "prescribing.pdmp_missing",
        "prescribing.second_prescriber_missing",
    ]


@pytest.mark.parametrize(
    ("exception", "expected"),
    [
        (None, []),
        ("special_registration", []),
        ("because", ["prescribing.telemedicine_exception_unknown"]),
        ("", ["prescribing.telemedicine_exception_unknown"]),
    ],
)
def test_only_an_exception_that_the_law_names_is_recorded(exception: str | None, expected: list[str]) -> None:
    assert [finding.rule for finding in exception_findings(exception, programme())] == expected


def test_nobody_signs_before_two_people_gave_access() -> None:
    assert rules(may_sign=False) == ["prescribing.no_signing_access"]


def test_an_open_high_suicide_risk_blocks_signing() -> None:
    assert rules(risk_blocked=True) == ["prescribing.suicide_risk_open"]


def whole_paper() -> dict[str, Any]:
    return dict.fromkeys(REQUIRED_FIELDS, "x") | {"refills": 0}


def test_a_prescription_that_carries_everything_raises_nothing() -> None:
    assert required_field_findings(whole_paper()) == []


# 21 CFR 1306.05, field by field.
MISSING = {
    "issued_on": "prescribing.required_issued_on_missing",
    "patient_name": "prescribing.required_patient_name_missing",
    "patient_address": "prescribing.required_patient_address_missing",
    "drug": "prescribing.required_drug_missing",
    "strength": "prescribing.required_strength_missing",
    "form": "prescribing.required_form_missing",
    "quantity": "prescribing.required_quantity_missing",
    "directions": "prescribing.required_directions_missing",
    "refills": "prescribing.required_refills_missing",
    "practitioner_name": "prescribing.required_practitioner_name_missing",
    "practitioner_address": "prescribing.required_practitioner_address_missing",
    "dea_number": "prescribing.required_dea_number_missing",
}


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_each_missing_field_is_named(name: str, value: str | None) -> None:
    (finding,) = required_field_findings(whole_paper() | {name: value})
    assert finding.rule == MISSING[name]
    assert set(MISSING) == set(REQUIRED_FIELDS)
    assert (finding.severity, finding.source) == (Severity.STOP, "21 CFR 1306.05")


def test_the_law_stands_as_written() -> None:
    assert (SCHEDULE_III.refills_at_most, SCHEDULE_III.months_to_fill) == (5, 6)
    assert SIGNING_STATEMENT == (
        "By completing the two-factor authentication protocol at this time, you are legally signing the prescription(s)"
        " and authorizing the transmission of the above information to the pharmacy for dispensing. The two-factor"
        " authentication protocol may only be completed by the practitioner whose name and DEA registration number"
        " appear above."
    )
    assert set(SIGNING_DISPLAY) == {*REQUIRED_FIELDS, "route"} - {"patient_address"}


@pytest.mark.parametrize(
    ("days_ago", "rules"),
    [
        (-1, ["prescribing.outside_issue_in_future"]),
        (0, []),
        (184, []),  # May 20, six months before November 20
        (185, ["prescribing.outside_issue_over"]),
    ],
)
def test_what_was_issued_elsewhere_is_recorded_in_time(days_ago: int, rules: list[str]) -> None:
    found = outside_findings(TODAY - timedelta(days=days_ago), TODAY, programme())
    assert [finding.rule for finding in found] == rules


FIRST = datetime(2026, 11, 2, 18, 0, tzinfo=UTC)
MINUTE = 1 / (24 * 60)


@pytest.mark.parametrize(
    ("at", "sessions", "contact", "is_missing"),
    [
        # Days after the first signature. Two sessions were held: from the second on.
        (20, (3, 10), None, True),
        (20, (3, 10), 10 - MINUTE, True),
        (20, (3, 10), 10, False),
        (20, (3, 10, 17), 10, False),
        # Thirty days went by first.
        (30, (3,), 30 - MINUTE, True),
        (30, (3,), 30, False),
        (45, (3, 40), 30, False),
        # Neither came about yet: any contact since the signature.
        (30 - MINUTE, (3,), 1, False),
        (5, (), 0, False),
        (5, (), -MINUTE, True),
        (5, (), None, True),
    ],
)
def test_before_there_is_more_a_prescriber_follows_up(
    at: float, sessions: tuple[float, ...], contact: float | None, is_missing: bool
) -> None:
    facts = FollowUpFacts(
        at=FIRST + timedelta(days=at),
        first_signed_at=FIRST,
        taken_at=tuple(FIRST + timedelta(days=day) for day in sessions),
        followed_up_at=None if contact is None else FIRST + timedelta(days=contact),
    )
    rules = [finding.rule for finding in follow_up_findings(facts, programme())]
    assert rules == (["prescribing.follow_up_missing"] if is_missing else [])


def test_a_first_supply_and_what_makes_up_for_one_need_no_follow_up() -> None:
    assert follow_up_findings(FollowUpFacts(at=FIRST, first_signed_at=None), programme()) == []
    for sessions, is_missing in ((2, False), (3, True)):
        facts = FollowUpFacts(at=FIRST, first_signed_at=FIRST, replaces_sessions=sessions)
        assert bool(follow_up_findings(facts, programme())) is is_missing
