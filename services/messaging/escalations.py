"""What happens to a task past its due time, weekends included: remind its owner, give it to the team, call the desk.

Each task carries how far it has escalated and when it goes further; the ticker walks those that are due.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.programme import Programme
from services.core.vocabulary import EventKind, Party, Priority, TaskKind
from services.messaging.addressees import clinic_of
from services.messaging.governing import governing_programme
from services.messaging.models import Task
from services.messaging.outbox import Subject, emit
from services.messaging.states import OPEN_STATES, TaskStep
from services.messaging.tasks import REMINDED, WITH_ON_CALL, WITH_TEAM, stop_chasing
from services.people.models import Account, Episode
from services.vault.boxes import box

# What calling the desk leads to, and a call that reached nobody: to call the desk for these would only breed more.
OF_CALLING: Final = frozenset({TaskKind.CHASE_OVERDUE_TASK, TaskKind.RECONCILE_NOTICE})


def escalate_due(session: Session, programme: Programme, limit: int = 200) -> int:
    """Escalate open tasks whose time has come by one level each; gives how many. Called until it gives 0.

    How long each level waits is for the programme of the task's episode to say, and for ``programme`` without one.
    """
    now = clock.now()
    due = session.scalars(
        select(Task)
        .where(Task.state.in_(sorted(OPEN_STATES)), Task.escalate_at <= now)
        .order_by(Task.escalate_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for task in due:
        if task.state in OPEN_STATES:  # it may have ended with an earlier one of this batch
            _escalate(session, task, governing_programme(session, task.episode_id, programme))
    return len(due)


def _escalate(session: Session, task: Task, programme: Programme) -> None:
    urgency = "stat_" if task.priority == Priority.STAT else ""
    task.escalation = min(task.escalation + 1, WITH_ON_CALL)
    if task.escalation == REMINDED:
        wait = programme.number(f"escalation.{urgency}team_after_hours")
        _tell_owner(session, task)
    elif task.escalation == WITH_TEAM:
        wait = programme.number(f"escalation.{urgency}on_call_after_hours")
        _give_to_team(session, task)
        _tell_owner(session, task)
    else:
        wait = programme.number("escalation.repeat_on_call_after_hours")
        if task.kind not in OF_CALLING:
            stop_chasing(session, task, TaskStep.CANCEL)  # the last call's task, for this call brings a new one
            emit(session, EventKind.TASK_ESCALATED, subject=Subject("task", task.id), episode_id=task.episode_id)
    task.escalate_at = clock.now() + timedelta(hours=wait)
    level = task.escalation
    record(session, SYSTEM, "task.escalate", "task", task.id, episode_id=task.episode_id, level=level, kind=task.kind)


def _tell_owner(session: Session, task: Task) -> None:
    emit(
        session,
        EventKind.TASK_REMINDED,
        subject=Subject("task", task.id),
        episode_id=task.episode_id,
        to=[Party(task.party)],
        owner=str(task.owner_id),
    )


def _give_to_team(session: Session, task: Task) -> None:
    """Put a task into its team's inbox. The reason it was forwarded with stays readable for whoever has it now."""
    reason = None if task.reason is None else box(session, task.owner_id).open(task, "reason")
    task.owner_id = _team_of(session, task)
    if reason is not None:
        box(session, task.owner_id).seal(task, "reason", reason)


def _team_of(session: Session, task: Task) -> UUID:
    """The organisation behind the owner: its practice, medical team or pharmacy."""
    account = session.get(Account, task.owner_id)
    if account is not None:
        return account.organisation_id
    episode = session.get(Episode, task.episode_id) if task.episode_id else None
    if episode is not None and task.party == Party.THERAPIST:
        return clinic_of(episode)
    return task.owner_id
