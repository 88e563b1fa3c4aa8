"""Texts all the way: an event in the outbox, the worker's bag, the provider, its webhooks, the tasks that follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.local.sandbox.endpoints import Sandbox
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party
from services.messaging.models import DeadLetter, Event, Notice, Task
from services.messaging.outbox import Subject, emit
from services.people import consents
from services.people.accounts import change_on_call
from services.people.models import Episode
from services.people.tokens import actor_for
from tests.factories import World, make_episode, make_world
from tests.factories_messaging import DAYTIME, MOBILE, keep_report, keep_text, running_sandbox, texted, texts_of
from workers.handlers import handle_bag
from workers.queues import Envelope


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sandbox(environment: Mapping[str, str], clock: time_machine.Traveller) -> Iterator[Sandbox]:
    with running_sandbox(environment) as sandbox:
        yield sandbox


@pytest.fixture
def world(session: Session, clock: time_machine.Traveller) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, mobile=MOBILE)


def work(session: Session, *parties: Party, times: int = 1) -> None:
    """Let the workers of ``parties`` handle what lies in the outbox for them; ``times`` repeats each bag."""
    session.commit()
    for party in parties:
        rows = session.scalars(select(Event).where(Event.party == party, Event.acknowledged_at.is_(None)))
        bag = [Envelope(row.id, row.kind, row.key_name, row.envelope).packed() for row in rows]
        for _ in range(times):
            handle_bag(party.value, bag)
    session.expire_all()


def parcel_is(session: Session, episode: Episode, kind: EventKind, subject: Subject) -> None:
    emit(session, kind, subject=subject, episode_id=episode.id, to=[Party.PATIENT])


def test_a_bag_that_comes_twice_texts_the_patient_once(session: Session, sandbox: Sandbox, episode: Episode) -> None:
    parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, Subject("shipment", new_id()))
    work(session, Party.PATIENT, times=3)
    (text,) = texted(sandbox)
    assert text[0] == MOBILE
    assert "is on its way" in text[1]


def test_two_events_about_one_stage_text_the_patient_once(session: Session, sandbox: Sandbox, episode: Episode) -> None:
    parcel = Subject("shipment", new_id())
    for _ in range(2):
        parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, parcel)
    work(session, Party.PATIENT)
    assert len(texted(sandbox)) == 1
    assert texts_of(session, episode.patient_id) == [("package_in_transit", "sent")]


def test_one_event_that_cannot_be_texted_does_not_hold_up_its_bag(
    session: Session, sandbox: Sandbox, episode: Episode
) -> None:
    emit(session, EventKind.SESSION_BOOKED, subject=Subject("session", new_id()), episode_id=episode.id)  # no time
    parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, Subject("shipment", new_id()))
    work(session, Party.PATIENT)
    assert len(texted(sandbox)) == 1
    failed = session.scalars(select(Event).where(Event.kind == EventKind.SESSION_BOOKED)).one()
    assert (failed.failures, failed.last_failure, failed.acknowledged_at) == (1, "InvalidInput", None)


def test_stop_by_text_ends_all_texts_with_one_confirmation(
    session: Session, sandbox: Sandbox, episode: Episode
) -> None:
    keep_text(session, "STOP")
    work(session, Party.PATIENT)
    parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, Subject("shipment", new_id()))
    work(session, Party.PATIENT)
    (text,) = texted(sandbox)
    assert "you opted out" in text[1]
    assert not consents.may_be_texted(session, episode.patient_id)


def test_a_crisis_by_text_answers_the_patient_opens_urgent_tasks_and_pages_whoever_is_on_call(
    session: Session, sandbox: Sandbox, world: World, episode: Episode
) -> None:
    change_on_call(session, actor_for(world.operator), world.medical_staff.id, True)
    message_id = keep_text(session, "i want to die")
    work(session, Party.PATIENT)
    work(session, Party.THERAPIST, Party.MEDICAL_TEAM, Party.PATIENT)
    texts = texted(sandbox)
    assert [number for number, words in texts if "988" in words] == [MOBILE]
    assert len([words for _, words in texts if words.startswith("You have an urgent task")]) == 2
    tasks = session.scalars(select(Task).where(Task.subject_id == message_id)).all()
    assert {(task.owner_id, task.kind, task.priority) for task in tasks} == {
        (world.therapist.id, "check_on_patient", "stat"),
        (world.prescriber.id, "check_on_patient", "stat"),
    }


def test_a_status_report_by_webhook_settles_the_notice(session: Session, sandbox: Sandbox, episode: Episode) -> None:
    parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, Subject("shipment", new_id()))
    work(session, Party.PATIENT)
    notice = session.scalars(select(Notice)).one()
    for status in ("delivered", "sent", "delivered"):
        keep_report(session, notice, status)
    work(session, Party.PATIENT, times=2)
    assert texts_of(session, episode.patient_id) == [("package_in_transit", "delivered")]


def test_an_unknown_status_ends_as_a_dead_letter_that_the_desk_has_a_task_for(
    session: Session, sandbox: Sandbox, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, Subject("shipment", new_id()))
    work(session, Party.PATIENT)
    keep_report(session, session.scalars(select(Notice)).one(), "teleported")
    for _ in range(8):
        work(session, Party.PATIENT)
        clock.shift(timedelta(hours=1))
    work(session, Party.OPERATIONS)
    letter = session.scalars(select(DeadLetter)).one()
    assert (letter.kind, letter.reason) == ("sms.status_received", "failed_too_often")
    task = session.scalars(select(Task).where(Task.subject_id == letter.id)).one()
    assert (task.kind, task.owner_id) == ("handle_dead_letter", world.operations.id)


def test_a_text_that_cannot_be_delivered_becomes_a_task_of_the_therapist(
    session: Session, sandbox: Sandbox, world: World, episode: Episode
) -> None:
    sandbox.faults.order({"kind": "refuse", "code": 21614})
    parcel_is(session, episode, EventKind.SHIPMENT_IN_TRANSIT, Subject("shipment", new_id()))
    work(session, Party.PATIENT, Party.THERAPIST)
    notice = session.scalars(select(Notice)).one()
    task = session.scalars(select(Task).where(Task.subject_id == notice.id)).one()
    assert (task.kind, task.owner_id) == ("contact_patient", world.therapist.id)
