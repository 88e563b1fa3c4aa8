"""Adverse events: who hears of which grade, and who closes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.programme import programme, shipped
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.sessions import adverse_events
from services.sessions.adverse_event_rules import Effect, Grade, event_of, is_expected
from services.sessions.adverse_events import OpenedEvent, Report
from services.sessions.states import SessionKind
from services.vault.boxes import box
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, make_case
from tests.factories_programmes import changed
from tests.factories_sessions import book, tasks_about, therapist

WHY = Personal("Spoke with the patient; gone by evening.")


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session, pdmp=False)


def happened(session: Session, case: Case, grade: Grade, **changes: Any) -> OpenedEvent:
    given: dict[str, Any] = {
        "effect": Effect.DIZZINESS,
        "description": Personal("Dizzy on standing up."),
        "occurred_at": clock.now(),
        **changes,
    }
    return adverse_events.record_adverse_event(session, therapist(case), case.episode.id, Report(grade=grade, **given))


RECORDED, PAGED = EventKind.ADVERSE_EVENT_RECORDED, EventKind.ADVERSE_EVENT_PAGED


@pytest.mark.parametrize(
    ("grade", "effect", "event"),
    [
        (Grade.MILD, Effect.DIZZINESS, None),
        (Grade.MILD, Effect.URINARY_SYMPTOMS, RECORDED),
        (Grade.MILD, Effect.OTHER, RECORDED),
        (Grade.MODERATE, Effect.NAUSEA, RECORDED),
        (Grade.SEVERE, Effect.NAUSEA, RECORDED),
        (Grade.SERIOUS, Effect.NAUSEA, PAGED),
    ],
)
def test_the_grade_and_what_is_expected_decide_who_hears(
    session: Session, case: Case, grade: Grade, effect: Effect, event: EventKind | None
) -> None:
    opened = happened(session, case, grade, effect=effect)
    assert opened.expected is (effect in {Effect.DIZZINESS, Effect.NAUSEA})
    kinds = (EventKind.ADVERSE_EVENT_RECORDED, EventKind.ADVERSE_EVENT_PAGED)
    assert [kind for kind in kinds if emitted(session, kind)] == ([] if event is None else [event])
    if event is not None:
        (sent,) = emitted(session, event)
        assert (sent["party"], sent["subject"]) == ("medical_team", ["adverse_event", str(opened.event.id)])
        assert sent["data"] == {}
    assert opened.event.state == "open"
    assert b"Dizzy" not in bytes(opened.event.content or b"")


def test_severe_and_serious_ones_hold_refills_up_until_closed(session: Session, case: Case) -> None:
    severe, serious = (happened(session, case, grade) for grade in (Grade.SEVERE, Grade.SERIOUS))
    for grade in (Grade.MILD, Grade.MODERATE):
        happened(session, case, grade)
    episode_id = case.episode.id
    high = adverse_events.open_high_adverse_events(session, episode_id)
    assert sorted(high) == sorted([severe.event.id, serious.event.id])
    adverse_events.close_adverse_event(session, case.prescriber, severe.event.id, WHY)
    assert adverse_events.open_high_adverse_events(session, episode_id) == [serious.event.id]
    assert adverse_events.open_high_adverse_events(session, make_case(session, pdmp=False).episode.id) == []


def test_a_prescriber_closes_it_with_a_reason_once(session: Session, case: Case) -> None:
    event = happened(session, case, Grade.SEVERE).event
    kind, subject = TaskKind.REVIEW_ADVERSE_EVENT, Subject("adverse_event", event.id)
    owner = case.world.prescriber.id
    open_task(session, kind, party=Party.MEDICAL_TEAM, owner_id=owner, subject=subject, due_at=clock.now())
    for actor in (therapist(case), case.actor("medical_staff")):
        with pytest.raises(NotAllowed):
            adverse_events.close_adverse_event(session, actor, event.id, WHY)
    closed = adverse_events.close_adverse_event(session, case.prescriber, event.id, WHY, version=1)
    assert (closed.event.state, closed.event.closed_by, closed.resolution) == ("closed", owner, WHY)
    assert tasks_about(session, event.id) == {"review_adverse_event": "completed"}
    with pytest.raises(IllegalTransition):
        adverse_events.close_adverse_event(session, case.prescriber, event.id, WHY)
    with pytest.raises(StaleVersion):
        adverse_events.close_adverse_event(session, case.prescriber, event.id, WHY, version=1)


def test_it_lies_within_the_episode(session: Session, case: Case) -> None:
    for moment in (case.episode.opened_at - timedelta(seconds=1), clock.now() + timedelta(minutes=1)):
        with pytest.raises(RuleRefused) as refusal:
            happened(session, case, Grade.MILD, occurred_at=moment)
        assert (refusal.value.field, refusal.value.rule) == ("occurred_at", "sessions.event_out_of_time")


def test_it_names_a_session_of_its_episode(session: Session, case: Case) -> None:
    mine = book(session, case, kind=SessionKind.PREPARATION)
    foreign = book(session, make_case(session, pdmp=False), kind=SessionKind.PREPARATION)
    assert happened(session, case, Grade.MILD, session_id=mine.id).event.session_id == mine.id
    with pytest.raises(RuleRefused) as refusal:
        happened(session, case, Grade.MILD, session_id=foreign.id)
    assert (refusal.value.field, refusal.value.rule) == ("session_id", "sessions.event_of_other_episode")


def test_therapist_and_medical_team_record_and_read_it_and_nobody_else(session: Session, case: Case) -> None:
    opened = happened(session, case, Grade.MODERATE)
    report = Report(grade=Grade.MILD, description=WHY, occurred_at=clock.now())
    assert adverse_events.record_adverse_event(session, case.actor("medical_staff"), case.episode.id, report)
    read = adverse_events.read_adverse_event(session, case.prescriber, opened.event.id)
    assert (read.grade.reveal(), read.description.reveal()) == (Grade.MODERATE, "Dizzy on standing up.")
    for actor in (case.actor("pharmacist"), case.patient):
        with pytest.raises(NotAllowed):
            adverse_events.read_adverse_event(session, actor, opened.event.id)
        with pytest.raises(NotAllowed):
            adverse_events.record_adverse_event(session, actor, case.episode.id, report)
    with pytest.raises(NotFound):
        adverse_events.read_adverse_event(session, make_case(session, pdmp=False).prescriber, opened.event.id)
    assert {"adverse_event.record", "adverse_event.read"} <= set(audited(session))


def test_each_programme_says_what_it_expects() -> None:
    expecting = changed({"sessions.expected_effects": ["urinary_symptoms"]})
    assert is_expected(Effect.URINARY_SYMPTOMS, expecting)
    assert event_of(Grade.MILD, Effect.URINARY_SYMPTOMS, expecting) is None
    assert event_of(Grade.MILD, Effect.DIZZINESS, expecting) is RECORDED
    for path in shipped().values():
        expected = {effect for effect in Effect if is_expected(effect, programme(path))}
        assert {Effect.DIZZINESS, Effect.NAUSEA, Effect.RAPID_HEARTBEAT, Effect.DISSOCIATION} <= expected
        assert programme(path).choices("sessions.expected_effects") <= set(Effect)


def test_events_are_counted_by_effect_and_grade(session: Session, case: Case) -> None:
    happened(session, case, Grade.MILD)
    later = happened(session, case, Grade.SEVERE, effect=Effect.VOMITING)
    own = box(session, case.episode.patient_id)
    own.seal(later.event, "content", {"grade": "severe", "description": "Recorded before effects had names."})
    session.flush()
    counted = adverse_events.graded_events(session, {case.episode.id})
    assert [(each.effect, each.grade) for each in counted] == [
        (Effect.DIZZINESS, Grade.MILD),
        (Effect.OTHER, Grade.SEVERE),
    ]
    assert "dizz" not in repr(counted)


def test_they_are_listed_newest_first(session: Session, case: Case) -> None:
    ids = [happened(session, case, Grade.MILD).event.id for _ in range(3)]
    newest_first = sorted(ids, reverse=True)
    listed = adverse_events.list_adverse_events(session, therapist(case), case.episode.id, limit=2)
    assert [each.event.id for each in listed] == newest_first[:2]
    rest = adverse_events.list_adverse_events(session, therapist(case), case.episode.id, after=newest_first[1])
    assert [each.event.id for each in rest] == newest_first[2:]
