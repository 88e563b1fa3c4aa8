"""Suicide-risk flags: raised at once, held until a prescriber clears them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility.reviews import submit_screening
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.models import Episode
from services.screening import risk, screenings
from services.screening.answer_sheets import Part
from services.screening.models import RiskFlag
from tests.factories import World, make_patient_actor, make_world
from tests.factories_screening import NO_TO_ALL, agree_to_treatment, answers, make_referral, make_screening, open_round

REASON = Personal("Spoke with the client for an hour; safety plan made.")


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


def save(session: Session, episode: Episode, **parts: Any) -> screenings.ReadScreening:
    given = {Part(name): value for name, value in parts.items()}
    screening = open_round(session, episode)
    return screenings.save_answers(session, make_patient_actor(episode), screening.id, given)


def flags(session: Session, episode: Episode) -> list[RiskFlag]:
    return list(session.scalars(select(RiskFlag).where(RiskFlag.episode_id == episode.id).order_by(RiskFlag.id)))


def alerts(session: Session) -> list[str]:
    kinds = (EventKind.RISK_FLAGGED, EventKind.RISK_PAGED)
    query = select(Event.kind, Event.party).where(Event.kind.in_(kinds)).order_by(Event.created_at, Event.party)
    return [f"{kind} {party}" for kind, party in session.execute(query)]


def test_a_positive_item_9_alerts_as_soon_as_it_is_answered(session: Session, episode: Episode) -> None:
    saved = save(session, episode, phq9={"q9": 1})
    assert saved.triage is not None
    assert (saved.triage.show_crisis_resources, saved.triage.requires_cssrs_today) == (True, True)
    assert alerts(session) == ["risk.flagged medical_team", "risk.flagged therapist"]


@pytest.mark.parametrize(
    ("parts", "shipping", "treatment"),
    [
        ({"phq9": {"q9": 1}}, False, False),
        ({"phq9": {"q9": 2}}, True, False),
        ({"cssrs": {"q1": True, "q2": True, "q3": True}}, True, False),
        ({"cssrs": {"q6_ever": True, "q6_past_3_months": False}}, True, False),
        ({"cssrs": {"q4": True}}, True, True),
        ({"cssrs": {"q6_ever": True, "q6_past_3_months": True}}, True, True),
    ],
)
def test_a_flag_blocks_what_the_answers_demand(
    session: Session, episode: Episode, parts: dict[str, Any], shipping: bool, treatment: bool
) -> None:
    save(session, episode, **parts)
    block = risk.blocking(session, episode.id)
    assert (block.is_open, block.blocks_shipping, block.blocks_treatment) == (True, shipping, treatment)


def test_a_high_risk_pages(session: Session, episode: Episode) -> None:
    save(session, episode, cssrs={"q5": True})
    assert alerts(session) == ["risk.paged medical_team", "risk.paged therapist"]


@pytest.mark.parametrize("parts", [{"phq9": {"q9": 0}}, {"cssrs": NO_TO_ALL}, {"cssrs": {"q1": True}}])
def test_no_risk_raises_no_flag(session: Session, episode: Episode, parts: dict[str, Any]) -> None:
    save(session, episode, **parts)
    assert flags(session, episode) == []
    assert alerts(session) == []
    assert not risk.blocking(session, episode.id).is_open


def test_the_same_answers_again_alert_once(session: Session, episode: Episode) -> None:
    save(session, episode, phq9={"q9": 2})
    save(session, episode, phq9={"q9": 2})
    save(session, episode, phq9={"q1": 1})
    assert len(flags(session, episode)) == 1
    assert len(alerts(session)) == 2


def test_a_worse_answer_raises_another_flag_and_a_better_one_lifts_none(session: Session, episode: Episode) -> None:
    save(session, episode, phq9={"q9": 1})
    save(session, episode, cssrs={"q4": True})
    save(session, episode, phq9={"q9": 0}, cssrs={**NO_TO_ALL, "q4": False})
    block = risk.blocking(session, episode.id)
    assert len(block.flags) == 2
    assert block.blocks_treatment


def test_completing_raises_no_second_flag_even_after_clearing(session: Session, episode: Episode, world: World) -> None:
    agree_to_treatment(session, episode)
    given = answers(phq9={f"q{number}": 2 for number in range(1, 10)})
    screening = open_round(session, episode)
    screenings.save_answers(session, make_patient_actor(episode), screening.id, given)
    risk.clear(session, world.actor("prescriber"), flags(session, episode)[0].id, REASON)
    submit_screening(session, make_patient_actor(episode), screening.id)
    assert [flag.state for flag in flags(session, episode)] == ["cleared"]


def test_a_cleared_flag_blocks_nothing_and_its_task_is_done(session: Session, episode: Episode, world: World) -> None:
    save(session, episode, cssrs={"q4": True})
    (flag,) = flags(session, episode)
    task = open_task(
        session,
        TaskKind.TRIAGE_RISK,
        party=Party.MEDICAL_TEAM,
        owner_id=world.medical_team.id,
        subject=Subject("risk_flag", flag.id),
        due_at=clock.now(),
    )
    cleared = risk.clear(session, world.actor("prescriber"), flag.id, REASON, version=flag.version)
    assert (cleared.flag.state, cleared.flag.cleared_by) == ("cleared", world.prescriber.id)
    assert cleared.reason == REASON
    assert not risk.blocking(session, episode.id).is_open
    assert session.get_one(Task, task.id).state == "completed"


def test_level_and_reason_are_sealed(session: Session, episode: Episode, world: World) -> None:
    save(session, episode, cssrs={"q4": True})
    (flag,) = flags(session, episode)
    risk.clear(session, world.actor("prescriber"), flag.id, REASON)
    assert flag.reason is not None
    assert flag.triage is not None
    assert b"safety plan" not in flag.reason
    assert b"high" not in flag.triage


def test_only_a_prescriber_of_the_team_clears_a_flag_and_only_once(
    session: Session, episode: Episode, world: World
) -> None:
    save(session, episode, cssrs={"q4": True})
    (flag,) = flags(session, episode)
    for who in ("therapist", "medical_staff"):
        with pytest.raises(NotAllowed):
            risk.clear(session, world.actor(who), flag.id, REASON)
    with pytest.raises(NotFound):
        risk.clear(session, make_world(session).actor("prescriber"), flag.id, REASON)
    with pytest.raises(StaleVersion):
        risk.clear(session, world.actor("prescriber"), flag.id, REASON, version=flag.version + 1)
    risk.clear(session, world.actor("prescriber"), flag.id, REASON)
    with pytest.raises(IllegalTransition):
        risk.clear(session, world.actor("prescriber"), flag.id, REASON)


def test_the_care_team_reads_the_flags_and_nobody_else(session: Session, episode: Episode, world: World) -> None:
    save(session, episode, phq9={"q9": 3})
    (seen,) = risk.list_flags(session, world.actor("therapist"), episode.id)
    assert seen.triage.reveal()["urgent_task"] is True
    others: tuple[Actor, ...] = (world.actor("pharmacist"), make_patient_actor(episode))
    for actor in others:
        with pytest.raises(NotAllowed):
            risk.list_flags(session, actor, episode.id)


# The patient lives in California: 06:00 UTC is still the evening before.
@pytest.mark.parametrize(
    ("screener_at", "counts"),
    [
        (datetime(2026, 11, 9, 16, tzinfo=UTC), False),
        (datetime(2026, 11, 10, 6, tzinfo=UTC), False),
        (datetime(2026, 11, 10, 9, tzinfo=UTC), True),
    ],
)
def test_a_positive_item_9_asks_for_a_screener_of_the_same_day(
    session: Session, screener_at: datetime, counts: bool
) -> None:
    with time_machine.travel(screener_at, tick=False):
        episode = make_referral(session, world=make_world(session)).episode
        agree_to_treatment(session, episode)
        screening = open_round(session, episode)
        screenings.save_answers(session, make_patient_actor(episode), screening.id, answers(phq9=None))
    with time_machine.travel(datetime(2026, 11, 10, 18, tzinfo=UTC), tick=False):
        phq9 = {f"q{number}": 1 for number in range(1, 10)}
        saved = save(session, episode, phq9=phq9)
        assert saved.triage is not None
        assert saved.triage.requires_cssrs_today is not counts
        if counts:
            submit_screening(session, make_patient_actor(episode), screening.id)
            return
        with pytest.raises(RuleRefused) as refusal:
            submit_screening(session, make_patient_actor(episode), screening.id)
        assert [gap.rule for gap in refusal.value.findings] == ["screening.cssrs_same_day"]


def test_a_next_round_repeats_no_alert_for_the_answers_it_begins_with(session: Session, world: World) -> None:
    episode = make_referral(session, world=world).episode
    phq9 = {f"q{number}": 1 for number in range(1, 10)}
    screening = make_screening(session, episode, phq9=phq9)
    before = alerts(session)
    following = screenings.open_screening(session, world.actor("prescriber"), episode, after=screening)
    screenings.save_answers(session, make_patient_actor(episode), following.id, {Part.MEDICINES: ["Zinc"]})
    assert alerts(session) == before
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        screenings.save_answers(session, make_patient_actor(episode), following.id, {Part.PHQ9: {"q9": 2}})
    assert len(alerts(session)) == len(before) + 2
