"""What people write may speak of suicide: texts are read as they come in, and never leave their record (DOMAIN 2.2).

A text that a *patient* wrote is read with the words for text messages: it shows the crisis resources at once and asks
therapist and medical team for the same as a text message does. A text that a *clinician* wrote in the ordinary record
asks them to look and to do a C-SSRS. Psychotherapy notes are their author's alone: only the answer to writing one says
what might be done. Events name the record and nothing of what stands in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor, Role
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.keywords import folded, may_be_crisis, pattern_of
from services.messaging.models import Task
from services.messaging.outbox import Subject, emit
from services.messaging.states import OPEN_STATES
from services.messaging.tasks import settle_tasks
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening.rules import CrisisResource, crisis_resources

DATA: Final = Path(__file__).with_name("clinical_words.toml")
ASK_NOW: Final = "This note may speak of suicide or self-harm. Do a C-SSRS today and report it. Only you see this."

# Where one statement ends and the next begins: a denial reaches no further.
_CLAUSE_END: Final = re.compile(r"[^\w\s'’*-]+|\s-+\s|\n+")


class Advice(StrEnum):
    """What the author of a psychotherapy note is told. The words are of one length, and so are the answers with them:
    whoever sees that an answer was kept learns nothing about the note."""

    DO_CSSRS = "do_cssrs"
    NO_CSSRS = "no_cssrs"


def heed(
    session: Session, actor: Actor, episode: Episode, *texts: Personal[str] | str | None, subject: Subject
) -> tuple[CrisisResource, ...]:
    """Read the texts that ``actor`` has just written into the record ``subject``; ask for help where they call for it.

    Gives the crisis resources that a patient has to be shown at once; none to anybody else. The care team is asked once
    for each record, as long as nobody has looked. The caller has authorized the act that brought the texts.
    """
    written = [each.reveal() if isinstance(each, Personal) else each for each in texts if each is not None]
    is_patient = actor.role is Role.PATIENT
    speaks_of_it = may_be_crisis if is_patient else may_concern
    if not any(speaks_of_it(text) for text in written):
        return ()
    kind, asked = (
        (EventKind.TEXT_CRISIS, TaskKind.CHECK_ON_PATIENT)
        if is_patient
        else (EventKind.TEXT_CONCERNING, TaskKind.ASK_CSSRS)
    )
    if not _is_asked(session, subject, asked):
        record(session, actor, "text.heed", subject.kind, subject.id, episode_id=episode.id)
        emit(session, kind, subject=subject, episode_id=episode.id)
    return crisis_resources(programme_of(session, episode)) if is_patient else ()


def settle_asked(session: Session, actor: Actor, episode: Episode, answered_at: datetime) -> None:
    """A C-SSRS was answered: it is the one that was asked for because of texts of before ``answered_at`` (aware)."""
    session.flush()
    query = select(Task).where(
        Task.episode_id == episode.id,
        Task.kind == TaskKind.ASK_CSSRS,
        Task.state.in_(sorted(OPEN_STATES)),
        Task.created_at <= answered_at,
    )
    found = {task.subject_id: task.subject_kind for task in session.scalars(query) if task.subject_id is not None}
    for subject_id, kind in sorted(found.items()):  # in one order, so that two never wait for each other
        settle_tasks(session, actor, Subject(kind, subject_id), {TaskKind.ASK_CSSRS})


def _is_asked(session: Session, subject: Subject, kind: TaskKind) -> bool:
    query = select(Task.id).where(Task.subject_id == subject.id, Task.kind == kind, Task.state.in_(sorted(OPEN_STATES)))
    return session.scalar(query.limit(1)) is not None


def shown_to(session: Session, actor: Actor, episode_id: UUID, text: Personal[str]) -> tuple[CrisisResource, ...]:
    """The crisis resources that ``heed`` gave for this text, for a use case whose result cannot carry them."""
    if actor.role is not Role.PATIENT or not may_be_crisis(text.reveal()):
        return ()
    return resources_of(session, episode_id)


def resources_of(session: Session, episode_id: UUID) -> tuple[CrisisResource, ...]:
    """The crisis resources as the programme of an episode words them."""
    return crisis_resources(programme_of(session, session.get_one(Episode, episode_id)))


def advice_on(text: Personal[str]) -> Advice:
    """What the author of a psychotherapy note is to be told, in the answer and nowhere else.

    Nothing is kept, counted, audited or sent: a note never leaves its author (45 CFR 164.508).
    """
    return Advice.DO_CSSRS if may_concern(text.reveal()) else Advice.NO_CSSRS


def may_concern(text: str) -> bool:
    """Whether a clinician's text may speak of suicide or self-harm, beyond saying that there is none."""
    words = _words()
    clauses = [clause for clause in _CLAUSE_END.split(text) if clause.strip()]
    told = " ".join(words.denied.sub(" ", spelling) for clause in clauses for spelling in folded(clause)[:1])
    return any(words.phrases.search(spelling) for spelling in folded(told))


@dataclass(frozen=True, slots=True)
class _Words:
    phrases: re.Pattern[str]
    denied: re.Pattern[str]


@lru_cache(maxsize=1)
def _words() -> _Words:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    told = [each for phrase in tables["phrases"] for each in _expanded(phrase, tables)]
    return _Words(pattern_of(told, tables["gap_words"]), pattern_of(tables["denied"]))


def _expanded(phrase: str, tables: dict[str, Any]) -> Iterator[str]:
    for name in ("self", "own"):
        if f"{{{name}}}" in phrase:
            yield from (phrase.replace(f"{{{name}}}", word) for word in tables[name])
            return
    yield phrase
