"""Where the dose demands it, somebody of the medical team checks in at the start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IllegalTransition, NotAllowed, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.sessions import bookings, histories
from services.sessions.bookings import Move
from services.sessions.models import TherapySession
from services.sessions.physician_checks import check_in_at_start
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case
from tests.factories_programmes import run_under
from tests.factories_sessions import (
    book,
    give,
    make_ready,
    make_supplied,
    measure,
    stopped_clock,
    tasks_about,
    therapist,
    timers,
)

OVER_50 = {"sessions.physician_check_in": True, "sessions.physician_check_in_over_mg": 50}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


def ready(session: Session, case: Case, moment: time_machine.Traveller) -> TherapySession:
    row = book(session, case)
    moment.move_to(row.starts_at)
    make_ready(session, case, row)
    measure(session, case, row)
    return row


def test_over_the_limit_nothing_is_taken_until_somebody_checked_in(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    run_under(session, case.episode, OVER_50)
    row = ready(session, case, moment)
    (event,) = emitted(session, EventKind.PHYSICIAN_AWAITED)
    assert (event["party"], event["subject"]) == ("medical_team", ["session", str(row.id)])
    due, subject = clock.now(), Subject("session", row.id)
    open_task(
        session,
        TaskKind.ATTEND_START,
        party=Party.MEDICAL_TEAM,
        owner_id=case.world.medical_team.id,
        subject=subject,
        due_at=due,
    )
    give(session, case, row, 50)
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        give(session, case, row, 1)
    assert [(finding.rule, finding.value) for finding in refusal.value.findings] == [("sessions.physician_missing", 50)]
    assert check_in_at_start(session, case.prescriber, row.id, Personal("Calm, ready.")).state == "dosed"
    assert give(session, case, row, 50)
    assert tasks_about(session, row.id) == {"attend_start": "completed"}
    checks = histories.read_session(session, therapist(case), row.id).checks
    assert checks is not None
    assert [(each.check.kind, each.content.reveal()) for each in checks] == [
        ("physician_check_in", {"note": "Calm, ready."})
    ]
    assert "session.attend_start" in audited(session)


def test_the_medical_team_hears_of_it_a_day_ahead_and_again_when_it_moves(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    run_under(session, case.episode, OVER_50)
    row = book(session, case, starts_at=clock.now() + timedelta(hours=60))
    assert timers(session, row.id)["physician.wanted"] == timedelta(hours=36)
    bookings.move_session(session, therapist(case), row.id, Move(starts_at=clock.now() + timedelta(hours=10)))
    assert timers(session, row.id)["physician.wanted"] == timedelta(0)
    bookings.cancel_session(session, therapist(case), row.id, Personal("Ill."))
    assert timers(session, row.id) == {}


def test_without_the_duty_nobody_of_the_medical_team_is_asked(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = ready(session, case, moment)
    assert give(session, case, row, 100)
    assert "physician.wanted" not in timers(session, row.id)
    assert emitted(session, EventKind.PHYSICIAN_AWAITED) == []


def test_only_the_physician_checks_in_and_only_once_it_begins(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = book(session, case)
    with pytest.raises(IllegalTransition):
        check_in_at_start(session, case.prescriber, row.id)
    moment.move_to(row.starts_at)
    make_ready(session, case, row)
    for actor in (therapist(case), case.actor("medical_staff"), case.actor("pharmacist"), case.patient):
        with pytest.raises(NotAllowed):
            check_in_at_start(session, actor, row.id)
    assert check_in_at_start(session, case.prescriber, row.id).state == "ready"
