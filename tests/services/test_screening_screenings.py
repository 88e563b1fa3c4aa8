"""Screenings: answers in parts, what is missing, what is kept, who sees what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.programme import programme
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility.reviews import submit_screening
from services.messaging.models import Event, Task, Timer
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.models import Episode
from services.people.settings import settings
from services.screening import screenings
from services.screening.answer_sheets import Part, required_parts
from services.screening.models import Screening
from services.screening.states import (
    RISK_TRANSITIONS,
    SCREENING_TRANSITIONS,
    RiskState,
    RiskStep,
    ScreeningState,
    ScreeningStep,
)
from services.vault.boxes import box
from tests.factories import World, make_patient_actor, make_world
from tests.factories_screening import agree_to_treatment, answers, history, make_referral, make_screening, open_round


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


@pytest.fixture
def patient(episode: Episode) -> Actor:
    return make_patient_actor(episode)


@pytest.fixture
def screening(session: Session, episode: Episode) -> Screening:
    return open_round(session, episode)


def save(session: Session, actor: Actor, screening: Screening, **parts: Any) -> screenings.ReadScreening:
    given = {Part(name): value for name, value in parts.items()}
    return screenings.save_answers(session, actor, screening.id, given)


def values(session: Session, screening: Screening) -> dict[str, Any]:
    return {part.value: value for part, value in screenings.sheet_of(session, screening).values.items()}


def events(session: Session, kind: EventKind) -> list[str]:
    return sorted(session.scalars(select(Event.party).where(Event.kind == kind)))


def test_answers_are_kept_part_by_part(session: Session, patient: Actor, screening: Screening) -> None:
    save(session, patient, screening, medicines=["Sertraline"], phq9={"q1": 2})
    save(session, patient, screening, phq9={"q2": 3})
    assert values(session, screening) == {"medicines": ["Sertraline"], "phq9": {"q1": 2, "q2": 3}}


def test_an_answer_can_be_taken_back_and_a_list_replaced(
    session: Session, patient: Actor, screening: Screening
) -> None:
    save(
        session,
        patient,
        screening,
        medicines=["Sertraline", "Lithium"],
        history={"stroke": "present", "cystitis": "past"},
    )
    save(session, patient, screening, medicines=[" Zinc  lozenge "], history={"stroke": None})
    assert values(session, screening) == {"medicines": ["Zinc lozenge"], "history": {"cystitis": "past"}}


def test_nothing_of_an_answer_is_readable_in_the_row(session: Session, patient: Actor, screening: Screening) -> None:
    save(session, patient, screening, medicines=["Quetiapinomarker"])
    stored = screening.answers
    assert stored is not None
    assert b"Quetiapinomarker" not in stored
    assert b"medicines" not in stored


def test_the_first_answer_begins_the_screening_of_the_episode(
    session: Session, patient: Actor, screening: Screening, episode: Episode
) -> None:
    save(session, patient, screening, medicines=[])
    assert episode.state == "screening"


@pytest.mark.parametrize(
    ("part", "value", "field"),
    [
        ("phq9", {"q1": 4}, "phq9.q1"),
        ("cssrs", {"q1": 1}, "cssrs.q1"),
        ("history", {"stroke": "controlled"}, "history.stroke"),
    ],
)
def test_an_answer_outside_the_form_is_named(
    session: Session, patient: Actor, screening: Screening, part: str, value: Any, field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        save(session, patient, screening, **{part: value})
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("reading", "rule"),
    [
        ({"systolic": 261, "diastolic": 80}, "screening.reading_possible"),
        ({"systolic": 120, "diastolic": 29}, "screening.reading_possible"),
        ({"systolic": 90, "diastolic": 90}, "screening.reading_in_order"),
        ({"systolic": 120, "diastolic": 80, "days": 31}, "screening.reading_recent"),
        ({"systolic": 120, "diastolic": 80, "days": -1}, "screening.reading_recent"),
    ],
)
def test_a_blood_pressure_that_cannot_be_true_is_refused(
    session: Session, patient: Actor, screening: Screening, reading: dict[str, int], rule: str
) -> None:
    taken_at = clock.now() - timedelta(days=reading.pop("days", 0))
    with pytest.raises(RuleRefused) as refusal:
        save(session, patient, screening, blood_pressures=[{**reading, "taken_at": taken_at}])
    assert refusal.value.rule == rule


@pytest.mark.parametrize("name", ["", "  "])
def test_a_medicine_needs_a_name(session: Session, patient: Actor, screening: Screening, name: str) -> None:
    with pytest.raises(RuleRefused) as refusal:
        save(session, patient, screening, medicines=["Sertraline", name])
    assert (refusal.value.field, refusal.value.rule) == ("medicines", "screening.medicine_named")


def test_a_whole_screening_is_completed_and_scored_with_its_trace(session: Session, episode: Episode) -> None:
    screening = make_screening(session, episode)
    results = screenings.view_of(session, make_patient_actor(episode), screening)
    assert results.results is None  # scores are not what the patient came for
    stored = box(session, episode.patient_id).open(screening, "results").reveal()
    assert stored["scores"]["phq9"]["total"] == 16
    assert stored["scores"]["phq9"]["band"] == "moderately severe"
    assert stored["scores"]["phq9"]["trace"]["added"]["q9"] == 0
    assert stored["scores"]["gad7"]["version"] == "1"
    assert stored["cssrs_level"] == "none"
    assert screening.programme_version == settings().version
    assert (screening.state, episode.state) == ("completed", "in_review")


@pytest.mark.parametrize("part", required_parts(programme()))
def test_a_missing_part_is_named(session: Session, episode: Episode, screening: Screening, part: Part) -> None:
    agree_to_treatment(session, episode)
    patient = make_patient_actor(episode)
    screenings.save_answers(session, patient, screening.id, answers(**{part.value: None}))
    with pytest.raises(RuleRefused) as refusal:
        submit_screening(session, patient, screening.id)
    assert [(gap.rule, gap.inputs["part"]) for gap in refusal.value.findings] == [("screening.part_missing", part)]


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("history", {"stroke": None}, "stroke"),
        ("phq9", {"q9": None}, "q9"),
        ("gad7", {"q1": None, "q2": None, "q3": None}, "q1, q2, q3"),
        ("cssrs", {"q2": True}, "q3"),
        ("cssrs", {"q6_ever": None}, "q6_ever"),
    ],
)
def test_an_unfinished_part_is_named_with_its_questions(
    session: Session, episode: Episode, screening: Screening, part: str, value: dict[str, Any], named: str
) -> None:
    agree_to_treatment(session, episode)
    patient = make_patient_actor(episode)
    screenings.save_answers(session, patient, screening.id, answers())
    save(session, patient, screening, **{part: value})
    with pytest.raises(RuleRefused) as refusal:
        submit_screening(session, patient, screening.id)
    (gap,) = refusal.value.findings
    assert (gap.rule, gap.sentence) == ("screening.part_unfinished", f"Not answered in '{part}': {named}.")


def test_what_an_instrument_may_prorate_need_not_be_answered(session: Session, episode: Episode) -> None:
    phq9 = {f"q{number}": 2 for number in range(1, 7)} | {"q9": 0}
    screening = make_screening(session, episode, phq9=phq9)
    score = box(session, episode.patient_id).open(screening, "results").reveal()["scores"]["phq9"]
    assert (score["prorated"], score["total"], score["missing"]) == (True, 15, ["q7", "q8"])


def test_the_consent_to_treatment_comes_first(session: Session, episode: Episode, screening: Screening) -> None:
    patient = make_patient_actor(episode)
    screenings.save_answers(session, patient, screening.id, answers())
    with pytest.raises(RuleRefused) as refusal:
        submit_screening(session, patient, screening.id)
    assert [gap.rule for gap in refusal.value.findings] == ["screening.treatment_consent"]


def test_answers_that_are_too_old_are_asked_for_again(session: Session, episode: Episode) -> None:
    agree_to_treatment(session, episode)
    patient, screening = make_patient_actor(episode), open_round(session, episode)
    screenings.save_answers(session, patient, screening.id, answers())
    with time_machine.travel(clock.now() + timedelta(days=7, minutes=1)), pytest.raises(RuleRefused) as refusal:
        submit_screening(session, patient, screening.id)
    assert [(gap.rule, gap.inputs["part"]) for gap in refusal.value.findings] == [
        ("screening.part_outdated", part) for part in ("phq9", "gad7", "cssrs")
    ]


def test_a_completed_screening_never_changes(session: Session, episode: Episode) -> None:
    screening, patient = make_screening(session, episode), make_patient_actor(episode)
    with pytest.raises(IllegalTransition):
        save(session, patient, screening, medicines=[])
    with pytest.raises(IllegalTransition):
        submit_screening(session, patient, screening.id)


def test_completing_tells_the_medical_team_and_ends_the_waiting(
    session: Session, episode: Episode, world: World
) -> None:
    screening = open_round(session, episode)
    subject = Subject("screening", screening.id)
    asked = open_task(
        session,
        TaskKind.CONTACT_PATIENT,
        party=Party.THERAPIST,
        owner_id=world.therapist.id,
        subject=subject,
        due_at=clock.now(),
    )
    timer = session.scalars(select(Timer).where(Timer.subject_id == screening.id)).one()
    assert timer.ended_at is None
    make_screening(session, episode)
    session.expire_all()
    assert events(session, EventKind.SCREENING_COMPLETED) == ["medical_team", "therapist"]
    assert timer.outcome == "cancelled"
    assert session.get_one(Task, asked.id).state == "completed"


def test_an_unanswered_screening_makes_itself_heard_after_three_days(session: Session, world: World) -> None:
    with time_machine.travel(datetime(2026, 11, 2, 9, tzinfo=UTC), tick=False):
        screening = open_round(session, make_referral(session, world=world).episode)
    timer = session.scalars(select(Timer).where(Timer.subject_id == screening.id)).one()
    assert (timer.kind, timer.due_at) == ("screening.unanswered", datetime(2026, 11, 5, 9, tzinfo=UTC))


def test_a_stale_version_is_refused(session: Session, patient: Actor, screening: Screening) -> None:
    save(session, patient, screening, medicines=[])
    with pytest.raises(StaleVersion):
        screenings.save_answers(session, patient, screening.id, {Part.MEDICINES: ["Zinc"]}, version=1)


def test_only_the_patient_answers(session: Session, world: World, screening: Screening) -> None:
    with pytest.raises(NotAllowed):
        save(session, world.actor("therapist"), screening, medicines=[])
    stranger = make_patient_actor(make_referral(session, world=world).episode)
    with pytest.raises(NotFound):
        save(session, stranger, screening, medicines=[])


def test_a_draft_is_the_patients_own(session: Session, world: World, patient: Actor, screening: Screening) -> None:
    save(session, patient, screening, history=history())
    own = screenings.read_screening(session, patient, screening.id)
    assert own.sheet is not None
    assert Part.HISTORY in own.sheet.values
    for who in ("therapist", "prescriber", "medical_staff"):
        seen = screenings.read_screening(session, world.actor(who), screening.id)
        assert (seen.sheet, seen.results) == (None, None)


def test_after_completion_each_role_sees_what_it_needs(session: Session, world: World, episode: Episode) -> None:
    screening = make_screening(session, episode)
    therapist = screenings.read_screening(session, world.actor("therapist"), screening.id)
    assert therapist.sheet is None
    assert therapist.results is not None
    team = screenings.read_screening(session, world.actor("medical_staff"), screening.id)
    assert team.sheet is not None
    assert team.results is not None
    with pytest.raises(NotAllowed):
        screenings.read_screening(session, world.actor("pharmacist"), screening.id)
    with pytest.raises(NotFound):
        screenings.read_screening(session, make_world(session).actor("prescriber"), screening.id)


@pytest.mark.parametrize(("state", "step", "role"), list(product(ScreeningState, ScreeningStep, Role)))
def test_a_screening_moves_only_as_the_table_says(state: ScreeningState, step: ScreeningStep, role: Role) -> None:
    allowed = {
        (ScreeningState.OPENED, ScreeningStep.ANSWER, Role.PATIENT): ScreeningState.OPENED,
        (ScreeningState.OPENED, ScreeningStep.COMPLETE, Role.PATIENT): ScreeningState.COMPLETED,
        (ScreeningState.COMPLETED, ScreeningStep.SUPERSEDE, Role.PRESCRIBER): ScreeningState.SUPERSEDED,
    }
    if (state, step, role) in allowed:
        assert SCREENING_TRANSITIONS.advance(state, step, role) is allowed[state, step, role]
        return
    with pytest.raises((IllegalTransition, NotAllowed)):
        SCREENING_TRANSITIONS.advance(state, step, role)


@pytest.mark.parametrize("role", Role)
def test_only_a_prescriber_puts_a_risk_flag_down(role: Role) -> None:
    if role is Role.PRESCRIBER:
        assert RISK_TRANSITIONS.advance(RiskState.RAISED, RiskStep.CLEAR, role) is RiskState.CLEARED
    else:
        with pytest.raises(NotAllowed):
            RISK_TRANSITIONS.advance(RiskState.RAISED, RiskStep.CLEAR, role)
    with pytest.raises(IllegalTransition):
        RISK_TRANSITIONS.advance(RiskState.CLEARED, RiskStep.CLEAR, role)
