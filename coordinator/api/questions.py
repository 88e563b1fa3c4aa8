"""Questions that patients text in: their threads, and the answers, which go by text or behind a link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Id, PersonalText, page_schema
from coordinator.api.problem_schemas import FindingOut
from services.core.vocabulary import Party
from services.people.access import Action
from services.questions import answering
from services.questions.answering import ReadQuestion
from services.questions.asking import rules_of
from services.questions.models import Question
from services.questions.routing_rules import Answering
from services.questions.states import QuestionState

blueprint = resource("questions", "Questions that patients text in, and the answers.")

LONGEST = 4000


class QuestionsIn(cursors.PageIn):
    """Filters of the list."""

    state = Choice(QuestionState)


class QuestionAnswerIn(Schema):
    """An answer. ``by_link`` keeps it out of a text even if nothing in it tells anything."""

    text = PersonalText(LONGEST, required=True)
    by_link = Flag(load_default=False)


class ForwardQuestionIn(Schema):
    """To a colleague of your organisation or to another party of the patient's care, and why."""

    to = Id()
    party = Choice(Answering)
    reason = PersonalText(1000, required=True)


class CloseQuestionIn(Schema):
    """Why no answer in writing is needed."""

    reason = PersonalText(1000, required=True)


class PatientQuestionOut(Schema):
    """A question, without its texts. ``rule`` is the one that it was routed by."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    party = Choice(Party, required=True)
    owner_id = fields.UUID(required=True)
    rule = fields.String(required=True)
    state = Choice(QuestionState, required=True)
    asked_at = fields.AwareDateTime(required=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class QuestionPostOut(Schema):
    """One text of a thread."""

    kind = fields.String(required=True, attribute="post.kind")
    way = fields.String(required=True, attribute="post.way")
    author_id = fields.UUID(required=True, attribute="post.author_id")
    message_id = fields.UUID(required=True, allow_none=True, attribute="post.message_id")
    written_at = fields.AwareDateTime(required=True, attribute="post.written_at")
    text = PersonalText(LONGEST, required=True)


class OpenedPatientQuestionOut(PatientQuestionOut):
    """A question with its thread; ``reason`` says why it went where it is, to staff."""

    posts = fields.List(fields.Nested(QuestionPostOut), required=True)
    reason = fields.Nested(FindingOut, required=True, allow_none=True)


class AnsweredQuestionOut(PatientQuestionOut):
    """An answered question. ``way`` is how the answer goes, ``findings`` what kept it out of a text."""

    way = fields.String(required=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)


def _row(call: Call, question: Question) -> dict[str, Any]:
    return _rows(call, [question])[0]


def _rows(call: Call, questions: Sequence[Question]) -> list[dict[str, Any]]:
    rules = rules_of(call.session, questions)
    names = [name for name in PatientQuestionOut().fields if name != "rule"]
    return [{**{name: getattr(each, name) for name in names}, "rule": rules[each.id]} for each in questions]


@endpoint(
    blueprint,
    "GET",
    "/questions",
    action=Action.READ_QUESTION,
    query=QuestionsIn,
    answer=page_schema(PatientQuestionOut, "QuestionPageOut"),
)
def list_questions(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """The questions that you have or may see, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = answering.list_questions(
        call.session,
        call.actor,
        state=query.get("state"),
        after=after[1] if after else None,
        limit=query["limit"] + 1,
    )
    page = cursors.page(found, query["limit"], lambda question: (question.asked_at, question.id))
    return {**page, "items": _rows(call, page["items"])}


@endpoint(
    blueprint, "GET", "/questions/<uuid:question_id>", action=Action.READ_QUESTION, answer=OpenedPatientQuestionOut
)
def read_question(call: Call, question_id: UUID) -> dict[str, Any]:
    """One question with its thread; a patient sees what they asked and what was answered."""
    found: ReadQuestion = answering.read_question(call.session, call.actor, question_id)
    return {**_row(call, found.question), "posts": found.posts, "reason": found.reason}


@endpoint(
    blueprint,
    "POST",
    "/questions/<uuid:question_id>/answer",
    action=Action.ANSWER_QUESTION,
    body=QuestionAnswerIn,
    answer=AnsweredQuestionOut,
)
def answer(call: Call, body: dict[str, Any], question_id: UUID) -> dict[str, Any]:
    """Answer. What has clinical content, or does not fit one text, the patient reads behind a link."""
    given = answering.answer(
        call.session, call.actor, question_id, body["text"], by_link=body["by_link"], version=call.version
    )
    call.session.flush()
    return {**_row(call, given.question), "way": given.way, "findings": given.findings}


@endpoint(
    blueprint,
    "POST",
    "/questions/<uuid:question_id>/forward",
    action=Action.ANSWER_QUESTION,
    body=ForwardQuestionIn,
    answer=PatientQuestionOut,
)
def forward(call: Call, body: dict[str, Any], question_id: UUID) -> dict[str, Any]:
    """Forward to a colleague or to another party, with the reason."""
    question = answering.forward(
        call.session,
        call.actor,
        question_id,
        body["reason"],
        to=body.get("to"),
        party=None if body.get("party") is None else Party(body["party"]),
        version=call.version,
    )
    call.session.flush()
    return _row(call, question)


@endpoint(
    blueprint,
    "POST",
    "/questions/<uuid:question_id>/close",
    action=Action.ANSWER_QUESTION,
    body=CloseQuestionIn,
    answer=PatientQuestionOut,
)
def close(call: Call, body: dict[str, Any], question_id: UUID) -> dict[str, Any]:
    """End a question that needs no answer in writing, with the reason."""
    question = answering.close(call.session, call.actor, question_id, body["reason"], version=call.version)
    call.session.flush()
    return _row(call, question)
