"""What follows a round: a maintenance plan with the patient, or the end of the episode with a closing follow-up.

Discontinuing cancels what is prescribed and what is booked, asks for a count of leftovers and their disposal, and for a
last talk with the prescriber. Only then is the episode closed, with a discharge summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import RuleRefused, StaleVersion
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.matching.matches import end_searches
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers_of_episode
from services.outcomes.responses import open_response_decision
from services.outcomes.schedules import plan_assessments
from services.people.access import Action, visible_episode
from services.people.episodes import advance_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.states import EPISODE_TRANSITIONS, EpisodeState, EpisodeStep
from services.prescribing.models import PrescriberContact, Prescription
from services.prescribing.prescriptions import end, reason_text
from services.prescribing.states import DRAFTS, VALID, PrescriptionStep
from services.refills.course_rules import NOTHING_TO_DISCONTINUE, ClosingFacts, closing_findings, plan_findings
from services.screening.written_texts import heed
from services.sessions.adverse_events import open_high_adverse_events
from services.sessions.bookings import end_for_discontinuation
from services.sessions.histories import held_dosing_sessions
from services.sessions.ledgers import ledger
from services.sessions.models import CourseDecision
from services.sessions.rounds import CourseKind, standing_plan
from services.shipping.diversions import is_under_review
from services.vault.boxes import box

# Whoever was treated comes back here when it is time to approve anew.
_NOT_APPROVED = frozenset({EpisodeState.SCREENING, EpisodeState.DECLINED})
# What would text a patient who was discharged, or ask somebody to reach them for it. A parcel is chased all the same.
PATIENTS: Final = frozenset(
    {
        EventKind.SCREENING_UNANSWERED,
        EventKind.SESSION_REMINDER_DUE,
        EventKind.INTEGRATION_DUE,
        EventKind.CIRCLE_REMINDER_DUE,
        EventKind.ASSESSMENT_REMINDER_DUE,
        EventKind.ASSESSMENT_UNANSWERED,
    }
)


class Cause(StrEnum):
    """Why a treatment ends."""

    COMPLETED = "completed"
    NO_RESPONSE = "no_response"
    ADVERSE_EVENT = "adverse_event"
    PATIENT_WISH = "patient_wish"
    OTHER = "other"


@dataclass(frozen=True, slots=True, repr=False)
class ReadDecision:
    """A decision on the course with its content opened."""

    row: CourseDecision
    content: Personal[Mapping[str, Any]]


def agree_maintenance(
    session: Session, actor: Actor, episode_id: UUID, interval_days: int, plan: Personal[str]
) -> ReadDecision:
    """The prescriber and the patient agree how it goes on after a round, or change the plan they had.

    ``plan`` says what is taken where: single treatments, or tablets at home or during therapy. Raises ``RuleRefused``
    with what stands in the way, ``IllegalTransition``.
    """
    episode = _held(session, actor, Action.DECIDE_COURSE, episode_id)
    programme = programme_of(session, episode)
    held = len(held_dosing_sessions(session, episode.id))
    undecided = open_response_decision(session, episode.id) is not None
    begins = episode.state != EpisodeState.IN_MAINTENANCE
    unplanned = episode.state == EpisodeState.ELIGIBLE and standing_plan(session, episode.id) is None
    found = plan_findings(interval_days, held, undecided, programme, first=begins, unplanned=unplanned)
    _refuse(found, "This plan cannot be agreed.")
    content = {"interval_days": interval_days, "text": reason_text(plan)}
    if begins:
        advance_episode(session, actor, episode, EpisodeStep.BEGIN_MAINTENANCE)
    made = _decide(session, actor, episode, CourseKind.MAINTENANCE_PLAN, content)
    emit(session, EventKind.MAINTENANCE_AGREED, subject=Subject("episode", episode.id), episode_id=episode.id)
    return made


def discontinue(
    session: Session, actor: Actor, episode_id: UUID, cause: Cause, reason: Personal[str], *, version: int | None = None
) -> ReadDecision:
    """The prescriber ends the treatment, with a reason: nothing is filled, booked or taken any more.

    Raises ``IllegalTransition`` when it has ended, ``RuleRefused`` when nothing was begun, ``StaleVersion``.
    """
    episode = _held(session, actor, Action.DECIDE_COURSE, episode_id, version, ends=True)
    if episode.state in _NOT_APPROVED and not _closing_facts(session, episode).is_treated:
        _refuse([NOTHING_TO_DISCONTINUE.finding(is_treated=False)], "There is no treatment to discontinue.")
    text = reason_text(reason)
    advance_episode(session, actor, episode, EpisodeStep.DISCONTINUE)
    in_force = select(Prescription).where(
        Prescription.episode_id == episode.id, Prescription.state.in_(sorted(VALID | DRAFTS))
    )
    for prescription in session.scalars(in_force.order_by(Prescription.id).with_for_update()).all():
        box(session, prescription.patient_id).seal(prescription, "end_reason", text)
        end(session, actor, prescription, PrescriptionStep.CANCEL)
    end_for_discontinuation(session, episode, text)
    plan_assessments(session, episode.id)
    cancel_timers_of_episode(session, episode, {EventKind.SCREENING_UNANSWERED})
    content = {"cause": cause.value, "text": text}
    made = _decide(session, actor, episode, CourseKind.DISCONTINUATION, content)
    emit(session, EventKind.EPISODE_DISCONTINUED, subject=Subject("episode", episode.id), episode_id=episode.id)
    return made


def close_episode(
    session: Session, actor: Actor, episode_id: UUID, summary: Personal[str], *, version: int | None = None
) -> ReadDecision:
    """Discharge: close the episode with a summary, which is ordinary record.

    Raises ``RuleRefused`` naming what is missing, ``IllegalTransition``, ``StaleVersion``.
    """
    episode = _held(session, actor, Action.CLOSE_EPISODE, episode_id, version, ends=True)
    EPISODE_TRANSITIONS.advance(EpisodeState(episode.state), EpisodeStep.CLOSE, actor.role)
    text = reason_text(summary)
    _refuse(closing_findings(_closing_facts(session, episode)), "This episode cannot be closed yet.")
    advance_episode(session, actor, episode, EpisodeStep.CLOSE)
    plan_assessments(session, episode.id)
    cancel_timers_of_episode(session, episode, PATIENTS)
    made = _decide(session, actor, episode, CourseKind.DISCHARGE, {"text": text})
    settle_tasks(
        session, actor, Subject("episode", episode.id), {TaskKind.HOLD_CLOSING_FOLLOW_UP, TaskKind.COUNT_LEFTOVERS}
    )
    return made


def _closing_facts(session: Session, episode: Episode) -> ClosingFacts:
    stopped_at = _latest_at(session, episode, CourseKind.DISCONTINUATION)
    stock = ledger(session, episode.id).balance
    spoken = select(func.count()).select_from(PrescriberContact).where(PrescriberContact.episode_id == episode.id)
    prescribed = select(Prescription.id).where(Prescription.episode_id == episode.id, Prescription.state.in_(VALID))
    is_discontinued = episode.state == EpisodeState.DISCONTINUED
    return ClosingFacts(
        is_treated=stock.dispensed > 0
        or bool(held_dosing_sessions(session, episode.id))
        or session.scalar(prescribed.limit(1)) is not None,
        is_discontinued=is_discontinued,
        is_followed_up=stopped_at is not None
        and bool(session.scalar(spoken.where(PrescriberContact.held_at >= stopped_at))),
        units_left=float(stock.remaining),
        review_open=is_under_review(session, episode.id),
        adverse_event_open=bool(open_high_adverse_events(session, episode.id)),
    )


def _latest_at(session: Session, episode: Episode, kind: CourseKind) -> Any:
    row = CourseDecision
    return session.scalar(select(func.max(row.decided_at)).where(row.episode_id == episode.id, row.kind == kind))


def _refuse(findings: list[Finding], sentence: str) -> None:
    if findings:
        raise RuleRefused(sentence, findings)


def _held(
    session: Session,
    actor: Actor,
    action: Action,
    episode_id: UUID,
    version: int | None = None,
    *,
    ends: bool = False,
) -> Episode:
    """The episode, held until the commit: of two who decide at once the second finds it decided."""
    episode = visible_episode(session, actor, action, episode_id)
    if ends:
        end_searches(session, actor, episode)
    session.refresh(episode, with_for_update={"key_share": True})
    if version is not None and episode.version != version:
        raise StaleVersion("Somebody else changed this episode since you read it.", field="version")
    return episode


def _decide(
    session: Session, actor: Actor, episode: Episode, kind: CourseKind, content: dict[str, Any]
) -> ReadDecision:
    row = CourseDecision(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        kind=kind,
        decided_by=actor.id,
        decided_at=clock.now(),
    )
    own = box(session, row.patient_id)
    own.seal(row, "content", content)
    session.add(row)
    session.flush()
    record(session, actor, f"course.{kind}", "course_decision", row.id, episode_id=episode.id)
    heed(session, actor, episode, content["text"], subject=Subject("course_decision", row.id))
    return ReadDecision(row, own.open(row, "content"))


def list_decisions(session: Session, actor: Actor, episode_id: UUID) -> list[ReadDecision]:
    """What was decided on the course of an episode, newest first; an audited read."""
    episode = visible_episode(session, actor, Action.READ_COURSE, episode_id)
    record(session, actor, "course.read", "episode", episode.id, episode_id=episode.id)
    own = box(session, episode.patient_id)
    rows = session.scalars(
        select(CourseDecision).where(CourseDecision.episode_id == episode.id).order_by(CourseDecision.id.desc())
    )
    return [ReadDecision(row, own.open(row, "content")) for row in rows]
