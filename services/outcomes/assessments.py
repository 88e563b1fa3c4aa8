"""Assessments: the patient answers the instruments asked for, in parts; risk is acted on at once (DOMAIN 2.1 and 2.2).

A completed one becomes an outcome report, which counts like one of the therapist's everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import emit
from services.messaging.tasks import settle_tasks
from services.outcomes.answer_rules import gaps
from services.outcomes.cadence_rules import NOT_IN_CARE, Occasion
from services.outcomes.measures import SCREENER, Measures, check_offered, in_order, measure
from services.outcomes.models import Assessment, OutcomeReport
from services.outcomes.report_rules import ASSESSMENT_OPEN, INSTRUMENT_NOT_ASKED, INSTRUMENT_WITHOUT_TEXTS
from services.outcomes.reports import ReadReport, keep_assessment, opened
from services.outcomes.schedules import (
    IN_CARE,
    ask_for,
    instruments_for,
    open_assessment,
    plan_assessments,
    stop_chasing,
    subject_of,
)
from services.outcomes.states import ASSESSMENT_TRANSITIONS, AssessmentState, AssessmentStep
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.zones import read_zone
from services.prescribing.cases import case_of
from services.screening import instruments, risk
from services.screening.answers import checked_answers
from services.screening.definitions import Answers
from services.screening.rules import CrisisResource, crisis_resources
from services.screening.written_texts import settle_asked
from services.vault.boxes import box

INVISIBLE = "There is no such record, or it is not yours to see."


@dataclass(frozen=True, slots=True, repr=False)
class ReadAssessment:
    """An assessment as its reader may see it; what a role does not need is None or empty.

    The patient sees the own ``answers`` by instrument, what is missing and, when the answers ask for it, the crisis
    resources; the care team sees the ``report`` once it is completed. ``instruments`` were asked for, ``asked`` are
    those to be shown.
    """

    assessment: Assessment
    instruments: tuple[str, ...]
    asked: tuple[str, ...]
    answers: Personal[Mapping[str, Answers]] | None
    gaps: tuple[Finding, ...]
    crisis_resources: tuple[CrisisResource, ...]
    cssrs_due_today: bool
    report: ReadReport | None


def request_assessment(
    session: Session, actor: Actor, episode_id: UUID, wanted: Iterable[str] | None = None
) -> ReadAssessment:
    """Ask the patient now, outside the cadence: for ``wanted`` instruments, by default for those of the cadence.

    Raises as ``authorize`` does, ``Conflict`` while another one is unanswered, ``RuleRefused`` on ``instruments`` and
    for a patient who is not in care.
    """
    episode = _held_episode(session, actor, Action.REQUEST_ASSESSMENT, episode_id)
    if episode.state not in IN_CARE:
        raise RuleRefused("This patient is not in care.", [NOT_IN_CARE.finding()])
    if open_assessment(session, episode.id) is not None:
        raise ASSESSMENT_OPEN.conflict(episode_id=str(episode.id))
    programme = programme_of(session, episode)
    names = in_order(wanted) if wanted is not None else instruments_for(session, episode, programme)
    check_offered(names, programme, field="instruments")
    untold = [name for name in names if not instruments.get(name).is_offered]
    if untold:
        raise INSTRUMENT_WITHOUT_TEXTS.refused(field="instruments", says={"untold": untold}, untold=untold)
    row = ask_for(session, actor, episode, Occasion.ON_REQUEST, names)
    plan_assessments(session, episode.id)  # looks again when it lapses
    return _view(session, actor, row, episode)


def answer_assessment(
    session: Session,
    actor: Actor,
    assessment_id: UUID,
    given: Mapping[str, Answers],
    *,
    version: int | None = None,
) -> ReadAssessment:
    """Take some answers down; one of None is taken back. What they say about suicide risk is acted on at once.

    Raises as ``authorize`` does, ``InvalidInput`` naming the answer, ``RuleRefused`` naming an instrument that was not
    asked for, ``StaleVersion``, and ``IllegalTransition`` once it has ended.
    """
    row, episode = _held(session, actor, Action.ANSWER_ASSESSMENT, assessment_id, version)
    row.state = _after(row, AssessmentStep.ANSWER, actor)
    programme, now = programme_of(session, episode), clock.now()
    stored, asked = _stored(session, row), asked_in(session, row)
    for name, answers in given.items():
        if name not in {*asked, SCREENER}:  # which a positive answer about suicide demands the same day
            raise INSTRUMENT_NOT_ASKED.refused(field=f"answers.{name}", says={"asked": asked}, instrument=name)
        merged = {**stored.get(name, {"value": {}})["value"], **answers}
        kept = {item: answer for item, answer in merged.items() if answer is not None}
        checked = checked_answers(instruments.get(name), kept)
        stored[name] = {"value": checked, "answered_at": now.isoformat()}
    box(session, row.patient_id).seal(row, "answers", stored)
    session.flush()
    record(session, actor, "assessment.answer", "assessment", row.id, episode_id=episode.id, parts=len(given))
    # Only what was answered now: answers given before were acted on then, and may have been cleared since.
    news = measure({name: stored[name]["value"] for name in given}, programme)
    risk.act_on(session, actor, episode, news.triage, source=risk.RiskSource.OUTCOME, subject_id=row.id)
    return _view(session, actor, row, episode)


def complete_assessment(
    session: Session, actor: Actor, assessment_id: UUID, *, version: int | None = None
) -> ReadAssessment:
    """Hand the answers in: they become an outcome report, and nobody is reminded any more.

    Raises as ``authorize`` does, ``RuleRefused`` with a finding for each thing that is missing, ``StaleVersion``, and
    ``IllegalTransition`` once it has ended.
    """
    row, episode = _held(session, actor, Action.ANSWER_ASSESSMENT, assessment_id, version)
    after = _after(row, AssessmentStep.COMPLETE, actor)
    programme = programme_of(session, episode)
    stored = _stored(session, row)
    measures = _measured(session, row, stored, programme)
    missing = _gaps(asked_in(session, row), stored, measures, programme)
    if missing:
        raise RuleRefused("The answers are not complete yet; 'findings' names what is missing.", missing)
    row.state, row.ended_at = after, clock.now()
    session.flush()
    record(session, actor, "assessment.complete", "assessment", row.id, episode_id=episode.id)
    stop_chasing(session, row)
    settle_tasks(session, actor, subject_of(row), {TaskKind.CONTACT_PATIENT})
    # The oldest of the answers: nothing may look fresher than it is.
    answered_at = min(_answered_at(stored).values())
    keep_assessment(session, actor, episode, row.id, measures, answered_at)
    if SCREENER in measures.complete:
        settle_asked(session, actor, episode, _answered_at(stored)[SCREENER])
    emit(session, EventKind.ASSESSMENT_COMPLETED, subject=subject_of(row), episode_id=episode.id)
    return _view(session, actor, row, episode)


def read_assessment(session: Session, actor: Actor, assessment_id: UUID) -> ReadAssessment:
    """One assessment, as far as the reader may see it; an audited read. Raises as ``authorize`` does."""
    row = session.get(Assessment, assessment_id)
    if row is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.READ_ASSESSMENT, row.episode_id)
    record(session, actor, "assessment.read", "assessment", row.id, episode_id=episode.id)
    return _view(session, actor, row, episode)


def list_assessments(
    session: Session, actor: Actor, episode_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int = 20
) -> list[tuple[Assessment, tuple[str, ...]]]:
    """The assessments of an episode with what each asks for, newest first, from behind the position ``after``.

    An audited read.
    """
    episode = visible_episode(session, actor, Action.READ_ASSESSMENT, episode_id)
    row = Assessment
    query = select(row).where(row.episode_id == episode.id)
    record(session, actor, "assessment.list", "episode", episode.id, episode_id=episode.id)
    rows = session.scalars(page_of(query, row.requested_at, row.id, after=after, limit=limit))
    return [(each, asked_in(session, each)) for each in rows]


def _held_episode(session: Session, actor: Actor, action: Action, episode_id: UUID) -> Episode:
    """The episode, held against the planning of its assessments until the commit."""
    visible_episode(session, actor, action, episode_id)
    return session.get_one(Episode, episode_id, with_for_update={"key_share": True})


def _held(
    session: Session, actor: Actor, action: Action, assessment_id: UUID, version: int | None
) -> tuple[Assessment, Episode]:
    """The assessment and its episode, both held: the episode first, as planning does."""
    known = session.get(Assessment, assessment_id)
    if known is None:
        raise NotFound(INVISIBLE)
    episode = _held_episode(session, actor, action, known.episode_id)
    row = session.get_one(Assessment, assessment_id, with_for_update=True, populate_existing=True)
    if version is not None and row.version != version:
        raise StaleVersion("This assessment changed since you read it.", field="version")
    return row, episode


def _after(row: Assessment, step: AssessmentStep, actor: Actor) -> AssessmentState:
    return ASSESSMENT_TRANSITIONS.advance(AssessmentState(row.state), step, actor.role)


def asked_in(session: Session, row: Assessment) -> tuple[str, ...]:
    """The instruments that were asked for; the caller has settled who may know."""
    return tuple(box(session, row.patient_id).open(row, "instruments").reveal())


def _stored(session: Session, row: Assessment) -> dict[str, Any]:
    stored: dict[str, Any] | None = box(session, row.patient_id).open(row, "answers").reveal()
    return stored or {}


def _answered_at(stored: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(part["answered_at"]) for name, part in stored.items()}


def _measured(session: Session, row: Assessment, stored: Mapping[str, Any], programme: Programme) -> Measures:
    """The measures of all answers. A screener of an earlier day than another answer does not stand for that day."""
    zone = read_zone(case_of(session, session.get_one(Episode, row.episode_id)).zone)
    days = {name: at.astimezone(zone).date() for name, at in _answered_at(stored).items()}
    is_of_the_day = SCREENER not in days or days[SCREENER] >= max(days.values())
    return measure({name: part["value"] for name, part in stored.items()}, programme, level_counts=is_of_the_day)


def _gaps(asked: Sequence[str], stored: Mapping[str, Any], measures: Measures, programme: Programme) -> list[Finding]:
    titles = {name: instruments.get(name).title for name in asked}
    return gaps(asked, titles, measures, _answered_at(stored), clock.now(), programme)


def _view(session: Session, actor: Actor, row: Assessment, episode: Episode) -> ReadAssessment:
    wanted = asked_in(session, row)
    if actor.role is not Role.PATIENT:
        report = session.scalar(select(OutcomeReport).where(OutcomeReport.assessment_id == row.id))
        found = None if report is None else opened(session, report)
        return ReadAssessment(row, wanted, (), None, (), (), False, found)
    programme, stored = programme_of(session, episode), _stored(session, row)
    measures = _measured(session, row, stored, programme)
    is_open = row.state == AssessmentState.REQUESTED
    urgent, due_today = measures.triage.show_crisis_resources, measures.triage.requires_cssrs_today
    asked = in_order({*wanted, SCREENER} if due_today else wanted)
    answers = {name: part["value"] for name, part in stored.items()}
    return ReadAssessment(
        assessment=row,
        instruments=wanted,
        asked=asked,
        answers=Personal(answers),
        gaps=tuple(_gaps(wanted, stored, measures, programme)) if is_open else (),
        crisis_resources=crisis_resources(programme) if urgent else (),
        cssrs_due_today=due_today,
        report=None,
    )
