"""Working days across weekends, holidays and time zones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.core.business_days import add_business_days, business_days_between, is_business_day
from services.core.programme import programme
from services.messaging.due_times import due_after

NEW_YORK, HONOLULU = ZoneInfo("America/New_York"), ZoneInfo("Pacific/Honolulu")


@pytest.mark.parametrize(
    ("day", "is_working"),
    [
        (date(2026, 11, 20), True),  # a Friday
        (date(2026, 11, 21), False),
        (date(2026, 11, 22), False),
        (date(2026, 11, 26), False),  # Thanksgiving
        (date(2026, 11, 27), True),  # the day after is none of the federal ones
        (date(2026, 12, 25), False),
        (date(2026, 7, 3), False),  # Independence Day is a Saturday: observed on Friday
        (date(2027, 1, 1), False),
        (date(2027, 6, 18), False),  # Juneteenth is a Saturday
        (date(2027, 5, 31), False),  # Memorial Day
        (date(2027, 7, 5), False),  # Independence Day is a Sunday: observed on Monday
        (date(2027, 9, 6), False),  # Labor Day
    ],
)
def test_a_working_day_is_no_weekend_and_no_federal_holiday(day: date, is_working: bool) -> None:
    assert is_business_day(day) is is_working


def test_a_states_own_holidays_count_where_it_is_named() -> None:
    cesar_chavez_day = date(2026, 3, 31)
    assert is_business_day(cesar_chavez_day)
    assert is_business_day(cesar_chavez_day, "NY")
    assert not is_business_day(cesar_chavez_day, "CA")


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ("2026-11-18 10:00", 0, "2026-11-18 10:00"),
        ("2026-11-18 10:00", 1, "2026-11-19 10:00"),
        ("2026-11-20 23:30", 1, "2026-11-23 23:30"),  # over a weekend
        ("2026-11-21 09:00", 1, "2026-11-23 09:00"),  # from a weekend
        ("2026-11-25 12:00", 1, "2026-11-27 12:00"),  # over Thanksgiving
        ("2026-12-24 12:00", 1, "2026-12-28 12:00"),  # over Christmas and a weekend
        ("2026-12-31 12:00", 2, "2027-01-05 12:00"),  # into another year
    ],
)
def test_working_days_are_added_at_the_same_time_of_day(start: str, days: int, end: str) -> None:
    moments = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end)]
    assert add_business_days(moments[0], days) == moments[1]


def test_the_time_of_day_is_that_of_the_wall_clock() -> None:
    before = datetime(2026, 10, 30, 16, 0, tzinfo=NEW_YORK)  # summer time ends in between
    after = add_business_days(before, 1)
    assert (after.date(), after.hour) == (date(2026, 11, 2), 16)
    assert after.astimezone(UTC) - before.astimezone(UTC) == timedelta(days=3, hours=1)


@pytest.mark.parametrize(
    ("start", "end", "number"),
    [
        (date(2026, 11, 18), date(2026, 11, 18), 0),
        (date(2026, 11, 19), date(2026, 11, 18), 0),
        (date(2026, 11, 18), date(2026, 11, 19), 1),
        (date(2026, 11, 20), date(2026, 11, 23), 1),
        (date(2026, 11, 20), date(2026, 11, 30), 5),  # Thanksgiving week
        (date(2026, 11, 21), date(2026, 11, 22), 0),
        (date(2026, 12, 24), date(2027, 1, 4), 5),
    ],
)
def test_working_days_between_two_days_leave_the_first_out(start: date, end: date, number: int) -> None:
    assert business_days_between(start, end) == number


def test_adding_and_counting_agree() -> None:
    start = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
    for days in range(40):
        assert business_days_between(start.date(), add_business_days(start, days).date()) == days


@pytest.mark.parametrize(
    ("zone", "discovered", "due"),
    [
        # Thursday 22:00 in New York is Friday in UTC, whose next working day would be Monday.
        (NEW_YORK, "2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"),
        (NEW_YORK, "2026-11-20T15:00:00Z", "2026-11-23T15:00:00Z"),
        # Friday 20:00 in Honolulu is Saturday in UTC.
        (HONOLULU, "2026-11-21T06:00:00Z", "2026-11-24T06:00:00Z"),
        (UTC, "2026-11-20T03:00:00Z", "2026-11-23T03:00:00Z"),
    ],
)
def test_a_working_day_begins_and_ends_where_whoever_has_to_do_it_is(zone: ZoneInfo, discovered: str, due: str) -> None:
    settings = replace(programme(), settings={"sla.dea_notice_business_days": 1})
    given = due_after(datetime.fromisoformat(discovered), "sla.dea_notice_business_days", settings, zone)
    assert (given, given.tzinfo) == (datetime.fromisoformat(due), UTC)
