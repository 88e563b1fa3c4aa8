"""Tasks and inboxes: what each person and team has to do, by when, and what happens when nobody does it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import InvalidInput, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import Party, Priority, TaskKind
from services.messaging.inboxes import owners_of
from services.messaging.models import OPEN_TASK, Settlement, Task
from services.messaging.outbox import Subject
from services.messaging.states import OPEN_STATES, TASK_TRANSITIONS, TaskState, TaskStep
from services.messaging.task_rules import ending_findings
from services.people.access import Action, authorize
from services.people.models import Account
from services.vault.boxes import box

# How far a task has escalated (``escalations.py``).
REMINDED, WITH_TEAM, WITH_ON_CALL = 1, 2, 3


def open_task(
    session: Session,
    kind: TaskKind,
    *,
    party: Party,
    owner_id: UUID,
    subject: Subject,
    due_at: datetime,
    priority: Priority = Priority.ROUTINE,
    episode_id: UUID | None = None,
    event_id: UUID | None = None,
) -> Task:
    """Put a task into its owner's inbox."""
    task = Task(
        id=new_id(),
        kind=kind,
        state=TaskState.REQUESTED,
        priority=priority,
        party=party,
        owner_id=owner_id,
        episode_id=episode_id,
        subject_kind=subject.kind,
        subject_id=subject.id,
        event_id=event_id,
        due_at=due_at,
        escalate_at=due_at,
        created_at=clock.now(),
    )
    session.add(task)
    return task


def read_task(session: Session, actor: Actor, task_id: UUID) -> Task:
    """One task of the actor or its organisation. Raises ``NotFound`` for anybody else's."""
    authorize(actor, Action.READ_INBOX)
    task = session.get(Task, task_id)
    if task is None or task.owner_id not in owners_of(actor):
        raise NotFound("There is no such task, or it is not yours to see.")
    return task


def read_reason(session: Session, actor: Actor, task_id: UUID) -> Personal[str | None]:
    """Why a task was forwarded or rejected, for whoever may read the task; audited when there is a reason."""
    task = read_task(session, actor, task_id)
    if task.reason is not None:
        record(session, actor, "task.read", "task", task.id, episode_id=task.episode_id, kind=task.kind)
    reason: Personal[str | None] = box(session, task.owner_id).open(task, "reason")
    return reason


def move_task(
    session: Session,
    actor: Actor,
    task_id: UUID,
    step: TaskStep,
    *,
    version: int | None = None,
    reason: str | None = None,
    to: UUID | None = None,
) -> Task:
    """Accept, start, complete, reject or forward a task.

    Rejecting and forwarding need a ``reason`` (stored sealed); forwarding needs ``to``, an account of the same
    organisation. Raises ``StaleVersion`` when ``version`` is given and somebody else was faster, ``RuleRefused`` for a
    task that only the record it asks for ends.
    """
    authorize(actor, Action.WORK_TASK)
    task = read_task(session, actor, task_id)
    if version is not None and task.version != version:
        raise StaleVersion("Somebody else changed this task since you read it.", field="version")
    if step in (TaskStep.REJECT, TaskStep.FORWARD) and not (reason or "").strip():
        raise InvalidInput("A reason is needed to reject or forward a task.", field="reason")
    findings = ending_findings(TaskKind(task.kind), step)
    if findings:
        raise RuleRefused(findings[0].sentence, findings)
    if step is TaskStep.FORWARD:
        task.owner_id = _colleague(session, actor, to)
        task.accepted_by = None
    task.state = TASK_TRANSITIONS.advance(TaskState(task.state), step, actor.role)
    if step is TaskStep.ACCEPT:
        task.accepted_by = actor.id
    if reason:
        box(session, task.owner_id).seal(task, "reason", reason)
    if task.state not in OPEN_STATES:
        task.ended_at = clock.now()
    record(session, actor, f"task.{step}", "task", task.id, episode_id=task.episode_id, kind=task.kind)
    if task.state not in OPEN_STATES:
        stop_chasing(session, task)
    return task


def _colleague(session: Session, actor: Actor, account_id: UUID | None) -> UUID:
    colleague = session.get(Account, account_id) if account_id else None
    if colleague is None or colleague.organisation_id != actor.organisation_id or colleague.disabled_at is not None:
        raise InvalidInput("A task can be forwarded to an active colleague of your own organisation.", field="to")
    return colleague.id


def settle_tasks(
    session: Session,
    actor: Actor,
    subject: Subject,
    kinds: Collection[TaskKind],
    step: TaskStep = TaskStep.COMPLETE,
) -> int:
    """End the open tasks of ``kinds`` about ``subject``: it was done, or fell away. Gives how many.

    Tasks still on their way, from events of before this moment, are not opened any more.
    """
    session.flush()
    names = [kind.value for kind in sorted(kinds)]
    session.connection().execute(_SETTLE, {"subject": subject.id, "names": names, "now": clock.now()})
    open_tasks = session.scalars(_OPEN_ABOUT, {"subject": subject.id, "kinds": names}).all()
    for task in open_tasks:
        task.state = TASK_TRANSITIONS.advance(TaskState(task.state), step, actor.role)
        task.ended_at = clock.now()
        record(session, actor, f"task.{step}", "task", task.id, episode_id=task.episode_id, kind=task.kind)
        stop_chasing(session, task)
    return len(open_tasks)


def stop_chasing(session: Session, task: Task, step: TaskStep = TaskStep.COMPLETE) -> None:
    """End what the operations desk was given to do about an overdue task."""
    if task.escalation >= WITH_ON_CALL:
        settle_tasks(session, SYSTEM, Subject("task", task.id), {TaskKind.CHASE_OVERDUE_TASK}, step)


# Prepared once: nearly every use case settles what asked for it.
_OPEN_ABOUT = select(Task).where(
    Task.subject_id == bindparam("subject"), Task.kind.in_(bindparam("kinds", expanding=True)), OPEN_TASK
)

# The lock is held until the commit: a worker that is about to open such a task waits for it, or is waited for.
_SETTLE = text(
    """
    WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended(CAST(:subject AS text), 0)))
    INSERT INTO settlements (subject_id, kind, settled_at)
    SELECT CAST(:subject AS uuid), name, :now FROM held, unnest(CAST(:names AS text[])) AS name
    ON CONFLICT (subject_id, kind) DO UPDATE SET settled_at = excluded.settled_at
    """
)


class SettlementUnderWay(Exception):
    """Somebody is just settling a task about one of several subjects: take them up one at a time."""


def settled_since(session: Session, subject_ids: Collection[UUID]) -> dict[tuple[UUID, str], datetime]:
    """When which kinds of tasks about these subjects were last settled; nobody settles more of them until the commit.

    Waits for a settlement that is under way when there is one subject. To wait for one of several while holding the
    others could bring two to a standstill: then it raises ``SettlementUnderWay``.
    """
    statement = _HOLD if len(subject_ids) == 1 else _TRY_TO_HOLD
    if not session.connection().execute(statement, {"subjects": [str(each) for each in subject_ids]}).scalar():
        raise SettlementUnderWay
    rows = session.execute(select(Settlement).where(Settlement.subject_id.in_(subject_ids))).scalars()
    return {(row.subject_id, row.kind): row.settled_at for row in rows}


_HOLD = text(
    """
    SELECT count(pg_advisory_xact_lock_shared(hashtextextended(subject, 0)))
    FROM unnest(CAST(:subjects AS text[])) AS subject
    """
)
_TRY_TO_HOLD = text(
    """
    SELECT bool_and(pg_try_advisory_xact_lock_shared(hashtextextended(subject, 0)))
    FROM unnest(CAST(:subjects AS text[])) AS subject
    """
)
