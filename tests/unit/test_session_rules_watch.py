"""Watching a patient at every edge: looks, the pressure at the peak, vitals through an infusion; the physician."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from services.core.findings import Finding, Severity
from services.core.programme import programme, shipped
from services.sessions.physician_rules import is_physician_needed, physician_findings
from services.sessions.watch_rules import (
    Infusion,
    WatchFacts,
    can_be_explained,
    next_due_at,
    video_findings,
    watch_findings,
)
from tests.factories_programmes import changed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERY_15 = range(15, 121, 15)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def facts(
    minute: float,
    looks: Iterable[float] = EVERY_15,
    readings: Iterable[float] = (40,),
    infusions: Iterable[tuple[float, float | None]] = (),
    off_video: Iterable[float] | None = None,
) -> WatchFacts:
    return WatchFacts(
        at=at(minute),
        first_dose_at=NOON,
        looks=[at(each) for each in looks],
        readings=[at(each) for each in readings],
        infusions=[
            Infusion(started_at=at(start), ended_at=None if end is None else at(end)) for start, end in infusions
        ],
        remote=off_video is not None,
        off_video=[at(each) for each in off_video or ()],
    )


def ids(found: list[Finding]) -> list[str]:
    assert all(each.severity is Severity.STOP for each in found)
    return [each.rule for each in found]


@pytest.mark.parametrize(
    ("looked", "expected"),
    [
        (facts(120), []),
        (facts(20, looks=(), readings=()), []),
        (facts(20.1, looks=(), readings=()), ["vitals.checks_missed"]),
        (facts(40, looks=(20,)), []),
        (facts(40.1, looks=(20.1,)), ["vitals.checks_missed"]),
        (facts(40, looks=(), readings=(20,)), []),
        (facts(61, looks=(15, 30), readings=(40, 41)), []),
        (facts(61.1, looks=(15, 30), readings=(40, 41)), ["vitals.checks_missed"]),
        (facts(30, looks=(-10, 15)), []),
    ],
)
def test_the_patient_is_looked_at_every_15_minutes_and_five_later_is_missed(
    looked: WatchFacts, expected: list[str]
) -> None:
    assert ids(watch_findings(looked, programme())) == expected


@pytest.mark.parametrize(
    ("minute", "readings", "expected"),
    [
        (50, (), []),
        (50.1, (), ["vitals.peak_reading_missed"]),
        (120, (30,), []),
        (120, (29.9,), ["vitals.peak_reading_missed"]),
        (120, (50,), []),
        (120, (50.1,), ["vitals.peak_reading_missed"]),
        (120, (5, 118), ["vitals.peak_reading_missed"]),
    ],
)
def test_the_pressure_is_measured_about_40_minutes_after_the_dose(
    minute: float, readings: tuple[float, ...], expected: list[str]
) -> None:
    assert ids(watch_findings(facts(minute, readings=readings), programme())) == expected


INFUSION = [(0.0, 40.0)]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((15, 30, 40), []),
        ((20, 40), []),
        ((20.1, 40), ["vitals.series_missed"]),
        ((10, 19, 40), ["vitals.series_missed"]),
        ((10, 20), []),
        ((10, 30, 50), []),
    ],
)
def test_vitals_are_taken_all_through_an_infusion(readings: tuple[float, ...], expected: list[str]) -> None:
    given = facts(120, readings=(*readings, 45), infusions=INFUSION)
    assert ids(watch_findings(given, programme())) == expected


def test_a_programme_measures_more_often_or_not_at_all_through_an_infusion() -> None:
    given = facts(120, readings=(15, 30, 40), infusions=INFUSION)
    often = changed({"vitals.infusion.check_every_minutes": 5})
    assert ids(watch_findings(given, often)) == ["vitals.series_missed"]
    never = changed({"vitals.infusion.check_every_minutes": 0})
    assert ids(watch_findings(facts(120, readings=(40,), infusions=INFUSION), never)) == []
    assert next_due_at(facts(10, looks=(10,), readings=(), infusions=[(0, None)]), never) == at(30)
    assert programme(shipped()["avesta"]).number("vitals.infusion.check_every_minutes") == 10


def test_a_running_infusion_lets_nobody_go_whatever_is_said() -> None:
    running = watch_findings(facts(30, readings=(15,), infusions=[(0, None)]), programme())
    assert ids(running) == ["vitals.infusion_running"]
    assert not can_be_explained(running)
    missed = watch_findings(facts(60, looks=(), readings=(), infusions=[(0, 40)]), programme())
    assert ids(missed) == ["vitals.checks_missed", "vitals.peak_reading_missed", "vitals.series_missed"]
    assert can_be_explained(missed)


@pytest.mark.parametrize(
    ("looked", "expected"),
    [
        (facts(120, off_video=()), []),
        (facts(120, off_video=(14,)), ["sessions.video_missed"]),
        (facts(120, off_video=(119.9,)), ["sessions.video_missed"]),
        (facts(120, off_video=(120,)), ["sessions.video_off"]),
        (facts(120, looks=range(15, 106, 15), off_video=(14, 106)), ["sessions.video_off"]),
        (facts(15, looks=(), readings=(), off_video=(15,)), ["sessions.video_off"]),
        (facts(41, looks=(15, 20.9), readings=(40,), off_video=()), ["vitals.checks_missed"]),
        (facts(41, looks=(15, 21), readings=(40,), off_video=()), []),
    ],
)
def test_in_a_remote_session_only_a_look_on_video_is_one(looked: WatchFacts, expected: list[str]) -> None:
    found = watch_findings(looked, programme())
    is_off = expected == ["sessions.video_off"]
    assert ids(found) == expected
    assert ids(video_findings(looked)) == (expected if is_off else [])
    assert can_be_explained(found) is not is_off


@pytest.mark.parametrize(
    ("looked", "due"),
    [
        (facts(0, looks=(), readings=()), 20),
        (facts(15, looks=(15,), readings=()), 35),
        (facts(35, looks=(35,), readings=()), 50),
        (facts(35, looks=(), readings=(35,)), 55),
        (facts(51, looks=(51,), readings=()), 71),
        (facts(10, looks=(10,), readings=(), infusions=[(0, None)]), 20),
        (facts(10, looks=(), readings=(10,), infusions=[(0, None)]), 30),
        (facts(30, looks=(30,), readings=(30,), infusions=[(0, 20)]), 50),
        (facts(35, looks=(35,), readings=(), infusions=[(0, 20)]), 50),
        (facts(50, looks=(50,), readings=()), 50),
        (facts(35, looks=(35,), readings=(30,)), 55),
        (facts(50, looks=(50,), readings=(50,)), 70),
        (facts(51, looks=(30,), readings=(45,), off_video=()), 50),
    ],
)
def test_by_when_somebody_must_look_next(looked: WatchFacts, due: float) -> None:
    assert next_due_at(looked, programme()) == at(due)


PHYSICIAN = {"sessions.physician_check_in": True, "sessions.physician_check_in_over_mg": 200}


@pytest.mark.parametrize(("mg", "needed"), [(200, False), (201, True), (400, True)])
def test_depending_on_the_dose_somebody_of_the_medical_team_is_needed(mg: int, needed: bool) -> None:
    assert is_physician_needed(mg, changed(PHYSICIAN)) is needed
    assert not is_physician_needed(mg, programme())


def test_only_isha_health_wants_a_physician_at_the_start() -> None:
    assert {name for name, path in shipped().items() if is_physician_needed(400, programme(path))} == {"isha_health"}


@pytest.mark.parametrize(
    ("mg", "checked_in_at", "expected"),
    [
        (201, None, ["sessions.physician_missing"]),
        (200, None, []),
        (201, NOON, []),
        (201, NOON - timedelta(hours=4), []),
        (201, NOON - timedelta(hours=4, seconds=1), ["sessions.physician_missing"]),
        (201, NOON + timedelta(seconds=1), ["sessions.physician_missing"]),
    ],
)
def test_over_the_limit_nothing_is_taken_before_the_physician_was_there(
    mg: int, checked_in_at: datetime | None, expected: list[str]
) -> None:
    assert ids(physician_findings(mg, checked_in_at, NOON, changed(PHYSICIAN))) == expected
