"""Time zones: those of each US state (``zones.toml``), for people who gave none, and the check of a named one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from services.core.errors import InvalidInput

DATA = Path(__file__).with_name("zones.toml")


@lru_cache(maxsize=1)
def _zones_by_state() -> Mapping[str, tuple[str, ...]]:
    tables = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return {state: tuple(zones) for state, zones in tables["zones_by_state"].items()}


def zones_of_state(state: str) -> tuple[str, ...]:
    """All IANA zones of a state (two letters), most populous first. Raises ``InvalidInput`` for an unknown state."""
    try:
        return _zones_by_state()[state]
    except KeyError:
        raise InvalidInput("This is not a US state or territory; give its two letters.", field="state") from None


def default_zone(state: str) -> str:
    """The zone to *show* times in for a patient who gave none: the state's most populous one.

    Do not take it for one that the patient gave: quiet hours without a given zone keep to the hours allowed in every
    zone of the state. Raises ``InvalidInput`` for an unknown state.
    """
    return zones_of_state(state)[0]


def read_zone(zone: str) -> ZoneInfo:
    """The zone named ``zone``. Raises ``InvalidInput`` on field ``zone`` for an unknown name."""
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise InvalidInput("This is not an IANA time zone such as America/Chicago.", field="zone") from None
