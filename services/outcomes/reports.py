"""Outcome reports: scores, a summary, and how they compare with the time before the first dose (DOMAIN 2.1 and 2.2).

Reports are ordinary record (DOMAIN 6): therapist and medical team read them, the pharmacy never does. What the answers
say about suicide risk is acted on at once, whether the forms are complete or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from services.outcomes.baselines import scales_given
from services.outcomes.measures import SCREENER, Measures, check_offered, measure, results_of
from services.outcomes.models import OutcomeReport
from services.outcomes.report_rules import ANSWERED_IN_THE_FUTURE, REPORT_EMPTY, SESSION_OF_OTHERS
from services.outcomes.responses import follow_response
from services.outcomes.schedules import plan_assessments
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.zones import read_zone
from services.screening import risk
from services.screening.definitions import Answers
from services.screening.rules import CrisisResource, crisis_resources
from services.screening.scoring import OutcomeClass
from services.screening.written_texts import heed, settle_asked
from services.sessions.models import TherapySession
from services.vault.boxes import box

INVISIBLE = "There is no such record, or it is not yours to see."


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report:
    """What a therapist reports: the answers by instrument, a summary, or both. Health data: ``repr`` shows nothing.

    ``answered_at`` is when the patient gave the answers (aware, default now), ``session_id`` the session it belongs to.
    """

    answers: Mapping[str, Answers] = field(default_factory=dict)
    summary: Personal[str] | None = None
    session_id: UUID | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ReadReport:
    """A report with its sealed content opened.

    ``scales`` gave a result. ``results`` has ``scores`` (by instrument: ``Score.as_dict()`` and ``answers``),
    ``cssrs_level``, ``baseline``, ``classes`` and ``changes`` (by instrument) and ``triage``; None for a report without
    answers. ``crisis_resources`` are to be shown at once and before everything else.
    """

    report: OutcomeReport
    scales: tuple[str, ...]
    results: Personal[dict[str, Any] | None]
    summary: Personal[str | None]
    crisis_resources: tuple[CrisisResource, ...]


def report_outcome(session: Session, actor: Actor, episode_id: UUID, given: Report) -> ReadReport:
    """Take a report down, tell the prescriber, and act at once on a suicide risk or a deterioration.

    Only instruments that the programme uses are taken. Forms that are not complete are kept: one without a result
    counts neither as taken nor as a baseline. Raises as ``authorize`` does, ``InvalidInput`` naming the answer,
    ``RuleRefused`` naming the field.
    """
    episode = visible_episode(session, actor, Action.REPORT_OUTCOME, episode_id)
    answered_at = _checked_time(given)
    _check_session(session, episode, given.session_id)
    answers = {name: answers for name, answers in given.answers.items() if answers}
    summary = None if given.summary is None else given.summary.reveal().strip()
    if not answers and not summary:
        raise REPORT_EMPTY.refused(field="summary", answers=0, summary=None)
    programme = programme_of(session, episode)
    check_offered(answers, programme)
    measures = measure(answers, programme)
    results = results_of(session, episode, measures, answered_at, programme) if answers else None
    row = _row(session, episode, measures, answered_at, programme)
    row.session_id, row.reported_by = given.session_id, actor.id
    own = box(session, episode.patient_id)
    own.seal(row, "results", results)
    own.seal(row, "summary", summary or None)
    _keep(session, actor, episode, row, results, len(measures.complete))
    is_asked = SCREENER in measures.complete
    if not is_asked or given.answered_at is not None:  # answered now, it is the look that the summary would ask for
        heed(session, actor, episode, summary, subject=Subject("outcome", row.id))
    if is_asked:
        settle_asked(session, actor, episode, answered_at)
    risk.act_on(session, actor, episode, measures.triage, source=risk.RiskSource.OUTCOME, subject_id=row.id)
    return opened(session, row)


def keep_assessment(
    session: Session, actor: Actor, episode: Episode, assessment_id: UUID, measures: Measures, answered_at: datetime
) -> OutcomeReport:
    """Keep what a completed assessment gave, as if it had been reported. Its use case has acted on the risk in it."""
    programme = programme_of(session, episode)
    results = results_of(session, episode, measures, answered_at, programme)
    row = _row(session, episode, measures, answered_at, programme)
    row.assessment_id = assessment_id
    box(session, episode.patient_id).seal(row, "results", results)
    _keep(session, actor, episode, row, results, len(measures.complete))
    return row


def _row(
    session: Session, episode: Episode, measures: Measures, answered_at: datetime, programme: Programme
) -> OutcomeReport:
    row = OutcomeReport(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        programme_version=programme.version,
        answered_at=answered_at,
        reported_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "scales", list(measures.complete))
    return row


def _keep(
    session: Session, actor: Actor, episode: Episode, row: OutcomeReport, results: Mapping[str, Any] | None, scales: int
) -> None:
    """Store a report, tell who must know, and see what follows from it for the treatment and the next assessment."""
    session.add(row)
    session.flush()
    record(session, actor, "outcome.report", "outcome", row.id, episode_id=episode.id, scales=scales)
    _tell(session, row, results)
    if results is not None:
        follow_response(session, episode)
        plan_assessments(session, episode.id)


def _checked_time(given: Report) -> datetime:
    now = clock.now()
    if given.answered_at is None:
        return now
    if given.answered_at > now:
        answered_at = given.answered_at.isoformat()
        raise ANSWERED_IN_THE_FUTURE.refused(field="answered_at", answered_at=answered_at, now=now.isoformat())
    return given.answered_at


def _check_session(session: Session, episode: Episode, session_id: UUID | None) -> None:
    held = None if session_id is None else session.get(TherapySession, session_id)
    if session_id is not None and (held is None or held.episode_id != episode.id):
        raise SESSION_OF_OTHERS.refused(field="session_id", session_id=str(session_id))


def _tell(session: Session, row: OutcomeReport, results: Mapping[str, Any] | None) -> None:
    subject = Subject("outcome", row.id)
    emit(session, EventKind.OUTCOME_REPORTED, subject=subject, episode_id=row.episode_id)
    if results is not None and OutcomeClass.DETERIORATED in results["classes"].values():
        emit(session, EventKind.OUTCOME_DETERIORATED, subject=subject, episode_id=row.episode_id)


def opened(session: Session, row: OutcomeReport) -> ReadReport:
    """A report with its content; the caller has settled who may see it."""
    own = box(session, row.patient_id)
    results: Personal[dict[str, Any] | None] = own.open(row, "results")
    found = results.reveal()
    urgent = found is not None and found["triage"]["show_crisis_resources"]
    programme = programme_of(session, session.get_one(Episode, row.episode_id))
    scales = tuple(own.open(row, "scales").reveal())
    return ReadReport(row, scales, results, own.open(row, "summary"), crisis_resources(programme) if urgent else ())


def read_report(session: Session, actor: Actor, report_id: UUID) -> ReadReport:
    """One report; an audited read. Raises as ``authorize`` does."""
    row = session.get(OutcomeReport, report_id)
    if row is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.READ_OUTCOME, row.episode_id)
    record(session, actor, "outcome.read", "outcome", row.id, episode_id=episode.id)
    return opened(session, row)


def list_reports(
    session: Session, actor: Actor, episode_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int = 20
) -> list[ReadReport]:
    """The reports of an episode, newest first, from behind the position ``after``; an audited read."""
    episode = visible_episode(session, actor, Action.READ_OUTCOME, episode_id)
    row = OutcomeReport
    query = select(row).where(row.episode_id == episode.id)
    query = page_of(query, row.reported_at, row.id, after=after, limit=limit)
    record(session, actor, "outcome.list", "episode", episode.id, episode_id=episode.id)
    return [opened(session, each) for each in session.scalars(query)]


def scales_taken_on(session: Session, episode: Episode, zone: str) -> Mapping[str, date | None]:
    """The day, in a zone, on which each scale that a refill asks for last gave a result; None for never (DOMAIN 4).

    The scales are those of ``outcomes.scales_for_refill``. The caller has settled who may know.
    """
    wanted = sorted(programme_of(session, episode).choices("outcomes.scales_for_refill"))
    latest: dict[str, datetime] = {}
    for scales, answered_at in scales_given(session, episode.id, episode.patient_id):
        latest = {**dict.fromkeys(scales, answered_at), **latest}
        if latest.keys() >= set(wanted):
            break  # the newest come first: of three years of reports few have to be opened
    return {scale: latest[scale].astimezone(read_zone(zone)).date() if scale in latest else None for scale in wanted}
