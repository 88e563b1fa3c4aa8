"""Psychotherapy notes: the author's own, apart from the record. Nobody else ever sees one, nor any export or queue."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, PersonalText, page_schema
from coordinator.api.screenings import CrisisResourceOut
from services.core.personal import Personal
from services.outcomes import psychotherapy_notes
from services.outcomes.models import PsychotherapyNote
from services.outcomes.psychotherapy_notes import ReadNote
from services.people.access import Action
from services.screening.written_texts import Advice, advice_on, resources_of

blueprint = resource("notes", "Psychotherapy notes, for their author alone (45 CFR 164.501).")

LONGEST = 20_000


class NoteIn(Schema):
    """A note, perhaps about one session of the episode."""

    text = PersonalText(LONGEST, required=True)
    session_id = Id(load_default=None, allow_none=True)


class NoteChangeIn(Schema):
    """The text that takes the place of the one before, which is kept."""

    text = PersonalText(LONGEST, required=True)


class NoteOut(Schema):
    """A note without its text. The answer to writing leaves the text out, so that nothing keeps a copy of it."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    session_id = fields.UUID(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    written_at = fields.AwareDateTime(required=True)
    version = fields.Integer(required=True)


class WrittenNoteOut(NoteOut):
    """What was written. With ``advice`` "do_cssrs" the note may speak of suicide or self-harm: do a C-SSRS today.

    Then show ``crisis_resources``, which are always there. The advice stands in this answer and nowhere else: nobody
    but the author is told.
    """

    advice = Choice(Advice, required=True)
    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)


class OpenedNoteOut(NoteOut):
    """A note with its text."""

    text = PersonalText(LONGEST, required=True)


class NoteVersionOut(Schema):
    """What a note said before it was amended; ``number`` is the version that the text had."""

    number = fields.Integer(required=True, attribute="note.number")
    written_at = fields.AwareDateTime(required=True, attribute="note.written_at")
    text = PersonalText(LONGEST, required=True)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/notes",
    action=Action.WRITE_PSYCHOTHERAPY_NOTE,
    body=NoteIn,
    answer=WrittenNoteOut,
    status=201,
    located="/notes/{id}",
)
def write_note(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Write a psychotherapy note about a patient of yours."""
    note = psychotherapy_notes.write_note(
        call.session, call.actor, episode_id, body["text"], session_id=body["session_id"]
    )
    return _written(call, note, body["text"])


def _written(call: Call, note: PsychotherapyNote, text: Personal[str]) -> dict[str, Any]:
    row = {name: getattr(note, name) for name in NoteOut().fields}
    return {**row, "advice": advice_on(text), "crisis_resources": resources_of(call.session, note.episode_id)}


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/notes",
    action=Action.READ_PSYCHOTHERAPY_NOTE,
    query=cursors.PageIn,
    answer=page_schema(NoteOut, "NotePageOut"),
)
def list_notes(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Your own notes in an episode, newest first, without their text."""
    after = cursors.decode(query.get("cursor"))
    found = psychotherapy_notes.list_notes(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda note: (note.created_at, note.id))


@endpoint(blueprint, "GET", "/notes/<uuid:note_id>", action=Action.READ_PSYCHOTHERAPY_NOTE, answer=OpenedNoteOut)
def read_note(call: Call, note_id: UUID) -> dict[str, Any]:
    """One note of your own."""
    found = psychotherapy_notes.read_note(call.session, call.actor, note_id)
    return {**{name: getattr(found.note, name) for name in NoteOut().fields}, "text": found.text}


@endpoint(
    blueprint,
    "PATCH",
    "/notes/<uuid:note_id>",
    action=Action.WRITE_PSYCHOTHERAPY_NOTE,
    body=NoteChangeIn,
    answer=WrittenNoteOut,
)
def amend_note(call: Call, body: dict[str, Any], note_id: UUID) -> dict[str, Any]:
    """Amend a note of your own about a patient who still is yours. What it said before is kept."""
    note = psychotherapy_notes.amend_note(call.session, call.actor, note_id, body["text"], version=call.version)
    return _written(call, note, body["text"])


@endpoint(
    blueprint,
    "GET",
    "/notes/<uuid:note_id>/versions",
    action=Action.READ_PSYCHOTHERAPY_NOTE,
    query=cursors.PageIn,
    answer=page_schema(NoteVersionOut, "NoteVersionPageOut"),
)
def list_versions(call: Call, query: dict[str, Any], note_id: UUID) -> dict[str, Any]:
    """What a note of your own said before each amendment, newest first."""
    after = cursors.decode(query.get("cursor"))
    found: list[ReadNote] = psychotherapy_notes.read_versions(
        call.session, call.actor, note_id, after=after, limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda read: (read.note.written_at, read.note.id))
