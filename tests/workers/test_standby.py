"""One active relay and one active ticker: whoever holds the lock, until it lets go or is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event as Stop
from threading import Thread

import pytest
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from coordinator.local.processes import wait_until
from services.core.database import engine, transaction
from services.core.vocabulary import Party
from services.messaging.models import Event
from tests.factories import make_world
from tests.workers.bags import DEFAULT, emit_unclear
from workers import relay, ticker
from workers.queues import depths
from workers.standby import Standby

pytestmark = pytest.mark.usefixtures("own_database")
# pg_locks shows the whole cluster: other test processes hold locks in databases of their own.
LOCKS = text(
    "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
    "WHERE datname = current_database() AND locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
)


@pytest.fixture
def one() -> Iterator[Standby]:
    standby = Standby("test")
    yield standby
    standby.release()


@pytest.fixture
def other() -> Iterator[Standby]:
    standby = Standby("test")
    yield standby
    standby.release()


def held() -> int:
    with transaction() as session:
        return len(session.scalars(LOCKS).all())


def cut_off() -> int:
    """End the connections that hold an advisory lock, as a restart of PostgreSQL would; gives how many."""
    with transaction() as session:
        holders = list(session.scalars(LOCKS))
        for pid in holders:
            session.execute(text("SELECT pg_terminate_backend(:pid, 30000)"), {"pid": pid})
    return len(holders)


def test_only_one_is_active(one: Standby, other: Standby) -> None:
    assert [one.is_active(), other.is_active(), one.is_active(), other.is_active()] == [True, False, True, False]


def test_another_takes_over_as_soon_as_the_first_lets_go(one: Standby, other: Standby) -> None:
    assert one.is_active()
    one.release()
    assert other.is_active()
    assert not one.is_active()


def test_different_names_do_not_stand_in_each_others_way(one: Standby) -> None:
    ticking = Standby("another test")
    assert one.is_active()
    assert ticking.is_active()
    ticking.release()


def test_who_is_cut_off_learns_it_and_another_takes_over(one: Standby, other: Standby) -> None:
    assert one.is_active()
    assert cut_off() == 1
    with pytest.raises(DBAPIError):
        one.is_active()
    one.release()
    assert other.is_active()
    assert not one.is_active()


def test_letting_go_gives_every_connection_back(one: Standby, other: Standby) -> None:
    for _ in range(engine().pool.size() * 3):  # type: ignore[attr-defined]  # the pool in use counts
        assert one.is_active()
        assert not other.is_active()
        one.release()
    assert wait_until(lambda: held() == 0, 30)


def test_letting_go_of_nothing_is_no_error(one: Standby) -> None:
    one.release()
    one.release()
    assert one.is_active()


@pytest.fixture
def running(own_database: sessionmaker[Session], redis_client: Redis) -> Iterator[list[Thread]]:
    """Two relays and two tickers, as threads."""
    with own_database.begin() as session:
        make_world(session)
    stop = Stop()
    threads = [Thread(target=run, args=(DEFAULT, stop)) for run in (relay.run, ticker.run) * 2]
    for thread in threads:
        thread.start()
    yield threads
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_relay_and_ticker_go_on_after_being_cut_off(
    running: list[Thread], own_database: sessionmaker[Session], redis_client: Redis
) -> None:
    assert wait_until(lambda: held() == 2, 30)
    cut_off()
    assert wait_until(lambda: held() == 2, 30)
    assert all(thread.is_alive() for thread in running)
    with own_database() as session:
        events = emit_unclear(session, 3)
        assert wait_until(lambda: depths(redis_client)[Party.OPERATIONS] > 0, 30)
        assert wait_until(
            lambda: {session.get_one(Event, event.id, populate_existing=True).relays for event in events} == {1}, 30
        )
