"""Sealed: which instruments a patient is asked, which gave a result, and what a question is about.

Each hints at a diagnosis. What is there is sealed under the patient's own key, so that the record keys must be at hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from services.vault.boxes import box

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

PLAIN: Mapping[tuple[str, str], Any] = {
    ("assessments", "instruments"): ARRAY(sa.String(length=40)),
    ("outcome_reports", "scales"): ARRAY(sa.String(length=40)),
    ("questions", "rule"): sa.String(length=60),
}


class Place:
    """A row as the vault sees it: what a sealed value is bound to."""

    def __init__(self, table: str, row_id: UUID) -> None:
        self.__tablename__, self.id = table, row_id


def upgrade() -> None:
    for (table, column), plain in PLAIN.items():
        _change(table, column, plain, sa.LargeBinary(), _sealed)


def downgrade() -> None:
    for (table, column), plain in PLAIN.items():
        _change(table, column, sa.LargeBinary(), plain, _opened)


def _change(name: str, column: str, before: Any, after: Any, turned: Any) -> None:
    """Put a column of another type in the place of one, with every value turned into its new form."""
    op.add_column(name, sa.Column("turned", after, nullable=True))
    table = sa.table(
        name, sa.column("id", sa.Uuid()), sa.column("patient_id", sa.Uuid()), sa.column(column, before),
        sa.column("turned", after),
    )  # fmt: skip
    with Session(op.get_bind(), join_transaction_mode="create_savepoint") as session:
        rows = session.execute(sa.select(table.c.id, table.c.patient_id, table.c[column])).all()
        for row_id, patient_id, value in rows:
            new = turned(session, patient_id, Place(name, row_id), column, value)
            session.execute(sa.update(table).where(table.c.id == row_id).values(turned=new))
        session.commit()
    op.drop_column(name, column)
    op.alter_column(name, "turned", new_column_name=column, nullable=False)


def _sealed(session: Session, patient_id: UUID, place: Place, column: str, value: Any) -> bytes:
    return box(session, patient_id).seal_bytes(place, column, json.dumps(value).encode())


def _opened(session: Session, patient_id: UUID, place: Place, column: str, value: bytes) -> Any:
    return json.loads(box(session, patient_id).open_bytes(place, column, value))
