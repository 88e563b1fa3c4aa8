"""Contacts of a prescriber with the patient, from which a refill request counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Moment, PersonalText, page_schema
from services.people.access import Action
from services.prescribing import contacts
from services.prescribing.contacts import Manner, ReadContact

blueprint = resource("prescriber-contacts", "Contacts of a prescriber with the patient.")


class PrescriberContactIn(Schema):
    """A contact that you had with the patient; ``held_at`` by default now."""

    manner = Choice(Manner, required=True)
    held_at = Moment(load_default=None, allow_none=True)
    note = PersonalText(4000, load_default=None, allow_none=True)


class PrescriberContactOut(Schema):
    """A contact."""

    id = fields.UUID(required=True, attribute="contact.id")
    episode_id = fields.UUID(required=True, attribute="contact.episode_id")
    prescriber_id = fields.UUID(required=True, attribute="contact.prescriber_id")
    manner = Choice(Manner, required=True, attribute="contact.manner")
    held_at = fields.AwareDateTime(required=True, attribute="contact.held_at")
    note = PersonalText(4000, required=True, allow_none=True)
    recorded_at = fields.AwareDateTime(required=True, attribute="contact.recorded_at")


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/prescriber-contacts",
    action=Action.RECORD_CONTACT,
    body=PrescriberContactIn,
    answer=PrescriberContactOut,
    status=201,
)
def record_contact(call: Call, body: dict[str, Any], episode_id: UUID) -> ReadContact:
    """Record that you spoke with the patient."""
    return contacts.record_contact(
        call.session, call.actor, episode_id, body["manner"], held_at=body["held_at"], note=body["note"]
    )


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/prescriber-contacts",
    action=Action.READ_REFILL,
    query=cursors.PageIn,
    answer=page_schema(PrescriberContactOut, "PrescriberContactPageOut"),
)
def list_contacts(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The contacts of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = contacts.list_contacts(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda read: (read.contact.held_at, read.contact.id))
