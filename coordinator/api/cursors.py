"""Cursors: where the next page begins, as an opaque text that holds a time and an id and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from marshmallow import Schema

from coordinator.api.fields import Text, WholeText

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds from 1970 to the ends of what a cursor can point to: the years 1900 and 2200.
EARLIEST, LATEST = (round((datetime(year, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1e6) for year in (1900, 2200))

Item = TypeVar("Item")
Position = tuple[datetime, UUID]


class PageIn(Schema):
    """Query of every list."""

    cursor = Text(
        32,
        shortest=32,
        pattern=r"^[A-Za-z0-9_-]{32}$",
        metadata={"description": "`next` of the page before; leave out for the first page."},
    )
    limit = WholeText(1, 100, load_default=20)


def encode(position: Position) -> str:
    """A position as 32 characters."""
    micros = round(position[0].timestamp() * 1_000_000)
    return base64.urlsafe_b64encode(micros.to_bytes(8, "big", signed=True) + position[1].bytes).decode("ascii")


def decode(cursor: str | None) -> Position | None:
    """The position behind a cursor that fits ``PageIn``. A made-up one points to somewhere else."""
    if cursor is None:
        return None
    raw = base64.urlsafe_b64decode(cursor)
    micros = int.from_bytes(raw[:8], "big", signed=True)
    moment = EPOCH + timedelta(microseconds=min(max(micros, EARLIEST), LATEST))
    return moment, UUID(bytes=raw[8:24])


def page(items: Sequence[Item], limit: int, position: Callable[[Item], Position]) -> dict[str, Any]:
    """One page out of up to ``limit + 1`` items that were fetched: the extra one tells that there is more."""
    shown = list(items[:limit])
    return {"items": shown, "next": encode(position(shown[-1])) if len(items) > limit else None}
