"""What a task asks for may be done before the task exists: then it is not opened any more."""

from __future__ import annotations

from datetime import timedelta

import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from tests.factories import World
from tests.workers.bags import bag_of, waiting
from workers.handlers import handle_bag

SUBJECT = Subject("message", new_id())


def tasks_about(session: Session, subject: Subject) -> list[str]:
    session.expire_all()
    return list(session.scalars(select(Task.state).where(Task.subject_id == subject.id)))


def test_a_task_settled_before_it_was_opened_is_not_opened(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    emit(session, EventKind.SMS_UNCLEAR, subject=SUBJECT)
    clock.shift(timedelta(seconds=1))
    assert settle_tasks(session, SYSTEM, SUBJECT, {TaskKind.READ_MESSAGE}) == 0
    session.commit()
    handle_bag(Party.OPERATIONS, bag_of(waiting(session, Party.OPERATIONS)))
    assert tasks_about(session, SUBJECT) == []
    assert waiting(session, Party.OPERATIONS) == []


def test_a_task_asked_for_after_the_settlement_is_opened(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    settle_tasks(session, SYSTEM, SUBJECT, {TaskKind.READ_MESSAGE})
    emit(session, EventKind.SMS_UNCLEAR, subject=SUBJECT)
    session.commit()
    handle_bag(Party.OPERATIONS, bag_of(waiting(session, Party.OPERATIONS)))
    assert tasks_about(session, SUBJECT) == ["requested"]


def test_settling_another_kind_of_task_changes_nothing(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    (event_id,) = emit(session, EventKind.SMS_UNCLEAR, subject=SUBJECT)
    clock.shift(timedelta(seconds=1))
    settle_tasks(session, SYSTEM, SUBJECT, {TaskKind.CHECK_IN})
    session.commit()
    handle_bag(Party.OPERATIONS, bag_of([session.get_one(Event, event_id)]))
    assert tasks_about(session, SUBJECT) == ["requested"]
