"""Treatments that do not help: noted with the scores, decided on by a prescriber, looked for by the refill gate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Exists, SQLColumnExpression, exists, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import NotFound, StaleVersion
from services.core.findings import Finding, Severity
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.outcomes.baselines import baseline, latest_totals
from services.outcomes.models import ResponseDecision
from services.outcomes.report_rules import REASON_NEEDED
from services.outcomes.response_rules import NOT_RESPONDING, ResponseFacts, Scores, judge_response
from services.outcomes.schedules import diagnosis_of
from services.outcomes.states import RESPONSE_TRANSITIONS, ResponseState, ResponseStep
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening import instruments
from services.screening.scoring import is_positive
from services.screening.written_texts import heed
from services.sessions.histories import held_dosing_sessions
from services.vault.boxes import box

INVISIBLE = "There is no such record, or it is not yours to see."
UNDECIDED: Final = (ResponseState.NOTED.value, ResponseState.OPEN.value)
ASKED: Final = {TaskKind.REVIEW_RESPONSE, TaskKind.DECIDE_RESPONSE}


class Course(StrEnum):
    """How a treatment that did not help goes on."""

    CONTINUE = "continue"
    ANOTHER_COURSE = "another_course"
    DISCONTINUE = "discontinue"


@dataclass(frozen=True, slots=True, repr=False)
class ReadDecision:
    """A decision with its sealed content opened; ``course`` and ``reason`` are empty while it is not made."""

    row: ResponseDecision
    finding: Finding
    course: Personal[Course | None]
    reason: Personal[str | None]


def follow_response(session: Session, episode: Episode) -> None:
    """Judge the treatment by the newest scores: note that it does not help, ask for a decision, or lift one.

    Part of reporting and answering, whose use cases have authorized it.
    """
    programme = programme_of(session, episode)
    response = judge_response(_facts(session, episode), programme)
    standing = _undecided(session, episode.id)
    if response.helps and standing is not None:
        _move(session, standing, ResponseStep.LIFT)
        standing.ended_at = clock.now()
        settle_tasks(session, SYSTEM, _subject(standing), ASKED)
    if response.finding is None:
        return
    if standing is None:
        standing = _note(session, episode, response.finding, programme.version)
    elif _is_stronger(session, standing, response.finding):
        _move(session, standing, ResponseStep.REQUIRE)
        _seal_finding(session, standing, response.finding)
        emit(session, EventKind.RESPONSE_DECISION_NEEDED, subject=_subject(standing), episode_id=episode.id)


def _facts(session: Session, episode: Episode) -> ResponseFacts:
    programme = programme_of(session, episode)
    held = [each.held_at for each in held_dosing_sessions(session, episode.id)]
    before = baseline(session, episode.id) if held else {}
    scores = {}
    for name, latest in latest_totals(session, episode.id).items():
        if name in before and latest.answered_at > held[0]:
            start = before[name].total
            positive = bool(is_positive(instruments.get(name), start, programme))
            scores[name] = Scores(start, latest.total, positive, sum(at < latest.answered_at for at in held))
    diagnosis = diagnosis_of(session, episode) or "depression"
    return ResponseFacts(
        scores=scores,
        judged_by=programme.text(f"outcomes.response.judged_by.{diagnosis}"),
        decided_after=_decided_after(session, episode),
    )


def _decided_after(session: Session, episode: Episode) -> int | None:
    query = select(ResponseDecision).where(
        ResponseDecision.episode_id == episode.id, ResponseDecision.state == ResponseState.DECIDED.value
    )
    row = session.scalar(query.order_by(ResponseDecision.ended_at.desc()).limit(1))
    if row is None or row.ended_at is None:
        return None
    return sum(each.held_at < row.ended_at for each in held_dosing_sessions(session, episode.id))


def _undecided(session: Session, episode_id: UUID) -> ResponseDecision | None:
    query = select(ResponseDecision).where(
        ResponseDecision.episode_id == episode_id, ResponseDecision.state.in_(UNDECIDED)
    )
    return session.scalar(query.with_for_update())


def _note(session: Session, episode: Episode, finding: Finding, version: str) -> ResponseDecision:
    is_review = finding.rule == NOT_RESPONDING.id
    row = ResponseDecision(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        state=ResponseState.NOTED if is_review else ResponseState.OPEN,
        programme_version=version,
        noted_at=clock.now(),
    )
    _seal_finding(session, row, finding)
    session.add(row)
    session.flush()
    record(session, SYSTEM, "response.note", "response_decision", row.id, episode_id=episode.id, state=row.state)
    kind = EventKind.RESPONSE_MISSING if is_review else EventKind.RESPONSE_DECISION_NEEDED
    emit(session, kind, subject=_subject(row), episode_id=episode.id)
    return row


def _is_stronger(session: Session, row: ResponseDecision, finding: Finding) -> bool:
    return row.state == ResponseState.NOTED and finding.severity is Severity.STOP


def _seal_finding(session: Session, row: ResponseDecision, finding: Finding) -> None:
    box(session, row.patient_id).seal(row, "findings", [finding.as_dict()])


def _move(session: Session, row: ResponseDecision, step: ResponseStep) -> None:
    row.state = RESPONSE_TRANSITIONS.advance(ResponseState(row.state), step, SYSTEM.role)
    session.flush()
    record(session, SYSTEM, f"response.{step}", "response_decision", row.id, episode_id=row.episode_id)


def open_response_decision(session: Session, episode_id: UUID) -> UUID | None:
    """The decision that a prescriber owes on a treatment that does not help; None when none is owed.

    The caller has settled who may know.
    """
    return session.scalar(
        select(ResponseDecision.id).where(
            ResponseDecision.episode_id == episode_id, ResponseDecision.state == ResponseState.OPEN.value
        )
    )


def owes_response_decision(episode_id: SQLColumnExpression[UUID]) -> Exists:
    """Whether such a decision is owed, for a query that reads episodes anyway.

    The refill gate asks: nothing more is handed out before it is made.
    """
    return exists().where(ResponseDecision.episode_id == episode_id, ResponseDecision.state == ResponseState.OPEN.value)


def list_decisions(session: Session, actor: Actor, episode_id: UUID) -> list[ReadDecision]:
    """What was noted and decided on an episode, newest first; an audited read."""
    episode = visible_episode(session, actor, Action.READ_OUTCOME, episode_id)
    record(session, actor, "response.list", "episode", episode.id, episode_id=episode.id)
    query = select(ResponseDecision).where(ResponseDecision.episode_id == episode.id)
    rows = session.scalars(query.order_by(ResponseDecision.noted_at.desc(), ResponseDecision.id.desc()))
    return [_opened(session, row) for row in rows]


def read_decision(session: Session, actor: Actor, decision_id: UUID) -> ReadDecision:
    """One of them; an audited read. Raises as ``authorize`` does."""
    row = session.get(ResponseDecision, decision_id)
    if row is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.READ_OUTCOME, row.episode_id)
    record(session, actor, "response.read", "response_decision", row.id, episode_id=episode.id)
    return _opened(session, row)


def decide_response(
    session: Session,
    actor: Actor,
    decision_id: UUID,
    course: Course,
    reason: Personal[str],
    *,
    version: int | None = None,
) -> ReadDecision:
    """Decide how it goes on, under the name of the prescriber and with the reason.

    Raises as ``authorize`` does, ``RuleRefused`` on ``reason`` when it is blank, ``IllegalTransition``,
    ``StaleVersion``.
    """
    row = session.get(ResponseDecision, decision_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.DECIDE_RESPONSE, row.episode_id)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this decision since you read it.", field="version")
    after = RESPONSE_TRANSITIONS.advance(ResponseState(row.state), ResponseStep.DECIDE, actor.role)
    text = reason.reveal().strip()
    if not text:
        raise REASON_NEEDED.refused(field="reason", reason=None)
    row.state, row.decided_by, row.ended_at = after, actor.id, clock.now()
    own = box(session, row.patient_id)
    own.seal(row, "decision", course.value)
    own.seal(row, "reason", text)
    session.flush()
    record(session, actor, "response.decide", "response_decision", row.id, episode_id=episode.id)
    heed(session, actor, episode, text, subject=_subject(row))
    settle_tasks(session, actor, _subject(row), ASKED)
    emit(session, EventKind.RESPONSE_DECIDED, subject=_subject(row), episode_id=episode.id)
    return _opened(session, row)


def _subject(row: ResponseDecision) -> Subject:
    return Subject("response_decision", row.id)


def _opened(session: Session, row: ResponseDecision) -> ReadDecision:
    own = box(session, row.patient_id)
    stored: dict[str, Any] = own.open(row, "findings").reveal()[0]
    course: str | None = own.open(row, "decision").reveal()
    finding = Finding.from_dict(stored)
    return ReadDecision(row, finding, Personal(None if course is None else Course(course)), own.open(row, "reason"))
