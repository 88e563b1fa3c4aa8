"""A party's worker and its bag: everything in it is handled once, and nothing in it harms the rest."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from services.audit.models import AuditRecord
from services.core import clock as service_clock
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import DeadLetter, Task, WebhookDelivery
from tests.factories import World, make_world
from tests.factories_messaging import keep_text
from tests.own_services import service_with
from tests.workers.bags import (
    bag_of,
    count,
    emit_for,
    emit_unclear,
    letters,
    packed,
    tasks_of,
    told_of,
    waiting,
)
from workers.handlers import handle_bag, run_errands

DESK = Party.OPERATIONS
NOBODY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"  # where no server listens


def test_a_bag_is_handled_and_acknowledged(session: Session, world: World) -> None:
    events = emit_unclear(session, 5)
    handle_bag(DESK, bag_of(events))
    assert [(task.kind, task.owner_id) for task in tasks_of(session, *events)] == [
        (TaskKind.READ_MESSAGE, world.operations.id)
    ] * 5
    assert {event.outcome for event in events} == {"handled"}
    assert waiting(session, DESK) == []


def test_a_bag_that_comes_again_changes_nothing(session: Session, world: World) -> None:
    events = emit_unclear(session, 5)
    for _ in range(3):
        handle_bag(DESK, bag_of(events))
    assert (count(session, Task), count(session, DeadLetter)) == (5, 0)


def test_a_bag_that_overlaps_another_is_done_for_what_is_new(session: Session, world: World) -> None:
    events = emit_unclear(session, 5)
    handle_bag(DESK, bag_of(events[:3]))
    handle_bag(DESK, bag_of(events[1:]))
    assert [len(tasks_of(session, event)) for event in events] == [1] * 5


def test_an_envelope_that_lies_twice_in_one_bag_is_carried_out_once(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    handle_bag(DESK, bag_of([event, event, event]))
    assert len(tasks_of(session, event)) == 1


def test_every_event_handled_is_on_the_audit_trail_once(session: Session, world: World) -> None:
    events = emit_unclear(session, 3)
    for _ in range(2):
        handle_bag(DESK, bag_of(events))
    handled = session.scalars(select(AuditRecord.detail).where(AuditRecord.action == "event.handle")).all()
    assert sorted(detail["event"] for detail in handled) == sorted(str(event.id) for event in events)


def test_one_bag_handed_to_several_workers_at_once_is_handled_once(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        make_world(session)
    with own_database() as session:
        events = emit_unclear(session, 30)
        bag = bag_of(events)
        # The other way round too: the order in which rows are locked must not matter.
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda each: handle_bag(DESK, each), [bag, bag[::-1], bag, bag[::-1]]))
        assert [len(tasks_of(session, event)) for event in events] == [1] * 30
        assert count(session, DeadLetter) == 0


def altered_bytes(fields: list[str]) -> list[Any]:
    sealed = bytearray(base64.b64decode(fields[3]))
    sealed[-1] ^= 1
    return [*fields[:3], base64.b64encode(sealed).decode()]


ALTERATIONS: dict[str, Callable[[list[str]], Any]] = {
    "a bit of the ciphertext": altered_bytes,
    "no ciphertext": lambda fields: [*fields[:3], ""],
    "the kind": lambda fields: [fields[0], EventKind.SMS_CRISIS_UNPLACED, *fields[2:]],
    "a kind that does not exist": lambda fields: [fields[0], "nothing.ever", *fields[2:]],
    "the name of the key": lambda fields: [*fields[:2], "k-000000000000", fields[3]],
    "not base64": lambda fields: [*fields[:3], "%%%"],
    "a field too few": lambda fields: fields[:3],
    "a field too many": lambda fields: [*fields, "more"],
    "numbers in place of texts": lambda fields: [fields[0], 1, 2, 3],
    "a kind that no text column takes": lambda fields: [fields[0], "a\0b", *fields[2:]],
}


@pytest.mark.parametrize("how", ALTERATIONS)
def test_an_envelope_altered_on_the_way_is_buried_and_the_true_event_still_handled(
    session: Session, world: World, how: str
) -> None:
    events = emit_unclear(session, 3)
    bag: list[Any] = bag_of(events)
    bag[1] = ALTERATIONS[how](bag[1])
    handle_bag(DESK, bag)
    assert [len(tasks_of(session, event)) for event in events] == [1, 0, 1]
    (letter,) = letters(session)
    assert (letter.reason, letter.event_id) == ("altered_on_the_way", events[1].id)
    assert events[1].next_relay_at <= service_clock.now()
    (task,) = told_of(session, world, letter)
    assert task.kind == TaskKind.HANDLE_DEAD_LETTER
    assert [len(tasks_of(session, event)) for event in events] == [1, 1, 1]


@pytest.mark.parametrize("entry", [None, 7, "text", [], {}, ["no id", "kind", "key", ""]])
def test_what_is_no_envelope_at_all_is_buried_and_harms_nothing(session: Session, world: World, entry: object) -> None:
    events = emit_unclear(session, 2)
    bag: list[Any] = bag_of(events)
    bag.insert(1, entry)
    handle_bag(DESK, bag)
    assert [len(tasks_of(session, event)) for event in events] == [1, 1]
    assert [letter.reason for letter in letters(session)] == ["no_such_event"]


def test_an_altered_copy_of_an_event_that_was_handled_is_buried(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    handle_bag(DESK, bag_of([event]))
    handle_bag(DESK, [altered_bytes(packed(event))])
    assert [letter.reason for letter in letters(session)] == ["altered_on_the_way"]
    assert len(tasks_of(session, event)) == 1


def test_an_event_that_does_not_open_is_buried_and_the_desk_told(session: Session, world: World) -> None:
    events = emit_unclear(session, 3)
    events[1].envelope = os.urandom(1400)
    session.commit()
    handle_bag(DESK, bag_of(events))
    assert [len(tasks_of(session, event)) for event in events] == [1, 0, 1]
    (letter,) = letters(session)
    assert (letter.reason, letter.event_id, letter.envelope) == ("unreadable", events[1].id, events[1].envelope)
    assert (events[1].outcome, events[1].acknowledged_at is not None) == ("dead", True)
    assert [task.kind for task in told_of(session, world, letter)] == [TaskKind.HANDLE_DEAD_LETTER]


def test_an_envelope_with_an_unknown_id_is_buried_and_never_opened(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    stranger: UUID = new_id()
    handle_bag(DESK, [[str(stranger), *packed(event)[1:]], packed(event)])
    (letter,) = letters(session)
    assert (letter.reason, letter.event_id) == ("no_such_event", stranger)
    assert len(tasks_of(session, event)) == 1
    assert count(session, Task) == 1
    assert len(told_of(session, world, letter)) == 1


def test_an_event_of_another_party_is_buried_and_stays_that_partys_to_handle(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    handle_bag(Party.PHARMACY, bag_of([event]))
    assert [letter.reason for letter in letters(session)] == ["no_such_event"]
    assert event.acknowledged_at is None
    handle_bag(DESK, bag_of([event]))
    assert len(tasks_of(session, event)) == 1


def test_an_event_that_cannot_be_carried_out_does_not_harm_its_bag(session: Session, world: World) -> None:
    good = emit_unclear(session, 2)
    bad = emit_for(session, EventKind.INTEGRATION_ESCALATED, DESK, new_id())  # its episode does not exist; no harm
    worse = emit_for(session, EventKind.TASK_REMINDED, DESK, None)  # names no owner
    handle_bag(DESK, bag_of([good[0], worse, bad, good[1]]))
    assert [len(tasks_of(session, event)) for event in (*good, bad)] == [1, 1, 1]
    assert (worse.acknowledged_at, worse.failures, worse.last_failure) == (None, 1, "KeyError")
    assert letters(session) == []


def test_a_record_that_an_effect_cannot_open_is_a_failure_and_no_unreadable_envelope(
    session: Session, world: World
) -> None:
    delivery_id = keep_text(session, "HELP")
    session.get_one(WebhookDelivery, delivery_id).raw = os.urandom(60)
    session.commit()
    (event,) = waiting(session, Party.PATIENT)
    handle_bag(Party.PATIENT, bag_of([event]))
    assert letters(session) == []
    assert (event.failures, event.last_failure) == (1, "UnreadableSeal")


def test_the_effects_of_an_event_that_fails_are_undone_as_a_whole(session: Session, world: World) -> None:
    # The task comes first in this route; the page then finds no owner.
    failed = emit_for(session, EventKind.RISK_PAGED, Party.THERAPIST, None)
    handle_bag(Party.THERAPIST, bag_of([failed]))
    assert (count(session, Task), failed.failures) == (0, 1)
    written = session.scalars(select(func.count()).where(AuditRecord.action == "event.handle")).one()
    assert written == 0


def test_a_bag_that_comes_while_postgresql_is_away_waits_for_the_relay(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        make_world(session)
    with own_database() as session:
        bag = bag_of(emit_unclear(session, 3))
    with service_with(DATABASE_URL=NOBODY):
        handle_bag(DESK, bag)
        run_errands(Party.PATIENT)
    with own_database() as session:
        assert [event.failures for event in waiting(session, DESK)] == [0] * 3
        handle_bag(DESK, bag)
        assert count(session, Task) == 3


def test_the_news_of_a_dead_letter_never_dies_and_never_breeds(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    (event,) = emit_unclear(session)
    event.envelope = os.urandom(1400)
    session.commit()
    handle_bag(DESK, bag_of([event]))
    (news,) = waiting(session, DESK)
    readable, news.envelope = news.envelope, os.urandom(1400)  # as if the desk's worker lacked its key
    session.commit()
    for _ in range(20):
        handle_bag(DESK, bag_of(waiting(session, DESK)))
        clock.shift(timedelta(hours=1))
    assert count(session, DeadLetter) == 1
    assert [each.kind for each in waiting(session, DESK)] == [EventKind.LETTER_DIED]
    news.envelope = readable
    session.commit()
    assert len(told_of(session, world, letters(session)[0])) == 1
