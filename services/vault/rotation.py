"""Key rotation: rewrap the data keys, then move every sealed column to a fresh data key. Old keys only decrypt.

Both walk in small transactions and can be stopped and started again at any time; they find what is left by looking at
which key wrapped or sealed it. The service keeps running meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, select, update
from sqlalchemy.orm import Mapper, Session

from services.core.database import Base, transaction
from services.vault.boxes import add_data_key, box, forget_boxes, sealing_key_of, unwrap, wrap, wrapping_keys
from services.vault.models import DataKey, Purpose

BATCH = 200


def rewrap(purpose: Purpose) -> Iterator[int]:
    """Wrap every data key of ``purpose`` under the active key-encryption key; yields how many after each batch."""
    while True:
        with transaction() as session:
            rows = session.scalars(
                select(DataKey)
                .where(DataKey.purpose == purpose, DataKey.wrapping_key != wrapping_keys(purpose).active)
                .limit(BATCH)
                .with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                row.wrapping_key, row.wrapped = wrap(row.id, row.owner_id, purpose, unwrap(row))
        if not rows:
            return
        yield len(rows)


def renew_data_keys(purpose: Purpose) -> Iterator[int]:
    """Give every owner a fresh data key; yields how many after each batch."""
    with transaction() as session:
        owners = list(session.scalars(select(DataKey.owner_id).where(DataKey.purpose == purpose).distinct()))
    for start in range(0, len(owners), BATCH):
        with transaction() as session:
            for owner_id in owners[start : start + BATCH]:
                add_data_key(session, owner_id, purpose)
        yield len(owners[start : start + BATCH])
    forget_boxes()


def reseal() -> Iterator[tuple[str, int]]:
    """Move what an older data key sealed to its owner's newest; yields (table, values moved) per batch."""
    for mapper in Base.registry.mappers:
        columns = sealed_columns(mapper)
        if columns:
            yield from _reseal_table(mapper, columns)


def sealed_columns(mapper: Mapper[Any]) -> list[Column[Any]]:
    """The columns of a table that were declared with ``sealed_column``."""
    table: Table = mapper.class_.__table__
    return [column for column in table.columns if "sealed_owner" in column.info]


def _reseal_table(mapper: Mapper[Any], columns: list[Column[Any]]) -> Iterator[tuple[str, int]]:
    model = mapper.class_
    last: UUID | None = None
    while True:
        with transaction() as session:
            query = select(model).order_by(model.id).limit(BATCH).with_for_update()
            rows = session.scalars(query if last is None else query.where(model.id > last)).all()
            moved = sum(_reseal_value(session, row, column) for row in rows for column in columns)
        if not rows:
            return
        last = rows[-1].id
        yield model.__tablename__, moved


def _reseal_value(session: Session, row: Any, column: Column[Any]) -> bool:
    stored = getattr(row, column.key)
    if stored is None:
        return False
    owner = box(session, getattr(row, column.info["sealed_owner"]), column.info["sealed_purpose"])
    if sealing_key_of(stored) == owner.active:
        return False
    fresh = owner.seal_bytes(row, column.key, owner.open_bytes(row, column.key, stored))
    # Written past the mapper: a new key is no new version of the record, and nobody's ETag should go stale by it.
    session.execute(
        update(type(row)).where(type(row).id == row.id).values({column.key: fresh}),
        execution_options={"synchronize_session": False},
    )
    return True
