"""What every test may ask for: ``session``, ``postgres_url``, ``redis_url``, ``environment``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from services.core import config as configuration
from services.core.database import Sessions
from services.vault import boxes, keyring
from tests.faults.counts import pytest_terminal_summary
from tests.scheduling import rank_of, scheduling
from tests.servers import Servers
from tests.snapshots import EMPTY

__all__ = ["pytest_terminal_summary"]  # here, because the process that controls a run loads no other conftest

SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    directory = getattr(config, "workerinput", {}).get("servers")
    if directory is not None:
        config.stash[SERVERS] = Servers(Path(directory), owner=False)
        return
    config.stash[SERVERS] = Servers.for_this_run()
    if getattr(config.option, "numprocesses", None):
        config.stash[SERVERS].start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["servers"] = str(node.config.stash[SERVERS].directory)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=rank_of)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVERS in config.stash:
        config.stash[SERVERS].stop()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """The running servers of this test run."""
    running = pytestconfig.stash[SERVERS]
    running.start()
    return running


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> str:
    """The name of this test process: ``main``, or ``gw0`` and so on under xdist."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "main"))


@pytest.fixture(scope="session")
def postgres_url(servers: Servers, worker: str) -> str:
    """The address of this process's database, migrated to head. What a test commits there stays: roll back."""
    return servers.database(f"test_{worker}")


@pytest.fixture(scope="session")
def redis_url(servers: Servers, worker: str) -> str:
    """The address of this process's logical database of the Valkey."""
    return servers.valkey.url_of(0 if worker == "main" else int(worker.removeprefix("gw")) + 1)


@pytest.fixture
def own_postgres_url(servers: Servers) -> Iterator[str]:
    """The address of a migrated database for one test alone, dropped afterwards: for tests that commit."""
    name = f"own_{secrets.token_hex(8)}"
    yield servers.database(name)
    servers.postgres.drop_database(name)


@pytest.fixture
def sessions(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[sessionmaker[Session]]:
    """Sessions with connections of their own on a database of this test's own, for what several do at once."""
    engine = create_engine(own_postgres_url, pool_size=8, connect_args={"options": "-c timezone=UTC"})
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()
    boxes.forget_boxes()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Redis]:
    """A client of this process's logical database, which is emptied before and after."""
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture(scope="session")
def environment(servers: Servers, worker: str, postgres_url: str, redis_url: str) -> Iterator[Mapping[str, str]]:
    """The complete environment of the code under test, set in this process until the end of the run."""
    settings = servers.environment(postgres_url, redis_url, servers.directory / f"keys-{worker}")
    before = dict(os.environ)
    os.environ.update(settings)
    configuration.config.cache_clear()
    keyring.keyring.cache_clear()
    yield settings
    os.environ.clear()
    os.environ.update(before)
    configuration.config.cache_clear()
    keyring.keyring.cache_clear()


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[Engine]:
    """An engine on this process's database."""
    engine = create_engine(postgres_url, connect_args={"options": "-c timezone=UTC"})
    yield engine
    engine.dispose()


@pytest.fixture
def session(environment: Mapping[str, str], database: Engine) -> Iterator[Session]:
    """A database session whose work is undone after the test, whatever commits.

    Code that opens ``transaction()`` meanwhile joins the same outer transaction: it sees what the test flushed, and its
    commits and rollbacks are savepoints. One thread only; tests that need several use ``own_postgres_url``.
    """
    before = dict(Sessions.kw)
    with database.connect() as connection:
        outer = connection.begin()
        Sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
        try:
            with Sessions(info={EMPTY: True}) as opened:
                yield opened
        finally:
            Sessions.kw.clear()
            Sessions.kw.update(before)
            boxes.forget_boxes()
            outer.rollback()
