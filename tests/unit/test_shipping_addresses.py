"""Where a parcel may go: home, however it is spelled; never to a clinic, however it is spelled."""

from __future__ import annotations

import pytest

from services.core.findings import Severity
from services.people.postal import Address
from services.shipping.addresses import plain, ship_to_findings


def address(street: str, unit: str = "", postal_code: str = "94110") -> Address:
    return Address(street=street, unit=unit, city="San Francisco", state="CA", postal_code=postal_code)


HOME = address("1250 N. Valencia Street", "Apt 4B")
PRACTICE = address("88 Main St., Suite 200")


def rules(target: Address, *, home: Address | None = HOME, therapist: Address | None = None) -> list[str]:
    found = ship_to_findings(target, home, [PRACTICE], [therapist] if therapist else [])
    return [finding.rule for finding in found]


@pytest.mark.parametrize(
    "target",
    [
        HOME,
        address("1250 north valencia st", "#4B"),
        address("1250 N VALENCIA ST APT 4B"),
        address("1250 N. Valencia Street, Apt. 4-B"),
        address("Apt 4B, 1250 N. Valencia St."),
        address("Apt 4-B, 1250 N. Valencia St."),
        address("Apt 4B 1250 N Valencia St"),
        address("No. 4 B 1250 N Valencia St"),
        address("1250 N Valencia St Unit 4 b"),
        address("1250 N Valencia St 4B"),
        address("1250 Ń. Valencia Street", "apartment #4b", "94110-1234"),
        address("1250 N Valencia St Apt4B"),
    ],
)
def test_home_is_home_however_it_is_spelled(target: Address) -> None:
    assert rules(target) == []


@pytest.mark.parametrize(
    "target",
    [
        address("1250 N Valencia St", "Apt 4C"),
        address("1250 N Valencia St"),
        address("1251 N Valencia St", "Apt 4B"),
        address("1250 S Valencia St", "Apt 4B"),
        address("1250 N Valencia Ave", "Apt 4B"),
        address("1250 N Valencia St", "Apt 4B", "94111"),
        address("12 50 N Valencia St", "Apt 4B"),
    ],
)
def test_another_door_is_not_home(target: Address) -> None:
    assert rules(target) == ["shipping.ship_to_not_home"]


def test_without_an_address_of_record_nothing_is_home() -> None:
    assert rules(HOME, home=None) == ["shipping.ship_to_not_home"]


@pytest.mark.parametrize(
    "target",
    [
        PRACTICE,
        address("88 main street", "ste 200"),
        address("88 Main St #200"),
        address("Suite 200, 88 Main Street"),
        address("88 MAIN ST UNIT 200"),
        address("88 Main St 200"),
        address("88 Main St Ste200"),
        address("88 Main St"),
    ],
)
def test_a_practice_is_refused_even_as_the_patients_home(target: Address) -> None:
    assert rules(target, home=target) == ["shipping.ship_to_practice"]


def test_another_unit_of_a_practices_house_is_reviewed() -> None:
    target = address("88 Main St", "Apt 7")
    (finding,) = ship_to_findings(target, target, [PRACTICE], [])
    assert (finding.rule, finding.severity) == ("shipping.ship_to_house_of_practice", Severity.REVIEW)


def test_another_unit_of_a_therapists_house_is_reviewed() -> None:
    (finding,) = ship_to_findings(HOME, HOME, [], [address("1250 North Valencia Street", "Apt 9")])
    assert (finding.rule, finding.severity) == ("shipping.ship_to_house_of_therapist", Severity.REVIEW)


def test_a_therapists_address_is_refused_too() -> None:
    assert rules(HOME, therapist=address("1250 North Valencia Street #4B")) == ["shipping.ship_to_therapist"]
    assert rules(HOME, therapist=address("7 Elm Ct")) == []


def test_a_practice_that_is_not_home_is_refused_twice() -> None:
    assert rules(PRACTICE) == ["shipping.ship_to_not_home", "shipping.ship_to_practice"]


def test_streets_that_only_look_alike_when_run_together_differ() -> None:
    assert plain(address("1 23rd St")).door != plain(address("12 3rd St")).door


def test_neither_findings_nor_the_plain_form_show_where_it_is() -> None:
    for shown in (repr(plain(HOME)), str(ship_to_findings(PRACTICE, HOME, [PRACTICE], [HOME]))):
        assert not any(word in shown.casefold() for word in ("valencia", "4b", "88 main", "94110"))


@pytest.mark.parametrize("street", ["", "#", "Suite", "Apt #", ", ,", "№ ½"])
def test_an_odd_line_is_read_without_an_error(street: str) -> None:
    assert plain(address(street)) == plain(address(street))
