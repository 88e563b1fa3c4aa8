"""Letting this process work somewhere else for a while: on another database, or on that of a running service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from services.core import database
from services.core.config import config
from services.vault.boxes import forget_boxes
from services.vault.keyring import keyring


@contextmanager
def working_in(environment: Mapping[str, str]) -> Iterator[None]:
    """This process works with other settings meanwhile, as if it had been started with them."""
    bound, before = dict(database.Sessions.kw), dict(os.environ)
    engine, pid = database._engine, database._engine_pid
    os.environ.update(environment)
    _begin_anew()
    database._engine = None  # a process keeps its first engine; this one begins anew
    try:
        database.engine()
        yield
    finally:
        if database._engine is not None:
            database._engine.dispose()
        os.environ.clear()
        os.environ.update(before)
        _begin_anew()
        database._engine, database._engine_pid = engine, pid
        database.Sessions.kw.clear()
        database.Sessions.kw.update(bound)


def working_on(database_url: str) -> AbstractContextManager[None]:
    """The same with nothing but another database."""
    return working_in({"DATABASE_URL": database_url})


def _begin_anew() -> None:
    config.cache_clear()
    keyring.cache_clear()
    forget_boxes()
