"""Treatments that do not help: noted by scores, decided on by prescribers, asked for by the gate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.errors import IllegalTransition, NotAllowed, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.models import Event
from services.outcomes import responses
from services.outcomes.models import ResponseDecision
from services.outcomes.responses import Course, open_response_decision
from services.people.models import Episode
from tests.factories import World, audited, make_patient_actor, make_world
from tests.factories_outcomes import hold, not_responding
from tests.factories_refills import gad7, phq9, report
from tests.factories_screening import make_eligible

LATER = datetime(2027, 6, 10, 17, 0, tzinfo=UTC)
REASON = Personal("Sleeps better; two more.")


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    """An approved patient with depression: PHQ-9 of 16, GAD-7 of 7 at intake."""
    return make_eligible(session, world=world)


def events(session: Session) -> list[str]:
    kinds = (EventKind.RESPONSE_MISSING, EventKind.RESPONSE_DECISION_NEEDED, EventKind.RESPONSE_DECIDED)
    query = select(Event.kind).where(Event.kind.in_(kinds)).order_by(Event.created_at)
    return list(session.scalars(query))


def rows(session: Session) -> list[ResponseDecision]:
    return list(session.scalars(select(ResponseDecision).order_by(ResponseDecision.noted_at)))


def after(session: Session, episode: Episode, sessions: int, score: int) -> None:
    """One more session, so that there are so many, and a score a day later."""
    at = LATER + timedelta(weeks=sessions)
    hold(session, episode, 1, last_at=at)
    with time_machine.travel(at + timedelta(days=1)):
        report(session, episode, phq9=phq9(score))


def test_after_three_sessions_the_prescriber_is_asked_to_look_and_after_four_to_decide(
    session: Session, episode: Episode
) -> None:
    for sessions in (1, 2):
        after(session, episode, sessions, 15)
    assert (events(session), rows(session)) == ([], [])
    after(session, episode, 3, 15)
    assert (events(session), [row.state for row in rows(session)]) == (["response.missing"], ["noted"])
    assert open_response_decision(session, episode.id) is None
    after(session, episode, 4, 13)
    assert events(session) == ["response.missing", "response.decision_needed"]
    (row,) = rows(session)
    assert (row.state, open_response_decision(session, episode.id)) == ("open", row.id)
    after(session, episode, 5, 16)
    assert len(events(session)) == 2


def test_nothing_is_noted_of_a_treatment_that_helps(session: Session, episode: Episode) -> None:
    for sessions in range(1, 7):
        after(session, episode, sessions, 12)
    assert rows(session) == []


def test_what_helps_after_all_lifts_it(session: Session, episode: Episode) -> None:
    for sessions in range(1, 5):
        after(session, episode, sessions, 16)
    after(session, episode, 5, 12)
    (row,) = rows(session)
    assert (row.state, open_response_decision(session, episode.id)) == ("lifted", None)


def test_a_score_of_another_instrument_does_not_lift_it(session: Session, episode: Episode) -> None:
    for sessions in range(1, 5):
        after(session, episode, sessions, 16)
    with time_machine.travel(LATER + timedelta(weeks=5)):
        report(session, episode, gad7=gad7(0))
    assert open_response_decision(session, episode.id) is not None


def test_a_prescriber_decides_with_a_reason_and_is_asked_again_two_sessions_later(
    session: Session, world: World, episode: Episode
) -> None:
    for sessions in range(1, 5):
        after(session, episode, sessions, 16)
    (row,) = rows(session)
    with time_machine.travel(LATER + timedelta(weeks=4, days=2)):
        read = responses.decide_response(session, world.actor("prescriber"), row.id, Course.CONTINUE, REASON)
    assert (read.course.reveal(), read.reason.reveal()) == (Course.CONTINUE, REASON.reveal())
    assert (row.state, open_response_decision(session, episode.id)) == ("decided", None)
    assert events(session)[-1] == "response.decided"
    after(session, episode, 5, 16)
    assert len(rows(session)) == 1
    after(session, episode, 6, 16)
    assert [each.state for each in rows(session)] == ["decided", "open"]


def test_it_can_be_decided_before_it_has_to_be(session: Session, world: World, episode: Episode) -> None:
    for sessions in range(1, 4):
        after(session, episode, sessions, 16)
    (row,) = rows(session)
    responses.decide_response(session, world.actor("prescriber"), row.id, Course.DISCONTINUE, REASON)
    assert row.state == "decided"


def test_nothing_of_a_decision_is_stored_in_clear(session: Session, world: World, episode: Episode) -> None:
    row = not_responding(session, episode)
    responses.decide_response(session, world.actor("prescriber"), row.id, Course.DISCONTINUE, REASON)
    assert row.decision is not None
    assert row.findings is not None
    assert b"discontinue" not in row.decision
    assert b"outcomes" not in row.findings


@pytest.mark.parametrize("who", ["therapist", "medical_staff", "pharmacist"])
def test_only_a_prescriber_decides(session: Session, world: World, episode: Episode, who: str) -> None:
    row = not_responding(session, episode)
    with pytest.raises(NotAllowed):
        responses.decide_response(session, world.actor(who), row.id, Course.CONTINUE, REASON)
    with pytest.raises(NotAllowed):
        responses.list_decisions(session, make_patient_actor(episode), episode.id)


def test_a_decision_needs_a_reason_the_present_version_and_is_made_once(
    session: Session, world: World, episode: Episode
) -> None:
    row, prescriber = not_responding(session, episode), world.actor("prescriber")
    with pytest.raises(RuleRefused) as refusal:
        responses.decide_response(session, prescriber, row.id, Course.CONTINUE, Personal("  "))
    assert (refusal.value.rule, refusal.value.field) == ("outcomes.reason_needed", "reason")
    with pytest.raises(StaleVersion):
        responses.decide_response(session, prescriber, row.id, Course.CONTINUE, REASON, version=99)
    responses.decide_response(session, prescriber, row.id, Course.ANOTHER_COURSE, REASON)
    with pytest.raises(IllegalTransition):
        responses.decide_response(session, prescriber, row.id, Course.CONTINUE, REASON)


def test_therapist_and_medical_team_read_and_every_reading_is_audited(
    session: Session, world: World, episode: Episode
) -> None:
    row = not_responding(session, episode)
    for who in ("therapist", "prescriber", "medical_staff"):
        assert responses.read_decision(session, world.actor(who), row.id).finding.rule == (
            "outcomes.response_decision_needed"
        )
        assert len(responses.list_decisions(session, world.actor(who), episode.id)) == 1
    trail = audited(session)
    assert (trail.count("response.read"), trail.count("response.list"), trail.count("response.note")) == (3, 3, 1)
