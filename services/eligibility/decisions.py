"""Decisions on eligibility: a prescriber approves, declines with a reason, or asks for more (DOMAIN 3.1).

A STOP cannot be approved, except the one that the prescriber may override; a REVIEW needs a written reason. The row of
the review is locked while it is decided: of two prescribers at the same instant the second finds it decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ScalarSelect, SQLColumnExpression, bindparam, func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding, Severity
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.eligibility.reviews import (
    Evaluation,
    ReadReview,
    evaluate_case,
    latest_review,
    opened,
    without_inputs,
)
from services.eligibility.rules import REASON_NEEDED, REASON_WITHOUT_FINDING, RISK_OPEN, may_override
from services.eligibility.states import REVIEW_TRANSITIONS, ReviewState, ReviewStep
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.consents import may_be_texted
from services.people.episodes import advance_episode, assign_prescriber
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Episode
from services.people.paper_rules import licence_findings
from services.people.practitioners import licence_facts
from services.people.programmes import pin, programme_of
from services.people.states import EpisodeStep
from services.routing import parties_of
from services.screening import risk
from services.screening.models import Screening
from services.screening.screenings import supersede
from services.screening.written_texts import heed
from services.vault.boxes import box

FOUND_RISK: Final = frozenset({"eligibility.cssrs_high", "eligibility.cssrs_moderate"})


class Decision(StrEnum):
    """What a prescriber can decide."""

    APPROVE = "approve"
    DECLINE = "decline"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision with its reasons.

    ``reason`` is needed to decline and to ask (the patient reads what is asked for); ``reasons`` maps a rule id to why
    its finding does not stand in the way, needed to approve for each REVIEW and for an overridden STOP.
    """

    decision: Decision
    reason: Personal[str] | None = None
    reasons: Mapping[str, Personal[str]] = field(default_factory=dict)


_MOVES: Mapping[Decision, tuple[ReviewStep, EpisodeStep, EventKind]] = {
    Decision.APPROVE: (ReviewStep.APPROVE, EpisodeStep.APPROVE, EventKind.ELIGIBILITY_APPROVED),
    Decision.DECLINE: (ReviewStep.DECLINE, EpisodeStep.DECLINE, EventKind.ELIGIBILITY_DECLINED),
    Decision.ASK: (ReviewStep.ASK, EpisodeStep.REQUEST_INFORMATION, EventKind.INFORMATION_REQUESTED),
}


def decide(
    session: Session, actor: Actor, episode_id: UUID, verdict: Verdict, *, version: int | None = None
) -> ReadReview:
    """Decide on the newest review of an episode, under the facts and rules of this moment.

    Raises ``NotFound`` without a review, ``StaleVersion``, ``IllegalTransition`` when it is decided already, and
    ``RuleRefused`` with a finding for each thing that stands in the way: the licence, a STOP, a missing reason.
    """
    episode = visible_episode(session, actor, Action.DECIDE_ELIGIBILITY, episode_id)
    review = _held(session, episode.id, version)
    step, episode_step, event = _MOVES[verdict.decision]
    pin(session, actor, episode)
    state = REVIEW_TRANSITIONS.advance(ReviewState(review.state), step, actor.role)
    screening = session.get_one(Screening, review.screening_id)
    evaluation = evaluate_case(session, episode, screening)
    _check_licence(session, actor, episode, evaluation)
    overrides = _checked_reasons(session, episode, verdict, evaluation)
    review.state = state
    decision = _store(session, actor, episode, review, verdict, evaluation, overrides)
    advance_episode(session, actor, episode, episode_step)
    # Whoever takes the case on is its prescriber; declining leaves the care team as it was.
    if verdict.decision is Decision.APPROVE or (verdict.decision is Decision.ASK and episode.prescriber_id is None):
        assign_prescriber(session, actor, episode.id, actor.id)
    session.flush()
    record(
        session,
        actor,
        f"eligibility.{verdict.decision}",
        "eligibility_decision",
        decision.id,
        episode_id=episode.id,
        overrides=len(overrides),  # which ones would tell what the patient has
    )
    heed(session, actor, episode, *_read(verdict), subject=Subject("eligibility_decision", decision.id))
    settle_tasks(session, actor, Subject("screening", screening.id), {TaskKind.REVIEW_ELIGIBILITY})
    if verdict.decision is Decision.ASK and verdict.reason is not None:
        _ask(session, actor, episode, screening, verdict.reason)
    else:
        emit(session, event, subject=Subject("episode", episode.id), episode_id=episode.id)
    if verdict.decision is Decision.APPROVE and episode.therapist_id is None:
        emit(session, EventKind.THERAPIST_NEEDED, subject=Subject("episode", episode.id), episode_id=episode.id)
    return opened(session, actor, review)


def _held(session: Session, episode_id: UUID, version: int | None) -> EligibilityReview:
    review_id = latest_review(session, episode_id).id
    review = session.get_one(EligibilityReview, review_id, with_for_update=True, populate_existing=True)
    if version is not None and review.version != version:
        raise StaleVersion("Somebody else changed this review since you read it.", field="version")
    return review


def _check_licence(session: Session, actor: Actor, episode: Episode, evaluation: Evaluation) -> None:
    """Licensed in the patient's state today (DOMAIN 5). The DEA registration is looked at when something is signed."""
    state = evaluation.facts.state or ""
    programme = programme_of(session, episode)
    findings = licence_findings(state, evaluation.facts.on, licence_facts(session, actor.id), (), programme)
    stops = [each for each in findings if each.severity is Severity.STOP and each.rule.startswith("people.licence")]
    if stops:
        raise RuleRefused("You may not decide for a patient in this state.", without_inputs(stops))


def _checked_reasons(session: Session, episode: Episode, verdict: Verdict, evaluation: Evaluation) -> list[str]:
    """The rule ids of overridden stops. Raises ``RuleRefused`` naming everything that stands in the way at once."""
    if verdict.decision is not Decision.APPROVE and not _given(verdict.reason):
        raise REASON_NEEDED.refused(field="reason", reason=None)
    known = {finding.rule for finding in evaluation.findings}
    if not verdict.reasons.keys() <= known:
        raise REASON_WITHOUT_FINDING.refused(field="reasons", rules=sorted(verdict.reasons.keys() - known))
    if verdict.decision is not Decision.APPROVE:
        return []
    stops = [each for each in evaluation.findings if each.severity is Severity.STOP]
    overrides = [each.rule for each in stops if may_override(each.rule) and _given(verdict.reasons.get(each.rule))]
    open_stops = [each for each in stops if each.rule not in overrides] + _risk_findings(session, episode)
    unexplained = [
        each
        for each in evaluation.findings
        if each.severity is Severity.REVIEW and not _given(verdict.reasons.get(each.rule))
    ]
    if open_stops:
        raise RuleRefused("This cannot be approved.", without_inputs([*open_stops, *unexplained]))
    if unexplained:
        sentence = "Each finding for review needs a written reason under its rule id."
        raise RuleRefused(sentence, without_inputs(unexplained), field="reasons")
    return overrides


def _read(verdict: Verdict) -> list[Personal[str]]:
    """The texts that may speak of a risk nobody knows of. What answers the finding of a C-SSRS is left out: it weighs
    the very risk that was found, and would ask for the same C-SSRS again.
    """
    others = [text for rule, text in verdict.reasons.items() if rule not in FOUND_RISK]
    return others if verdict.reason is None else [verdict.reason, *others]


def _given(text: Personal[str] | None) -> bool:
    return text is not None and bool(text.reveal().strip())


def _risk_findings(session: Session, episode: Episode) -> list[Finding]:
    if not risk.blocking(session, episode.id).blocks_treatment:
        return []
    return [RISK_OPEN.finding(risk_blocked=True)]


def _store(
    session: Session,
    actor: Actor,
    episode: Episode,
    review: EligibilityReview,
    verdict: Verdict,
    evaluation: Evaluation,
    overrides: list[str],
) -> EligibilityDecision:
    approves = verdict.decision is Decision.APPROVE
    valid_until = evaluation.facts.on + timedelta(days=programme_of(session, episode).whole("eligibility.valid_days"))
    decision = EligibilityDecision(
        id=new_id(),
        patient_id=review.patient_id,
        episode_id=review.episode_id,
        review_id=review.id,
        decision=verdict.decision,
        decided_by=actor.id,
        decided_at=clock.now(),
        valid_until=valid_until if approves else None,
    )
    reasons: dict[str, Any] = {
        "reason": None if verdict.reason is None else verdict.reason.reveal(),
        "findings": {rule: reason.reveal() for rule, reason in verdict.reasons.items()},
        "overrides": overrides,
    }
    box(session, review.patient_id).seal(decision, "reasons", reasons)
    evaluation.seal_into(session, decision)
    session.add(decision)
    return decision


def _ask(session: Session, actor: Actor, episode: Episode, screening: Screening, request: Personal[str]) -> Screening:
    """Open the next round and let the patient know, with a fresh link where texts are agreed to."""
    subject = Subject("screening", supersede(session, actor, screening, episode, request).id)
    data = {}
    if may_be_texted(session, episode.patient_id):
        data["link"] = path_of(issue_link(session, actor, episode, LinkKind.FORMS))
    kind = EventKind.INFORMATION_REQUESTED
    # The link is for the patient's queue alone.
    others = [party for party in parties_of(kind) if party is not Party.PATIENT]
    emit(session, kind, subject=subject, episode_id=episode.id, to=others)
    emit(session, kind, subject=subject, episode_id=episode.id, to=[Party.PATIENT], **data)
    return session.get_one(Screening, subject.id)


def screen_again(
    session: Session, actor: Actor, episode_id: UUID, reason: Personal[str], *, version: int | None = None
) -> Screening:
    """Look at a decision anew: it stops counting, and the patient is screened again, told for what ``reason``.

    Raises ``NotFound`` without a decision, ``StaleVersion``, and ``IllegalTransition`` when no decision stands.
    """
    episode = visible_episode(session, actor, Action.DECIDE_ELIGIBILITY, episode_id)
    review = _held(session, episode.id, version)
    review.state = REVIEW_TRANSITIONS.advance(ReviewState(review.state), ReviewStep.SUPERSEDE, actor.role)
    advance_episode(session, actor, episode, EpisodeStep.REOPEN_REVIEW)
    advance_episode(session, actor, episode, EpisodeStep.REQUEST_INFORMATION)
    session.flush()
    record(session, actor, "eligibility.reopen", "eligibility_review", review.id, episode_id=episode.id)
    heed(session, actor, episode, reason, subject=Subject("eligibility_review", review.id))
    return _ask(session, actor, episode, session.get_one(Screening, review.screening_id), reason)


def approval_of(session: Session, episode_id: UUID) -> EligibilityDecision:
    """The approval that stands for an episode, outdated or not. Raises ``NotFound`` when there is none."""
    query = (
        select(EligibilityDecision)
        .join(EligibilityReview, EligibilityReview.id == EligibilityDecision.review_id)
        .where(EligibilityReview.episode_id == episode_id, EligibilityReview.state == ReviewState.APPROVED)
    )
    approval = session.scalar(query.order_by(EligibilityDecision.decided_at.desc()).limit(1))
    if approval is None:
        raise NotFound("There is no approval of eligibility that stands.")
    return approval


def eligibility_current(session: Session, episode_id: UUID, on: date) -> bool:
    """Whether an approval stands and still counts on a day of the patient's calendar (refill gate, DOMAIN 4)."""
    return session.scalar(_CURRENT, {"episode": episode_id, "day": on}) is not None


def approved_until(episode_id: SQLColumnExpression[UUID]) -> ScalarSelect[date | None]:
    """The last day on which an approval of the episode counts, for a query that reads episodes anyway."""
    return (
        select(func.max(EligibilityDecision.valid_until))
        .join(EligibilityReview, EligibilityReview.id == EligibilityDecision.review_id)
        .where(EligibilityReview.episode_id == episode_id, EligibilityReview.state == ReviewState.APPROVED.value)
        .scalar_subquery()
    )


def approved_at(episode_id: SQLColumnExpression[UUID]) -> ScalarSelect[datetime]:
    """When the approval that stands for the episode was given, outdated or not; for a query like that of
    ``approved_until``.
    """
    return (
        select(func.max(EligibilityDecision.decided_at))
        .join(EligibilityReview, EligibilityReview.id == EligibilityDecision.review_id)
        .where(EligibilityReview.episode_id == episode_id, EligibilityReview.state == ReviewState.APPROVED.value)
        .scalar_subquery()
    )


# Prepared once: every signature, session and refill asks.
_CURRENT = (
    select(EligibilityDecision.id)
    .join(EligibilityReview, EligibilityReview.id == EligibilityDecision.review_id)
    .where(
        EligibilityReview.episode_id == bindparam("episode"),
        EligibilityReview.state == ReviewState.APPROVED.value,
        EligibilityDecision.valid_until >= bindparam("day"),
    )
    .limit(1)
)
