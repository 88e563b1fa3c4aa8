"""A task is settled while the worker is just opening it: whoever comes first, it does not stay open."""

from __future__ import annotations

from threading import Thread

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from coordinator.local.processes import wait_until
from services.core import clock as service_clock
from services.core.actors import SYSTEM
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from tests.factories import make_world
from tests.workers.bags import DEFAULT, bag_of, emit_unclear, waiting
from workers.effects import OpenedEvent, carry_out
from workers.handlers import handle_bag

DESK = Party.OPERATIONS
# pg_locks shows the whole cluster: other test processes wait for locks in databases of their own.
WAITING = text(
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
    "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
)


@pytest.fixture
def subject(own_database: sessionmaker[Session]) -> Subject:
    """What an event asks the desk to look at."""
    about = Subject("message", new_id())
    with own_database.begin() as session:
        make_world(session)
        emit(session, EventKind.SMS_UNCLEAR, subject=about)
    return about


def opened(subject: Subject) -> OpenedEvent:
    """An event of now that asks the desk to look at something."""
    return OpenedEvent(
        id=new_id(),
        party=DESK,
        kind=EventKind.SMS_UNCLEAR,
        subject=subject,
        episode_id=None,
        at=service_clock.now(),
        data={},
    )


def states(sessions: sessionmaker[Session], subject: Subject) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(Task.state).where(Task.subject_id == subject.id)))


def somebody_waits(sessions: sessionmaker[Session]) -> bool:
    with sessions() as session:
        return bool(session.scalar(WAITING))


@pytest.mark.parametrize("others", [0, 3], ids=["alone", "in a bag"])
def test_a_worker_waits_for_a_settlement_that_is_under_way(
    own_database: sessionmaker[Session], subject: Subject, others: int
) -> None:
    with own_database() as session:
        emit_unclear(session, others)
        bag = bag_of(waiting(session, DESK))
    worker = Thread(target=handle_bag, args=(DESK.value, bag))
    with own_database.begin() as settling:
        assert settle_tasks(settling, SYSTEM, subject, {TaskKind.READ_MESSAGE}) == 0
        worker.start()
        assert wait_until(lambda: somebody_waits(own_database) or not worker.is_alive(), 30)
    worker.join(30)
    assert states(own_database, subject) == []
    with own_database() as session:
        assert len(session.scalars(select(Task.id)).all()) == others
        assert session.scalars(select(Event.failures)).all() == [0] * (1 + others)


def test_a_settlement_waits_for_a_worker_that_is_just_opening_the_task(
    own_database: sessionmaker[Session], subject: Subject
) -> None:
    def settle() -> None:
        with own_database.begin() as session:
            settle_tasks(session, SYSTEM, subject, {TaskKind.READ_MESSAGE})

    settler = Thread(target=settle)
    with own_database.begin() as opening:
        carry_out(opening, [opened(subject)], DEFAULT)
        settler.start()
        assert wait_until(lambda: somebody_waits(own_database) or not settler.is_alive(), 30)
    settler.join(30)
    assert states(own_database, subject) == ["completed"]


def test_workers_do_not_wait_for_each_other(own_database: sessionmaker[Session], subject: Subject) -> None:
    with own_database.begin() as opening:
        carry_out(opening, [opened(subject)], DEFAULT)
        with own_database() as session:
            bag = bag_of(waiting(session, DESK))
        handle_bag(DESK, bag)
        assert states(own_database, subject) == ["requested"]
