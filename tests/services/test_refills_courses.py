"""Maintenance plans, discontinuation with its closing follow-up, discharge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM
from services.core.errors import IllegalTransition, NotAllowed, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Timer
from services.messaging.outbox import Subject
from services.messaging.timers import set_timer
from services.outcomes import schedules
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.prescribing.contacts import Manner, record_contact
from services.refills import courses, gate
from services.refills.courses import Cause
from services.sessions import ledgers
from services.sessions.ledgers import Attestation, Disposal
from services.sessions.states import SessionState
from tests.factories import audited, make_episode, make_world
from tests.factories_messaging import emitted
from tests.factories_prescribing import make_case, make_draft
from tests.factories_refills import Supplied, held_dosing_session, held_with, make_supplied
from tests.factories_sessions import book

WHY = Personal("No better after five sessions.")
SUMMARY = Personal("Stopped after no response; referred back for psychotherapy.")


@pytest.fixture
def supplied(session: Session) -> Iterator[Supplied]:
    with make_supplied(session) as made:
        yield made


def rules_of(refusal: pytest.ExceptionInfo[RuleRefused]) -> list[str]:
    return [finding.rule for finding in refusal.value.findings]


def agree(session: Session, supplied: Supplied, days: int = 30) -> courses.ReadDecision:
    plan = Personal("One session a month in the office.")
    return courses.agree_maintenance(session, supplied.prescriber, supplied.episode.id, days, plan)


def stop(session: Session, supplied: Supplied, **details: Any) -> courses.ReadDecision:
    return courses.discontinue(session, supplied.prescriber, supplied.episode.id, Cause.NO_RESPONSE, WHY, **details)


def close(session: Session, supplied: Supplied) -> courses.ReadDecision:
    return courses.close_episode(session, supplied.prescriber, supplied.episode.id, SUMMARY)


def put(session: Session, supplied: Supplied, state: EpisodeState) -> None:
    supplied.episode.state = state
    session.flush()


def hold_more(session: Session, supplied: Supplied, number: int) -> None:
    """Bare dosing sessions before the two that were held."""
    for back in range(number):
        held_dosing_session(
            session, supplied.episode, dosed_at=clock.now() - timedelta(days=20 + 7 * back), integrated=True
        )


def test_maintenance_follows_a_round_and_the_plan_can_be_changed(session: Session, supplied: Supplied) -> None:
    with pytest.raises(RuleRefused) as refusal:
        agree(session, supplied)
    assert rules_of(refusal) == ["refills.maintenance_too_soon"]
    hold_more(session, supplied, 4)
    made = agree(session, supplied)
    assert (supplied.episode.state, made.content.reveal()["interval_days"]) == (EpisodeState.IN_MAINTENANCE, 30)
    assert {each["party"] for each in emitted(session, EventKind.MAINTENANCE_AGREED)} == {
        Party.THERAPIST,
        Party.PATIENT,
    }
    agree(session, supplied, 60)
    decisions = courses.list_decisions(session, supplied.therapist, supplied.episode.id)
    assert [each.content.reveal()["interval_days"] for each in decisions] == [60, 30]
    with pytest.raises(NotAllowed):
        courses.agree_maintenance(session, supplied.therapist, supplied.episode.id, 30, WHY)


def test_maintenance_sessions_are_booked_by_the_plan(session: Session, supplied: Supplied) -> None:
    hold_more(session, supplied, 4)
    agree(session, supplied)
    last = supplied.sessions[1].dosed_at
    assert last is not None
    with pytest.raises(RuleRefused) as refusal:
        book(session, supplied.case, starts_at=last + timedelta(days=29))
    assert rules_of(refusal) == ["sessions.maintenance_interval"]
    book(session, supplied.case, starts_at=last + timedelta(days=30))


def test_after_a_renewed_approval_the_plan_counts_and_maintenance_goes_on(session: Session, supplied: Supplied) -> None:
    hold_more(session, supplied, 4)
    put(session, supplied, EpisodeState.ELIGIBLE)
    with pytest.raises(RuleRefused) as refusal:
        agree(session, supplied)
    assert rules_of(refusal) == ["refills.maintenance_unplanned"]
    put(session, supplied, EpisodeState.IN_TREATMENT)
    agree(session, supplied)
    put(session, supplied, EpisodeState.ELIGIBLE)
    last = supplied.sessions[1].dosed_at
    assert last is not None
    with pytest.raises(RuleRefused) as refusal:
        book(session, supplied.case, starts_at=last + timedelta(days=29))
    assert rules_of(refusal) == ["sessions.maintenance_interval"]
    agree(session, supplied, 60)
    assert supplied.episode.state == EpisodeState.IN_MAINTENANCE


@pytest.mark.parametrize("state", [EpisodeState.SCREENING, EpisodeState.DECLINED])
def test_a_treatment_is_discontinued_although_its_approval_was_not_renewed(
    session: Session, supplied: Supplied, state: EpisodeState
) -> None:
    put(session, supplied, state)
    stop(session, supplied)
    assert (supplied.episode.state, supplied.prescription.state) == (EpisodeState.DISCONTINUED, "cancelled")


@pytest.mark.parametrize("state", [EpisodeState.SCREENING, EpisodeState.DECLINED])
def test_without_a_treatment_there_is_nothing_to_discontinue(session: Session, state: EpisodeState) -> None:
    case = make_case(session)
    case.episode.state = state
    session.flush()
    with pytest.raises(RuleRefused) as refusal:
        courses.discontinue(session, case.prescriber, case.episode.id, Cause.OTHER, WHY)
    assert rules_of(refusal) == ["refills.nothing_to_discontinue"]


def test_a_full_round_is_named_by_the_gate_until_it_is_extended_or_maintained(
    session: Session, supplied: Supplied
) -> None:
    hold_more(session, supplied, 5)
    read = lambda: [  # noqa: E731
        finding.rule for finding in gate.read_gate(session, supplied.therapist, supplied.episode.id).findings
    ]
    assert "refills.round_full" not in read()
    hold_more(session, supplied, 1)
    assert "refills.round_full" in read()
    agree(session, supplied)
    assert "refills.round_full" not in read()


def test_discontinuing_ends_what_is_prescribed_and_booked_and_asks_for_the_rest(
    session: Session, supplied: Supplied
) -> None:
    row = book(session, supplied.case, starts_at=clock.now() + timedelta(days=7))
    stop(session, supplied)
    assert (supplied.episode.state, supplied.prescription.state, row.state) == (
        EpisodeState.DISCONTINUED,
        "cancelled",
        SessionState.CANCELLED,
    )
    assert {each["party"] for each in emitted(session, EventKind.EPISODE_DISCONTINUED)} == {
        Party.MEDICAL_TEAM,
        Party.THERAPIST,
        Party.PATIENT,
    }
    assert "course.discontinuation" in audited(session)
    with pytest.raises(RuleRefused) as refusal:
        book(session, supplied.case, starts_at=clock.now() + timedelta(days=7))
    assert rules_of(refusal) == ["sessions.episode_closed"]
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, supplied.case, first_session_dose_mg=None)
    assert "prescribing.episode_over" in rules_of(refusal)
    with pytest.raises(IllegalTransition):
        stop(session, supplied)


def test_discontinuing_ends_the_assessments_that_would_text_the_patient(session: Session, supplied: Supplied) -> None:
    episode = supplied.episode
    row = schedules.open_assessment(session, episode.id) or schedules.ask_for(
        session, SYSTEM, episode, schedules.Occasion.AFTER_SESSION, ["phq9"], number=1
    )
    stop(session, supplied)
    assert row.state == "lapsed"
    query = select(Timer.kind).where(Timer.episode_id == episode.id, Timer.ended_at.is_(None))
    assert not [kind for kind in session.scalars(query) if kind.startswith("assessment.")]


def test_no_reminder_goes_to_a_patient_who_is_not_in_care(session: Session, supplied: Supplied) -> None:
    episode = supplied.episode
    row = schedules.open_assessment(session, episode.id) or schedules.ask_for(
        session, SYSTEM, episode, schedules.Occasion.AFTER_SESSION, ["phq9"], number=1
    )
    before = audited(session).count("assessment.remind")
    for state, more in ((EpisodeState.IN_REVIEW, 0), (EpisodeState.IN_TREATMENT, 1)):
        episode.state = state
        session.flush()
        schedules.remind_of_assessment(session, row.id, programme_of(session, episode))
        session.flush()
        assert audited(session).count("assessment.remind") == before + more


@pytest.mark.parametrize("at", [EpisodeState.REFERRED, EpisodeState.SCREENING])
def test_nobody_is_chased_for_a_screening_after_the_discharge(session: Session, at: EpisodeState) -> None:
    world = make_world(session)
    episode = make_episode(session, world=world, at=at)
    subject = Subject("screening", new_id())
    timer = set_timer(session, EventKind.SCREENING_UNANSWERED, episode, subject, clock.now() + timedelta(days=3))
    courses.close_episode(session, world.actor("prescriber"), episode.id, SUMMARY)
    session.refresh(timer)
    assert timer.outcome == "cancelled"


def test_an_episode_is_closed_only_after_follow_up_and_disposal(session: Session, supplied: Supplied) -> None:
    with pytest.raises(RuleRefused) as refusal:
        close(session, supplied)
    assert rules_of(refusal) == ["refills.close_discontinue_first", "refills.close_stock_left"]
    stop(session, supplied)
    with pytest.raises(RuleRefused) as refusal:
        close(session, supplied)
    assert rules_of(refusal) == ["refills.close_follow_up_missing", "refills.close_stock_left"]
    record_contact(session, supplied.prescriber, supplied.episode.id, Manner.VIDEO)
    how = Attestation(
        method=Disposal.TAKE_BACK_SITE, witness=Personal("Wilma Witness"), attested=True, reason=Personal("Stopped.")
    )
    ledgers.record_disposal(session, supplied.therapist, supplied.episode.id, 1, how)
    made = close(session, supplied)
    assert (supplied.episode.state, supplied.episode.closed_at is not None) == (EpisodeState.CLOSED, True)
    assert made.content.reveal() == {"text": SUMMARY.reveal()}
    with pytest.raises(IllegalTransition):
        close(session, supplied)


def test_a_contact_before_the_discontinuation_is_no_closing_follow_up(session: Session, supplied: Supplied) -> None:
    before = clock.now() - timedelta(microseconds=1)
    with time_machine.travel(clock.now(), tick=False):
        record_contact(session, supplied.prescriber, supplied.episode.id, Manner.VIDEO, held_at=before)
        held_with(session, supplied.episode, supplied.prescription, 100, before)
        stop(session, supplied)
        with pytest.raises(RuleRefused) as refusal:
            close(session, supplied)
        assert rules_of(refusal) == ["refills.close_follow_up_missing"]
        record_contact(session, supplied.prescriber, supplied.episode.id, Manner.PHONE)
        close(session, supplied)


def test_who_may_not_and_on_an_older_reading(session: Session, supplied: Supplied) -> None:
    for who in ("therapist", "medical_staff"):
        with pytest.raises(NotAllowed):
            courses.discontinue(session, supplied.case.actor(who), supplied.episode.id, Cause.OTHER, WHY)
    with pytest.raises(StaleVersion):
        stop(session, supplied, version=supplied.episode.version + 1)
    with pytest.raises(NotAllowed):
        courses.close_episode(session, supplied.therapist, supplied.episode.id, SUMMARY)
