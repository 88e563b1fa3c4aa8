"""Finding a therapist: the medical team proposes, the patient chooses, the therapist accepts or declines (DOMAIN 1).

A choice holds a place until it is answered, so that of two patients who choose a therapist's last place at once one
gets it, and the other is asked to choose again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding, Severity, of_severity
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party, TaskKind
from services.matching.candidates import ShownTherapist, case_facts, shown_therapist, therapist_facts
from services.matching.models import Match, MatchOption
from services.matching.profiles import locked_profile
from services.matching.rules import NOT_AVAILABLE, NOT_ON_THE_LIST, case_findings, fit_findings, options_findings
from services.matching.states import (
    LEFT,
    MATCH_TRANSITIONS,
    OPTION_TRANSITIONS,
    UNDER_WAY,
    MatchState,
    MatchStep,
    OptionState,
    OptionStep,
)
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people.access import Action, authorize, relationship, visible_episode
from services.people.consents import may_be_texted
from services.people.episodes import take_on
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening.written_texts import heed
from services.vault.boxes import box

INVISIBLE: Final = "There is no such record, or it is not yours to see."
WITH_THERAPIST: Final = frozenset({OptionState.ASKED, OptionState.ACCEPTED, OptionState.DECLINED})


@dataclass(frozen=True, slots=True)
class ProposedMatch:
    """A fresh list. ``link`` is for the medical team to hand over; None when the patient gets it by SMS."""

    match: Match
    link: Secret[str] | None


@dataclass(frozen=True, slots=True, repr=False)
class ShownOption:
    """One therapist on a list. ``findings`` and ``reason`` are for the medical team, and None for everybody else."""

    option: MatchOption
    therapist: ShownTherapist
    findings: Sequence[Finding] | None
    reason: Personal[str | None]


@dataclass(frozen=True, slots=True, repr=False)
class ReadMatch:
    """A match as its reader may see it: a therapist only that they were asked, from where and what for."""

    match: Match
    options: Sequence[ShownOption]
    patient_state: Personal[str | None]
    indication: Personal[str | None]


def propose(session: Session, actor: Actor, episode_id: UUID, therapist_ids: Sequence[UUID]) -> ProposedMatch:
    """Propose therapists to a patient who has none, best first; a list that is still under way ends.

    Raises ``RuleRefused`` with the findings that speak against it, on ``therapist_ids`` when against one of them.
    """
    episode = visible_episode(session, actor, Action.PROPOSE_MATCH, episode_id)
    # Of two lists made at the same instant the second finds the first, and ends it; and whoever accepts meanwhile is
    # waited for: what the rules read is read after that.
    session.execute(select(func.pg_advisory_xact_lock(episode.id.int & (2**63 - 1))))
    standing = session.scalars(_under_way(episode.id)).all()
    session.refresh(episode, with_for_update={"key_share": True})
    programme, case = programme_of(session, episode), case_facts(session, episode)
    wanted = list(dict.fromkeys(therapist_ids))
    stops = [*case_findings(case, programme), *options_findings(len(wanted), programme)]
    if stops:
        raise RuleRefused("No therapists can be proposed so.", stops)
    for earlier in standing:
        _end(session, actor, earlier, episode)
    match = Match(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        state=MatchState.PROPOSED,
        proposed_by=actor.id,
        created_at=clock.now(),
    )
    session.add(match)
    session.flush()
    for rank, therapist_id in enumerate(wanted, start=1):
        findings = fit_findings(case, therapist_facts(session, episode, therapist_id), programme)
        if of_severity(findings, Severity.STOP):
            raise RuleRefused("One of these therapists does not fit.", findings, field="therapist_ids")
        _add_option(session, match, therapist_id, rank, findings)
    settle_tasks(session, actor, Subject("episode", episode.id), {TaskKind.PROPOSE_THERAPISTS})
    record(session, actor, "match.propose", "match", match.id, episode_id=episode.id, options=len(wanted))
    return ProposedMatch(match, _ask_patient(session, actor, match, episode))


def _under_way(episode_id: UUID) -> Select[Match]:
    query = select(Match).where(Match.episode_id == episode_id, Match.state.in_(sorted(UNDER_WAY)))
    return query.order_by(Match.id).with_for_update().execution_options(populate_existing=True)


def end_searches(session: Session, actor: Actor, episode: Episode) -> None:
    """End what is under way: the patient has a therapist in another way, or is not treated here.

    The caller has authorized the act. Called before the episode is held, as matches are held before it everywhere.
    """
    for match in session.scalars(_under_way(episode.id)).all():
        _end(session, actor, match, episode)


def _add_option(session: Session, match: Match, therapist_id: UUID, rank: int, findings: Iterable[Finding]) -> None:
    option = MatchOption(
        id=new_id(),
        match_id=match.id,
        patient_id=match.patient_id,
        therapist_id=therapist_id,
        rank=rank,
        state=OptionState.OFFERED,
    )
    box(session, match.patient_id).seal(option, "findings", [finding.as_dict() for finding in findings])
    session.add(option)


def _ask_patient(session: Session, actor: Actor, match: Match, episode: Episode) -> Secret[str] | None:
    """Let the patient choose: by a link in a text, or by one that is handed over when they are not texted."""
    link = issue_link(session, actor, episode, LinkKind.SIGN_IN)
    subject, data = Subject("match", match.id), {"link": path_of(link)}
    if not may_be_texted(session, episode.patient_id):
        return link
    emit(session, EventKind.MATCH_PROPOSED, subject=subject, episode_id=episode.id, to=[Party.PATIENT], **data)
    return None


def withdraw(session: Session, actor: Actor, match_id: UUID, *, version: int | None = None) -> Match:
    """End a search: another list will be made, or none is needed any more. Raises ``IllegalTransition``."""
    match, episode = _locked(session, actor, Action.PROPOSE_MATCH, match_id, version)
    _end(session, actor, match, episode)
    return match


def _end(session: Session, actor: Actor, match: Match, episode: Episode) -> None:
    _move(match, MatchStep.WITHDRAW, actor)
    match.ended_at = clock.now()
    for option in _options(session, match.id):
        if option.state == OptionState.ASKED:
            _move_option(option, OptionStep.DROP, actor)
    session.flush()
    settle_tasks(session, actor, Subject("match", match.id), {TaskKind.ANSWER_MATCH}, TaskStep.CANCEL)
    record(session, actor, "match.withdraw", "match", match.id, episode_id=episode.id)


def choose(
    session: Session, actor: Actor, match_id: UUID, therapist_ids: Sequence[UUID], *, version: int | None = None
) -> Match:
    """The patient chooses: the first is asked, then each next one when the one before declines.

    Raises ``RuleRefused`` on ``therapist_ids`` for one who is not on the list, or has no place any more.
    """
    match, episode = _locked(session, actor, Action.CHOOSE_THERAPIST, match_id, version)
    stops = _case_stops(session, episode)
    if stops:
        raise RuleRefused("No therapist can be chosen now.", stops)
    _move(match, MatchStep.CHOOSE, actor)
    left = {option.therapist_id: option for option in _options(session, match.id) if option.state in LEFT}
    chosen = list(dict.fromkeys(therapist_ids))
    if not left.keys() >= set(chosen):
        raise NOT_ON_THE_LIST.refused(field="therapist_ids", options=len(left))
    for option in left.values():
        option.preference = chosen.index(option.therapist_id) + 1 if option.therapist_id in chosen else None
    if not _ask(session, actor, match, left[chosen[0]], episode):
        # What stands in the way may tell of other patients; that it does is all this one needs to know.
        finding = NOT_AVAILABLE.finding(programme_of(session, episode))
        raise RuleRefused(finding.sentence, [finding], field="therapist_ids")
    for therapist_id in chosen[1:]:
        if left[therapist_id].state == OptionState.OFFERED:
            _move_option(left[therapist_id], OptionStep.PREFER, actor)
    record(session, actor, "match.choose", "match", match.id, episode_id=episode.id, count=len(chosen))
    return match


def _ask(session: Session, actor: Actor, match: Match, option: MatchOption, episode: Episode) -> bool:
    """Ask a therapist, if they can still take the patient; their last place is held for the answer."""
    if _stops(session, option, episode):
        return False
    _move_option(option, OptionStep.ASK, actor)
    option.asked_at = clock.now()
    session.flush()
    subject = Subject("match", match.id)
    emit(session, EventKind.MATCH_CHOSEN, subject=subject, episode_id=episode.id, owner=str(option.therapist_id))
    return True


def _case_stops(session: Session, episode: Episode) -> list[Finding]:
    """What speaks against any therapist for this patient now, with the episode held until the commit."""
    session.refresh(episode, with_for_update=True)
    return case_findings(case_facts(session, episode), programme_of(session, episode))


def _stops(session: Session, option: MatchOption, episode: Episode) -> list[Finding]:
    """What speaks against this therapist now. Whoever takes one of their places meanwhile waits, or is waited for."""
    locked_profile(session, option.therapist_id)
    therapist = therapist_facts(session, episode, option.therapist_id, but=[option.id])
    findings = fit_findings(case_facts(session, episode), therapist, programme_of(session, episode))
    return of_severity(findings, Severity.STOP)


def accept(session: Session, actor: Actor, match_id: UUID, *, version: int | None = None) -> Match:
    """The therapist who was asked takes the patient on and is the therapist of record from now on.

    Raises ``NotFound`` for anybody who was not asked, ``RuleRefused`` when they may not take the patient any more.
    """
    match, option, episode = _asked(session, actor, match_id, version)
    _move(match, MatchStep.ACCEPT, actor)
    stops = [*_case_stops(session, episode), *_stops(session, option, episode)]
    if stops:
        raise RuleRefused("You cannot take on this patient now.", stops)
    _move_option(option, OptionStep.ACCEPT, actor)
    match.ended_at = clock.now()
    take_on(session, actor, episode)
    session.flush()
    subject = Subject("match", match.id)
    settle_tasks(session, actor, subject, {TaskKind.ANSWER_MATCH})
    emit(session, EventKind.MATCH_MADE, subject=subject, episode_id=episode.id)
    record(session, actor, "match.accept", "match", match.id, episode_id=episode.id)
    return match


def decline(
    session: Session, actor: Actor, match_id: UUID, reason: Personal[str], *, version: int | None = None
) -> Match:
    """The therapist who was asked declines: the patient's next choice is asked, or the patient, or the medical team.

    Raises ``NotFound`` for anybody who was not asked.
    """
    match, option, episode = _asked(session, actor, match_id, version)
    _move_option(option, OptionStep.DECLINE, actor)
    box(session, match.patient_id).seal(option, "reason", reason)
    session.flush()
    subject = Subject("match", match.id)
    heed(session, actor, episode, reason, subject=Subject("match_option", option.id))
    settle_tasks(session, actor, subject, {TaskKind.ANSWER_MATCH})
    emit(session, EventKind.MATCH_DECLINED, subject=subject, episode_id=episode.id)
    record(session, actor, "match.decline", "match", match.id, episode_id=episode.id)
    _ask_next(session, actor, match, episode)
    return match


def _ask_next(session: Session, actor: Actor, match: Match, episode: Episode) -> None:
    if _case_stops(session, episode):  # nobody is needed any more, so nobody is asked, nor is another list made
        _move(match, MatchStep.RUN_OUT, actor)
        match.ended_at = clock.now()
        return
    options = _options(session, match.id)
    preferred = [option for option in options if option.state == OptionState.PREFERRED]
    for option in sorted(preferred, key=lambda each: each.preference or 0):
        if _ask(session, actor, match, option, episode):
            _move(match, MatchStep.ASK_NEXT, actor)
            return
        _move_option(option, OptionStep.DROP, actor)
    if any(option.state == OptionState.OFFERED for option in options):
        _move(match, MatchStep.ASK_PATIENT, actor)
        # The link is made by the service: the therapist who declined has nothing to do with the patient.
        if _ask_patient(session, SYSTEM, match, episode) is not None:
            emit(session, EventKind.MATCH_REOPENED, subject=Subject("match", match.id), episode_id=episode.id)
        return
    _move(match, MatchStep.RUN_OUT, actor)
    match.ended_at = clock.now()
    emit(session, EventKind.THERAPIST_NEEDED, subject=Subject("episode", episode.id), episode_id=episode.id)


def read_match(session: Session, actor: Actor, match_id: UUID) -> ReadMatch:
    """A match, as far as it is the reader's to see; an audited read. Raises ``NotFound``."""
    match, episode = _visible(session, actor, match_id)
    record(session, actor, "match.read", "match", match.id, episode_id=episode.id)
    options = _options(session, match.id)
    facts = case_facts(session, episode)
    if actor.role is Role.PATIENT:
        return _opened(session, match, options, is_medical=False)
    if relationship(actor, episode) is not None:
        return _opened(session, match, options, is_medical=True)
    own = [option for option in options if option.therapist_id == actor.id]
    shown = _opened(session, match, own, is_medical=False)
    if not any(option.state == OptionState.ASKED for option in own):
        return shown  # whoever has answered has nothing more to decide, and so to know
    return replace(shown, patient_state=Personal(facts.state), indication=Personal(facts.indication))


def _opened(session: Session, match: Match, options: Iterable[MatchOption], *, is_medical: bool) -> ReadMatch:
    own = box(session, match.patient_id)
    shown = []
    for option in options:
        stored = own.open(option, "findings").reveal() if is_medical else None
        findings = None if stored is None else [Finding.from_dict(each) for each in stored]
        reason = own.open(option, "reason") if is_medical else Personal(None)
        shown.append(ShownOption(option, shown_therapist(session, option.therapist_id), findings, reason))
    return ReadMatch(match, shown, Personal(None), Personal(None))


def list_matches(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[Match]:
    """The searches for an episode's therapist, newest first, from behind the id ``after``."""
    authorize(actor, Action.READ_MATCH)
    episode = session.get(Episode, episode_id)
    if episode is None or relationship(actor, episode) is None:
        raise NotFound(INVISIBLE)
    query = select(Match).where(Match.episode_id == episode.id)
    return session.scalars(page_of(query, Match.id, after=after, limit=limit)).all()


def _visible(session: Session, actor: Actor, match_id: UUID) -> tuple[Match, Episode]:
    """A match that the reader may see: on their own episode or team, or asked of them as a therapist."""
    authorize(actor, Action.READ_MATCH)
    match = session.get(Match, match_id)
    episode = None if match is None else session.get_one(Episode, match.episode_id)
    if match is None or episode is None:
        raise NotFound(INVISIBLE)
    if relationship(actor, episode) is None and not _was_asked(session, actor, match):
        raise NotFound(INVISIBLE)
    return match, episode


def _was_asked(session: Session, actor: Actor, match: Match) -> bool:
    query = select(MatchOption.id).where(
        MatchOption.match_id == match.id,
        MatchOption.therapist_id == actor.id,
        MatchOption.state.in_(sorted(WITH_THERAPIST)),
    )
    return actor.role is Role.THERAPIST and session.scalar(query) is not None


def _locked(
    session: Session, actor: Actor, action: Action, match_id: UUID, version: int | None
) -> tuple[Match, Episode]:
    authorize(actor, action)
    match = session.get(Match, match_id, with_for_update=True, populate_existing=True)
    if match is None:
        raise NotFound(INVISIBLE)
    episode = visible_episode(session, actor, action, match.episode_id)
    _check_version(match, version)
    return match, episode


def _asked(session: Session, actor: Actor, match_id: UUID, version: int | None) -> tuple[Match, MatchOption, Episode]:
    """A match that waits for this therapist's answer, held until the commit."""
    authorize(actor, Action.ANSWER_MATCH)
    match = session.get(Match, match_id, with_for_update=True, populate_existing=True)
    query = select(MatchOption).where(
        MatchOption.match_id == match_id,
        MatchOption.therapist_id == actor.id,
        MatchOption.state.in_(sorted(WITH_THERAPIST)),
    )
    option = session.scalar(query)
    if match is None or option is None:
        raise NotFound(INVISIBLE)
    _check_version(match, version)
    return match, option, session.get_one(Episode, match.episode_id)


def _check_version(match: Match, version: int | None) -> None:
    if version is not None and match.version != version:
        raise StaleVersion("Somebody else was faster; read the list again.", field="version")


def _options(session: Session, match_id: UUID) -> Sequence[MatchOption]:
    return session.scalars(select(MatchOption).where(MatchOption.match_id == match_id).order_by(MatchOption.rank)).all()


def _move(match: Match, step: MatchStep, actor: Actor) -> None:
    match.state = MATCH_TRANSITIONS.advance(MatchState(match.state), step, actor.role)


def _move_option(option: MatchOption, step: OptionStep, actor: Actor) -> None:
    option.state = OPTION_TRANSITIONS.advance(OptionState(option.state), step, actor.role)
    if option.state not in LEFT and option.state != OptionState.ASKED:
        option.ended_at = clock.now()
