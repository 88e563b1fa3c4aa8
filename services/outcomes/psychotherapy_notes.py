"""Psychotherapy notes (45 CFR 164.501, 164.508; DOMAIN 6): the author's own, apart from the record.

They are sealed under a data key of the *author*, of a purpose whose key-encryption keys only the web process and the
command line are given. A key per patient would open to whoever else treats that patient; with the author's key the
sealing says what the law says, so that a mistake in an access check shows ciphertext to a colleague and not the note.
The author's role does not matter beyond that: practice, medical team, operations desk, workers, exports and events
never see a note, and neither does a therapist who takes the patient over. The author goes on reading what they wrote;
writing needs the patient to be theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotFound, StaleVersion
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.outcomes.models import PsychotherapyNote, PsychotherapyNoteVersion
from services.outcomes.report_rules import NOTE_NEEDS_TEXT, NOTE_OF_OTHERS
from services.people.access import Action, authorize, visible_episode
from services.sessions.models import TherapySession
from services.vault.boxes import Box, box
from services.vault.models import Purpose

INVISIBLE = "There is no such record, or it is not yours to see."


@dataclass(frozen=True, slots=True, repr=False)
class ReadNote:
    """A note, or an earlier version of one, with its text opened for its author."""

    note: PsychotherapyNote | PsychotherapyNoteVersion
    text: Personal[str]


def write_note(
    session: Session, actor: Actor, episode_id: UUID, text: Personal[str], *, session_id: UUID | None = None
) -> PsychotherapyNote:
    """Write a note about a patient of the actor's, perhaps about one session (``session_id``, of the same episode).

    Raises as ``authorize`` does, ``RuleRefused`` on ``text`` when it is blank, on ``session_id``.
    """
    episode = visible_episode(session, actor, Action.WRITE_PSYCHOTHERAPY_NOTE, episode_id)
    if session_id is not None:
        held = session.get(TherapySession, session_id)
        if held is None or held.episode_id != episode.id:
            raise NOTE_OF_OTHERS.refused(field="session_id", session_id=str(session_id))
    now = clock.now()
    note = PsychotherapyNote(
        id=new_id(),
        author_id=actor.id,
        patient_id=episode.patient_id,
        episode_id=episode.id,
        session_id=session_id,
        created_at=now,
        written_at=now,
    )
    _own_box(session, actor).seal(note, "text", _checked(text))
    session.add(note)
    session.flush()
    record(session, actor, "psychotherapy_note.write", "psychotherapy_note", note.id, episode_id=episode.id)
    return note


def amend_note(
    session: Session, actor: Actor, note_id: UUID, text: Personal[str], *, version: int | None = None
) -> PsychotherapyNote:
    """Put a new text in the place of a note's; the one before is kept as a version.

    Raises ``NotFound`` for anybody but the author, and when the patient is not theirs any more; ``StaleVersion``;
    ``RuleRefused`` on ``text`` when it is blank.
    """
    note = _own_note(session, actor, Action.WRITE_PSYCHOTHERAPY_NOTE, note_id, lock=True)
    visible_episode(session, actor, Action.WRITE_PSYCHOTHERAPY_NOTE, note.episode_id)
    if version is not None and note.version != version:
        raise StaleVersion("This note changed since you read it.", field="version")
    own = _own_box(session, actor)
    earlier = PsychotherapyNoteVersion(
        id=new_id(), note_id=note.id, number=note.version, author_id=note.author_id, written_at=note.written_at
    )
    own.seal(earlier, "text", own.open(note, "text"))
    session.add(earlier)
    own.seal(note, "text", _checked(text))
    note.written_at = clock.now()
    session.flush()
    record(session, actor, "psychotherapy_note.amend", "psychotherapy_note", note.id, episode_id=note.episode_id)
    return note


def read_note(session: Session, actor: Actor, note_id: UUID) -> ReadNote:
    """One note, for its author alone (``NotFound`` for everybody else); an audited read."""
    note = _own_note(session, actor, Action.READ_PSYCHOTHERAPY_NOTE, note_id)
    record(session, actor, "psychotherapy_note.read", "psychotherapy_note", note.id, episode_id=note.episode_id)
    return ReadNote(note, _own_box(session, actor).open(note, "text"))


def read_versions(
    session: Session, actor: Actor, note_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int = 20
) -> list[ReadNote]:
    """What a note said before each amendment, newest first, from behind the position ``after``; an audited read."""
    note = _own_note(session, actor, Action.READ_PSYCHOTHERAPY_NOTE, note_id)
    row = PsychotherapyNoteVersion
    query = select(row).where(row.note_id == note.id, row.author_id == actor.id)
    query = page_of(query, row.written_at, row.id, after=after, limit=limit)
    record(session, actor, "psychotherapy_note.read", "psychotherapy_note", note.id, episode_id=note.episode_id)
    own = _own_box(session, actor)
    return [ReadNote(version, own.open(version, "text")) for version in session.scalars(query)]


def list_notes(
    session: Session, actor: Actor, episode_id: UUID, *, after: tuple[datetime, UUID] | None = None, limit: int = 20
) -> Sequence[PsychotherapyNote]:
    """The actor's own notes in an episode, newest first, without their text, from behind the position ``after``.

    Raises ``NotFound`` for an episode that is not the actor's and in which they wrote nothing.
    """
    authorize(actor, Action.READ_PSYCHOTHERAPY_NOTE)
    row = PsychotherapyNote
    mine = select(row).where(row.episode_id == episode_id, row.author_id == actor.id)
    if session.scalar(mine.limit(1)) is None:
        visible_episode(session, actor, Action.READ_PSYCHOTHERAPY_NOTE, episode_id)
    record(session, actor, "psychotherapy_note.list", "episode", episode_id, episode_id=episode_id)
    return session.scalars(page_of(mine, row.created_at, row.id, after=after, limit=limit)).all()


def _own_note(
    session: Session, actor: Actor, action: Action, note_id: UUID, *, lock: bool = False
) -> PsychotherapyNote:
    authorize(actor, action)
    note = session.get(PsychotherapyNote, note_id, with_for_update=lock, populate_existing=lock)
    if note is None or note.author_id != actor.id:
        raise NotFound(INVISIBLE)
    return note


def _own_box(session: Session, actor: Actor) -> Box:
    """The actor's own key, never that of whoever a row names as its author."""
    return box(session, actor.id, Purpose.PSYCHOTHERAPY_NOTES)


def _checked(text: Personal[str]) -> str:
    shown = text.reveal().strip()
    if not shown:
        raise NOTE_NEEDS_TEXT.refused(field="text", text=None)
    return shown
