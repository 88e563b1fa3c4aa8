"""A service of one test's own: this whole process works on another database, keyring or Redis for a while.

For tests whose subject commits, uses several threads, changes keys or loses a part. Inside, ``transaction()`` is the
product's own: nothing is rolled back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from coordinator import health
from services.core import config, database
from services.vault import boxes, keyring


@contextmanager
def service_with(**settings: str) -> Iterator[None]:
    """This process with other ``settings`` of its environment, as a process that was started with them."""
    before, bound = dict(os.environ), dict(database.Sessions.kw)
    os.environ.update(settings)
    _begin_anew()
    database.engine()
    try:
        yield
    finally:
        database.engine().dispose()
        os.environ.clear()
        os.environ.update(before)
        _begin_anew()
        database.Sessions.kw.clear()
        database.Sessions.kw.update(bound)


def _begin_anew() -> None:
    """Forget what a process remembers of the environment it was started in."""
    config.config.cache_clear()
    keyring.keyring.cache_clear()
    health._redis.cache_clear()
    boxes.forget_boxes()
    database._engine = None


def own_keys(environment: Mapping[str, str], directory: Path) -> Path:
    """A copy of this run's keyring that a test may change."""
    return Path(shutil.copytree(environment["COORDINATOR_KEYRING"], directory / "keys"))
