"""The answers to an instrument as a body: its items with their ranges, null to take one back or leave it out."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from coordinator.api.fields import Flag, Whole, WholeOrWord
from services.screening.definitions import NOT_APPLICABLE, Instrument, Item, Kind


def answers_schema(instrument: Instrument, name: str) -> type[Schema]:
    """A schema of that name with one field for each item of the instrument."""
    return Schema.from_dict({item.id: _field(item) for item in instrument.items}, name=name)


def _field(item: Item) -> fields.Field[Any]:
    if item.kind is Kind.YES_NO:
        return Flag(allow_none=True)
    if item.may_not_apply:
        return WholeOrWord(item.low, item.high, NOT_APPLICABLE, allow_none=True)
    return Whole(item.low, item.high, allow_none=True)
