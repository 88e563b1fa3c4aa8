"""Where and when sessions may be booked, by the settings of a programme (DOMAIN 1); each setting with both values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.core.findings import Finding, Severity
from services.core.programme import programme, shipped
from services.sessions.booking_rules import (
    ABOUT_TIME,
    Preparation,
    length_findings,
    paperwork_findings,
    preparation_findings,
    route_findings,
    site_findings,
    start_findings,
)
from services.sessions.places import Site
from services.sessions.rules import onset_window
from tests.factories_programmes import changed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ids(found: list[Finding]) -> list[str]:
    assert all(each.severity is Severity.STOP for each in found)
    return [each.rule for each in found]


@pytest.mark.parametrize(
    ("sites", "site", "expected"),
    [
        (["office", "home"], Site.OFFICE, []),
        (["office", "home"], Site.HOME, []),
        (["office", "home"], Site.CLINIC, ["sessions.site_not_offered"]),
        (["clinic"], Site.CLINIC, []),
        (["clinic"], Site.HOME, ["sessions.site_not_offered"]),
    ],
)
def test_dosing_sessions_are_held_where_the_programme_says(sites: list[str], site: Site, expected: list[str]) -> None:
    found = site_findings(site, changed({"sessions.dosing_sites": sites}))
    assert ids(found) == expected
    assert all(each.value == sites for each in found)


@pytest.mark.parametrize(
    ("name", "sites"),
    [
        ("default", {"office", "home"}),
        ("journey_clinical", {"office", "home"}),
        ("life_works", {"office"}),
        ("isha_health", {"home"}),
        ("options_md", {"office", "home", "clinic"}),
        ("avesta", {"clinic"}),
    ],
)
def test_each_practice_doses_where_it_does_today(name: str, sites: set[str]) -> None:
    assert {site for site in Site if not site_findings(site, programme(shipped()[name]))} == sites


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("default", (10, 20)),
        ("journey_clinical", (10, 20)),
        ("life_works", (10, 20)),
        ("isha_health", (15, 20)),
        ("options_md", (10, 10)),
        ("avesta", (10, 20)),
    ],
)
def test_each_practice_says_when_the_effect_begins(name: str, minutes: tuple[int, int]) -> None:
    begins, ends = onset_window(NOON, programme(shipped()[name]))
    assert ((begins - NOON) / timedelta(minutes=1), (ends - NOON) / timedelta(minutes=1)) == minutes


@pytest.mark.parametrize(
    ("site", "is_shipped", "expected"),
    [
        (Site.CLINIC, False, []),
        (Site.OFFICE, False, ["sessions.route_not_here"]),
        (Site.HOME, False, ["sessions.route_not_here"]),
        (Site.CLINIC, True, []),
        (Site.OFFICE, True, []),
        (Site.HOME, True, []),
    ],
)
def test_what_the_clinic_gives_is_given_in_the_clinic_alone(site: Site, is_shipped: bool, expected: list[str]) -> None:
    found = route_findings(site, is_shipped, programme())
    assert ids(found) == expected
    assert all(each.value == ["clinic"] for each in found)


def test_another_time_mends_an_overlap_and_what_lies_too_close() -> None:
    assert {"sessions.therapist_overlap", "sessions.interval_too_short", "sessions.week_full"} == ABOUT_TIME


@pytest.mark.parametrize(
    ("needed", "held", "is_dosed", "expected"),
    [
        (0, 0, False, []),
        (3, 2, False, ["sessions.preparation_missing"]),
        (3, 3, False, []),
        (3, 4, False, []),
        (3, 0, True, []),
    ],
)
def test_preparation_is_held_before_the_first_dose(needed: int, held: int, is_dosed: bool, expected: list[str]) -> None:
    done = Preparation(held=held, is_dosed=is_dosed)
    found = preparation_findings(done, changed({"sessions.preparation_before_first_dose": needed}))
    assert ids(found) == expected
    assert all(f"{needed} preparation sessions are held; {held} were" in each.sentence for each in found)


@pytest.mark.parametrize(
    ("wanted", "completed", "expected"),
    [(True, False, ["sessions.screening_missing"]), (True, True, []), (False, False, []), (False, True, [])],
)
def test_paperwork_comes_before_the_first_booking_where_a_programme_wants_it(
    wanted: bool, completed: bool, expected: list[str]
) -> None:
    assert ids(paperwork_findings(completed, changed({"sessions.screening_before_booking": wanted}))) == expected


def test_only_life_works_waits_with_every_booking_for_the_paperwork() -> None:
    waiting = {name for name, path in shipped().items() if paperwork_findings(False, programme(path))}
    assert waiting == {"life_works"}


@pytest.mark.parametrize(("minutes", "expected"), [(119.9, ["sessions.too_short"]), (120, []), (180, [])])
def test_a_dosing_session_lasts_as_long_as_the_patient_is_observed(minutes: float, expected: list[str]) -> None:
    assert ids(length_findings(timedelta(minutes=minutes), programme())) == expected


def test_a_programme_that_observes_longer_books_longer() -> None:
    longer = changed({"vitals.discharge.after_last_dose_minutes": 150})
    assert ids(length_findings(timedelta(minutes=149), longer)) == ["sessions.too_short"]
    assert ids(length_findings(timedelta(minutes=150), longer)) == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOON - timedelta(seconds=1), ["sessions.in_the_past"]),
        (NOON, []),
        (NOON + timedelta(days=365), []),
        (NOON + timedelta(days=365, seconds=1), ["sessions.too_far_ahead"]),
    ],
)
def test_a_session_is_booked_between_now_and_a_year_ahead(at: datetime, expected: list[str]) -> None:
    assert ids(start_findings(at, NOON, programme())) == expected
