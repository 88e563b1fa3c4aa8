"""The outbox: what is due, what was never acknowledged, what fails again and again, and what is given another life."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from services.audit.models import AuditRecord
from services.core import clock as service_clock
from services.core.errors import Conflict, NotFound
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Event
from services.messaging.outbox import MOST_COUNTED, Subject, emit, put_back, replay, take_due
from tests.factories import World, make_world
from tests.workers.bags import (
    DEFAULT,
    bag_of,
    emit_for,
    emit_unclear,
    letters,
    tasks_of,
    told_of,
    waiting,
    with_settings,
)
from workers.handlers import handle_bag

SOON = timedelta(seconds=20)
DESK = Party.OPERATIONS


def fail(session: Session, event: Event, times: int = 1) -> Event:
    for _ in range(times):
        put_back(session, event.id, "SomeError", DEFAULT)
    session.commit()
    return event


def test_an_event_is_written_once_for_each_party_that_must_know(session: Session, world: World) -> None:
    emit(session, EventKind.SMS_CRISIS, subject=Subject("message", new_id()))
    parties = sorted(session.scalars(select(Event.party)))
    assert parties == ["medical_team", "therapist"]


def test_what_was_taken_is_not_due_again_until_it_should_have_been_acknowledged(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    emit_unclear(session, 3)
    assert [row.relays for row in take_due(session, 10, SOON)] == [0, 0, 0]
    assert take_due(session, 10, SOON) == []
    clock.shift(SOON)
    assert [row.relays for row in take_due(session, 10, SOON)] == [1, 1, 1]


def test_what_was_acknowledged_is_never_due_again(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    handled, unhandled = emit_unclear(session, 2)
    handle_bag(DESK, bag_of([handled]))
    clock.shift(timedelta(days=30))
    assert [row.id for row in take_due(session, 10, SOON)] == [unhandled.id]


def test_the_oldest_are_taken_first(session: Session, world: World, clock: time_machine.Traveller) -> None:
    events = []
    for _ in range(4):
        events += emit_unclear(session)
        clock.shift(timedelta(seconds=1))
    assert [row.id for row in take_due(session, 3, SOON)] == [event.id for event in events[:3]]


def test_only_the_events_of_the_given_parties_are_taken(session: Session, world: World) -> None:
    emit(session, EventKind.SMS_CRISIS, subject=Subject("message", new_id()))
    taken = take_due(session, 10, SOON, [Party.THERAPIST, Party.PHARMACY])
    assert [row.party for row in taken] == [Party.THERAPIST]
    assert take_due(session, 10, SOON, []) == []


def test_two_that_take_at_once_never_take_the_same(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        make_world(session)
    with own_database() as session:
        emit_unclear(session, 6)
    with own_database() as one, own_database() as other:
        mine, theirs = take_due(one, 4, SOON), take_due(other, 4, SOON)
        assert (len(mine), len(theirs)) == (4, 2)
        assert not {row.id for row in mine} & {row.id for row in theirs}


def test_an_event_relayed_for_weeks_does_not_stop_the_relay(session: Session, world: World) -> None:
    old, new = emit_unclear(session, 2)
    old.relays = MOST_COUNTED
    session.commit()
    assert {row.id for row in take_due(session, 10, SOON)} == {old.id, new.id}


def test_the_pause_after_a_failure_doubles_up_to_the_longest(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    (event,) = emit_unclear(session)
    patient = with_settings(attempts_before_dead_letter=50)
    pauses = []
    for _ in range(40):
        put_back(session, event.id, "SomeError", patient)
        pauses.append((event.next_relay_at - service_clock.now()).total_seconds())
    assert pauses[0] == DEFAULT.number("relay.retry_first_seconds")
    assert pauses[-1] == DEFAULT.number("relay.retry_longest_seconds")
    assert all(later == min(2 * earlier, pauses[-1]) for earlier, later in pairwise(pauses))


def test_an_event_that_fails_too_often_is_buried_and_the_desk_told(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    most = DEFAULT.whole("relay.attempts_before_dead_letter")
    fail(session, event, most - 1)
    assert (event.acknowledged_at, letters(session)) == (None, [])
    fail(session, event)
    (letter,) = letters(session)
    assert (letter.reason, letter.event_id, event.outcome) == ("failed_too_often", event.id, "dead")
    assert len(told_of(session, world, letter)) == 1
    assert len(tasks_of(session, event)) == 0


def test_a_failure_of_an_event_that_another_worker_handled_counts_for_nothing(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    handle_bag(DESK, bag_of([event]))
    session.expire_all()
    fail(session, event)
    assert (event.failures, event.outcome) == (0, "handled")


def buried(session: Session) -> Event:
    (event,) = emit_unclear(session)
    return fail(session, event, DEFAULT.whole("relay.attempts_before_dead_letter"))


def test_a_replayed_letter_gives_its_event_another_life(session: Session, world: World) -> None:
    event = buried(session)
    (letter,) = letters(session)
    replay(session, letter.id)
    session.commit()
    assert (event.failures, event.outcome, event in waiting(session, DESK)) == (0, None, True)
    handle_bag(DESK, bag_of([event]))
    assert len(tasks_of(session, event)) == 1
    assert letter.replayed_at is not None
    trail = session.scalars(select(AuditRecord.action).where(AuditRecord.subject_id == letter.id)).all()
    assert sorted(trail) == ["dead_letter.bury", "dead_letter.replay"]


def test_a_replayed_event_that_fails_again_is_buried_again(session: Session, world: World) -> None:
    event = buried(session)
    replay(session, letters(session)[0].id)
    fail(session, event, DEFAULT.whole("relay.attempts_before_dead_letter"))
    assert len(letters(session)) == 2
    (second,) = [letter for letter in letters(session) if letter.replayed_at is None]
    replay(session, second.id)
    assert event.outcome is None


def test_a_letter_is_replayed_once(session: Session, world: World) -> None:
    buried(session)
    (letter,) = letters(session)
    replay(session, letter.id)
    with pytest.raises(Conflict):
        replay(session, letter.id)


def test_an_envelope_that_was_no_event_cannot_be_replayed(session: Session, world: World) -> None:
    (event,) = emit_unclear(session)
    handle_bag(DESK, [[str(new_id()), *bag_of([event])[0][1:]]])
    with pytest.raises(Conflict, match="never an event"):
        replay(session, letters(session)[0].id)


def test_a_letter_that_does_not_exist_cannot_be_replayed(session: Session, world: World) -> None:
    with pytest.raises(NotFound):
        replay(session, new_id())


def test_a_letter_about_an_altered_copy_cannot_revive_what_was_handled(session: Session, world: World) -> None:
    event = emit_for(session, EventKind.SMS_UNCLEAR, DESK, None)
    (fields,) = bag_of([event])
    handle_bag(DESK, [[*fields[:3], fields[3][:-8]]])
    handle_bag(DESK, bag_of([event]))
    with pytest.raises(Conflict):
        replay(session, letters(session)[0].id)
    assert len(tasks_of(session, event)) == 1
