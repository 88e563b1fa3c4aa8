"""Notices: what somebody was told, what became of the texts to a patient, and the texts that patients sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Choices, Revealed, page_schema
from services.core.vocabulary import NoticeKind
from services.messaging import messages, notice_lists
from services.messaging.caps import Purpose
from services.messaging.messages import Message
from services.messaging.models import Notice
from services.messaging.notice_lists import ShownNotice
from services.messaging.notice_states import Channel, NoticeState
from services.people.access import Action

blueprint = resource("notices", "What people were told, in the app and by text, and what patients texted in.")


class NoticeOut(Schema):
    """A notice. It names its subject by id; read that resource for the content.

    ``kind`` is the event an in-app notice tells of, or the kind of a text. ``text`` is for the patient alone, and left
    out where it holds a link or a code.
    """

    id = fields.UUID(required=True, attribute="notice.id")
    kind = fields.String(required=True, attribute="notice.kind")
    channel = Choice(Channel, required=True, attribute="notice.channel")
    state = Choice(NoticeState, required=True, attribute="notice.state")
    episode_id = fields.UUID(allow_none=True, attribute="notice.episode_id")
    subject_kind = fields.String(allow_none=True, attribute="notice.subject_kind")
    subject_id = fields.UUID(allow_none=True, attribute="notice.subject_id")
    text = Revealed(fields.String(allow_none=True), allow_none=True)
    created_at = fields.AwareDateTime(required=True, attribute="notice.created_at")
    sent_at = fields.AwareDateTime(allow_none=True, attribute="notice.sent_at")
    read_at = fields.AwareDateTime(allow_none=True, attribute="notice.read_at")
    version = fields.Integer(required=True, attribute="notice.version")


class EpisodeNoticeOut(Schema):
    """What became of a text to the patient. ``reason`` is the id of the rule, or the code, that decided."""

    id = fields.UUID(required=True)
    kind = Choice(NoticeKind, required=True)
    purpose = Choice(Purpose, required=True)
    state = Choice(NoticeState, required=True)
    reason = fields.String(allow_none=True)
    subject_kind = fields.String(allow_none=True)
    subject_id = fields.UUID(allow_none=True)
    attempts = fields.Integer(required=True)
    provider_status = fields.String(allow_none=True)
    error_code = fields.String(allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    send_at = fields.AwareDateTime(allow_none=True)
    sent_at = fields.AwareDateTime(allow_none=True)
    expires_at = fields.AwareDateTime(allow_none=True)


class NoticesIn(cursors.PageIn):
    """Filters of a list of notices."""

    state = Choices(NoticeState)


class NoticeStepIn(Schema):
    """An empty step."""


class MessageOut(Schema):
    """A text that came in. ``sender`` is for the operations desk only, ``outcome`` is what the service made of it."""

    id = fields.UUID(required=True)
    received_at = fields.AwareDateTime(required=True)
    text = Revealed(fields.String(), required=True)
    sender = Revealed(fields.String(allow_none=True), allow_none=True)
    outcome = fields.String(allow_none=True)
    episode_ids = fields.List(fields.UUID(), required=True)


@endpoint(
    blueprint,
    "GET",
    "/notices",
    action=Action.READ_NOTICE,
    query=NoticesIn,
    answer=page_schema(NoticeOut, "NoticePageOut"),
)
def list_notices(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """Your notices, newest first: in-app ones for staff and their organisation, their own texts for a patient."""
    found = notice_lists.my_notices(
        call.session,
        call.actor,
        states=frozenset(query.get("state") or ()),
        after=cursors.decode(query.get("cursor")),
        limit=query["limit"] + 1,
    )
    return cursors.page(found, query["limit"], lambda shown: (shown.notice.created_at, shown.notice.id))


@endpoint(
    blueprint, "POST", "/notices/<uuid:notice_id>/read", action=Action.READ_NOTICE, body=NoticeStepIn, answer=NoticeOut
)
def read_notice(call: Call, body: dict[str, Any], notice_id: UUID) -> ShownNotice:
    """Mark an in-app notice of yours or your organisation's as read."""
    return notice_lists.read_notice(call.session, call.actor, notice_id, version=call.version)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/notices",
    action=Action.READ_EPISODE_NOTICE,
    query=cursors.PageIn,
    answer=page_schema(EpisodeNoticeOut, "EpisodeNoticePageOut"),
)
def list_episode_notices(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The texts to the patient of an episode, newest first, and what became of them; neither words nor number."""
    after = cursors.decode(query.get("cursor"))
    found = notice_lists.notices_of_episode(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], _position)


def _position(notice: Notice) -> cursors.Position:
    return notice.created_at, notice.id


@endpoint(blueprint, "GET", "/messages/<uuid:message_id>", action=Action.READ_MESSAGE, answer=MessageOut)
def read_message(call: Call, message_id: UUID) -> Message:
    """A text that a patient sent, for the operations desk and the care team of whoever has the number; audited."""
    return messages.read_message(call.session, call.actor, message_id)
