"""The instruments by id, with the texts of the operator's content pack where we may not ship them (DOMAIN 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from services.core.config import content_pack
from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.programme import Programme
from services.screening.content_packs import with_content_pack
from services.screening.definitions import Instrument, Item, Kind, RiskLevel
from services.screening.instrument_files import load_instruments

__all__ = [
    "Instrument", "Item", "Kind", "RiskLevel", "asked_by", "check_asked", "get", "known", "load_instruments", "offered",
]  # fmt: skip

# Every setting of a programme that lists instruments, and the section with a list for each diagnosis.
_LISTED_IN: Final = (
    "screening.instruments",
    "outcomes.instruments",
    "outcomes.scales_for_refill",
    "outcomes.cadence.instruments",
)
_LISTED_BELOW: Final = "outcomes.cadence.by_diagnosis"


def get(instrument_id: str) -> Instrument:
    """The instrument of that id (``phq9``). Raises ``InvalidInput`` naming the known ones."""
    instruments = known()
    if instrument_id not in instruments:
        raise InvalidInput(f"Unknown instrument. Known: {', '.join(instruments)}.", field="instrument")
    return instruments[instrument_id]


def known() -> Mapping[str, Instrument]:
    """All instruments by id. Raises ``InvalidConfiguration`` when the content pack of the configuration is wrong."""
    return _with_pack(content_pack())


def offered() -> tuple[Instrument, ...]:
    """The instruments that can be shown to a patient: all their texts are there."""
    return tuple(instrument for instrument in known().values() if instrument.is_offered)


def asked_by(programme: Programme, setting: str) -> tuple[Instrument, ...]:
    """The instruments that a setting of a programme lists, in our order.

    Raises ``InvalidConfiguration`` for one that is not known, or that nobody can answer because it has no texts.
    """
    wanted = programme.choices(setting)
    instruments = known()
    unknown = sorted(wanted - set(instruments))
    if unknown:
        raise InvalidConfiguration(
            f"'{setting}' of '{programme.name}' names no instrument of ours: {', '.join(unknown)}."
        )
    untold = sorted(name for name in wanted if not instruments[name].is_offered)
    if untold:
        raise InvalidConfiguration(
            f"'{setting}' of '{programme.name}' asks for {', '.join(untold)}, whose texts we may not ship: "
            "give them in a content pack (docs/content-packs.md)."
        )
    return tuple(instrument for name, instrument in instruments.items() if name in wanted)


def check_asked(programme: Programme) -> None:
    """Raise ``InvalidConfiguration`` when a programme asks for what is not offered, or the content pack is wrong."""
    by_diagnosis = (f"{_LISTED_BELOW}.{name}" for name in programme.section(_LISTED_BELOW))
    for setting in (*_LISTED_IN, *by_diagnosis):
        asked_by(programme, setting)


@lru_cache(maxsize=8)
def _with_pack(pack: Path | None) -> Mapping[str, Instrument]:
    return load_instruments() if pack is None else with_content_pack(load_instruments(), pack)
