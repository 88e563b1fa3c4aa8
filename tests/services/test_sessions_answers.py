"""What patients answer about their visits, by link and by text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import NotAllowed, NotFound, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.incoming import read_sms
from services.messaging.keywords import Command, Reading
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.patients import details_of
from services.sessions import answers, bookings
from services.sessions.states import SessionKind
from tests.factories import audited
from tests.factories_messaging import DEFAULT, emitted, keep_text
from tests.factories_prescribing import Case, make_case
from tests.factories_sessions import book, stopped_clock, tasks_about, therapist

TALK = {"kind": SessionKind.PREPARATION}
DAY = timedelta(days=1)
COMMANDS = {Command.CONFIRM: answers.confirm_by_sms, Command.RESCHEDULE: answers.reschedule_by_sms}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_case(session)


def test_a_patient_confirms_once(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = book(session, case, **TALK)
    first = clock.now()
    answers.confirm_session(session, case.patient, row.id)
    moment.shift(60)
    answers.confirm_session(session, case.patient, row.id)
    assert row.confirmed_at == first
    assert [event["party"] for event in emitted(session, EventKind.SESSION_CONFIRMED)] == ["therapist"]
    assert audited(session).count("session.confirm") == 1


def test_a_patient_asks_for_another_time_once_and_the_session_stands(session: Session, case: Case) -> None:
    row = book(session, case, **TALK)
    answers.confirm_session(session, case.patient, row.id)
    for _ in range(2):
        answers.ask_to_reschedule(session, case.patient, row.id)
    assert (row.state, row.confirmed_at, row.reschedule_asked_at) == ("scheduled", None, clock.now())
    assert len(emitted(session, EventKind.SESSION_RESCHEDULE_ASKED)) == 1


def test_who_confirms_after_all_needs_no_other_time(session: Session, case: Case) -> None:
    row = book(session, case, **TALK)
    answers.ask_to_reschedule(session, case.patient, row.id)
    kind, subject = TaskKind.RESCHEDULE_SESSION, Subject("session", row.id)
    open_task(session, kind, party=Party.THERAPIST, owner_id=row.therapist_id, subject=subject, due_at=clock.now())
    answers.confirm_session(session, case.patient, row.id)
    assert (row.reschedule_asked_at, tasks_about(session, row.id)) == (None, {"reschedule_session": "cancelled"})


def test_the_past_is_not_confirmed(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = book(session, case, **TALK)
    moment.move_to(row.starts_at)
    for answer in (answers.confirm_session, answers.ask_to_reschedule):
        with pytest.raises(RuleRefused) as refusal:
            answer(session, case.patient, row.id)
        assert refusal.value.rule == "sessions.in_the_past"


def test_only_the_patient_answers(session: Session, case: Case) -> None:
    row = book(session, case, **TALK)
    with pytest.raises(NotAllowed):
        answers.confirm_session(session, therapist(case), row.id)
    with pytest.raises(NotFound):
        answers.confirm_session(session, make_case(session).patient, row.id)


def test_a_text_is_about_the_next_session_that_stands(session: Session, case: Case) -> None:
    later = book(session, case, starts_at=clock.now() + 9 * DAY, **TALK)
    cancelled = book(session, case, starts_at=clock.now() + DAY, **TALK)
    following = book(session, case, starts_at=clock.now() + 2 * DAY, **TALK)
    bookings.cancel_session(session, therapist(case), cancelled.id, Personal("Ill."))
    assert answers.confirm_by_sms(session, case.patient, case.episode, Reading(Command.CONFIRM))
    assert (later.confirmed_at, following.confirmed_at) == (None, clock.now())
    assert answers.reschedule_by_sms(session, case.patient, case.episode, Reading(Command.RESCHEDULE))
    assert (following.confirmed_at, following.reschedule_asked_at) == (None, clock.now())


def test_without_a_session_ahead_a_person_reads_the_text(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = book(session, case, **TALK)
    moment.move_to(row.starts_at)
    assert not answers.confirm_by_sms(session, case.patient, case.episode, Reading(Command.CONFIRM))
    assert not answers.reschedule_by_sms(session, case.patient, case.episode, Reading(Command.RESCHEDULE))


@pytest.mark.parametrize(("text", "attribute"), [("confirm", "confirmed_at"), ("RESCHED", "reschedule_asked_at")])
def test_a_text_that_came_in_reaches_the_session(session: Session, case: Case, text: str, attribute: str) -> None:
    row = book(session, case, **TALK)
    mobile = details_of(session, case.episode.patient_id).mobile.reveal()
    read_sms(session, keep_text(session, text, mobile), DEFAULT, COMMANDS)
    assert getattr(row, attribute) == clock.now()
    assert emitted(session, EventKind.SMS_UNCLEAR) == []
