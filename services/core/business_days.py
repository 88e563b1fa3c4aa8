"""Working days: Monday to Friday without the federal holidays of the United States and those of a state.

The calendar of a state leaves out federal holidays that the state itself does not keep (Columbus Day in California), so
both calendars are asked.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holidays.holiday_base import HolidayBase


@lru_cache(maxsize=64)
def _holidays(state: str | None) -> HolidayBase:
    # Imported on first use: the calendar data takes 19 MB, and most processes never count working days.
    from holidays import country_holidays

    return country_holidays("US", subdiv=state)


def is_business_day(day: date, state: str | None = None) -> bool:
    """Whether ``day`` is a working day, in ``state`` (two letters) where holidays of a state count too."""
    is_holiday = day in _holidays(None) or (state is not None and day in _holidays(state))
    return day.weekday() < 5 and not is_holiday


def known_state(state: str) -> str | None:
    """``state`` (two letters) when a calendar is kept for it, else None: then the federal holidays count alone."""
    return state if state in _holidays(None).subdivisions else None


def add_business_days(moment: datetime, days: int, state: str | None = None) -> datetime:
    """The same time of day, ``days`` working days later."""
    while days > 0:
        moment += timedelta(days=1)
        days -= is_business_day(moment.date(), state)
    return moment


def business_days_between(start: date, end: date, state: str | None = None) -> int:
    """How many working days lie after ``start``, up to and including ``end``; 0 when ``end`` is not after ``start``."""
    span = (end - start).days
    return sum(is_business_day(start + timedelta(days=offset), state) for offset in range(1, span + 1))
