"""Tasks: each person's and team's inbox, and what can be done with a task."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Choices, Id, Moment, PersonalText, page_schema
from services.core.vocabulary import Priority, TaskKind
from services.messaging import inboxes, tasks
from services.messaging.models import Task
from services.messaging.states import OPEN_STATES, TaskState, TaskStep
from services.people.access import Action
from services.screening.task_reasons import move_task

blueprint = resource("tasks", "Inboxes: what has to be done, by whom, by when.")


class TaskOut(Schema):
    """A task. It names its subject by id; read that resource for the content."""

    id = fields.UUID(required=True)
    kind = Choice(TaskKind, required=True)
    state = Choice(TaskState, required=True)
    priority = Choice(Priority, required=True)
    owner_id = fields.UUID(required=True)
    accepted_by = fields.UUID(allow_none=True)
    episode_id = fields.UUID(allow_none=True)
    subject_kind = fields.String(required=True)
    subject_id = fields.UUID(allow_none=True)
    due_at = fields.AwareDateTime(required=True)
    escalation = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    version = fields.Integer(required=True)


class TaskReadOut(TaskOut):
    """A task with the reason it was forwarded or rejected for."""

    reason = PersonalText(500, required=True, allow_none=True)


class InboxIn(cursors.PageIn):
    """Filters of an inbox. Without ``state`` it shows what is open."""

    state = Choices(TaskState)
    kind = Choices(TaskKind)
    due_before = Moment()
    due_after = Moment()


class StepIn(Schema):
    """An empty step."""


class RejectIn(Schema):
    """Why a task is rejected."""

    reason = PersonalText(500, required=True)


class ForwardIn(Schema):
    """To whom, an active colleague of your organisation, and why."""

    to = Id(required=True)
    reason = PersonalText(500, required=True)


@endpoint(
    blueprint, "GET", "/tasks", action=Action.READ_INBOX, query=InboxIn, answer=page_schema(TaskOut, "TaskPageOut")
)
def list_tasks(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """Your inbox and your organisation's, soonest due first."""
    filters = inboxes.InboxFilter(
        states=frozenset(query.get("state") or OPEN_STATES),
        kinds=frozenset(query.get("kind") or ()),
        due_before=query.get("due_before"),
        due_after=query.get("due_after"),
    )
    after = cursors.decode(query.get("cursor"))
    found = inboxes.inbox(call.session, call.actor, filters, after=after, limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda task: (task["due_at"], task["id"]))


@endpoint(blueprint, "GET", "/tasks/<uuid:task_id>", action=Action.READ_INBOX, answer=TaskReadOut)
def read_task(call: Call, task_id: UUID) -> dict[str, Any]:
    """One task of yours or your organisation's, with the reason it was forwarded or rejected for."""
    task = tasks.read_task(call.session, call.actor, task_id)
    shown = {name: getattr(task, name) for name in TaskOut().fields}
    return {**shown, "reason": tasks.read_reason(call.session, call.actor, task_id)}


def _move(call: Call, task_id: UUID, step: TaskStep, body: dict[str, Any]) -> Task:
    reason, to = body.get("reason"), body.get("to")
    return move_task(call.session, call.actor, task_id, step, version=call.version, reason=reason, to=to)


@endpoint(blueprint, "POST", "/tasks/<uuid:task_id>/accept", action=Action.WORK_TASK, body=StepIn, answer=TaskOut)
def accept_task(call: Call, body: dict[str, Any], task_id: UUID) -> Task:
    """Accept a task: you will do it."""
    return _move(call, task_id, TaskStep.ACCEPT, body)


@endpoint(blueprint, "POST", "/tasks/<uuid:task_id>/start", action=Action.WORK_TASK, body=StepIn, answer=TaskOut)
def start_task(call: Call, body: dict[str, Any], task_id: UUID) -> Task:
    """Start work on an accepted task."""
    return _move(call, task_id, TaskStep.START, body)


@endpoint(blueprint, "POST", "/tasks/<uuid:task_id>/complete", action=Action.WORK_TASK, body=StepIn, answer=TaskOut)
def complete_task(call: Call, body: dict[str, Any], task_id: UUID) -> Task:
    """Complete a task. One that only a record ends, such as the notice to DEA of a loss, is refused by its rule."""
    return _move(call, task_id, TaskStep.COMPLETE, body)


@endpoint(blueprint, "POST", "/tasks/<uuid:task_id>/reject", action=Action.WORK_TASK, body=RejectIn, answer=TaskOut)
def reject_task(call: Call, body: dict[str, Any], task_id: UUID) -> Task:
    """Reject a task, with the reason."""
    return _move(call, task_id, TaskStep.REJECT, body)


@endpoint(blueprint, "POST", "/tasks/<uuid:task_id>/forward", action=Action.WORK_TASK, body=ForwardIn, answer=TaskOut)
def forward_task(call: Call, body: dict[str, Any], task_id: UUID) -> Task:
    """Forward a task to a colleague, with the reason."""
    return _move(call, task_id, TaskStep.FORWARD, body)
