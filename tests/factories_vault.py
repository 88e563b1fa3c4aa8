"""A row with every sealed column filled in every table that has any, whatever the tables are for.

sealed = fill_sealed_columns(session)    what was sealed, by place; only in a database of the test's own: its foreign
                                         keys are dropped, because these rows lead nowhere
assert opened(session, sealed) == sealed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Uuid,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session
from sqlalchemy.schema import DropConstraint
from sqlalchemy.types import TypeEngine

from services.core.ids import new_id
from services.tables import metadata
from services.vault.boxes import Box, box
from services.vault.rotation import sealed_columns

VERSION = 7
OWNER = new_id()
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """Where a sealed value stands."""

    __tablename__: str
    column: str
    id: UUID


Sealed = Mapping[Place, str]


def sealed_tables() -> list[Table]:
    """All tables with sealed columns."""
    return [table for table in metadata.sorted_tables if sealed_columns(table)]


def fill_sealed_columns(session: Session) -> Sealed:
    """A row in every table with sealed columns; those that are not their own owner have one in common."""
    for table in metadata.sorted_tables:
        for constraint in table.foreign_key_constraints:
            session.execute(DropConstraint(constraint, if_exists=True))
    filled: dict[Place, str] = {}
    for table in sealed_tables():
        row = {column.key: _made_up(column) for column in table.columns}
        for column in sealed_columns(table):
            place = Place(table.name, column.key, row["id"])
            filled[place] = f"{table.name}.{column.key} is nobody's business"
            if column.info["sealed_owner"] != "id":
                row[column.info["sealed_owner"]] = OWNER
            row[column.key] = _box(session, row, column).seal_bytes(place, column.key, filled[place].encode())
        session.execute(insert(table).values(row))
    return filled


MADE_UP: Mapping[type[TypeEngine[Any]], Callable[[Column[Any]], Any]] = {
    Uuid: lambda column: new_id(),
    Boolean: lambda column: False,
    SmallInteger: lambda column: 0,
    Integer: lambda column: VERSION if column.key == "version" else 0,
    DateTime: lambda column: WHEN,
    Date: lambda column: WHEN.date(),
    ARRAY: lambda column: [],
    JSONB: lambda column: {},
    LargeBinary: lambda column: os.urandom(32),
    String: lambda column: os.urandom(40).hex()[: column.type.length],
}


def _made_up(column: Column[Any]) -> Any:
    return MADE_UP[type(column.type)](column)


def _box(session: Session, row: Mapping[str, Any], column: Column[Any]) -> Box:
    return box(session, row[column.info["sealed_owner"]], column.info["sealed_purpose"])


def _rows(session: Session, sealed: Sealed) -> Iterator[tuple[Place, Column[Any], Mapping[str, Any]]]:
    """Every place with its column and its row as the database has it now."""
    for name in {place.__tablename__ for place in sealed}:
        table = metadata.tables[name]
        rows = {row["id"]: row for row in session.execute(select(table)).mappings()}
        for place in sealed:
            if place.__tablename__ == name:
                yield place, table.c[place.column], dict(rows[place.id])


def stored(session: Session, sealed: Sealed) -> Mapping[Place, bytes]:
    """What the database holds at every place."""
    return {place: row[column.key] for place, column, row in _rows(session, sealed)}


def opened(session: Session, sealed: Sealed) -> Sealed:
    """What every place opens to now."""
    return {
        place: _box(session, row, column).open_bytes(place, column.key, row[column.key]).decode()
        for place, column, row in _rows(session, sealed)
    }
