"""What people write is read as it comes in: help is shown, the care team is asked, no queue holds the text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.models import AuditRecord
from services.core import clock
from services.core.actors import Actor
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility import decisions as eligibility
from services.eligibility.decisions import Decision, Verdict
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject
from services.messaging.states import TaskStep
from services.messaging.tasks import open_task
from services.outcomes import assessments, psychotherapy_notes, reports, responses
from services.people.models import Episode
from services.prescribing import contacts, prescriptions
from services.refills import courses, decisions
from services.screening import risk, screenings, task_reasons
from services.screening.answer_sheets import Part
from services.screening.written_texts import heed, shown_to
from services.sessions import adverse_events, afterwards, bookings, emergencies, ledgers, reconciliations, rounds
from services.sessions.adverse_event_rules import Grade
from services.sessions.states import SessionState
from services.shipping import diversions, shipments
from services.shipping.states import ShipmentStep
from tests.factories import World, make_episode, make_patient_actor, make_world
from tests.factories_outcomes import CLEAR, not_responding
from tests.factories_outcomes import answer as answer_scales
from tests.factories_outcomes import ask as ask_scales
from tests.factories_prescribing import make_case, make_ready, make_shipment, raise_risk
from tests.factories_refills import ask, held_dosing_session
from tests.factories_refills import make_supplied as make_refillable
from tests.factories_screening import (
    NO_TO_ALL,
    approve,
    make_eligible,
    make_referral,
    make_screening,
    open_round,
    reasons_for,
)
from tests.factories_sessions import book, drive, look, make_supplied, therapist

GRAVE = Personal("Canary: she wishes she was dead.")
CRISIS = Personal("Canary: I want to die.")
CALM = Personal("A calm week.")
RESOURCES = ["988", "741741", "911"]


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world)


def told(session: Session) -> list[str]:
    kinds = (EventKind.TEXT_CRISIS, EventKind.TEXT_CONCERNING)
    query = select(Event.kind, Event.party).where(Event.kind.in_(kinds))
    return sorted(f"{kind} {party}" for kind, party in session.execute(query))


ASKED = ["text.concerning medical_team", "text.concerning therapist"]
ALARMED = ["text.crisis medical_team", "text.crisis therapist"]


def test_a_patients_text_shows_help_and_alarms_the_care_team(session: Session, episode: Episode) -> None:
    patient, subject = make_patient_actor(episode), Subject("thing", episode.id)

    assert heed(session, patient, episode, CALM, None, subject=subject) == ()
    assert told(session) == []
    shown = heed(session, patient, episode, CALM, CRISIS, subject=subject)
    assert [each.number for each in shown] == RESOURCES
    assert told(session) == ALARMED
    assert shown_to(session, patient, episode.id, CRISIS) == shown
    assert shown_to(session, patient, episode.id, CALM) == ()


def test_a_clinicians_text_asks_for_a_look_and_shows_nothing(session: Session, world: World, episode: Episode) -> None:
    for who in ("therapist", "prescriber", "medical_staff"):
        subject = Subject("thing", getattr(world, who).id)
        assert heed(session, world.actor(who), episode, GRAVE, subject=subject) == ()
        assert shown_to(session, world.actor(who), episode.id, CRISIS) == ()
    assert told(session) == sorted(ASKED * 3)


def test_a_record_that_is_looked_at_already_asks_nobody_again(session: Session, world: World, episode: Episode) -> None:
    subject, therapist = Subject("thing", episode.id), world.actor("therapist")
    open_task(
        session, TaskKind.ASK_CSSRS, party=Party.THERAPIST, owner_id=therapist.id, subject=subject, due_at=clock.now()
    )
    session.flush()

    heed(session, therapist, episode, GRAVE, subject=subject)
    assert told(session) == []
    heed(session, make_patient_actor(episode), episode, CRISIS, subject=subject)
    assert told(session) == ALARMED


def test_what_a_patient_writes_among_the_medicines_is_read(session: Session, world: World) -> None:
    episode = make_referral(session, world=world).episode
    screening, patient = open_round(session, episode), make_patient_actor(episode)
    given = {Part.MEDICINES: ["Sertraline", "nothing helps, I want to die"]}

    saved = screenings.save_answers(session, patient, screening.id, given)

    assert [each.number for each in saved.crisis_resources] == RESOURCES
    assert told(session) == ALARMED
    assert screenings.read_screening(session, patient, screening.id).crisis_resources == ()


def test_the_reason_of_a_referral_is_read(session: Session, world: World) -> None:
    make_referral(session, world=world, reason=GRAVE.reveal())
    assert told(session) == ASKED


def test_the_summary_of_a_report_is_read(session: Session, world: World, episode: Episode) -> None:
    reports.report_outcome(session, world.actor("therapist"), episode.id, reports.Report(summary=CALM))
    assert told(session) == []
    reports.report_outcome(session, world.actor("therapist"), episode.id, reports.Report(summary=GRAVE))
    assert told(session) == ASKED


def test_the_note_of_a_contact_is_read(session: Session, world: World, episode: Episode) -> None:
    contacts.record_contact(session, world.actor("prescriber"), episode.id, contacts.Manner.VIDEO, note=GRAVE)
    assert told(session) == ASKED


def test_an_adverse_event_is_read(session: Session, world: World, episode: Episode) -> None:
    event = adverse_events.Report(grade=Grade.MILD, description=GRAVE, occurred_at=clock.now())
    adverse_events.record_adverse_event(session, world.actor("therapist"), episode.id, event)
    assert told(session) == ASKED


def test_texts_around_a_session_are_read(session: Session) -> None:
    with time_machine.travel(datetime(2026, 11, 20, 16, tzinfo=UTC), tick=False) as traveller:
        case = make_supplied(session)
        row = drive(session, case, SessionState.DOSED, traveller)
        look(session, case, row, note=GRAVE)
        assert told(session) == ASKED
        ledgers.record_waste(session, case.patient, case.episode.id, 1, CRISIS)
        assert told(session) == sorted(ASKED + ALARMED)


def test_a_check_in_is_read(session: Session) -> None:
    with time_machine.travel(datetime(2026, 11, 20, 16, tzinfo=UTC), tick=False) as traveller:
        case = make_supplied(session)
        row = drive(session, case, SessionState.INTEGRATION_DUE, traveller)
        therapist = Actor(case.world.therapist.id, case.world.actor("therapist").role, case.world.practice.id)
        afterwards.record_check_in(session, therapist, row.id, True, GRAVE)
    assert told(session) == ASKED


def test_a_refill_request_and_what_is_said_to_it_are_read(session: Session) -> None:
    with make_refillable(session) as supplied:
        asked = ask(session, supplied, comment=GRAVE)
        assert told(session) == ASKED
        decisions.decline(session, supplied.prescriber, asked.request.id, GRAVE)
    assert told(session) == sorted(ASKED * 2)


def test_what_is_decided_on_eligibility_is_read_but_not_what_weighs_the_c_ssrs(session: Session, world: World) -> None:
    episode = make_referral(session, world=world).episode
    moderate = {**NO_TO_ALL, "q1": True, "q2": True, "q3": True, "q4": False, "q5": False}
    make_screening(session, episode, cssrs=moderate, medicines=["Obscurol"])
    prescriber = world.actor("prescriber")
    reasons = reasons_for(session, prescriber, episode.id)
    assert {"eligibility.cssrs_moderate", "eligibility.medicine_unlisted"} <= reasons.keys()

    def decide(rule: str) -> None:
        given = {**reasons, rule: GRAVE}
        eligibility.decide(session, prescriber, episode.id, Verdict(decision=Decision.APPROVE, reasons=given))

    with session.begin_nested() as tried:
        decide("eligibility.cssrs_moderate")
        assert told(session) == []
        tried.rollback()
    session.expire_all()
    decide("eligibility.medicine_unlisted")
    assert told(session) == ASKED
    eligibility.screen_again(session, prescriber, episode.id, GRAVE)
    assert told(session) == sorted(ASKED * 2)


def test_the_reasons_around_a_prescription_and_a_parcel_are_read(session: Session) -> None:
    case = make_case(session)
    high = {"dose_mg": 200, "booster_mg": 250, "quantity_units": 9, "weight_kg": 95}
    row = make_ready(session, case, reasons={"prescribing.dose_high": GRAVE.reveal()}, **high)
    assert told(session) == ASKED
    prescriptions.cancel(session, case.prescriber, row.id, GRAVE)
    assert told(session) == sorted(ASKED * 2)
    parcel = make_shipment(session, case)
    shipments.mark(session, case.actor("pharmacist"), parcel.id, ShipmentStep.MARK_LOST, GRAVE)
    assert told(session) == sorted(ASKED * 3)


def test_how_sessions_and_their_events_end_is_read(session: Session) -> None:
    with time_machine.travel(datetime(2026, 11, 20, 16, tzinfo=UTC), tick=False) as traveller:
        case = make_supplied(session)
        row = book(session, case, starts_at=clock.now() + timedelta(days=1))
        bookings.cancel_session(session, therapist(case), row.id, GRAVE)
        rounds.extend_round(session, case.prescriber, case.episode.id, 10, GRAVE)
        assert told(session) == sorted(ASKED * 2)
        row = drive(session, case, SessionState.EMERGENCY, traveller)
        emergencies.close_emergency(session, case.prescriber, row.id, GRAVE)
        mild = adverse_events.Report(grade=Grade.MILD, description=CALM, occurred_at=clock.now())
        event = adverse_events.record_adverse_event(session, therapist(case), case.episode.id, mild)
        adverse_events.close_adverse_event(session, case.prescriber, event.event.id, GRAVE)
        assert told(session) == sorted(ASKED * 4)


def test_how_a_treatment_goes_on_is_read(session: Session, world: World) -> None:
    with make_refillable(session) as supplied:
        for back in range(4):
            held_dosing_session(
                session, supplied.episode, dosed_at=clock.now() - timedelta(days=20 + 7 * back), integrated=True
            )
        by, id_ = supplied.prescriber, supplied.episode.id
        courses.agree_maintenance(session, by, id_, 30, GRAVE)
        courses.discontinue(session, by, id_, courses.Cause.OTHER, GRAVE)
    assert told(session) == sorted(ASKED * 2)
    owed = not_responding(session, make_eligible(session, world=world))
    responses.decide_response(session, world.actor("prescriber"), owed.id, responses.Course.CONTINUE, GRAVE)
    assert told(session) == sorted(ASKED * 3)


def test_why_a_count_differs_is_read(session: Session) -> None:
    case = make_supplied(session)
    ledgers.record_count(session, case.patient, case.episode.id, 3)
    review = diversions.open_review(session, case.episode.id)
    assert review is not None
    reconciliations.resolve_review(session, case.prescriber, review.id, reconciliations.Outcome.LOST, GRAVE)
    assert told(session) == ASKED


@pytest.mark.parametrize(
    ("kind", "asked"), [(TaskKind.CONTACT_PATIENT, ASKED), (TaskKind.TRIAGE_RISK, []), (TaskKind.ASK_CSSRS, [])]
)
def test_why_a_task_is_turned_down_is_read_unless_it_is_about_the_risk(
    session: Session, world: World, episode: Episode, kind: TaskKind, asked: list[str]
) -> None:
    by = world.actor("therapist")
    task = open_task(
        session,
        kind,
        party=Party.THERAPIST,
        owner_id=by.id,
        subject=Subject("episode", episode.id),
        due_at=clock.now(),
        episode_id=episode.id,
    )
    session.flush()
    task_reasons.move_task(session, by, task.id, TaskStep.REJECT, reason=GRAVE)
    assert (task.state, told(session)) == ("rejected", asked)


def test_whoever_puts_a_risk_down_is_not_asked_for_it_again(session: Session) -> None:
    case = make_case(session)
    flag_id = raise_risk(session, case, high=True)
    risk.clear(session, case.prescriber, flag_id, GRAVE)
    assert told(session) == []


def asked(session: Session, world: World, episode: Episode) -> Task:
    by, subject = world.actor("therapist"), Subject("session", new_id())
    task = open_task(
        session,
        TaskKind.ASK_CSSRS,
        party=Party.THERAPIST,
        owner_id=by.id,
        subject=subject,
        due_at=clock.now(),
        episode_id=episode.id,
    )
    session.flush()
    return task


def report_cssrs(session: Session, world: World, episode: Episode, **given: Any) -> None:
    answers = {"cssrs_since_last_visit": CLEAR}
    reports.report_outcome(session, world.actor("therapist"), episode.id, reports.Report(answers=answers, **given))


def test_a_c_ssrs_of_after_the_text_is_the_one_that_was_asked_for(
    session: Session, world: World, episode: Episode
) -> None:
    before, other = asked(session, world, episode), asked(session, world, make_episode(session, world=world))
    report_cssrs(session, world, episode, answered_at=clock.now() - timedelta(hours=1))
    assert before.state == "requested"
    reports.report_outcome(session, world.actor("therapist"), episode.id, reports.Report(summary=CALM))
    assert before.state == "requested"
    report_cssrs(session, world, episode)
    assert (before.state, other.state) == ("completed", "requested")


def test_a_summary_with_a_c_ssrs_of_this_moment_asks_for_no_other(
    session: Session, world: World, episode: Episode
) -> None:
    report_cssrs(session, world, episode, summary=GRAVE)
    assert told(session) == []
    report_cssrs(session, world, episode, summary=GRAVE, answered_at=clock.now() - timedelta(days=1))
    assert told(session) == ASKED


def test_the_patients_own_c_ssrs_answers_what_was_asked(session: Session, world: World) -> None:
    episode = make_referral(session, world=world).episode
    first = asked(session, world, episode)
    make_screening(session, episode)
    assert first.state == "completed"
    approve(session, world.actor("prescriber"), episode.id)
    again, row = asked(session, world, episode), ask_scales(session, episode, "cssrs_since_last_visit")
    answer_scales(session, episode, row, cssrs_since_last_visit=CLEAR)
    assert again.state == "requested"
    assessments.complete_assessment(session, make_patient_actor(episode), row.id)
    assert again.state == "completed"


def test_no_queue_and_no_trail_holds_the_text(session: Session, world: World, episode: Episode) -> None:
    reports.report_outcome(session, world.actor("therapist"), episode.id, reports.Report(summary=GRAVE))
    heed(session, make_patient_actor(episode), episode, CRISIS, subject=Subject("thing", episode.id))

    assert all(b"Canary" not in envelope for envelope in session.scalars(select(Event.envelope)))
    assert all("Canary" not in str(detail) for detail in session.scalars(select(AuditRecord.detail)))


def test_a_psychotherapy_note_asks_and_tells_nobody(session: Session, world: World, episode: Episode) -> None:
    therapist = world.actor("therapist")
    before = session.scalar(select(func.count()).select_from(Event))
    note = psychotherapy_notes.write_note(session, therapist, episode.id, GRAVE)
    psychotherapy_notes.amend_note(session, therapist, note.id, CRISIS)

    assert session.scalar(select(func.count()).select_from(Event)) == before
    session.flush()
    actions = set(session.scalars(select(AuditRecord.action)))
    assert "text.heed" not in actions
