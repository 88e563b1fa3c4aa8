"""Audit chains while transactions wait for each other: a chain is never held by somebody who waits for a record."""

from __future__ import annotations

from threading import Thread

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from coordinator.local.processes import wait_until
from services.audit.records import CHAINS, record
from services.core.actors import SYSTEM
from services.core.database import transaction
from services.people.models import Episode
from tests.factories import make_episode

FREE = text("SELECT chain FROM audit_chains FOR UPDATE SKIP LOCKED")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


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
        with own_database() as observer:
            assert wait_until(lambda: observer.scalar(WAITING) == 1, 10)
            free = observer.scalars(FREE).all()
        holder.rollback()
        waiter.join(10)
    assert len(free) == CHAINS
    with own_database() as session:
        assert session.get_one(Episode, episode.id).state == "screening"


def test_more_writers_than_chains_that_wait_for_each_other_all_finish(own_database: sessionmaker[Session]) -> None:
    """Each waits for the same record; whoever has it must find a chain, or all stand still until one is sacrificed."""
    with own_database.begin() as session:
        episode = make_episode(session)
    failures: list[BaseException] = []

    def add_one() -> None:
        try:
            with transaction() as session:
                session.execute(text("SELECT 1"))
                session.execute(
                    text("UPDATE data_keys SET wrapping_key = wrapping_key WHERE owner_id = :id"),
                    {"id": episode.patient_id},
                )
                record(session, SYSTEM, "test.change", "episode", episode.id)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [Thread(target=add_one) for _ in range(CHAINS - 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
