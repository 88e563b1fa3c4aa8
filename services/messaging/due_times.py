"""When a task is due: a moment plus a named setting, whose ending tells the unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from services.core.business_days import add_business_days
from services.core.errors import InvalidConfiguration
from services.core.programme import Programme

WORKING_DAYS: Final = "_business_days"


def due_after(moment: datetime, setting: str, programme: Programme, zone: tzinfo = UTC) -> datetime:
    """``moment`` plus the setting's value in the unit its name ends with.

    Units: ``_minutes``, ``_hours``, ``_business_days`` (the same time of day, so many working days later), ``_days``.
    Working days begin and end in ``zone``: late on Thursday in New York it is Friday in UTC, and the next working day
    would be Monday. Raises ``InvalidConfiguration`` for a name without a unit.
    """
    amount = programme.number(setting)
    if setting.endswith("_minutes"):
        return moment + timedelta(minutes=amount)
    if setting.endswith("_hours"):
        return moment + timedelta(hours=amount)
    if setting.endswith(WORKING_DAYS):
        return add_business_days(moment.astimezone(zone), int(amount)).astimezone(UTC)
    if setting.endswith("_days"):
        return moment + timedelta(days=amount)
    raise InvalidConfiguration(f"The setting '{setting}' does not end in a unit of time.")
