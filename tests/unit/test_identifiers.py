"""NPI, DEA numbers, states, licences: every vector of the domain reference and every boundary day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.findings import Severity
from services.core.programme import programme
from services.people.identifiers import STATES, dea_number_is_valid, npi_is_valid, state_code
from services.people.paper_rules import (
    DeaFacts,
    LicenceFacts,
    dea_number_check,
    licence_findings,
    may_prescribe_on,
    valid_on,
)

TODAY = date(2026, 11, 20)
LATER = date(2028, 1, 31)


@pytest.mark.parametrize("number", ["1234567893", "1993999998", "1558598797"])
def test_a_true_npi_is_accepted(number: str) -> None:
    assert npi_is_valid(number)


@pytest.mark.parametrize(
    "number",
    [
        "1234567890",
        "3234567893",
        "0234567893",
        "123456789",
        "12345678930",
        "",
        " 1234567893",
        "1234567893\n",
        "１２３４５６７８９３",
    ],
)
def test_a_wrong_npi_is_refused(number: str) -> None:
    assert not npi_is_valid(number)


@given(st.integers(min_value=100_000_000, max_value=299_999_999))
def test_exactly_one_check_digit_completes_an_npi(stem: int) -> None:
    assert sum(npi_is_valid(f"{stem}{digit}") for digit in range(10)) == 1


@pytest.mark.parametrize("number", ["AB1234563", "MR1111119", "FS8524616"])
def test_a_true_dea_number_is_accepted(number: str) -> None:
    assert dea_number_is_valid(number)
    assert dea_number_check(number, number[1] + "mith") == []


@pytest.mark.parametrize(
    "number",
    [
        "AB1234560",
        "1B1234563",
        "A81234563",
        "ab1234563",
        "AB123456",
        "AB12345633",
        "AB1234563\n",
        "AB１２３４５６３",
        "",
    ],
)
def test_a_wrong_dea_number_stops(number: str) -> None:
    assert not dea_number_is_valid(number)
    (finding,) = dea_number_check(number, "Baker")
    assert (finding.rule, finding.severity) == ("people.dea_number_not_valid", Severity.STOP)


@pytest.mark.parametrize("surname", ["Baker", "baker", "  Baker", "B", "ßaker", "'Baker"])
@pytest.mark.parametrize("number", ["A91234563"])
def test_a_nine_stands_for_any_initial(number: str, surname: str) -> None:
    assert dea_number_check(number, surname) == []


@pytest.mark.parametrize("surname", ["Smith", "", "9"])
def test_another_initial_only_warns(surname: str) -> None:
    (finding,) = dea_number_check("AB1234563", surname)
    assert (finding.rule, finding.severity) == ("people.dea_number_other_initial", Severity.INFORM)


def test_an_accent_does_not_change_the_initial() -> None:
    assert dea_number_check("MA1111119", "Ångström") == []


def test_a_letter_that_no_practitioner_has_asks_for_review() -> None:
    (finding,) = dea_number_check("RB1234563", "Baker")
    assert (finding.rule, finding.severity) == ("people.dea_number_not_a_practitioner", Severity.REVIEW)


def test_no_finding_repeats_the_number_or_the_name() -> None:
    for number in ("AB1234563", "RZ1234563", "AB1234560"):
        for finding in dea_number_check(number, "Quillfeather"):
            assert number not in str(finding.as_dict())
            assert "Quillfeather" not in str(finding.as_dict())


def test_fifty_states_the_district_and_five_territories_are_known() -> None:
    assert len(STATES) == 56
    assert all(len(code) == 2 and code.isupper() and name for code, name in STATES.items())
    assert (STATES["CA"], STATES["DC"], STATES["VI"]) == ("California", "District of Columbia", "U.S. Virgin Islands")


def test_a_state_code_is_read_in_any_case() -> None:
    assert state_code(" ca ") == "CA"


@pytest.mark.parametrize("text", ["", "ZZ", "California", "AE", "C A"])
def test_an_unknown_state_names_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        state_code(text, field="address.state")
    assert refusal.value.field == "address.state"


def licence(state: str = "CA", expires_on: date = LATER, revoked_on: date | None = None) -> LicenceFacts:
    return LicenceFacts(state=state, expires_on=expires_on, revoked_on=revoked_on)


def registration(state: str = "CA", expires_on: date = LATER, revoked_on: date | None = None) -> DeaFacts:
    return DeaFacts(state=state, expires_on=expires_on, revoked_on=revoked_on)


def rules(licences: list[LicenceFacts], registrations: list[DeaFacts], on: date = TODAY) -> list[str]:
    return [finding.rule for finding in licence_findings("CA", on, licences, registrations, programme())]


def test_valid_papers_in_the_patients_state_raise_nothing() -> None:
    assert rules([licence()], [registration()]) == []


def test_papers_of_another_state_do_not_count() -> None:
    found = licence_findings("CA", TODAY, [licence("NV")], [registration("NV")], programme())
    assert [finding.rule for finding in found] == [
        "people.licence_not_in_patient_state",
        "people.dea_not_in_patient_state",
    ]
    assert not may_prescribe_on(found)


@pytest.mark.parametrize(
    ("days_to_expiry", "days_to_revocation", "counts"),
    [(0, None, True), (-1, None, False), (400, 1, True), (400, 0, False), (400, -1, False)],
)
def test_a_paper_counts_to_its_last_day_and_not_on_the_day_it_is_revoked(
    days_to_expiry: int, days_to_revocation: int | None, counts: bool
) -> None:
    revoked_on = None if days_to_revocation is None else TODAY + timedelta(days=days_to_revocation)
    paper = licence(expires_on=TODAY + timedelta(days=days_to_expiry), revoked_on=revoked_on)
    assert valid_on(paper, TODAY) is counts
    assert ("people.licence_not_valid_on_day" in rules([paper], [registration()])) is not counts


def test_an_expired_dea_registration_stops() -> None:
    assert rules([licence()], [registration(expires_on=TODAY - timedelta(days=1))]) == ["people.dea_not_valid_on_day"]


@pytest.mark.parametrize("other", [date(2020, 1, 1), TODAY + timedelta(days=1)], ids=["expired", "about to expire"])
def test_one_lasting_paper_of_a_kind_is_enough_beside_another(other: date) -> None:
    assert rules([licence(expires_on=other), licence()], [registration(expires_on=other), registration()]) == []


@pytest.mark.parametrize(("days_left", "told"), [(30, False), (29, True), (0, True)])
def test_papers_about_to_expire_are_announced_and_do_not_stop(days_left: int, told: bool) -> None:
    found = licence_findings(
        "CA", TODAY, [licence(expires_on=TODAY + timedelta(days=days_left))], [registration()], programme()
    )
    assert [finding.rule for finding in found] == (["people.licence_expires_soon"] if told else [])
    assert may_prescribe_on(found)
    expiring = registration(expires_on=TODAY + timedelta(days=days_left))
    found = licence_findings("CA", TODAY, [licence()], [expiring], programme())
    assert [finding.rule for finding in found] == (["people.dea_expires_soon"] if told else [])
    assert may_prescribe_on(found)
