"""Why tasks were handed on or turned down: read as any text of the record, where a patient's care is concerned."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.core.personal import Personal
from services.core.vocabulary import TaskKind
from services.messaging import tasks
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.states import TaskStep
from services.people.models import Episode
from services.screening.written_texts import heed

# They ask about a risk that is known: why they went to somebody else, or fell away, weighs that very risk.
ABOUT_RISK: Final = frozenset({TaskKind.TRIAGE_RISK, TaskKind.CHECK_ON_PATIENT, TaskKind.ASK_CSSRS})


def move_task(
    session: Session,
    actor: Actor,
    task_id: UUID,
    step: TaskStep,
    *,
    version: int | None = None,
    reason: Personal[str] | None = None,
    to: UUID | None = None,
) -> Task:
    """As ``tasks.move_task``; the reason may speak of suicide (DOMAIN 2.2)."""
    text = None if reason is None else reason.reveal()
    task = tasks.move_task(session, actor, task_id, step, version=version, reason=text, to=to)
    if task.episode_id is not None and task.kind not in ABOUT_RISK:
        episode = session.get_one(Episode, task.episode_id)
        heed(session, actor, episode, reason, subject=Subject("task", task.id))
    return task
