"""When a task is due: a moment plus a named setting, whose ending tells the unit."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.core.business_days import add_business_days
from services.core.errors import InvalidConfiguration
from services.core.programme import Programme


def due_after(moment: datetime, setting: str, programme: Programme) -> datetime:
    """``moment`` plus the setting's value in the unit its name ends with.

    Units: ``_minutes``, ``_hours``, ``_business_days`` (the same time of day, so many working days later), ``_days``.
    Raises ``InvalidConfiguration`` for a name without a unit.
    """
    amount = programme.number(setting)
    if setting.endswith("_minutes"):
        return moment + timedelta(minutes=amount)
    if setting.endswith("_hours"):
        return moment + timedelta(hours=amount)
    if setting.endswith("_business_days"):
        return add_business_days(moment, int(amount))
    if setting.endswith("_days"):
        return moment + timedelta(days=amount)
    raise InvalidConfiguration(f"The setting '{setting}' does not end in a unit of time.")
