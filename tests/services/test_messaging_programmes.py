"""Texts, hours, limits, due times and consents follow the programme that the episode is pinned to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

import services.tables  # noqa: F401 - so that every table is known
from services.core import clock as service_clock
from services.core.actors import Actor, Role
from services.core.errors import RuleRefused
from services.core.vocabulary import EventKind, NoticeKind, Party, Priority, TaskKind
from services.messaging.escalations import escalate_due
from services.messaging.governing import governing_programme
from services.messaging.incoming import read_sms
from services.messaging.models import Notice, Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.consents import ConsentKind
from services.people.models import Episode
from services.screening.agreements import agree, texts_for
from services.screening.consent_texts import current_texts
from tests.factories import World, make_episode, make_patient_actor, make_world
from tests.factories_messaging import DAYTIME, DEFAULT, MOBILE, body_of, keep_text, tell
from tests.factories_programmes import run_under
from workers.effects import OpenedEvent, carry_out


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(session: Session, clock: time_machine.Traveller) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, mobile=MOBILE)


def event(episode: Episode, party: Party, kind: EventKind, at: datetime) -> OpenedEvent:
    return OpenedEvent(
        id=episode.id,
        party=party,
        kind=kind,
        subject=Subject("episode", episode.id),
        episode_id=episode.id,
        at=at,
        data={},
    )


def test_a_task_is_due_when_the_episodes_programme_says(session: Session, world: World, episode: Episode) -> None:
    run_under(session, episode, {"sla.review_hours": 1})
    other = make_episode(session, world=world)
    now = service_clock.now()
    for each in (episode, other):
        carry_out(session, [event(each, Party.MEDICAL_TEAM, EventKind.SCREENING_COMPLETED, now)], DEFAULT)
    session.flush()
    due = {task.episode_id: task.due_at for task in session.scalars(select(Task))}
    assert due == {episode.id: now + timedelta(hours=1), other.id: now + timedelta(hours=48)}


def test_a_task_escalates_as_the_episodes_programme_says(session: Session, world: World, episode: Episode) -> None:
    run_under(session, episode, {"escalation.team_after_hours": 1})
    now = service_clock.now()
    task = open_task(
        session,
        TaskKind.CHECK_IN,
        party=Party.THERAPIST,
        owner_id=world.therapist.id,
        subject=Subject("episode", episode.id),
        due_at=now,
        priority=Priority.ROUTINE,
        episode_id=episode.id,
    )
    session.flush()
    escalate_due(session, DEFAULT)
    assert task.escalate_at == now + timedelta(hours=1)


def test_a_text_has_the_words_of_the_episodes_programme_and_keeps_its_hours(
    session: Session, world: World, episode: Episode
) -> None:
    words = "{clinic}: something is new {link} Call {phone}. Reply STOP to opt out"
    run_under(session, episode, {"texts.decision_made.text": words, "sms.quiet_hours.start_hour": 11})
    other = make_episode(session, world=world)
    now = service_clock.now()  # 10:00 in California
    for each in (episode, other):
        carry_out(session, [event(each, Party.PATIENT, EventKind.ELIGIBILITY_APPROVED, now)], DEFAULT)
    own, usual = (
        session.scalars(select(Notice).where(Notice.recipient_id == each.patient_id)).one() for each in (episode, other)
    )
    assert "something is new" in body_of(session, own)
    assert "there is news" in body_of(session, usual)
    assert (own.state, own.send_at, usual.state) == ("held", now + timedelta(hours=1), "pending")


def test_limits_are_those_of_the_episodes_programme(session: Session, episode: Episode) -> None:
    own = run_under(session, episode, {"sms.caps.per_7_days": 0})
    assert governing_programme(session, episode.id, DEFAULT) == own
    assert governing_programme(session, None, DEFAULT) is DEFAULT
    carry_out(session, [event(episode, Party.PATIENT, EventKind.ELIGIBILITY_APPROVED, service_clock.now())], DEFAULT)
    notice = session.scalars(select(Notice).where(Notice.kind == NoticeKind.DECISION_MADE)).one()
    assert (notice.state, notice.reason) == ("expired", "sms.caps.per_7_days")
    assert tell(session, episode).state == "pending"  # whoever is handed another programme judges by that one


def test_a_text_that_comes_in_is_answered_as_the_episodes_programme_says(session: Session, episode: Episode) -> None:
    run_under(session, episode, {"sms.incoming.auto_reply_every_hours": 1})
    for body in ("who is this", "hello?"):
        read_sms(session, keep_text(session, body), DEFAULT, {})
        session.flush()
    assert replies(session, episode) == 1
    with time_machine.travel(DAYTIME + timedelta(hours=1, seconds=1), tick=False):
        read_sms(session, keep_text(session, "anybody there"), DEFAULT, {})
        session.flush()
    assert replies(session, episode) == 2


def replies(session: Session, episode: Episode) -> int:
    query = select(Notice).where(Notice.recipient_id == episode.patient_id, Notice.kind == NoticeKind.REPLY_RECEIVED)
    return len(session.scalars(query).all())


def test_the_patient_agrees_to_the_text_of_the_own_programme(session: Session, world: World, episode: Episode) -> None:
    usual = current_texts()[ConsentKind.TREATMENT]
    own = {"version": "own-1", "title": usual.title, "wording": "At home. " + usual.wording}
    run_under(session, episode, {f"consents.treatment.{part}": value for part, value in own.items()})
    patient = make_patient_actor(episode)
    assert texts_for(session, patient)[ConsentKind.TREATMENT].version == "own-1"
    assert texts_for(session, world.actor("therapist"))[ConsentKind.TREATMENT] == usual
    assert texts_for(session, Actor(episode.patient_id, Role.PATIENT))[ConsentKind.TREATMENT] == usual
    with pytest.raises(RuleRefused) as refusal:
        agree(session, patient, episode.id, ConsentKind.TREATMENT, usual.version)
    assert refusal.value.rule == "consent.current_text"
    assert agree(session, patient, episode.id, ConsentKind.TREATMENT, "own-1").text_version == "own-1"
