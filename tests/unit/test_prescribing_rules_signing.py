"""What must be on record when a prescriber signs (DOMAIN 5), day by day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration
from services.core.findings import Severity
from services.core.programme import Programme, programme
from services.prescribing.law import REQUIRED_FIELDS, SCHEDULE_III, SIGNING_DISPLAY, SIGNING_STATEMENT
from services.prescribing.signing_rules import SigningFacts, required_field_findings, signing_findings

TODAY = date(2026, 11, 20)


def facts(**changes: Any) -> SigningFacts:
    known: dict[str, Any] = {
        "signed_on": TODAY,
        "issued_on": TODAY,
        "patient_state": "CA",
        "session_mg": 300,
        "pdmp_checked_on": TODAY,
        "pdmp_states": frozenset({"CA", "NV"}),
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


def test_an_open_high_suicide_risk_blocks_signing() -> None:
    assert rules(risk_blocked=True) == ["prescribing.suicide_risk_open"]


def whole_paper() -> dict[str, Any]:
    return dict.fromkeys(REQUIRED_FIELDS, "x") | {"refills": 0}


def test_a_prescription_that_carries_everything_raises_nothing() -> None:
    assert required_field_findings(whole_paper()) == []


@pytest.mark.parametrize("name", REQUIRED_FIELDS)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_each_missing_field_is_named(name: str, value: str | None) -> None:
    (finding,) = required_field_findings(whole_paper() | {name: value})
    assert finding.rule == f"prescribing.required_{name}_missing"
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
