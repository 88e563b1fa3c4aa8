"""A patient's text becomes a question: routed, and put before whoever can answer (DOMAIN 1: options_md)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.messaging.incoming import AskedText
from services.messaging.keywords import Command
from services.messaging.outbox import Subject, emit
from services.people.models import Episode
from services.people.organisations import operations_desk
from services.people.programmes import programme_of
from services.questions.models import Question, QuestionPost
from services.questions.routing_rules import AskedFacts, Routed, routed
from services.questions.states import QUESTION_TRANSITIONS, QuestionState, QuestionStep
from services.questions.topics import topics_of
from services.sessions.models import TherapySession
from services.sessions.states import SessionState
from services.shipping.models import Shipment
from services.shipping.states import ReceiptState
from services.shipping.statuses import TERMINAL, Stage
from services.vault.boxes import box, boxes


def take_question(session: Session, actor: Actor, episode: Episode, asked: AskedText) -> bool:
    """Take a patient's text as a question, where the programme does so; False when it does not.

    What a patient adds while whoever has it has not answered yet goes into the same thread.
    """
    if not programme_of(session, episode).value("questions.by_sms"):
        return False
    route = routed(_facts(session, episode, asked))
    owner_id = owner_of(session, episode, route.party)
    waiting = _waiting(session, episode, owner_id)
    if waiting is not None and not route.urgent:
        QUESTION_TRANSITIONS.advance(QuestionState(waiting.state), QuestionStep.ADD, actor.role)
        add_post(session, actor, waiting, "question", "sms", asked.text, message_id=asked.message_id)
        record(session, actor, "question.add", "question", waiting.id, episode_id=episode.id)
        return True
    open_question(session, actor, episode, route, asked)
    return True


def open_question(session: Session, actor: Actor, episode: Episode, route: Routed, asked: AskedText) -> Question:
    """Open a question for whom ``route`` names. Urgent ones have the shorter time (``services/routing.py``)."""
    question = _open(session, episode, route)
    add_post(session, actor, question, "question", "sms", asked.text, message_id=asked.message_id)
    kind = EventKind.QUESTION_OF_SYMPTOMS if route.urgent else EventKind.QUESTION_ASKED
    emit(session, kind, subject=subject_of(question), episode_id=episode.id, to=[route.party])
    # Not by which rule: that would tell what the patient wrote about.
    record(session, actor, "question.ask", "question", question.id, episode_id=episode.id, to=route.party.value)
    return question


def _facts(session: Session, episode: Episode, asked: AskedText) -> AskedFacts:
    now = clock.now()
    travelling = select(Shipment.id).where(Shipment.episode_id == episode.id, Shipment.state.not_in(sorted(TERMINAL)))
    unconfirmed = select(Shipment.id).where(
        Shipment.episode_id == episode.id,
        Shipment.state == Stage.DELIVERED,
        Shipment.receipt_state == ReceiptState.AWAITED,
    )
    ahead = select(TherapySession.id).where(
        TherapySession.episode_id == episode.id,
        TherapySession.state == SessionState.SCHEDULED,
        TherapySession.starts_at > now,
    )
    return AskedFacts(
        topics=topics_of(asked.text.reveal()),
        like_opt_out=Command.STOP in asked.resembles,
        like_receipt=Command.RECEIVED in asked.resembles,
        like_confirmation=Command.CONFIRM in asked.resembles,
        has_therapist=episode.therapist_id is not None,
        parcel_under_way=any(session.scalar(query.limit(1)) is not None for query in (travelling, unconfirmed)),
        visit_ahead=session.scalar(ahead.limit(1)) is not None,
    )


def owner_of(session: Session, episode: Episode, party: Party) -> UUID:
    """Whose inbox a question for a party goes into; without a therapist that of the medical team."""
    return {
        Party.THERAPIST: episode.therapist_id or episode.medical_team_id,
        Party.MEDICAL_TEAM: episode.medical_team_id,
        Party.PHARMACY: episode.pharmacy_id,
    }.get(party) or operations_desk(session)


def _waiting(session: Session, episode: Episode, owner_id: UUID) -> Question | None:
    """The question of this patient that its owner has not answered yet, held until the commit."""
    query = select(Question).where(
        Question.episode_id == episode.id, Question.owner_id == owner_id, Question.state == QuestionState.ASKED
    )
    return session.scalar(query.order_by(Question.id.desc()).limit(1).with_for_update())


def _open(session: Session, episode: Episode, route: Routed) -> Question:
    question = Question(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        party=route.party,
        owner_id=owner_of(session, episode, route.party),
        state=QuestionState.ASKED,
        asked_at=clock.now(),
    )
    box(session, question.patient_id).seal(question, "rule", route.rule.id)
    session.add(question)
    session.flush()
    return question


def rule_of(session: Session, question: Question) -> str:
    """The id of the rule that routed a question; the caller has settled who may know."""
    return rules_of(session, [question])[question.id]


def rules_of(session: Session, questions: Sequence[Question]) -> dict[UUID, str]:
    """The id of the rule that routed each question, by its id; one query for whatever many patients."""
    own = boxes(session, {each.patient_id for each in questions})
    return {each.id: str(own[each.patient_id].open(each, "rule").reveal()) for each in questions}


def add_post(
    session: Session,
    actor: Actor,
    question: Question,
    kind: str,
    way: str,
    text: Personal[str],
    *,
    message_id: UUID | None = None,
) -> QuestionPost:
    """Put a text into the thread, sealed. The caller holds the question, so that the numbers follow each other."""
    post = QuestionPost(
        id=new_id(),
        question_id=question.id,
        patient_id=question.patient_id,
        number=1 + (session.scalar(select(func.count()).where(QuestionPost.question_id == question.id)) or 0),
        kind=kind,
        way=way,
        author_id=actor.id,
        message_id=message_id,
        written_at=clock.now(),
    )
    box(session, question.patient_id).seal(post, "text", text)
    session.add(post)
    session.flush()
    return post


def subject_of(question: Question) -> Subject:
    """What events and tasks about a question are about."""
    return Subject("question", question.id)
