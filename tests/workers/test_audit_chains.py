"""Audit chains while transactions wait for each other: a chain is never held by somebody who waits for a record."""

from __future__ import annotations

from threading import Event as Stop
from threading import Thread

from sqlalchemy import TextClause, select, text
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from coordinator.local.processes import wait_until
from services.audit.models import AuditRecord
from services.audit.records import CHAINS, record
from services.audit.verification import verify
from services.core.actors import SYSTEM
from services.core.database import transaction
from services.core.ids import new_id
from services.people.models import Episode
from tests.factories import make_episode

FREE = text("SELECT chain FROM audit_chains FOR UPDATE SKIP LOCKED")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


def seen(sessions: sessionmaker[Session], query: TextClause) -> list[int]:
    """What somebody else sees now. A transaction of its own: one sees the same activity for as long as it lasts."""
    with sessions() as observer:
        return list(observer.scalars(query))


def change_and_record(episode: Episode, state: str) -> None:
    with transaction() as session:
        row = session.get_one(Episode, episode.id)
        row.state = state
        record(session, SYSTEM, "test.change", "episode", episode.id)


def test_a_transaction_that_waits_for_a_record_holds_no_chain(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        episode = make_episode(session)
    with own_database() as holder:
        holder.get_one(Episode, episode.id, with_for_update=True)
        waiter = Thread(target=change_and_record, args=(episode, "screening"))
        waiter.start()
        assert wait_until(lambda: seen(own_database, WAITING) == [1], 30)
        free = seen(own_database, FREE)
        holder.rollback()
        waiter.join(30)
    assert len(free) == CHAINS
    with own_database() as session:
        assert session.get_one(Episode, episode.id).state == "screening"


def test_a_savepoint_that_is_kept_holds_no_chain(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        episode = make_episode(session)
    with own_database() as session:
        with session.begin_nested():
            record(session, SYSTEM, "test.inside", "episode", episode.id)
        assert len(seen(own_database, FREE)) == CHAINS
        record(session, SYSTEM, "test.after", "episode", episode.id)
        session.commit()
    with own_database() as session:
        written = select(AuditRecord.action).where(AuditRecord.action.like("test.%"))
        assert session.scalars(written.order_by(AuditRecord.sequence)).all() == ["test.inside", "test.after"]
        assert verify(session) == []


def test_what_a_kept_savepoint_noted_goes_with_the_transaction_around_it(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        episode = make_episode(session)
    with own_database() as session:
        with session.begin_nested():
            record(session, SYSTEM, "test.inside", "episode", episode.id)
        session.rollback()
        record(session, SYSTEM, "test.after", "episode", episode.id)
        session.commit()
        assert session.scalars(select(AuditRecord.action).where(AuditRecord.action.like("test.%"))).all() == [
            "test.after"
        ]


def test_as_many_writers_as_chains_that_wait_for_one_record_all_finish(own_database: sessionmaker[Session]) -> None:
    """Whoever has the record must find a free chain, or all stand still until PostgreSQL sacrifices one."""
    with own_database.begin() as session:
        episode = make_episode(session)
    failures: list[BaseException] = []

    def change() -> None:
        try:
            change_and_record(episode, new_id().hex[:20])
        except StaleDataError:
            pass  # somebody was faster, as it should be
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [Thread(target=change) for _ in range(CHAINS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_trail_that_is_being_written_is_whole_at_every_moment(own_database: sessionmaker[Session]) -> None:
    enough = Stop()

    def write() -> None:
        while not enough.is_set():
            with transaction() as session:
                record(session, SYSTEM, "test.act", "thing", new_id())

    writers = [Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        found = []
        for _ in range(8):
            with own_database() as session:
                found += verify(session)
    finally:
        enough.set()
        for writer in writers:
            writer.join(30)
    assert found == []
