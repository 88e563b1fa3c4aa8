"""Journals: prompts around a session, and entries that are the patient's alone until shared with the therapist."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, Whole, page_schema
from coordinator.api.screenings import CrisisResourceOut
from coordinator.api.tasks import StepIn
from services.journals import entries
from services.journals.entries import ReadEntry
from services.journals.models import JournalEntry
from services.journals.prompts import MOST, Occasion, Prompts
from services.journals.states import EntryState
from services.people.access import Action

blueprint = resource("journal", "Journals: prompts around a session, and the patient's own entries.")

LONGEST = 10_000


class PromptsOut(Schema):
    """What the programme gives to write before and after a session, and to do before one."""

    before_session = fields.List(fields.String(), required=True)
    after_session = fields.List(fields.String(), required=True)
    to_do_before_session = fields.List(fields.String(), required=True)


class JournalEntryIn(Schema):
    """An entry. ``prompt`` counts the prompts of the occasion from 1; without one you write of your own accord."""

    occasion = Choice(Occasion, required=True)
    text = PersonalText(LONGEST, required=True)
    prompt = Whole(1, MOST)


class JournalEntryOut(Schema):
    """An entry without its words."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    occasion = Choice(Occasion, required=True, attribute="kind")
    state = Choice(EntryState, required=True)
    written_at = fields.AwareDateTime(required=True)
    shared_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class WrittenEntryOut(JournalEntryOut):
    """A fresh entry. Whenever ``crisis_resources`` is not empty, show it at once and before anything else."""

    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)


class OpenedEntryOut(JournalEntryOut):
    """An entry with its words, and what it answers to."""

    prompt = PersonalText(300, required=True, allow_none=True)
    text = PersonalText(LONGEST, required=True)


def _row(entry: JournalEntry) -> dict[str, Any]:
    return {field.attribute or name: getattr(entry, field.attribute or name) for name, field in _FIELDS.items()}


_FIELDS = JournalEntryOut().fields


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/prompts",
    action=Action.READ_PROMPTS,
    answer=PromptsOut,
)
def read_prompts(call: Call, episode_id: UUID) -> Prompts:
    """What there is to write and to do around a session."""
    return entries.read_prompts(call.session, call.actor, episode_id)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/journal-entries",
    action=Action.WRITE_JOURNAL,
    body=JournalEntryIn,
    answer=WrittenEntryOut,
    status=201,
    located="/journal-entries/{id}",
)
def write_entry(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Write an entry. It is yours alone until you share it."""
    written = entries.write_entry(
        call.session, call.actor, episode_id, body["occasion"], body["text"], prompt=body.get("prompt")
    )
    return {**_row(written.entry), "crisis_resources": written.crisis_resources}


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/journal-entries",
    action=Action.READ_JOURNAL,
    query=cursors.PageIn,
    answer=page_schema(JournalEntryOut, "JournalEntryPageOut"),
)
def list_entries(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Your entries, or for the therapist those that were shared, newest first, without their words."""
    after = cursors.decode(query.get("cursor"))
    found = entries.list_entries(
        call.session, call.actor, episode_id, after=after[1] if after else None, limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda entry: (entry.written_at, entry.id))


@endpoint(blueprint, "GET", "/journal-entries/<uuid:entry_id>", action=Action.READ_JOURNAL, answer=OpenedEntryOut)
def read_entry(call: Call, entry_id: UUID) -> dict[str, Any]:
    """One entry with its words."""
    found: ReadEntry = entries.read_entry(call.session, call.actor, entry_id)
    return {**_row(found.entry), "prompt": found.prompt, "text": found.text}


@endpoint(
    blueprint,
    "POST",
    "/journal-entries/<uuid:entry_id>/share",
    action=Action.WRITE_JOURNAL,
    body=StepIn,
    answer=JournalEntryOut,
)
def share_entry(call: Call, body: dict[str, Any], entry_id: UUID) -> JournalEntry:
    """Let your therapist read an entry."""
    return entries.share_entry(call.session, call.actor, entry_id, version=call.version)


@endpoint(
    blueprint,
    "POST",
    "/journal-entries/<uuid:entry_id>/take-back",
    action=Action.WRITE_JOURNAL,
    body=StepIn,
    answer=JournalEntryOut,
)
def take_back_entry(call: Call, body: dict[str, Any], entry_id: UUID) -> JournalEntry:
    """Make an entry yours alone again."""
    return entries.take_back_entry(call.session, call.actor, entry_id, version=call.version)
