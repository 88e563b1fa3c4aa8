"""Calendar months, as the law counts them: to the same day of a later month, or to that month's last day."""

from __future__ import annotations

from calendar import monthrange
from datetime import date


def calendar_months_after(day: date, months: int) -> date:
    """The same day of the month ``months`` later; where that month is shorter, its last day (Aug 31 + 6 → Feb 28)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    month += 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def six_calendar_months_after(day: date) -> date:
    """The last day on which a prescription issued on ``day`` may be filled at all (21 CFR 1306.22)."""
    return calendar_months_after(day, 6)
