"""Decisions: who may decide, what stands in the way, what follows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility import decisions, reviews
from services.eligibility.decisions import Decision, Verdict, decide, eligibility_current, screen_again
from services.eligibility.models import EligibilityDecision
from services.eligibility.reviews import submit_screening
from services.eligibility.states import REVIEW_TRANSITIONS, ReviewState, ReviewStep
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.models import Episode, Licence
from services.people.paper_rules import LicenceFacts
from services.people.practitioners import licence_facts, revoke_licence
from services.people.settings import settings
from services.screening import risk, screenings
from services.screening.answer_sheets import Part
from services.vault.boxes import box
from services.vault.envelopes import open_envelope
from tests.at_once import at_once
from tests.factories import World, audit_detail, make_account, make_actor, make_patient_actor, make_world
from tests.factories_screening import (
    approve,
    history,
    make_eligible,
    make_referral,
    make_screening,
    open_round,
    reasons_for,
)

BECAUSE = Personal("Seen together; the benefit outweighs the risk.")


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


@pytest.fixture
def prescriber(world: World) -> Actor:
    return world.actor("prescriber")


def approval(**reasons: str) -> Verdict:
    given = {f"eligibility.{rule}": Personal(text) for rule, text in reasons.items()}
    return Verdict(decision=Decision.APPROVE, reasons=given)


def refused(session: Session, actor: Actor, episode: Episode, verdict: Verdict) -> RuleRefused:
    with pytest.raises(RuleRefused) as refusal:
        decide(session, actor, episode.id, verdict)
    return refusal.value


def named(refusal: RuleRefused) -> list[str]:
    return [finding.rule.removeprefix("eligibility.") for finding in refusal.findings]


def parties(session: Session, kind: EventKind) -> list[str]:
    return sorted(session.scalars(select(Event.party).where(Event.kind == kind)))


def stored(session: Session, episode: Episode) -> EligibilityDecision:
    return session.scalars(select(EligibilityDecision).where(EligibilityDecision.episode_id == episode.id)).one()


def test_a_healthy_patient_is_approved(session: Session, world: World, episode: Episode, prescriber: Actor) -> None:
    screening = make_screening(session, episode)
    task = open_task(
        session,
        TaskKind.REVIEW_ELIGIBILITY,
        party=Party.MEDICAL_TEAM,
        owner_id=world.medical_team.id,
        subject=Subject("screening", screening.id),
        due_at=clock.now(),
    )
    read = decide(session, prescriber, episode.id, approval())
    assert (read.review.state, episode.state) == ("approved", "eligible")
    assert episode.prescriber_id == prescriber.id
    assert session.get_one(Task, task.id).state == "completed"
    assert parties(session, EventKind.ELIGIBILITY_APPROVED) == ["medical_team", "patient", "therapist"]
    assert stored(session, episode).decided_by == prescriber.id


def test_a_stop_cannot_be_approved_whatever_the_reason(session: Session, episode: Episode, prescriber: Actor) -> None:
    make_screening(session, episode, history=history(stroke="present"))
    refusal = refused(session, prescriber, episode, approval(stroke="It was long ago."))
    assert named(refusal) == ["stroke"]
    assert refusal.findings[0].severity == "stop"


def test_breast_feeding_alone_may_be_overridden_with_a_reason(
    session: Session, episode: Episode, prescriber: Actor
) -> None:
    make_screening(session, episode, history=history(breast_feeding="present"))
    assert named(refused(session, prescriber, episode, approval())) == ["breast_feeding"]
    assert named(refused(session, prescriber, episode, approval(breast_feeding="  "))) == ["breast_feeding"]
    read = decide(session, prescriber, episode.id, approval(breast_feeding="Pumps and discards for a day."))
    assert read.reasons is not None
    assert read.reasons.reveal()["overrides"] == ["eligibility.breast_feeding"]
    assert audit_detail(session, "eligibility.approve") == {"overrides": 1}


def test_each_finding_for_review_needs_its_own_reason(session: Session, episode: Episode, prescriber: Actor) -> None:
    make_screening(session, episode, history=history(seizure_disorder="present"), medicines=["Unheardofine"])
    refusal = refused(session, prescriber, episode, approval(seizure_disorder="Seizure free for ten years."))
    assert named(refusal) == ["medicine_unlisted"]
    assert refusal.findings[0].inputs == {}  # what the patient takes stays out of the answer
    reasons = {"seizure_disorder": "Seizure free for ten years.", "medicine_unlisted": "A vitamin by another name."}
    decide(session, prescriber, episode.id, approval(**reasons))
    decision = stored(session, episode)
    kept = box(session, episode.patient_id).open(decision, "reasons").reveal()["findings"]
    assert kept == {f"eligibility.{rule}": text for rule, text in reasons.items()}
    assert decision.reasons is not None
    assert b"vitamin" not in decision.reasons


def test_a_reason_for_a_finding_that_does_not_stand_is_refused(
    session: Session, episode: Episode, prescriber: Actor
) -> None:
    make_screening(session, episode)
    refusal = refused(session, prescriber, episode, approval(stroke="It was long ago."))
    assert refusal.rule == "eligibility.reason_without_finding"


def test_an_open_high_risk_cannot_be_approved_until_it_is_cleared(
    session: Session, episode: Episode, prescriber: Actor
) -> None:
    screening = open_round(session, episode)
    patient = make_patient_actor(episode)
    screenings.save_answers(session, patient, screening.id, {Part.CSSRS: {"q4": True}})
    make_screening(session, episode, cssrs={"q1": False, "q2": False, "q4": False, "q6_ever": False})
    assert named(refused(session, prescriber, episode, approval())) == ["suicide_risk_open"]
    (flag_id,) = risk.blocking(session, episode.id).flags
    risk.clear(session, prescriber, flag_id, BECAUSE)
    assert decide(session, prescriber, episode.id, approval()).review.state == "approved"


@pytest.mark.parametrize("decision", [Decision.DECLINE, Decision.ASK])
@pytest.mark.parametrize("reason", [None, Personal(" ")])
def test_declining_and_asking_need_a_reason(
    session: Session, episode: Episode, prescriber: Actor, decision: Decision, reason: Personal[str] | None
) -> None:
    make_screening(session, episode)
    refusal = refused(session, prescriber, episode, Verdict(decision=decision, reason=reason))
    assert (refusal.field, refusal.rule) == ("reason", "eligibility.reason_needed")


def test_a_declined_patient_and_the_therapist_hear_of_it(
    session: Session, world: World, episode: Episode, prescriber: Actor
) -> None:
    make_screening(session, episode, history=history(stroke="present"))
    decide(session, prescriber, episode.id, Verdict(decision=Decision.DECLINE, reason=BECAUSE))
    assert episode.state == "declined"
    assert parties(session, EventKind.ELIGIBILITY_DECLINED) == ["patient", "therapist"]
    seen = reviews.read_review(session, world.actor("therapist"), episode.id)
    assert (seen.review.state, seen.reason) == ("declined", BECAUSE)
    assert not eligibility_current(session, episode.id, clock.now().date())


def test_asking_opens_a_round_that_goes_on_from_the_answers(
    session: Session, episode: Episode, prescriber: Actor
) -> None:
    first = make_screening(session, episode, medicines=["Unheardofine"])
    request = Personal("Which dose of Unheardofine, and since when?")
    decide(session, prescriber, episode.id, Verdict(decision=Decision.ASK, reason=request))
    following = open_round(session, episode)
    assert (first.state, following.round, episode.state) == ("superseded", 2, "screening")
    patient = make_patient_actor(episode)
    seen = screenings.read_screening(session, patient, following.id)
    assert seen.request == request
    assert seen.sheet is not None
    assert seen.sheet.values[Part.MEDICINES] == ["Unheardofine"]
    screenings.save_answers(session, patient, following.id, {Part.MEDICINES: ["Sertraline"]})
    submit_screening(session, patient, following.id)
    assert decide(session, prescriber, episode.id, approval()).review.state == "approved"


@pytest.mark.parametrize("texted", [True, False])
def test_asking_sends_a_fresh_link_only_to_a_patient_who_agreed_to_texts(
    session: Session, world: World, prescriber: Actor, texted: bool
) -> None:
    details: dict[str, Any] = {} if texted else {"sms_agreement": None}
    episode = make_referral(session, world=world, **details).episode
    make_screening(session, episode)
    decide(session, prescriber, episode.id, Verdict(decision=Decision.ASK, reason=BECAUSE))
    rows = session.scalars(select(Event).where(Event.kind == EventKind.INFORMATION_REQUESTED))
    data = {
        row.party: open_envelope(Party(row.party), row.kind, row.id, row.key_name, row.envelope)["data"] for row in rows
    }
    assert data["therapist"] == {}
    assert ("link" in data["patient"]) is texted


@pytest.mark.parametrize("trouble", ["expired", "revoked", "elsewhere"])
def test_the_prescriber_must_be_licensed_in_the_patients_state_today(
    session: Session, episode: Episode, world: World, prescriber: Actor, trouble: str
) -> None:
    make_screening(session, episode)
    licence = session.scalars(select(Licence).where(Licence.account_id == prescriber.id)).one()
    if trouble == "expired":
        licence.expires_on = clock.now().date() - timedelta(days=2)
    elif trouble == "revoked":
        revoke_licence(session, SYSTEM, licence.id)
    else:
        licence.state = "NY"
    session.flush()
    refusal = refused(session, prescriber, episode, approval())
    assert refusal.findings[0].rule.startswith("people.licence")
    assert all(isinstance(each, LicenceFacts) for each in licence_facts(session, prescriber.id))


def test_a_prescriber_without_dea_registration_may_still_decide(
    session: Session, world: World, episode: Episode
) -> None:
    make_screening(session, episode)
    colleague = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, papers=False)
    expires_on = clock.now().date() + timedelta(days=30)
    session.add(Licence(id=risk.new_id(), account_id=colleague.id, state="CA", number="MD-1", expires_on=expires_on))
    assert decide(session, make_actor(colleague), episode.id, approval()).review.state == "approved"


def test_only_a_prescriber_of_the_team_decides(session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode)
    for who in ("medical_staff", "therapist", "pharmacist"):
        with pytest.raises(NotAllowed):
            decide(session, world.actor(who), episode.id, approval())
    with pytest.raises(NotFound):
        decide(session, make_world(session).actor("prescriber"), episode.id, approval())


def test_nothing_is_decided_before_a_screening_is_completed_or_twice(
    session: Session, episode: Episode, prescriber: Actor
) -> None:
    with pytest.raises(NotFound):
        decide(session, prescriber, episode.id, approval())
    make_screening(session, episode)
    decide(session, prescriber, episode.id, approval())
    for verdict in (approval(), Verdict(decision=Decision.DECLINE, reason=BECAUSE)):
        with pytest.raises(IllegalTransition):
            decide(session, prescriber, episode.id, verdict)


def test_a_stale_version_is_refused(session: Session, episode: Episode, prescriber: Actor) -> None:
    make_screening(session, episode)
    with pytest.raises(StaleVersion):
        decide(session, prescriber, episode.id, approval(), version=7)


def test_an_approval_counts_until_its_last_day(session: Session, world: World) -> None:
    episode = make_eligible(session, world=world)
    last = decisions.approval_of(session, episode.id).valid_until
    assert last is not None
    on: Mapping[date, bool] = {last: True, last + timedelta(days=1): False}
    assert {day: eligibility_current(session, episode.id, day) for day in on} == on
    days = timedelta(days=settings().whole("eligibility.valid_days"))
    assert clock.now().date() - timedelta(days=1) <= last - days <= clock.now().date()


def test_an_approval_that_is_looked_at_anew_stops_counting(session: Session, world: World, prescriber: Actor) -> None:
    episode = make_eligible(session, world=world)
    following = screen_again(session, prescriber, episode.id, Personal("Your blood pressure has changed."))
    assert (following.round, following.state, episode.state) == (2, "opened", "screening")
    assert not eligibility_current(session, episode.id, clock.now().date())
    with pytest.raises(NotFound):
        decisions.approval_of(session, episode.id)
    submit_screening(session, make_patient_actor(episode), following.id)
    approve(session, prescriber, episode.id)
    assert eligibility_current(session, episode.id, clock.now().date())


def test_only_a_decision_that_stands_is_looked_at_anew(session: Session, episode: Episode, prescriber: Actor) -> None:
    make_screening(session, episode)
    with pytest.raises(IllegalTransition):
        screen_again(session, prescriber, episode.id, BECAUSE)


def test_of_two_prescribers_at_the_same_instant_exactly_one_decides(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        world = make_world(session)
        episode = make_referral(session, world=world).episode
        make_screening(session, episode)
        colleague = make_actor(make_account(session, Role.PRESCRIBER, organisation=world.medical_team))
        first = world.actor("prescriber")
        reasons = reasons_for(session, first, episode.id)
    approval = Verdict(decision=Decision.APPROVE, reasons=reasons)
    refusal = Verdict(decision=Decision.DECLINE, reason=BECAUSE)
    decided = at_once(
        sessions,
        [
            lambda session: decide(session, first, episode.id, approval),
            lambda session: decide(session, colleague, episode.id, refusal),
        ],
    )
    assert sorted(decided) == [False, True]
    with sessions() as session:
        made = select(func.count()).where(EligibilityDecision.episode_id == episode.id)
        assert session.scalar(made) == 1


@pytest.mark.parametrize(("state", "step", "role"), list(product(ReviewState, ReviewStep, Role)))
def test_a_review_moves_only_as_the_table_says(state: ReviewState, step: ReviewStep, role: Role) -> None:
    allowed = {
        (ReviewState.REQUESTED, ReviewStep.APPROVE): ReviewState.APPROVED,
        (ReviewState.REQUESTED, ReviewStep.DECLINE): ReviewState.DECLINED,
        (ReviewState.REQUESTED, ReviewStep.ASK): ReviewState.RETURNED,
        (ReviewState.APPROVED, ReviewStep.SUPERSEDE): ReviewState.SUPERSEDED,
        (ReviewState.DECLINED, ReviewStep.SUPERSEDE): ReviewState.SUPERSEDED,
    }
    if (state, step) not in allowed:
        with pytest.raises(IllegalTransition):
            REVIEW_TRANSITIONS.advance(state, step, role)
    elif role is Role.PRESCRIBER:
        assert REVIEW_TRANSITIONS.advance(state, step, role) is allowed[state, step]
    else:
        with pytest.raises(NotAllowed):
            REVIEW_TRANSITIONS.advance(state, step, role)
