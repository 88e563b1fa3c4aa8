"""The engine and the one way to open a transaction.

The edge (a view, a job, a command) writes ``with transaction() as session:``; use cases take that session, never commit
and never roll back. Leaving the block commits; an exception rolls everything back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Engine, MetaData, Uuid, create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from services.core.config import config

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables: named constraints, aware timestamps, native UUIDs."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this as a plain class attribute
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
    }


Sessions = sessionmaker(expire_on_commit=False)
_engine: Engine | None = None
_engine_pid: int | None = None


def engine() -> Engine:
    """This process's engine, created on first use and again after a fork: connections are never shared."""
    global _engine, _engine_pid
    if _engine is None or _engine_pid != os.getpid():
        _engine = create_engine(
            config().database_url.reveal(),
            pool_size=8,
            max_overflow=8,
            pool_timeout=10,
            hide_parameters=True,  # or the text of an error would hold the values of its statement
            connect_args={"connect_timeout": 5, "application_name": "coordinator", "options": "-c timezone=UTC"},
        )
        _engine_pid = os.getpid()
        Sessions.configure(bind=_engine)
    return _engine


@contextmanager
def only_reading(session: Session) -> Iterator[None]:
    """Let the database refuse every write in the block; what was read stays, and nothing else could."""
    with session.begin_nested() as inside:
        session.execute(text("SET TRANSACTION READ ONLY"))
        yield
        inside.rollback()  # also undoes the setting


@contextmanager
def transaction() -> Iterator[Session]:
    """One database transaction: committed when the block ends, rolled back when it raises."""
    if Sessions.kw.get("bind") is None or isinstance(Sessions.kw["bind"], Engine):
        engine()
    with Sessions.begin() as session:
        yield session
