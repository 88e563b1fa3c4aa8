"""The one way to open a transaction, and what its errors may say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.core.database import engine, transaction
from tests.own_services import service_with

CANARY = "Rosa Diaz"


@pytest.fixture(autouse=True)
def _service(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[None]:
    with service_with(DATABASE_URL=own_postgres_url):
        with transaction() as session:
            session.execute(text("CREATE TABLE things (name text UNIQUE)"))
        yield


def add(name: str) -> None:
    with transaction() as session:
        session.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})


def names() -> list[str]:
    with transaction() as session:
        return list(session.scalars(text("SELECT name FROM things ORDER BY name")))


def test_leaving_the_block_commits_and_an_error_rolls_all_of_it_back() -> None:
    add("kept")

    def add_and_fail() -> None:
        with transaction() as session:
            session.execute(text("INSERT INTO things VALUES ('lost')"))
            raise LookupError

    with pytest.raises(LookupError):
        add_and_fail()
    assert names() == ["kept"]


def test_the_text_of_an_error_holds_none_of_the_values_of_its_statement() -> None:
    with pytest.raises(DBAPIError) as failed, transaction() as session:
        session.execute(text("SELECT CAST(:name AS text), nothing"), {"name": CANARY})
    assert CANARY not in str(failed.value)


def test_the_session_speaks_utc() -> None:
    with transaction() as session:
        assert session.scalar(text("SHOW timezone")) == "UTC"


def test_a_process_that_was_forked_makes_connections_of_its_own() -> None:
    ours = engine()
    add("before")
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the test may go on in here
        try:
            add("in the child")
            os.write(sending, b"other" if engine() is not ours else b"same")
        finally:
            os._exit(0)
    assert os.read(receiving, 10) == b"other"
    os.waitpid(child, 0)
    os.close(receiving)
    os.close(sending)
    assert engine() is ours
    assert names() == ["before", "in the child"]
