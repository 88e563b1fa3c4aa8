"""Timers: each fires once when its time has come, unless what it watches ended first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from services.audit.models import AuditRecord
from services.core import clock as service_clock
from services.core.ids import new_id
from services.core.vocabulary import EventKind
from services.messaging.models import Event, Timer
from services.messaging.outbox import Subject
from services.messaging.timers import cancel_timers, fire_due, set_timer
from services.people.models import Episode
from tests.factories import World, make_episode
from tests.workers.bags import DEFAULT
from workers import ticker

HOUR = timedelta(hours=1)
DUE, CALL = EventKind.CHECK_IN_DUE, EventKind.RECEIPT_CALL_DUE  # one party each


def set_one(
    session: Session, episode: Episode, kind: EventKind = DUE, subject: Subject | None = None, after: timedelta = HOUR
) -> Timer:
    about = subject or Subject("session", new_id())
    timer = set_timer(session, kind, episode, about, service_clock.now() + after)
    session.commit()
    return timer


def fired(session: Session) -> list[str]:
    """The kinds of the events that timers made."""
    session.expire_all()
    return sorted(session.scalars(select(Event.kind).where(Event.kind.in_([DUE, CALL]))))


def test_a_timer_fires_when_its_time_has_come_and_only_once(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    timer = set_one(session, make_episode(session, world=world))
    clock.shift(HOUR - timedelta(seconds=1))
    assert fire_due(session) == 0
    clock.shift(timedelta(seconds=1))
    assert [fire_due(session), fire_due(session)] == [1, 0]
    session.commit()
    clock.shift(timedelta(days=365))
    assert fire_due(session) == 0
    assert fired(session) == [DUE]
    assert (timer.outcome, timer.ended_at is not None) == ("fired", True)


def test_a_timer_that_fired_is_on_the_audit_trail(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    episode = make_episode(session, world=world)
    timer = set_one(session, episode)
    clock.shift(HOUR)
    fire_due(session)
    session.commit()
    (found,) = session.scalars(select(AuditRecord).where(AuditRecord.action == "timer.fire")).all()
    assert (found.subject_id, found.episode_id, found.detail) == (timer.subject_id, episode.id, {"event": DUE})


def test_a_cancelled_timer_does_not_fire(session: Session, world: World, clock: time_machine.Traveller) -> None:
    subject = Subject("session", new_id())
    timer = set_one(session, make_episode(session, world=world), subject=subject)
    cancel_timers(session, subject)
    clock.shift(2 * HOUR)
    assert fire_due(session) == 0
    session.refresh(timer)
    assert timer.outcome == "cancelled"


def test_only_the_kinds_that_were_named_are_cancelled(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    subject, episode = Subject("shipment", new_id()), make_episode(session, world=world)
    for kind in (DUE, CALL):
        set_one(session, episode, kind, subject)
    cancel_timers(session, subject, {DUE})
    clock.shift(HOUR)
    fire_due(session)
    assert fired(session) == [CALL]


def test_timers_of_another_subject_go_on(session: Session, world: World, clock: time_machine.Traveller) -> None:
    episode = make_episode(session, world=world)
    set_one(session, episode)
    cancel_timers(session, Subject("session", new_id()))
    clock.shift(HOUR)
    assert fire_due(session) == 1


def test_cancelling_what_fired_leaves_it_fired(session: Session, world: World, clock: time_machine.Traveller) -> None:
    timer = set_one(session, make_episode(session, world=world))
    clock.shift(HOUR)
    fire_due(session)
    cancel_timers(session, Subject("session", timer.subject_id))
    session.refresh(timer)
    assert timer.outcome == "fired"


def test_more_timers_than_fit_one_batch_all_fire(session: Session, world: World, clock: time_machine.Traveller) -> None:
    episode = make_episode(session, world=world)
    for _ in range(5):
        set_one(session, episode)
    clock.shift(HOUR)
    assert [fire_due(session, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert fired(session) == [DUE] * 5


def test_the_ticker_fires_them_all_at_once(session: Session, world: World, clock: time_machine.Traveller) -> None:
    episode = make_episode(session, world=world)
    for _ in range(5):
        set_one(session, episode)
    clock.shift(HOUR)
    for _ in range(2):
        ticker.fire_timers(DEFAULT)
    assert fired(session) == [DUE] * 5


def test_two_tickers_at_once_fire_a_timer_once(own_database: sessionmaker[Session]) -> None:
    with own_database.begin() as session:
        episode = make_episode(session)
        for _ in range(20):
            set_timer(session, DUE, episode, Subject("session", new_id()), service_clock.now() - HOUR)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ticker.fire_timers, [DEFAULT] * 4))
    with own_database() as session:
        assert fired(session) == [DUE] * 20
