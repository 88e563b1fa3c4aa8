"""Screenings: the patient answers in parts, risk is triaged at once, a completed round never changes.

When the medical team asks for more, the next round opens with the answers of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.due_times import due_after
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers, set_timer
from services.people.access import Action, visible_episode
from services.people.consents import ConsentKind, has_consent
from services.people.episodes import advance_episode
from services.people.models import Episode
from services.people.patients import details_of
from services.people.programmes import programme_of
from services.people.states import EpisodeState, EpisodeStep
from services.people.zones import default_zone
from services.screening import risk
from services.screening.answer_sheets import AnswerSheet, Part, required_parts
from services.screening.models import Screening
from services.screening.rules import CrisisResource, Triage, crisis_resources
from services.screening.sheet_rules import TREATMENT_CONSENT
from services.screening.states import SCREENING_TRANSITIONS, ScreeningState, ScreeningStep
from services.screening.written_texts import heed, settle_asked
from services.vault.boxes import box

INVISIBLE = "There is no such record, or it is not yours to see."


@dataclass(frozen=True, slots=True, repr=False)
class ReadScreening:
    """A screening as far as its reader may see it; what a role does not need is None.

    ``asked`` are the parts that the programme asks for. The patient sees the own answers and, when they ask for it, the
    crisis resources; the therapist the results; the medical team both.
    """

    screening: Screening
    asked: tuple[Part, ...]
    request: Personal[str | None]
    sheet: AnswerSheet | None
    results: Personal[dict[str, Any]] | None
    triage: Triage | None
    crisis_resources: tuple[CrisisResource, ...]
    gaps: tuple[Finding, ...]


def open_screening(
    session: Session,
    actor: Actor,
    episode: Episode,
    *,
    after: Screening | None = None,
    request: Personal[str] | None = None,
) -> Screening:
    """Open a round of screening: the first of an episode, or the one ``after`` another, with its answers to go on from.

    Part of referring a client and of asking for more, whose use cases have authorized it. An unanswered round reaches
    the therapist after ``screening.unanswered_hours``.
    """
    screening = Screening(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        round=1 if after is None else after.round + 1,
        state=ScreeningState.OPENED,
        opened_at=clock.now(),
    )
    own = box(session, episode.patient_id)
    if after is not None:
        own.seal(screening, "answers", own.open(after, "answers"))
    own.seal(screening, "request", request)
    session.add(screening)
    session.flush()
    due_at = due_after(clock.now(), "screening.unanswered_hours", programme_of(session, episode))
    set_timer(session, EventKind.SCREENING_UNANSWERED, episode, _subject(screening), due_at)
    record(session, actor, "screening.open", "screening", screening.id, episode_id=episode.id, round=screening.round)
    return screening


def _subject(screening: Screening) -> Subject:
    return Subject("screening", screening.id)


def save_answers(
    session: Session, actor: Actor, screening_id: UUID, given: Mapping[Part, Any], *, version: int | None = None
) -> ReadScreening:
    """Take some of the patient's answers down; what they say about suicide risk is acted on at once (DOMAIN 2.2).

    In a form an answer of None is taken back, a list replaces the one before. Raises ``InvalidInput`` or
    ``RuleRefused`` naming the answer, ``StaleVersion``, and ``IllegalTransition`` once the round is completed.
    """
    screening, episode = _held(session, actor, Action.ANSWER_SCREENING, screening_id, version)
    _after(screening, ScreeningStep.ANSWER, actor)
    sheet, programme = _sheet(session, screening), programme_of(session, episode)
    for part, value in given.items():
        sheet = sheet.answered(part, value, clock.now(), programme)
    box(session, screening.patient_id).seal(screening, "answers", sheet.as_dict())
    if episode.state == EpisodeState.REFERRED:
        advance_episode(session, actor, episode, EpisodeStep.BEGIN_SCREENING)
    session.flush()
    parts = sorted(part.value for part in given)
    record(session, actor, "screening.answer", "screening", screening.id, episode_id=episode.id, parts=parts)
    # Only what was answered now: answers given before were acted on then, and may have been cleared since.
    news = sheet.triage(programme, given)
    risk.act_on(session, actor, episode, news, source=risk.RiskSource.SCREENING, subject_id=screening.id)
    shown = heed(session, actor, episode, *given.get(Part.MEDICINES, ()), subject=_subject(screening))
    answer = _for_patient(session, screening, sheet, programme)
    return replace(answer, crisis_resources=shown) if shown else answer


def complete_screening(session: Session, actor: Actor, screening_id: UUID, *, version: int | None = None) -> Screening:
    """Close a round: nothing is missing, scores are kept with their trace, and the medical team must look at it.

    Raises ``RuleRefused`` with a finding for each thing that is missing. Callers want
    ``eligibility.reviews.submit_screening``, which lets the eligibility rules speak in the same transaction.
    """
    screening, episode = _held(session, actor, Action.ANSWER_SCREENING, screening_id, version)
    state = _after(screening, ScreeningStep.COMPLETE, actor)
    sheet, programme = _sheet(session, screening), programme_of(session, episode)
    gaps = _gaps(session, screening, sheet, programme)
    if gaps:
        raise RuleRefused("The screening is not complete yet; 'findings' names what is missing.", gaps)
    screening.state = state
    box(session, screening.patient_id).seal(screening, "results", sheet.results(programme))
    screening.programme_version = programme.version
    screening.completed_at = clock.now()
    advance_episode(session, actor, episode, EpisodeStep.COMPLETE_SCREENING)
    session.flush()
    record(session, actor, "screening.complete", "screening", screening.id, episode_id=episode.id)
    cancel_timers(session, _subject(screening))
    settle_tasks(session, actor, _subject(screening), {TaskKind.CONTACT_PATIENT})
    if sheet.cssrs_level() is not None:
        settle_asked(session, actor, episode, sheet.answered_at[Part.CSSRS])
    emit(session, EventKind.SCREENING_COMPLETED, subject=_subject(screening), episode_id=episode.id)
    return screening


def supersede(
    session: Session, actor: Actor, screening: Screening, episode: Episode, request: Personal[str]
) -> Screening:
    """Put a completed round aside and open the next one, which tells the patient what is asked for."""
    screening.state = _after(screening, ScreeningStep.SUPERSEDE, actor)
    session.flush()
    return open_screening(session, actor, episode, after=screening, request=request)


def read_screening(session: Session, actor: Actor, screening_id: UUID) -> ReadScreening:
    """One screening, as far as the reader may see it; an audited read. Raises as ``authorize`` does."""
    screening = session.get(Screening, screening_id)
    if screening is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, Action.READ_SCREENING, screening.episode_id)
    record(session, actor, "screening.read", "screening", screening.id, episode_id=episode.id)
    return view_of(session, actor, screening)


def list_screenings(session: Session, actor: Actor, episode_id: UUID) -> Sequence[Screening]:
    """All rounds of an episode, newest first, without their content."""
    episode = visible_episode(session, actor, Action.READ_SCREENING, episode_id)
    query = select(Screening).where(Screening.episode_id == episode.id)
    return session.scalars(query.order_by(Screening.round.desc())).all()


def view_of(session: Session, actor: Actor, screening: Screening) -> ReadScreening:
    """What ``actor`` may see of a screening that it may see at all."""
    programme = programme_of(session, session.get_one(Episode, screening.episode_id))
    if actor.role is Role.PATIENT:
        return _for_patient(session, screening, _sheet(session, screening), programme)
    own = box(session, screening.patient_id)
    is_done = screening.state != ScreeningState.OPENED
    # A draft is the patient's own business; what is urgent in it has reached the care team as a risk flag.
    shows_answers = is_done and actor.role in (Role.PRESCRIBER, Role.MEDICAL_STAFF)
    return ReadScreening(
        screening=screening,
        asked=required_parts(programme),
        request=own.open(screening, "request"),
        sheet=_sheet(session, screening) if shows_answers else None,
        results=own.open(screening, "results") if is_done else None,
        triage=None,
        crisis_resources=(),
        gaps=(),
    )


def _for_patient(session: Session, screening: Screening, sheet: AnswerSheet, programme: Programme) -> ReadScreening:
    is_open = screening.state == ScreeningState.OPENED
    found = sheet.triage(programme)
    return ReadScreening(
        screening=screening,
        asked=required_parts(programme),
        request=box(session, screening.patient_id).open(screening, "request"),
        sheet=sheet,
        results=None,
        triage=found,
        crisis_resources=crisis_resources(programme) if found.show_crisis_resources else (),
        gaps=tuple(_gaps(session, screening, sheet, programme)) if is_open else (),
    )


def _gaps(session: Session, screening: Screening, sheet: AnswerSheet, programme: Programme) -> list[Finding]:
    gaps = sheet.gaps(clock.now(), programme)
    if not has_consent(session, screening.patient_id, ConsentKind.TREATMENT):
        gaps.append(TREATMENT_CONSENT.finding(treatment_consent=False))
    return gaps


def _held(
    session: Session, actor: Actor, action: Action, screening_id: UUID, version: int | None
) -> tuple[Screening, Episode]:
    """The screening, locked against others until the commit, and its episode."""
    known = session.get(Screening, screening_id)
    if known is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, action, known.episode_id)
    screening = session.get_one(Screening, screening_id, with_for_update=True, populate_existing=True)
    if version is not None and screening.version != version:
        raise StaleVersion("This screening changed since you read it.", field="version")
    return screening, episode


def _after(screening: Screening, step: ScreeningStep, actor: Actor) -> ScreeningState:
    """The state after a step; raises as ``Transitions.advance`` does."""
    return SCREENING_TRANSITIONS.advance(ScreeningState(screening.state), step, actor.role)


def _sheet(session: Session, screening: Screening) -> AnswerSheet:
    stored = box(session, screening.patient_id).open(screening, "answers").reveal()
    details = details_of(session, screening.patient_id)
    zone = default_zone(details.address.reveal().state) if details.zone is None else details.zone.reveal()
    return AnswerSheet.from_stored(stored, ZoneInfo(zone))


def has_completed(session: Session, episode_id: UUID) -> bool:
    """Whether the patient completed a round of the screening in this episode; the caller settled who may know."""
    completed = select(Screening.id).where(Screening.episode_id == episode_id, Screening.completed_at.is_not(None))
    return session.scalar(completed.limit(1)) is not None


def sheet_of(session: Session, screening: Screening) -> AnswerSheet:
    """The answers of a screening, for rules. The caller has settled who may see them."""
    return _sheet(session, screening)
