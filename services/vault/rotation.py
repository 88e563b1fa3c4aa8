"""Key rotation: fresh data keys, the older ones rewrapped, then every sealed column moved to the fresh ones.

    renew_data_keys()   every owner gets a data key wrapped by the active key-encryption key
    rewrap()            the older data keys are wrapped by it too
    reseal()            what an older data key sealed is sealed by the owner's newest

All walk in small transactions and can be stopped and started again at any time; they find what is left by looking at
which key wrapped or sealed it. The service keeps running meanwhile: older keys go on decrypting. What does not open is
named and left as it is, so that one spoilt value does not keep the rest under old keys.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Column, MetaData, Row, Select, Table, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from services.core.database import transaction
from services.core.errors import InvalidConfiguration, UnreadableSeal
from services.vault.boxes import add_data_key, box, forget_boxes, sealing_key_of, unwrap, wrap, wrapping_keys
from services.vault.models import DataKey, Purpose

BATCH = 100
LOCKED_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """One step of the way: how many keys or values were moved, and the places of those that do not open.

    ``locked`` counts the rows that somebody was changing just then; they come again.
    """

    moved: int
    unreadable: tuple[str, ...] = ()
    locked: int = 0


def renew_data_keys(purpose: Purpose) -> Iterator[Batch]:
    """Give every owner a fresh data key whose newest is not wrapped by the active key-encryption key."""
    newest = (
        select(DataKey.owner_id, DataKey.wrapping_key)
        .where(DataKey.purpose == purpose)
        .order_by(DataKey.owner_id, DataKey.created_at.desc(), DataKey.id.desc())
        .ext(distinct_on(DataKey.owner_id))
        .subquery()
    )
    while True:
        with transaction() as session:
            outdated = select(newest.c.owner_id).where(newest.c.wrapping_key != wrapping_keys(purpose).active)
            owners = session.scalars(outdated.limit(BATCH)).all()
            for owner_id in owners:
                add_data_key(session, owner_id, purpose)
        if not owners:
            break
        yield Batch(len(owners))
    forget_boxes()


def rewrap(purpose: Purpose) -> Iterator[Batch]:
    """Wrap every data key of ``purpose`` under the active key-encryption key."""
    last: UUID | None = None
    while True:
        with transaction() as session:
            query = select(DataKey).where(
                DataKey.purpose == purpose, DataKey.wrapping_key != wrapping_keys(purpose).active
            )
            rows = session.scalars(_after(query, DataKey.id, last).with_for_update()).all()
            unreadable = tuple(place for row in rows if (place := _rewrap_one(row, purpose)))
        if not rows:
            return
        last = rows[-1].id
        yield Batch(len(rows) - len(unreadable), unreadable)


def _rewrap_one(row: DataKey, purpose: Purpose) -> str | None:
    """Rewrap one data key; gives its place when it does not open."""
    try:
        row.wrapping_key, row.wrapped = wrap(row.id, row.owner_id, purpose, unwrap(row))
    except (UnreadableSeal, InvalidConfiguration):
        return f"data_keys.wrapped of {row.id}"
    return None


def reseal(metadata: MetaData) -> Iterator[Batch]:
    """Move what an older data key sealed to its owner's newest, in every table of ``metadata``.

    Begin it ``boxes.CACHE_SECONDS`` after the data keys were renewed: until then other processes may seal with the
    older ones.
    """
    for table in metadata.sorted_tables:
        columns = sealed_columns(table)
        if not columns:
            continue
        locked = True
        while locked:
            locked = False
            for batch in _reseal_table(table, columns):
                locked = locked or batch.locked > 0
                yield batch
            if locked:
                time.sleep(LOCKED_PAUSE_SECONDS)


def sealed_columns(table: Table) -> list[Column[Any]]:
    """The columns of a table that were declared with ``sealed_column``."""
    return [column for column in table.columns if "sealed_owner" in column.info]


def _after(query: Select[Any], id_column: Any, last: UUID | None) -> Select[Any]:
    return (query if last is None else query.where(id_column > last)).order_by(id_column).limit(BATCH)


def _reseal_table(table: Table, columns: Sequence[Column[Any]]) -> Iterator[Batch]:
    everything = select(table)
    last: UUID | None = None
    while True:
        with transaction() as session:
            rows = session.execute(_after(everything, table.c.id, last)).all()
            outdated = [row.id for row in rows if any(_is_outdated(session, row, column) for column in columns)]
            # A row that somebody changes right now is left for the next walk: waiting for it while holding others
            # could bring that somebody to a standstill.
            lock = everything.where(table.c.id.in_(outdated)).order_by(table.c.id)
            locked = session.execute(lock.with_for_update(skip_locked=True, key_share=True)).all() if outdated else ()
            moves = [_reseal_row(session, table, row, columns) for row in locked]
        if not rows:
            return
        last = rows[-1].id
        unreadable = tuple(place for move in moves for place in move.unreadable)
        yield Batch(sum(move.moved for move in moves), unreadable, len(outdated) - len(locked))


@dataclass(frozen=True, slots=True)
class _Place:
    """A row as the binding of its sealed values names it."""

    __tablename__: str
    id: UUID


@dataclass(slots=True)
class _Move:
    moved: int = 0
    unreadable: list[str] = field(default_factory=list)


def _is_outdated(session: Session, row: Row[Any], column: Column[Any]) -> bool:
    stored = getattr(row, column.key)
    if stored is None:
        return False
    try:
        return sealing_key_of(stored) != box(session, *_owner(row, column)).active
    except UnreadableSeal:
        return True


def _owner(row: Row[Any], column: Column[Any]) -> tuple[UUID, Purpose]:
    return getattr(row, column.info["sealed_owner"]), column.info["sealed_purpose"]


def _reseal_row(session: Session, table: Table, row: Row[Any], columns: Sequence[Column[Any]]) -> _Move:
    move, fresh = _Move(), {}
    place = _Place(table.name, row.id)
    for column in columns:
        if not _is_outdated(session, row, column):
            continue
        stored, owner = getattr(row, column.key), box(session, *_owner(row, column))
        try:
            fresh[column.key] = owner.seal_bytes(place, column.key, owner.open_bytes(place, column.key, stored))
        except UnreadableSeal:
            move.unreadable.append(f"{table.name}.{column.key} of {row.id}")
    if fresh:
        # Written past the mapper: a new key is no new version of the record, and nobody's ETag should go stale by it.
        session.execute(update(table).where(table.c.id == row.id).values(fresh))
        move.moved = len(fresh)
    return move
