"""Texts arrive between 08:00 and 21:00 where the recipient is (some states 20:00), wait, or are dropped (DOMAIN 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.programme import programme
from services.messaging.caps import Purpose
from services.messaging.quiet_hours import Release, next_allowed, plan_release
from services.people.zones import default_zone, zones_of_state

DEFAULT = programme()
CHICAGO = "America/Chicago"
STATES = [
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY",
    "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH",
    "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
]  # fmt: skip


def at(zone: str, text: str) -> datetime:
    """A wall-clock time of a zone, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("2026-11-20T07:59:59", "2026-11-20T08:00:00"),
        ("2026-11-20T08:00:00", "2026-11-20T08:00:00"),
        ("2026-11-20T20:59:59", "2026-11-20T20:59:59"),
        ("2026-11-20T21:00:00", "2026-11-21T08:00:00"),
        ("2026-11-20T00:00:00", "2026-11-20T08:00:00"),
        ("2026-12-31T23:30:00", "2027-01-01T08:00:00"),
    ],
)
def test_the_day_is_open_from_8_until_just_before_21_local_time(asked: str, answered: str) -> None:
    assert next_allowed(at(CHICAGO, asked), CHICAGO, DEFAULT) == at(CHICAGO, answered)


@pytest.mark.parametrize(
    ("evening", "morning_utc"),
    [
        ("2026-03-07T22:00:00", datetime(2026, 3, 8, 13, 0, tzinfo=UTC)),  # clocks go forward that night
        ("2026-10-31T22:00:00", datetime(2026, 11, 1, 14, 0, tzinfo=UTC)),  # and back
    ],
)
def test_eight_in_the_morning_follows_a_change_of_clocks(evening: str, morning_utc: datetime) -> None:
    assert next_allowed(at(CHICAGO, evening), CHICAGO, DEFAULT) == morning_utc


def test_a_listed_state_ends_its_day_at_20() -> None:
    moment = at("America/New_York", "2026-11-20T20:00:00")
    assert next_allowed(moment, "America/New_York", DEFAULT, "NY") == moment
    assert next_allowed(moment, "America/New_York", DEFAULT, "FL") == at("America/New_York", "2026-11-21T08:00:00")
    before = moment - timedelta(seconds=1)
    assert next_allowed(before, "America/New_York", DEFAULT, "FL") == before


def test_the_hours_are_settings() -> None:
    later = replace(DEFAULT, settings={**DEFAULT.settings, "sms.quiet_hours.start_hour": 10})
    assert next_allowed(at(CHICAGO, "2026-11-20T09:00"), CHICAGO, later) == at(CHICAGO, "2026-11-20T10:00")
    reversed_hours = replace(DEFAULT, settings={**DEFAULT.settings, "sms.quiet_hours.start_hour": 22})
    with pytest.raises(InvalidConfiguration):
        next_allowed(at(CHICAGO, "2026-11-20T09:00"), CHICAGO, reversed_hours)


def test_without_a_zone_every_zone_of_the_state_must_allow_it() -> None:
    eight_in_the_east = at("America/New_York", "2026-11-20T08:00")
    assert next_allowed(eight_in_the_east, None, DEFAULT, "TN") == at(CHICAGO, "2026-11-20T08:00")
    nine_at_night_in_the_east = at("America/New_York", "2026-11-20T21:00")
    assert next_allowed(nine_at_night_in_the_east, None, DEFAULT, "TN") == at(CHICAGO, "2026-11-21T08:00")
    assert next_allowed(nine_at_night_in_the_east, CHICAGO, DEFAULT, "TN") == nine_at_night_in_the_east


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "America", "/etc/passwd", "US\0"])
def test_an_unknown_zone_is_refused_by_name_of_its_field(zone: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        next_allowed(at(CHICAGO, "2026-11-20T09:00"), zone, DEFAULT)
    assert refused.value.field == "zone"


def test_neither_zone_nor_state_is_refused() -> None:
    with pytest.raises(InvalidInput):
        next_allowed(at(CHICAGO, "2026-11-20T09:00"), None, DEFAULT)


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        default_zone("ZZ")
    assert refused.value.field == "state"


@pytest.mark.parametrize("state", [*STATES, "PR", "GU", "VI", "AS", "MP"])
def test_every_state_and_territory_has_zones_that_exist_and_share_hours(state: str) -> None:
    assert len(STATES) == 51
    for zone in zones_of_state(state):
        ZoneInfo(zone)
    assert default_zone(state) == zones_of_state(state)[0]
    morning = next_allowed(datetime(2026, 7, 1, 9, 30, tzinfo=UTC), None, DEFAULT, state)
    assert all(8 <= morning.astimezone(ZoneInfo(zone)).hour < 20 for zone in zones_of_state(state))


@given(
    st.integers(min_value=0, max_value=2 * 365 * 24 * 60),
    st.sampled_from([*STATES, "PR"]),
)
def test_the_moment_found_is_allowed_everywhere_in_the_state_and_never_over_a_day_away(
    minutes: int, state: str
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = next_allowed(moment, None, DEFAULT, state)
    assert timedelta() <= found - moment < timedelta(hours=24)
    assert all(8 <= found.astimezone(ZoneInfo(zone)).hour < 21 for zone in zones_of_state(state))
    assert next_allowed(found, None, DEFAULT, state) == found


NOON = at(CHICAGO, "2026-11-20T12:00")
NIGHT = at(CHICAGO, "2026-11-20T22:00")
MORNING = at(CHICAGO, "2026-11-21T08:00")


def test_by_day_a_text_goes_now() -> None:
    plan = plan_release(NOON, NOON + timedelta(hours=4), Purpose.CARE, DEFAULT, zone=CHICAGO)
    assert (plan.release, plan.at) == (Release.SEND, NOON)


def test_by_night_a_text_is_held_until_8() -> None:
    plan = plan_release(NIGHT, NIGHT + timedelta(hours=24), Purpose.CARE, DEFAULT, zone=CHICAGO)
    assert (plan.release, plan.at, plan.rule) == (Release.HOLD, MORNING, "sms.quiet_hours")


def test_a_text_that_would_expire_before_8_is_dropped() -> None:
    assert plan_release(NIGHT, MORNING, Purpose.CARE, DEFAULT, zone=CHICAGO).release is Release.DROP
    just_later = MORNING + timedelta(seconds=1)
    assert plan_release(NIGHT, just_later, Purpose.CARE, DEFAULT, zone=CHICAGO).release is Release.HOLD


def test_an_expired_text_is_dropped_whatever_its_purpose() -> None:
    plan = plan_release(NOON, NOON, Purpose.SAFETY, DEFAULT, zone=CHICAGO)
    assert (plan.release, plan.at, plan.rule) == (Release.DROP, None, "sms.expired")


@pytest.mark.parametrize("purpose", [Purpose.SAFETY, Purpose.REPLY, Purpose.CODE])
def test_safety_replies_and_codes_go_at_night_and_say_why(purpose: Purpose) -> None:
    plan = plan_release(NIGHT, NIGHT + timedelta(hours=1), purpose, DEFAULT, zone=CHICAGO)
    assert (plan.release, plan.at, plan.rule) == (Release.SEND, NIGHT, "sms.quiet_hours.bypass")


def test_caps_that_let_a_text_go_earlier_do_not_date_it_back() -> None:
    plan = plan_release(
        NOON, NOON + timedelta(hours=4), Purpose.CARE, DEFAULT, zone=CHICAGO, not_before=NOON - timedelta(days=1)
    )
    assert (plan.release, plan.at) == (Release.SEND, NOON)


def test_a_bypassing_text_needs_no_zone() -> None:
    assert plan_release(NIGHT, MORNING, Purpose.REPLY, DEFAULT, zone=None).release is Release.SEND


def test_a_text_waits_for_the_caps_and_then_for_the_morning() -> None:
    week = NOON + timedelta(days=7)
    by_day = plan_release(NOON, week, Purpose.CARE, DEFAULT, zone=CHICAGO, not_before=NOON + timedelta(hours=2))
    assert (by_day.release, by_day.at, by_day.rule) == (Release.HOLD, NOON + timedelta(hours=2), "sms.caps")
    by_night = plan_release(NOON, week, Purpose.CARE, DEFAULT, zone=CHICAGO, not_before=NIGHT)
    assert (by_night.release, by_night.at, by_night.rule) == (Release.HOLD, MORNING, "sms.quiet_hours")
