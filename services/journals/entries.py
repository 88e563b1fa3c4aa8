"""Journal entries: the patient writes, reads and perhaps shares them; the therapist reads what was shared.

Nobody else reads one. Words that may tell of a crisis act at once as in a text that comes in (DOMAIN 2.2): the patient
is shown where help is, and the care team is asked to look, without a word of what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.journals.models import JournalEntry
from services.journals.prompts import Occasion, Prompts, prompts_of
from services.journals.rules import TEXT_NEEDED, EntryFacts, entry_findings
from services.journals.states import ENTRY_TRANSITIONS, EntryState, EntryStep
from services.messaging.outbox import Subject, emit
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.screening.rules import CrisisResource
from services.screening.written_texts import heed
from services.vault.boxes import box

INVISIBLE: Final = "There is no such record, or it is not yours to see."
ENDED: Final = (EpisodeState.DECLINED, EpisodeState.CLOSED)


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """A fresh entry, and where help is when its words may tell of a crisis: show it at once."""

    entry: JournalEntry
    crisis_resources: Sequence[CrisisResource]


@dataclass(frozen=True, slots=True, repr=False)
class ReadEntry:
    """An entry, opened for whoever may read it."""

    entry: JournalEntry
    prompt: Personal[str | None]
    text: Personal[str]


def read_prompts(session: Session, actor: Actor, episode_id: UUID) -> Prompts:
    """What the patient is given to write and to do around a session; raises as ``authorize`` does."""
    episode = visible_episode(session, actor, Action.READ_PROMPTS, episode_id)
    return prompts_of(programme_of(session, episode))


def write_entry(
    session: Session,
    actor: Actor,
    episode_id: UUID,
    occasion: Occasion,
    text: Personal[str],
    *,
    prompt: int | None = None,
) -> WrittenEntry:
    """Write an entry, private until it is shared; ``prompt`` counts the programme's prompts for the occasion from 1.

    Raises ``RuleRefused`` when the programme has no journal or no such prompt, and as ``authorize`` does.
    """
    episode = visible_episode(session, actor, Action.WRITE_JOURNAL, episode_id)
    programme = programme_of(session, episode)
    given = prompts_of(programme).of(occasion)
    facts = EntryFacts(ended=episode.state in ENDED, prompt=prompt, prompts=len(given))
    findings = entry_findings(facts, programme)
    if findings:
        raise RuleRefused("This entry cannot be written.", findings)
    if not text.reveal().strip():
        raise TEXT_NEEDED.refused(field="text", text=None)
    asked = None if prompt is None else given[prompt - 1]
    entry = _store(session, actor, episode, occasion, text, asked)
    return WrittenEntry(entry, heed(session, actor, episode, text, subject=Subject("journal_entry", entry.id)))


def _store(
    session: Session, actor: Actor, episode: Episode, occasion: Occasion, text: Personal[str], asked: str | None
) -> JournalEntry:
    entry = JournalEntry(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        kind=occasion,
        state=EntryState.PRIVATE,
        written_at=clock.now(),
    )
    own = box(session, episode.patient_id)
    own.seal(entry, "text", text)
    if asked is not None:
        own.seal(entry, "prompt", asked)
    session.add(entry)
    session.flush()
    record(session, actor, "journal.write", "journal_entry", entry.id, episode_id=episode.id, kind=occasion.value)
    return entry


def share_entry(session: Session, actor: Actor, entry_id: UUID, *, version: int | None = None) -> JournalEntry:
    """Let the therapist of record read an entry. Raises ``IllegalTransition``, ``StaleVersion``."""
    entry = _move(session, actor, entry_id, EntryStep.SHARE, version)
    entry.shared_at = clock.now()
    subject = Subject("journal_entry", entry.id)
    emit(session, EventKind.JOURNAL_SHARED, subject=subject, episode_id=entry.episode_id)
    return entry


def take_back_entry(session: Session, actor: Actor, entry_id: UUID, *, version: int | None = None) -> JournalEntry:
    """Make an entry private again. What was read is not unread. Raises ``IllegalTransition``, ``StaleVersion``."""
    entry = _move(session, actor, entry_id, EntryStep.TAKE_BACK, version)
    entry.shared_at = None
    return entry


def _move(session: Session, actor: Actor, entry_id: UUID, step: EntryStep, version: int | None) -> JournalEntry:
    entry = session.get(JournalEntry, entry_id, with_for_update=True, populate_existing=True)
    if entry is None:
        raise NotFound(INVISIBLE)
    visible_episode(session, actor, Action.WRITE_JOURNAL, entry.episode_id)
    if version is not None and entry.version != version:
        raise StaleVersion("This entry changed since you read it.", field="version")
    entry.state = ENTRY_TRANSITIONS.advance(EntryState(entry.state), step, actor.role)
    record(session, actor, f"journal.{step}", "journal_entry", entry.id, episode_id=entry.episode_id)
    return entry


def read_entry(session: Session, actor: Actor, entry_id: UUID) -> ReadEntry:
    """One entry: the patient's own, or one that was shared with the therapist; an audited read."""
    entry = session.get(JournalEntry, entry_id)
    if entry is None:
        raise NotFound(INVISIBLE)
    visible_episode(session, actor, Action.READ_JOURNAL, entry.episode_id)
    if actor.role is not Role.PATIENT and entry.state != EntryState.SHARED:
        raise NotFound(INVISIBLE)
    record(session, actor, "journal.read", "journal_entry", entry.id, episode_id=entry.episode_id)
    own = box(session, entry.patient_id)
    return ReadEntry(entry, own.open(entry, "prompt"), own.open(entry, "text"))


def list_entries(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[JournalEntry]:
    """The entries that the actor may read, newest first, from behind the id ``after``; texts stay sealed."""
    episode = visible_episode(session, actor, Action.READ_JOURNAL, episode_id)
    query = select(JournalEntry).where(JournalEntry.episode_id == episode.id)
    if actor.role is not Role.PATIENT:
        query = query.where(JournalEntry.state == EntryState.SHARED)
    return session.scalars(page_of(query, JournalEntry.id, after=after, limit=limit)).all()
