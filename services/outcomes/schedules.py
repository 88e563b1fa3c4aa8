"""Assessments as time passes: asked for when due, chased while nobody answers, lapsed when their time is over.

``plan_assessments`` looks at an episode as it stands and sets a timer for the next look. It may be called at any time
and any number of times: after a decision, a treatment, an answer, or by that timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import NotFound
from services.core.ids import new_id
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind
from services.eligibility.decisions import approval_of
from services.eligibility.models import Referral
from services.messaging.notices import text_patient, withdraw_texts
from services.messaging.outbox import Subject, emit
from services.messaging.timers import cancel_timers, set_timer
from services.outcomes.baselines import latest_results
from services.outcomes.cadence_rules import CadenceFacts, Due, Occasion, chase, next_due, supersedes
from services.outcomes.measures import in_order
from services.outcomes.models import Assessment
from services.outcomes.states import ASSESSMENT_TRANSITIONS, AssessmentState, AssessmentStep
from services.people.consents import may_be_texted
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.people.zones import read_zone
from services.prescribing.cases import case_of
from services.prescribing.contents import content_of
from services.prescribing.models import Prescription
from services.prescribing.states import VALID
from services.screening import instruments
from services.sessions.histories import held_dosing_sessions
from services.sessions.ledgers import ledger
from services.vault.boxes import box

IN_CARE: Final = frozenset({EpisodeState.ELIGIBLE, EpisodeState.IN_TREATMENT, EpisodeState.IN_MAINTENANCE})
TEXTS: Final = frozenset({NoticeKind.ASSESSMENT_LINK, NoticeKind.ASSESSMENT_REMINDER})


def subject_of(row: Assessment) -> Subject:
    """What events, tasks, timers and texts about an assessment are about."""
    return Subject("assessment", row.id)


def plan_assessments(session: Session, episode_id: UUID, programme: Programme | None = None) -> None:
    """Ask for the assessment that is due, let an old one lapse, and set the timer for the next look.

    The patient party's worker runs this, with its own ``programme``; the episode's counts. The episode is held, so that
    of two looks at once the second sees what the first did.
    """
    session.flush()
    held = select(Episode).where(Episode.id == episode_id).with_for_update(key_share=True)
    episode = session.scalar(held.execution_options(populate_existing=True))
    if episode is None:
        return
    programme, now = programme_of(session, episode), clock.now()
    facts = facts_of(session, episode, programme)
    standing = open_assessment(session, episode.id)
    if standing is not None and _is_over(standing, facts, programme):
        _lapse(session, standing)
        standing = None
    due = next_due(facts, programme)
    if due is not None and due.at <= now:
        if standing is not None and supersedes(due, standing.requested_at, facts):
            _lapse(session, standing)
            standing = None
        if standing is None:
            wanted = instruments_for(session, episode, programme)
            standing = ask_for(session, SYSTEM, episode, due.occasion, wanted, number=due.number)
            due = next_due(facts_of(session, episode, programme), programme)
    _look_again(session, episode, programme, facts, standing, due)


def _is_over(standing: Assessment, facts: CadenceFacts, programme: Programme) -> bool:
    return not facts.in_care or clock.now() >= chase(standing.requested_at, facts.zone, programme).lapses_at


def _look_again(
    session: Session,
    episode: Episode,
    programme: Programme,
    facts: CadenceFacts,
    standing: Assessment | None,
    due: Due | None,
) -> None:
    subject = Subject("episode", episode.id)
    cancel_timers(session, subject, {EventKind.ASSESSMENT_DUE})
    moments = [] if standing is None else [chase(standing.requested_at, facts.zone, programme).lapses_at]
    if due is not None and due.at > clock.now():
        moments.append(due.at)
    if moments:
        set_timer(session, EventKind.ASSESSMENT_DUE, episode, subject, min(moments))


def open_assessment(session: Session, episode_id: UUID) -> Assessment | None:
    """The assessment of an episode that takes answers; there is one at most."""
    query = select(Assessment).where(
        Assessment.episode_id == episode_id, Assessment.state == AssessmentState.REQUESTED.value
    )
    return session.scalar(query)


def ask_for(
    session: Session,
    actor: Actor,
    episode: Episode,
    occasion: Occasion,
    wanted: Iterable[str],
    *,
    number: int | None = None,
) -> Assessment:
    """Open an assessment, text the patient a link to it and set its reminders.

    A patient who may not be texted is the therapist's to ask, at once.
    """
    programme = programme_of(session, episode)
    row = Assessment(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        occasion=occasion,
        number=number,
        state=AssessmentState.REQUESTED,
        programme_version=programme.version,
        requested_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "instruments", list(in_order(wanted)))
    session.add(row)
    session.flush()
    record(session, actor, "assessment.request", "assessment", row.id, episode_id=episode.id, occasion=occasion.value)
    if not may_be_texted(session, episode.patient_id):
        emit(session, EventKind.ASSESSMENT_UNANSWERED, subject=subject_of(row), episode_id=episode.id)
        return row
    link = path_of(issue_link(session, SYSTEM, episode, LinkKind.ASSESSMENT))
    emit(session, EventKind.ASSESSMENT_REQUESTED, subject=subject_of(row), episode_id=episode.id, link=link)
    follows = chase(row.requested_at, read_zone(case_of(session, episode).zone), programme)
    for at in follows.texts_at:
        set_timer(session, EventKind.ASSESSMENT_REMINDER_DUE, episode, subject_of(row), at)
    set_timer(session, EventKind.ASSESSMENT_UNANSWERED, episode, subject_of(row), follows.therapist_at)
    return row


def remind_of_assessment(session: Session, assessment_id: UUID, programme: Programme) -> None:
    """Text the patient a fresh link to an assessment still unanswered; the patient's worker runs this by timer."""
    row = session.get(Assessment, assessment_id, with_for_update=True, populate_existing=True)
    if row is None or row.state != AssessmentState.REQUESTED:
        return
    episode = session.get_one(Episode, row.episode_id)
    if episode.state not in IN_CARE:
        return
    data = {"link": path_of(issue_link(session, SYSTEM, episode, LinkKind.ASSESSMENT))}
    text_patient(session, NoticeKind.ASSESSMENT_REMINDER, subject_of(row), episode, None, data, programme)
    record(session, SYSTEM, "assessment.remind", "assessment", row.id, episode_id=row.episode_id)


def stop_chasing(session: Session, row: Assessment) -> None:
    """No reminder any more: the assessment has ended, or is about to."""
    cancel_timers(session, subject_of(row))
    withdraw_texts(session, row.patient_id, subject_of(row), TEXTS)


def _lapse(session: Session, row: Assessment) -> None:
    row.state = ASSESSMENT_TRANSITIONS.advance(AssessmentState(row.state), AssessmentStep.LAPSE, SYSTEM.role)
    row.ended_at = clock.now()
    session.flush()
    stop_chasing(session, row)
    record(session, SYSTEM, "assessment.lapse", "assessment", row.id, episode_id=row.episode_id)


def instruments_for(session: Session, episode: Episode, programme: Programme) -> tuple[str, ...]:
    """What the cadence asks of a patient: the programme's instruments and those of the diagnosis."""
    settings = ["outcomes.cadence.instruments"]
    diagnosis = diagnosis_of(session, episode)
    if diagnosis is not None:
        settings.append(f"outcomes.cadence.by_diagnosis.{diagnosis}")
    return in_order(each.id for setting in settings for each in instruments.asked_by(programme, setting))


def diagnosis_of(session: Session, episode: Episode) -> str | None:
    """What the patient was referred with; None without a referral. The caller has settled who may know."""
    referral = session.scalar(select(Referral).where(Referral.episode_id == episode.id))
    return None if referral is None else str(box(session, episode.patient_id).open(referral, "diagnosis").reveal())


def facts_of(session: Session, episode: Episode, programme: Programme) -> CadenceFacts:
    """What the schedule of an episode follows from. The caller has settled who may know."""
    if episode.state not in IN_CARE:
        return CadenceFacts(in_care=False, zone=read_zone(case_of(session, episode).zone))
    sessions = tuple(held.held_at for held in held_dosing_sessions(session, episode.id))
    query = select(Assessment.occasion, Assessment.number, Assessment.requested_at)
    rows = session.execute(query.where(Assessment.episode_id == episode.id).order_by(Assessment.requested_at))
    return CadenceFacts(
        in_care=True,
        zone=read_zone(case_of(session, episode).zone),
        sessions=sessions,
        complete_at=_complete_at(session, episode, programme),
        decision_expected_since=_decision_expected_since(session, episode, sessions, programme),
        asked={(Occasion(occasion), number): at for occasion, number, at in rows},
    )


def _complete_at(session: Session, episode: Episode, programme: Programme) -> datetime | None:
    """The oldest of the newest results; the screener of the intake counts as the one that asks since the last visit."""
    latest = latest_results(session, episode.id)
    moments = [latest.get(name) for name in instruments_for(session, episode, programme)]
    return None if None in moments or not moments else min(at for at in moments if at is not None)


def _decision_expected_since(
    session: Session, episode: Episode, sessions: tuple[datetime, ...], programme: Programme
) -> datetime | None:
    """From when on the prescriber has to decide: on the first supply, or on the next one when nothing is left."""
    query = select(Prescription).where(Prescription.episode_id == episode.id, Prescription.state.in_(sorted(VALID)))
    current = session.scalar(query.order_by(Prescription.signed_at.desc(), Prescription.id.desc()).limit(1))
    if episode.state == EpisodeState.ELIGIBLE and current is None:
        with suppress(NotFound):
            return approval_of(session, episode.id).decided_at
        return None
    stock = ledger(session, episode.id)
    if current is None or not sessions or stock.balance.dispensed <= 0:
        return None
    content = content_of(box(session, episode.patient_id), current)
    doses_left = stock.remaining_expected / float(Fraction(content.session_mg, content.strength_mg))
    return sessions[-1] if doses_left <= programme.number("outcomes.cadence.decision_doses_left") else None
