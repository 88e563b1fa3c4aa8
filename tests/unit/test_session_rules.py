"""Readiness, cadence, driving, integration and doses at every boundary (DOMAIN 1 and 4)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.findings import Severity
from services.core.programme import Programme, programme
from services.core.vocabulary import EventKind
from services.prescribing.limits import NO_LIMITS, PatientLimits
from services.sessions.adverse_event_rules import HIGH_GRADES, PAGED_GRADES, Effect, Grade, event_of
from services.sessions.dose_rules import DosePlan, DoseTaken, dose_findings
from services.sessions.places import Site
from services.sessions.readiness_rules import (
    ChaperoneFacts,
    ReadinessFacts,
    RemoteFacts,
    readiness_findings,
    recorded_findings,
    window_findings,
)
from services.sessions.rules import (
    IntegrationState,
    afterward_times,
    cadence_findings,
    integration_booking_findings,
    integration_state,
    interval_days,
    may_drive_at,
    round_notes,
)
from tests.factories_programmes import changed

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CHAPERONE: dict[str, Any] = {
    "named": True,
    "age_years": 40,
    "phone_exchanged": True,
    "present": True,
    "sober_attested": True,
    "arrived_at": datetime(2026, 11, 20, 11, 45, tzinfo=UTC),
}
REMOTE = {
    "therapist_on_video": True,
    "blood_pressure_cuff": True,
    "emergency_address_confirmed": True,
    "emergency_phone_confirmed": True,
}


def ago(**units: float) -> datetime:
    return NOON - timedelta(**units)


def unready(by: Programme | None = None, **changes: Any) -> list[str]:
    facts: dict[str, Any] = {
        "at": NOON,
        "site": Site.OFFICE,
        "receipt_confirmed": True,
        "treatment_consent": True,
        "chaperone": ChaperoneFacts(**CHAPERONE),
        "last_food_at": ago(hours=4),
        "last_water_at": ago(hours=1),
    }
    found = readiness_findings(ReadinessFacts(**{**facts, **changes}), by or programme())
    assert all(finding.severity is Severity.STOP for finding in found)
    return [finding.rule for finding in found]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"receipt_confirmed": False}, ["sessions.receipt_missing"]),
        ({"treatment_consent": False}, ["sessions.consent_missing"]),
        ({"therapist_trained": False}, ["sessions.training_missing"]),
        ({"risk_blocked": True}, ["sessions.suicide_risk_open"]),
        ({"chaperone": None}, ["sessions.chaperone_missing"]),
        ({"last_food_at": ago(hours=3, minutes=59)}, ["sessions.fasting_food"]),
        ({"last_food_at": None}, ["sessions.fasting_food"]),
        ({"last_water_at": ago(minutes=59)}, ["sessions.fasting_water"]),
        ({"last_water_at": None}, ["sessions.fasting_water"]),
        ({"last_water_at": ago(hours=-1)}, ["sessions.fasting_water"]),
        ({"remote": RemoteFacts(**REMOTE)}, []),
    ],
)
def test_each_unmet_condition_for_starting_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    assert unready(**changes) == expected


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"named": False}, "sessions.chaperone_unnamed"),
        ({"phone_exchanged": False}, "sessions.chaperone_phone_missing"),
        ({"present": False}, "sessions.chaperone_absent"),
        ({"sober_attested": False}, "sessions.chaperone_not_sober"),
        ({"age_years": 17}, "sessions.chaperone_too_young"),
        ({"age_years": None}, "sessions.chaperone_too_young"),
        ({"age_years": 18}, None),
        ({"arrived_at": ago(minutes=15)}, None),
        ({"arrived_at": ago(minutes=14, seconds=59)}, "sessions.chaperone_late"),
        ({"arrived_at": None}, "sessions.chaperone_late"),
        ({"present": False, "arrived_at": None}, "sessions.chaperone_absent"),
    ],
)
def test_a_chaperone_is_a_named_present_sober_adult_who_came_early(change: dict[str, Any], rule: str | None) -> None:
    assert unready(chaperone=ChaperoneFacts(**{**CHAPERONE, **change})) == ([rule] if rule else [])


def test_where_no_chaperone_is_needed_the_staff_stays() -> None:
    not_in_clinic = changed({"sessions.chaperone_sites": ["office", "home"]})
    clinics: dict[str, Any] = {"site": Site.CLINIC, "given_by_clinic": True}
    assert unready(not_in_clinic, **clinics, chaperone=None) == ["sessions.staff_missing"]
    assert unready(not_in_clinic, **clinics, chaperone=ChaperoneFacts(**CHAPERONE)) == ["sessions.staff_missing"]
    assert unready(not_in_clinic, **clinics, chaperone=None, staff_stays=True) == []
    for site in (Site.OFFICE, Site.HOME):
        elsewhere = {**clinics, "site": site}
        assert unready(not_in_clinic, **elsewhere, chaperone=None, staff_stays=True) == ["sessions.chaperone_missing"]


def test_unless_a_programme_says_otherwise_a_chaperone_is_needed_everywhere() -> None:
    for site in Site:
        for by_clinic in (False, True):
            found = unready(site=site, given_by_clinic=by_clinic, chaperone=None, staff_stays=True)
            assert found == ["sessions.chaperone_missing"]


def test_what_was_shipped_is_taken_with_a_chaperone_whatever_the_place() -> None:
    only_home = changed({"sessions.chaperone_sites": ["home"]})
    for site in Site:
        assert unready(only_home, site=site, chaperone=None, staff_stays=True) == ["sessions.chaperone_missing"]
        assert unready(only_home, site=site) == []


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        ("therapist_on_video", "sessions.remote_video_missing"),
        ("blood_pressure_cuff", "sessions.remote_cuff_missing"),
        ("emergency_address_confirmed", "sessions.remote_address_missing"),
        ("emergency_phone_confirmed", "sessions.remote_phone_missing"),
    ],
)
def test_a_remote_session_needs_each_of_its_safeguards(missing: str, rule: str) -> None:
    assert unready(site=Site.HOME, remote=RemoteFacts(**{**REMOTE, missing: False})) == [rule]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(-721, ["sessions.not_its_time"]), (-720, []), (0, []), (720, []), (721, ["sessions.not_its_time"])],
)
def test_a_session_begins_about_when_it_was_booked(minutes: int, expected: list[str]) -> None:
    found = window_findings(NOON, NOON + timedelta(minutes=minutes), programme())
    assert [finding.rule for finding in found] == expected


@pytest.mark.parametrize(
    ("ready_at", "expected"),
    [
        (None, ["sessions.readiness_old"]),
        (ago(hours=4, seconds=1), ["sessions.readiness_old"]),
        (ago(hours=4), []),
        (NOON, []),
    ],
)
def test_readiness_grows_old(ready_at: datetime | None, expected: list[str]) -> None:
    assert [finding.rule for finding in recorded_findings(ready_at, NOON, programme())] == expected


DAY = date(2026, 11, 20)


def cadence(
    *days: int, limits: PatientLimits = NO_LIMITS, round_number: int = 1, extended_to: int | None = None
) -> list[str]:
    others = [DAY + timedelta(days=offset) for offset in days]
    found = cadence_findings(DAY, others, limits, round_number, extended_to, programme())
    assert all(finding.severity is Severity.STOP for finding in found)
    return [finding.rule for finding in found]


THREE_DAYS = PatientLimits(interval_days=3)


@pytest.mark.parametrize(
    ("days", "limits", "expected"),
    [
        ([], NO_LIMITS, []),
        ([-7, 7, -14], NO_LIMITS, []),
        ([-6], NO_LIMITS, ["sessions.interval_too_short"]),
        ([6], NO_LIMITS, ["sessions.interval_too_short"]),
        ([0], NO_LIMITS, ["sessions.interval_too_short"]),
        ([-3], THREE_DAYS, []),
        ([-2], THREE_DAYS, ["sessions.interval_too_short"]),
        ([-2], PatientLimits(interval_days=1), ["sessions.interval_too_short"]),
        ([-13], PatientLimits(interval_days=14), ["sessions.interval_too_short"]),
        ([-3, -6], THREE_DAYS, ["sessions.week_full"]),
        ([-3, 3], THREE_DAYS, ["sessions.week_full"]),
        ([3, 6], THREE_DAYS, ["sessions.week_full"]),
        ([-3, -7], THREE_DAYS, []),
        ([-3, 4], THREE_DAYS, []),
        ([-4, -8, 4], THREE_DAYS, []),
    ],
)
def test_sessions_keep_their_distance_and_two_fit_in_seven_days(
    days: list[int], limits: PatientLimits, expected: list[str]
) -> None:
    assert cadence(*days, limits=limits) == expected


@given(st.lists(st.integers(min_value=0, max_value=60), max_size=25))
def test_booking_whatever_is_allowed_never_puts_three_sessions_into_seven_days(offsets: list[int]) -> None:
    booked: list[date] = []
    for offset in offsets:
        on = DAY + timedelta(days=offset)
        if not cadence_findings(on, booked, THREE_DAYS, 1, None, programme()):
            booked.append(on)
    booked.sort()
    assert all((third - first).days >= 7 for first, third in zip(booked, booked[2:], strict=False))
    assert all((second - first).days >= 3 for first, second in pairwise(booked))


@pytest.mark.parametrize(
    ("number", "extended_to", "full"),
    [(8, None, False), (9, None, True), (9, 9, False), (10, 9, True), (8, 6, False)],
)
def test_only_the_prescriber_extends_a_round(number: int, extended_to: int | None, full: bool) -> None:
    assert cadence(round_number=number, extended_to=extended_to) == (["sessions.round_full"] if full else [])


@pytest.mark.parametrize(("number", "expected"), [(6, []), (7, ["sessions.round_long_enough"])])
def test_beyond_the_shortest_round_what_follows_is_to_be_agreed(number: int, expected: list[str]) -> None:
    found = round_notes(number, programme())
    assert [finding.rule for finding in found] == expected
    assert all(finding.severity is Severity.INFORM and "6 to 8" in finding.sentence for finding in found)


def test_a_prescriber_lowers_the_interval_to_three_days_at_most() -> None:
    lowered = [interval_days(PatientLimits(interval_days=days), programme()) for days in (1, 3, 10)]
    assert lowered == [3, 3, 10]
    assert interval_days(NO_LIMITS, programme()) == 7


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("last_dose", "drives"),
    [
        ((2026, 11, 20, 9, 0), (2026, 11, 21, 0, 0)),
        ((2026, 11, 20, 12, 0), (2026, 11, 21, 0, 0)),
        ((2026, 11, 20, 12, 1), (2026, 11, 21, 0, 1)),
        ((2026, 11, 20, 18, 30), (2026, 11, 21, 6, 30)),
        ((2026, 11, 20, 23, 59), (2026, 11, 21, 11, 59)),
        ((2026, 11, 20, 0, 0), (2026, 11, 21, 0, 0)),
        ((2026, 10, 31, 20, 0), (2026, 11, 1, 7, 0)),  # the clock goes back in between
        ((2026, 3, 7, 20, 0), (2026, 3, 8, 9, 0)),  # and forward
    ],
)
def test_nobody_drives_before_the_next_day_and_twelve_hours(
    last_dose: tuple[int, int, int, int, int], drives: tuple[int, int, int, int, int]
) -> None:
    dose_at = datetime(*last_dose, tzinfo=NEW_YORK).astimezone(UTC)
    assert may_drive_at(dose_at, NEW_YORK, programme()).astimezone(NEW_YORK) == datetime(*drives, tzinfo=NEW_YORK)


@given(
    st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.sampled_from(["America/New_York", "America/Phoenix", "Pacific/Honolulu", "Pacific/Guam", "America/Anchorage"]),
)
def test_driving_is_always_both_rested_and_another_day(dose_at: datetime, zone: str) -> None:
    drives_at = may_drive_at(dose_at, ZoneInfo(zone), programme())
    assert drives_at - dose_at >= timedelta(hours=12)
    assert drives_at.astimezone(ZoneInfo(zone)).date() > dose_at.astimezone(ZoneInfo(zone)).date()
    assert drives_at - dose_at <= timedelta(hours=25)


@pytest.mark.parametrize(
    ("hours", "done", "state"),
    [
        (23.9, False, IntegrationState.NOT_YET_DUE),
        (24, False, IntegrationState.DUE),
        (47.9, False, IntegrationState.DUE),
        (48, False, IntegrationState.OVERDUE),
        (71.9, False, IntegrationState.OVERDUE),
        (72, False, IntegrationState.ESCALATED),
        (100, True, IntegrationState.DONE),
    ],
)
def test_integration_becomes_due_overdue_and_escalated(hours: float, done: bool, state: IntegrationState) -> None:
    assert integration_state(NOON, NOON + timedelta(hours=hours), done, programme()) is state


def test_the_check_in_comes_within_a_day() -> None:
    assert afterward_times(NOON, programme()).check_in_by == NOON + timedelta(hours=24)


@pytest.mark.parametrize(
    ("hours", "settings"),
    [
        (23, ["sessions.integration_from_hours"]),
        (24, []),
        (48, []),
        (49, ["sessions.integration_overdue_hours"]),
    ],
)
def test_integration_booked_outside_its_window_is_noted_and_allowed(hours: int, settings: list[str]) -> None:
    found = integration_booking_findings(NOON + timedelta(hours=hours), NOON, programme())
    assert [finding.setting for finding in found] == settings
    assert all(finding.severity is Severity.INFORM for finding in found)


def test_the_grades_of_adverse_events() -> None:
    assert [grade.value for grade in Grade] == ["mild", "moderate", "severe", "serious"]
    assert {Grade.SEVERE, Grade.SERIOUS} == HIGH_GRADES
    assert {Grade.SERIOUS} == PAGED_GRADES


EXPECTED = {
    Effect.DIZZINESS,
    Effect.NAUSEA,
    Effect.VOMITING,
    Effect.DISSOCIATION,
    Effect.RAISED_BLOOD_PRESSURE,
    Effect.RAPID_HEARTBEAT,
    Effect.HEADACHE,
    Effect.SEDATION,
    Effect.BLURRED_VISION,
}


@pytest.mark.parametrize("effect", Effect)
def test_only_a_mild_effect_that_is_expected_calls_nobody(effect: Effect) -> None:
    mild = None if effect in EXPECTED else EventKind.ADVERSE_EVENT_RECORDED
    assert {grade: event_of(grade, effect, programme()) for grade in Grade} == {
        Grade.MILD: mild,
        Grade.MODERATE: EventKind.ADVERSE_EVENT_RECORDED,
        Grade.SEVERE: EventKind.ADVERSE_EVENT_RECORDED,
        Grade.SERIOUS: EventKind.ADVERSE_EVENT_PAGED,
    }


PLAN = DosePlan(dose_mg=200, booster_mg=50, last_session_mg=200)


def dose(mg: int, minute: float = 0, is_booster: bool = False) -> DoseTaken:
    return DoseTaken(mg=mg, at=NOON + timedelta(minutes=minute), is_booster=is_booster)


@pytest.mark.parametrize(
    ("plan", "taken", "new", "expected"),
    [
        (PLAN, [], dose(200), []),
        (PLAN, [], dose(201), ["sessions.dose_over_prescription"]),
        (PLAN, [dose(100)], dose(100, 5), []),
        (PLAN, [dose(100)], dose(101, 5), ["sessions.dose_over_prescription"]),
        (PLAN, [dose(200)], dose(50, 20, True), []),
        (PLAN, [dose(100), dose(100, 15)], dose(50, 20, True), []),
        (PLAN, [dose(200)], dose(51, 20, True), ["sessions.booster_over_prescription", "sessions.dose_over_cap"]),
        (PLAN, [dose(200)], dose(50, 19.9, True), ["sessions.booster_too_soon"]),
        (PLAN, [], dose(50, 20, True), ["sessions.booster_before_dose"]),
        (PLAN, [dose(200), dose(25, 20, True)], dose(25, 40, True), ["sessions.booster_taken_already"]),
        (PLAN, [dose(100), dose(50, 20, True)], dose(100, 30), ["sessions.dose_after_booster"]),
        (
            DosePlan(dose_mg=200),
            [dose(200)],
            dose(50, 20, True),
            ["sessions.booster_not_prescribed", "sessions.dose_over_cap"],
        ),
        (DosePlan(dose_mg=200, first_session_mg=100), [], dose(100), []),
        (DosePlan(dose_mg=200, first_session_mg=100), [], dose(101), ["sessions.dose_over_cap"]),
        (DosePlan(dose_mg=200, booster_mg=50, first_session_mg=100), [dose(50)], dose(50, 20, True), []),
        (
            DosePlan(dose_mg=200, booster_mg=50, first_session_mg=100),
            [dose(51)],
            dose(50, 20, True),
            ["sessions.dose_over_cap"],
        ),
        (DosePlan(dose_mg=150, first_session_mg=76), [], dose(50), ["sessions.first_session_over_limit"]),
        (DosePlan(dose_mg=300, first_session_mg=101), [], dose(50), ["sessions.first_session_over_limit"]),
        (DosePlan(dose_mg=300, last_session_mg=200), [], dose(300), []),
        (DosePlan(dose_mg=300, last_session_mg=199), [], dose(300), ["sessions.dose_step_over_limit"]),
        (DosePlan(dose_mg=300, last_session_mg=199), [], dose(299), []),
        (DosePlan(dose_mg=300, last_session_mg=199), [dose(150)], dose(150, 5), ["sessions.dose_step_over_limit"]),
        (DosePlan(dose_mg=300, last_session_mg=199), [dose(150)], dose(149, 5), []),
    ],
)
def test_what_may_be_taken(plan: DosePlan, taken: list[DoseTaken], new: DoseTaken, expected: list[str]) -> None:
    found = dose_findings(plan, taken, new, programme())
    assert [finding.rule for finding in found] == expected
    assert all(finding.severity is Severity.STOP for finding in found)


def test_a_booster_waits_from_the_first_part_of_the_dose_on() -> None:
    (finding,) = dose_findings(PLAN, [dose(100), dose(100, 15)], dose(50, 19, True), programme())
    assert (finding.rule, finding.inputs) == ("sessions.booster_too_soon", {"minutes_after": 19})


@pytest.mark.parametrize(("new", "field"), [(dose(0, 5), "mg"), (dose(-1, 5), "mg"), (dose(10, -1), "at")])
def test_a_dose_that_cannot_be_names_its_field(new: DoseTaken, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        dose_findings(PLAN, [dose(100)], new, programme())
    assert refusal.value.field == field


@given(
    st.integers(min_value=50, max_value=400),
    st.integers(min_value=0, max_value=100),
    st.one_of(st.none(), st.integers(min_value=1, max_value=200)),
    st.lists(st.tuples(st.integers(min_value=1, max_value=200), st.booleans(), st.integers(0, 30)), max_size=15),
)
def test_whatever_is_tried_no_more_than_prescribed_is_taken(
    prescribed: int, booster: int, first: int | None, attempts: list[tuple[int, bool, int]]
) -> None:
    plan = DosePlan(dose_mg=prescribed, booster_mg=booster, first_session_mg=first)
    taken: list[DoseTaken] = []
    minute = 0
    for mg, is_booster, later in attempts:
        minute += later
        new = dose(mg, minute, is_booster)
        if not dose_findings(plan, taken, new, programme()):
            taken.append(new)
    assert sum(each.mg for each in taken) <= plan.cap_mg
    assert sum(each.mg for each in taken if not each.is_booster) <= prescribed
    assert sum(each.is_booster for each in taken) <= 1
