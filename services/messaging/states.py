"""How a task moves (FHIR Task.status, the part of it that a coordination needs)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class TaskState(StrEnum):
    """Where a task stands. The first three are open."""

    REQUESTED = "requested"
    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class TaskStep(StrEnum):
    """What can be done with a task."""

    ACCEPT = "accept"
    START = "start"
    COMPLETE = "complete"
    REJECT = "reject"
    FORWARD = "forward"
    CANCEL = "cancel"


OPEN_STATES: Final = frozenset({TaskState.REQUESTED, TaskState.ACCEPTED, TaskState.IN_PROGRESS})

_STAFF = by(Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST, Role.OPERATIONS)
_ALL = _STAFF | by(Role.SYSTEM, Role.PATIENT)
_S, _T = TaskState, TaskStep

TASK_TRANSITIONS: Final = Transitions(
    "task",
    {
        (_S.REQUESTED, _T.ACCEPT): (_S.ACCEPTED, _STAFF),
        (_S.REQUESTED, _T.FORWARD): (_S.REQUESTED, _STAFF),
        (_S.ACCEPTED, _T.FORWARD): (_S.REQUESTED, _STAFF),
        (_S.IN_PROGRESS, _T.FORWARD): (_S.REQUESTED, _STAFF),
        (_S.ACCEPTED, _T.START): (_S.IN_PROGRESS, _STAFF),
        (_S.REQUESTED, _T.REJECT): (_S.REJECTED, _STAFF),
        (_S.ACCEPTED, _T.REJECT): (_S.REJECTED, _STAFF),
        # The use case that a task asks for completes it, whoever carried it out, so completion is open to all.
        (_S.REQUESTED, _T.COMPLETE): (_S.COMPLETED, _ALL),
        (_S.ACCEPTED, _T.COMPLETE): (_S.COMPLETED, _ALL),
        (_S.IN_PROGRESS, _T.COMPLETE): (_S.COMPLETED, _ALL),
        (_S.REQUESTED, _T.CANCEL): (_S.CANCELLED, _ALL),
        (_S.ACCEPTED, _T.CANCEL): (_S.CANCELLED, _ALL),
        (_S.IN_PROGRESS, _T.CANCEL): (_S.CANCELLED, _ALL),
    },
)
