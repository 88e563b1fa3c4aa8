"""Answering what patients ask: by text when nothing in the answer tells anything, else behind a link (DOMAIN 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import InvalidInput, NotFound, RuleRefused, StaleVersion
from services.core.findings import Finding
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind, Party, TaskKind
from services.eligibility.medicines import load_medicines
from services.messaging.addressees import opted_out
from services.messaging.inboxes import owners_of
from services.messaging.outbox import Subject, emit
from services.messaging.sms import plain
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people.access import Action, authorize
from services.people.accounts import person_of
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Account, Episode
from services.people.patients import details_of, patient_of
from services.people.programmes import programme_of
from services.questions.answer_rules import AnswerFacts, answer_findings
from services.questions.asking import add_post, owner_of, rule_of, subject_of
from services.questions.models import Question, QuestionPost
from services.questions.routing_rules import (
    CLINICAL,
    FORWARD_TO_ONE,
    NOT_TO_PATIENT,
    RULES,
    TEXT_NEEDED,
    WITH_SOMEBODY_ELSE,
    asks_clinically,
)
from services.questions.states import QUESTION_TRANSITIONS, QuestionState, QuestionStep
from services.questions.topics import topics_of
from services.screening import instruments
from services.screening.written_texts import heed
from services.vault.boxes import box

INVISIBLE: Final = "There is no such record, or it is not yours to see."
TO_PATIENT: Final = ("question", "answer")


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, the way it goes (``sms`` or ``link``; ``portal`` when the patient gets no texts), and why no text."""

    question: Question
    way: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, repr=False)
class ReadPost:
    """One text of a thread, opened."""

    post: QuestionPost
    text: Personal[str]


@dataclass(frozen=True, slots=True, repr=False)
class ReadQuestion:
    """A question with its thread, and why it was put before whoever has it. The patient sees texts alone."""

    question: Question
    posts: Sequence[ReadPost]
    reason: Finding | None


def answer(
    session: Session,
    actor: Actor,
    question_id: UUID,
    text: Personal[str],
    *,
    by_link: bool = False,
    version: int | None = None,
) -> Answered:
    """Answer a question. The rules of DOMAIN 7 say whether the words may stand in a text; ``by_link`` keeps them out.

    Raises ``NotFound`` for anybody who may not see it, ``RuleRefused`` when somebody else has it or there are no words.
    """
    question, episode = _owned(session, actor, question_id, version)
    words = _words(text)
    _take(question, QuestionStep.ANSWER, actor)
    findings = answer_findings(
        _facts(session, question, episode, actor, words, by_link), programme_of(session, episode)
    )
    reachable = _is_texted(session, episode)
    way = ("link" if findings else "sms") if reachable else "portal"
    _keep(session, actor, question, episode, "answer", way, words)
    question.ended_at = clock.now()
    session.flush()
    data: dict[str, Any]
    if not reachable:
        # No text may tell them, so that somebody has to: the answer waits where the patient signs in.
        emit(session, EventKind.NOTICE_UNDELIVERED, subject=subject_of(question), episode_id=episode.id)
    elif findings:
        # The link exists in the patient's envelope alone. The service issues it: a pharmacist answers, and issues none.
        link = issue_link(session, SYSTEM, episode, LinkKind.SIGN_IN)
        data = {"notice": NoticeKind.QUESTION_LINK.value, "link": path_of(link)}
    else:
        data = {"notice": NoticeKind.QUESTION_ANSWER.value, "answer": plain(words)}
    if reachable:
        emit(session, EventKind.QUESTION_ANSWERED, subject=subject_of(question), episode_id=episode.id, **data)
    settle_tasks(session, actor, subject_of(question), {TaskKind.ANSWER_QUESTION})
    spoke = len(findings)
    record(session, actor, "question.answer", "question", question.id, episode_id=episode.id, way=way, findings=spoke)
    return Answered(question, way, findings)


def _is_texted(session: Session, episode: Episode) -> bool:

    return not opted_out(session, patient_of(session, episode.patient_id))


def _keep(
    session: Session, actor: Actor, question: Question, episode: Episode, kind: str, way: str, words: str
) -> None:
    """Put what staff wrote into the thread; words that may speak of suicide ask for a look (DOMAIN 2.2)."""
    post = add_post(session, actor, question, kind, way, Personal(words))
    heed(session, actor, episode, words, subject=Subject("question_post", post.id))


def _words(text: Personal[str], *, field: str = "text") -> str:
    words = text.reveal().strip()
    if not words:
        raise TEXT_NEEDED.refused(field=field, text=None)
    return words


def _facts(
    session: Session, question: Question, episode: Episode, actor: Actor, words: str, by_link: bool
) -> AnswerFacts:
    team = {actor.id, episode.therapist_id, episode.prescriber_id} - {None}
    people = [person_of(session, account_id).full_name.reveal() for account_id in team if account_id is not None]
    people.append(details_of(session, episode.patient_id).full_name.reveal())
    names = {name for each in load_medicines() for name in each.medicines}
    names |= {name for each in instruments.known().values() for name in (each.id, each.title)}
    asked = _asked_clinically(session, question)
    return AnswerFacts(text=words, people=people, clinical_names=names, asked_clinically=asked, by_link=by_link)


def _asked_clinically(session: Session, question: Question) -> bool:
    """By the rule that routed it, or by what the patient added: a thread may go from a visit to how they feel."""
    if rule_of(session, question) in CLINICAL:
        return True
    query = select(QuestionPost).where(QuestionPost.question_id == question.id, QuestionPost.kind == "question")
    own = box(session, question.patient_id)
    return any(asks_clinically(topics_of(own.open(post, "text").reveal())) for post in session.scalars(query))


def forward(
    session: Session,
    actor: Actor,
    question_id: UUID,
    reason: Personal[str],
    *,
    to: UUID | None = None,
    party: Party | None = None,
    version: int | None = None,
) -> Question:
    """Hand a question to a colleague of the same organisation (``to``) or to another party of the patient's care.

    Raises ``RuleRefused`` when neither or both are given, or the account is no active colleague.
    """
    question, episode = _owned(session, actor, question_id, version)
    if (to is None) == (party is None):
        raise FORWARD_TO_ONE.refused(field="to", named=2 - (to, party).count(None))
    if party is Party.PATIENT:
        finding = NOT_TO_PATIENT.finding(programme_of(session, episode))
        raise RuleRefused(finding.sentence, [finding], field="party")
    words = _words(reason, field="reason")
    _take(question, QuestionStep.FORWARD, actor)
    if party is None:
        question.owner_id = _colleague(session, actor, to)
    else:
        question.owner_id = owner_of(session, episode, party)
        question.party = Party.MEDICAL_TEAM if question.owner_id == episode.medical_team_id else party
    _keep(session, actor, question, episode, "forward", "portal", words)
    session.flush()
    settle_tasks(session, actor, subject_of(question), {TaskKind.ANSWER_QUESTION}, TaskStep.CANCEL)
    emit(
        session,
        EventKind.QUESTION_FORWARDED,
        subject=subject_of(question),
        episode_id=episode.id,
        to=[Party(question.party)],
        owner=str(question.owner_id),
    )
    record(session, actor, "question.forward", "question", question.id, episode_id=episode.id, to=question.owner_id)
    return question


def _colleague(session: Session, actor: Actor, account_id: UUID | None) -> UUID:
    colleague = None if account_id is None else session.get(Account, account_id)
    if colleague is None or colleague.organisation_id != actor.organisation_id or colleague.disabled_at is not None:
        raise InvalidInput("A question is forwarded to an active colleague of your own organisation.", field="to")
    return colleague.id


def close(
    session: Session, actor: Actor, question_id: UUID, reason: Personal[str], *, version: int | None = None
) -> Question:
    """End a question that needs no answer in writing: somebody called, or it was none. ``reason`` is for staff."""
    question, episode = _owned(session, actor, question_id, version)
    words = _words(reason, field="reason")
    _take(question, QuestionStep.CLOSE, actor)
    _keep(session, actor, question, episode, "close", "portal", words)
    question.ended_at = clock.now()
    session.flush()
    settle_tasks(session, actor, subject_of(question), {TaskKind.ANSWER_QUESTION})
    record(session, actor, "question.close", "question", question.id, episode_id=episode.id)
    return question


def read_question(session: Session, actor: Actor, question_id: UUID) -> ReadQuestion:
    """A question with its thread; an audited read.

    The patient, their therapist and medical team see it, and whoever has it: the pharmacy and the desk only while it is
    with them. Raises ``NotFound`` for anybody else.
    """
    authorize(actor, Action.READ_QUESTION)
    question = session.scalar(select(Question).where(Question.id == question_id, _visible_to(actor)))
    if question is None:
        raise NotFound(INVISIBLE)
    query = select(QuestionPost).where(QuestionPost.question_id == question.id).order_by(QuestionPost.number)
    if actor.role is Role.PATIENT:
        query = query.where(QuestionPost.kind.in_(TO_PATIENT))
    own = box(session, question.patient_id)
    posts = [ReadPost(post, own.open(post, "text")) for post in session.scalars(query)]
    record(session, actor, "question.read", "question", question.id, episode_id=question.episode_id)
    if actor.role is Role.PATIENT:
        return ReadQuestion(question, posts, None)
    episode = session.get_one(Episode, question.episode_id)
    return ReadQuestion(question, posts, RULES[rule_of(session, question)].finding(programme_of(session, episode)))


def list_questions(
    session: Session,
    actor: Actor,
    *,
    state: QuestionState | None = None,
    after: UUID | None = None,
    limit: int = 20,
) -> Sequence[Question]:
    """The questions that the actor can see, newest first, from behind the id ``after``; texts stay sealed."""
    authorize(actor, Action.READ_QUESTION)
    query = select(Question).where(_visible_to(actor))
    if state is not None:
        query = query.where(Question.state == state)
    return session.scalars(page_of(query, Question.id, after=after, limit=limit)).all()


def _visible_to(actor: Actor) -> ColumnElement[bool]:
    """Which questions an actor may see: those that wait for them, those they answered, and those of their patients."""
    has, waits = Question.owner_id.in_(owners_of(actor)), Question.state == QuestionState.ASKED
    match actor.role:
        case Role.PATIENT:
            own = Question.patient_id == actor.id
            return own if actor.episode_id is None else and_(own, Question.episode_id == actor.episode_id)
        case Role.THERAPIST:
            # Who is not the therapist of record any more keeps only what somebody handed to them by name.
            return or_(and_(has, waits, _forwarded()), _in_episodes(Episode.therapist_id == actor.id))
        case Role.PRESCRIBER | Role.MEDICAL_STAFF:
            return or_(and_(has, waits), _in_episodes(Episode.medical_team_id == actor.organisation_id))
        case Role.SYSTEM:
            return true()
    return and_(has, or_(waits, _posted("answer", QuestionPost.author_id == actor.id)))


def _forwarded() -> ColumnElement[bool]:
    return _posted("forward", true())


def _posted(kind: str, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(QuestionPost.id)
        .where(QuestionPost.question_id == Question.id, QuestionPost.kind == kind, condition)
        .exists()
    )


def _in_episodes(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return Question.episode_id.in_(select(Episode.id).where(condition))


def _owned(session: Session, actor: Actor, question_id: UUID, version: int | None) -> tuple[Question, Episode]:
    """A question that the actor or their organisation has, held until the commit."""
    authorize(actor, Action.ANSWER_QUESTION)
    query = select(Question).where(Question.id == question_id, _visible_to(actor)).with_for_update()
    question = session.scalar(query, execution_options={"populate_existing": True})
    if question is None:
        raise NotFound(INVISIBLE)
    if version is not None and question.version != version:
        raise StaleVersion("Somebody else changed this question since you read it.", field="version")
    episode = session.get_one(Episode, question.episode_id)
    if question.owner_id not in owners_of(actor):
        if not _left_behind(session, question, episode):
            raise WITH_SOMEBODY_ELSE.refused(party=question.party)
        question.owner_id = episode.therapist_id or episode.medical_team_id
        if question.owner_id not in owners_of(actor):
            raise WITH_SOMEBODY_ELSE.refused(party=question.party)
    return question, episode


def _left_behind(session: Session, question: Question, episode: Episode) -> bool:
    """Whether the therapist who has it is not the patient's any more: it is then the next one's, or the team's."""
    forwarded = select(Question.id).where(Question.id == question.id, _forwarded())
    return (
        question.party == Party.THERAPIST
        and question.owner_id not in (episode.therapist_id, episode.medical_team_id)
        and session.scalar(forwarded) is None
    )


def _take(question: Question, step: QuestionStep, actor: Actor) -> None:
    question.state = QUESTION_TRANSITIONS.advance(QuestionState(question.state), step, actor.role)
