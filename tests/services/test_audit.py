"""The audit trail: what the database refuses, and what ``verify`` finds when somebody goes around it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from services.audit.records import CHAINS, record
from services.audit.verification import sign_heads, verify
from services.core.actors import SYSTEM
from services.core.ids import new_id

RECORDS = 40


@pytest.fixture
def trail(own_postgres_url: str, environment: object) -> Iterator[sessionmaker[Session]]:
    """A database of its own with ``RECORDS`` records in one chain."""
    engine = create_engine(own_postgres_url)
    sessions = sessionmaker(engine)
    for number in range(RECORDS):
        with sessions.begin() as session:
            record(session, SYSTEM, "test.act", "thing", new_id(), number=number)
    yield sessions
    engine.dispose()


def tamper(sessions: sessionmaker[Session], *statements: str) -> None:
    """What an intruder with full rights in the database can do: switch the triggers off first."""
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE audit_records DISABLE TRIGGER ALL"))
        for statement in statements:
            session.execute(text(statement))
        session.execute(text("ALTER TABLE audit_records ENABLE TRIGGER ALL"))


def found(sessions: sessionmaker[Session], heads: Path | None = None) -> list[str]:
    with sessions() as session:
        return [damage.what for damage in verify(session, heads)]


def test_an_untouched_trail_is_whole(trail: sessionmaker[Session]) -> None:
    assert found(trail) == []


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_records SET outcome = 'denied'", "DELETE FROM audit_records", "TRUNCATE audit_records"],
)
def test_the_database_itself_refuses_to_change_records(trail: sessionmaker[Session], statement: str) -> None:
    with trail() as session, pytest.raises(DBAPIError) as refusal:
        session.execute(text(statement))
    assert isinstance(refusal.value.orig, psycopg.errors.RaiseException)


@pytest.mark.parametrize(
    "change",
    [
        "outcome = 'denied'",
        "actor_id = gen_random_uuid()",
        "at = at + interval '1 second'",
        "subject_id = NULL",
        "detail = '{}'",
        "mac = sha256('forged')",
    ],
)
def test_a_changed_record_is_found(trail: sessionmaker[Session], change: str) -> None:
    tamper(trail, f"UPDATE audit_records SET {change} WHERE chain = 0 AND sequence = 17")
    assert found(trail) == ["a record was changed, replaced or put in another place"]


def test_a_deleted_record_is_found(trail: sessionmaker[Session]) -> None:
    tamper(trail, "DELETE FROM audit_records WHERE chain = 0 AND sequence = 17")
    assert found(trail) == ["a record is missing"]


def test_two_records_that_changed_places_are_found(trail: sessionmaker[Session]) -> None:
    tamper(
        trail,
        "UPDATE audit_records SET sequence = -1 WHERE chain = 0 AND sequence = 17",
        "UPDATE audit_records SET sequence = 17 WHERE chain = 0 AND sequence = 18",
        "UPDATE audit_records SET sequence = 18 WHERE chain = 0 AND sequence = -1",
    )
    assert found(trail) == ["a record was changed, replaced or put in another place"]


def test_an_inserted_record_is_found(trail: sessionmaker[Session]) -> None:
    tamper(
        trail,
        "INSERT INTO audit_records SELECT chain, sequence + 1, gen_random_uuid(), at, actor_id, actor_role, action, "
        f"subject_kind, subject_id, episode_id, outcome, detail, mac FROM audit_records WHERE sequence = {RECORDS}",
    )
    assert found(trail) == ["a record was changed, replaced or put in another place"]


def test_records_cut_off_the_end_are_found(trail: sessionmaker[Session]) -> None:
    tamper(trail, f"DELETE FROM audit_records WHERE sequence > {RECORDS - 5}")
    assert found(trail) == ["records were cut off the end"]


def test_records_cut_off_with_the_chain_end_moved_back_are_found(trail: sessionmaker[Session]) -> None:
    last = RECORDS - 5
    tamper(
        trail,
        f"DELETE FROM audit_records WHERE sequence > {last}",
        f"UPDATE audit_chains SET sequence = {last}, mac = (SELECT mac FROM audit_records WHERE sequence = {last}) "
        "WHERE chain = 0",
    )
    assert found(trail) == ["the chain's end was forged"]


def test_a_chain_set_back_to_an_earlier_true_end_is_found_by_the_signed_heads(
    trail: sessionmaker[Session], tmp_path: Path
) -> None:
    heads = tmp_path / "heads.jsonl"
    with trail() as session:
        earlier = session.execute(text("SELECT sequence, mac, head_mac FROM audit_chains WHERE chain = 0")).one()
    with trail.begin() as session:
        record(session, SYSTEM, "test.later", "thing", new_id())
    with trail.begin() as session:
        sign_heads(session, heads)
    tamper(trail, f"DELETE FROM audit_records WHERE sequence > {RECORDS}", "DELETE FROM audit_heads")
    with trail.begin() as session:
        session.execute(
            text("UPDATE audit_chains SET sequence = :s, mac = :m, head_mac = :h WHERE chain = 0"),
            {"s": earlier.sequence, "m": earlier.mac, "h": earlier.head_mac},
        )
    assert found(trail, heads) == ["records were cut off the end"]


def test_a_whole_chain_removed_is_found(trail: sessionmaker[Session]) -> None:
    tamper(trail, "DELETE FROM audit_chains WHERE chain = 0")
    assert found(trail) != []


def test_a_forged_signed_head_is_found(trail: sessionmaker[Session], tmp_path: Path) -> None:
    with trail.begin() as session:
        sign_heads(session, tmp_path / "heads.jsonl")
    tamper(trail, "UPDATE audit_heads SET signature = sha256('forged') || sha256('again')")
    assert found(trail) == ["a signed head whose signature is wrong"]


def test_many_writers_at_once_leave_a_whole_trail(trail: sessionmaker[Session]) -> None:
    def write() -> None:
        for _ in range(10):
            with trail.begin() as session:
                record(session, SYSTEM, "test.act", "thing", new_id())

    writers = [threading.Thread(target=write) for _ in range(CHAINS // 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert found(trail) == []
    with trail() as session:
        count = session.execute(text("SELECT count(*) FROM audit_records")).scalar_one()
    assert count == RECORDS + 10 * len(writers)


def test_what_a_rolled_back_transaction_did_is_not_recorded(trail: sessionmaker[Session]) -> None:
    with trail() as session:
        session.execute(text("SELECT 1"))
        record(session, SYSTEM, "test.undone", "thing", new_id())
        session.rollback()
        session.commit()
    with trail() as session:
        undone = session.execute(text("SELECT count(*) FROM audit_records WHERE action = 'test.undone'")).scalar_one()
    assert undone == 0


def test_a_savepoint_that_rolls_back_takes_only_its_own_records_with_it(trail: sessionmaker[Session]) -> None:
    with trail.begin() as session:
        record(session, SYSTEM, "test.before", "thing", new_id())
        savepoint = session.begin_nested()
        record(session, SYSTEM, "test.inside", "thing", new_id())
        savepoint.rollback()
        record(session, SYSTEM, "test.after", "thing", new_id())
    with trail() as session:
        actions = session.scalars(text("SELECT action FROM audit_records WHERE sequence > :n"), {"n": RECORDS}).all()
    assert actions == ["test.before", "test.after"]
    assert found(trail) == []
