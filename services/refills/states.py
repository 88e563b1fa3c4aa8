"""How a refill request moves: the therapist asks, a prescriber decides (DOMAIN 4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class RefillState(StrEnum):
    """Where a request stands. ``returned`` waits for the therapist's answer."""

    REQUESTED = "requested"
    RETURNED = "returned"
    APPROVED = "approved"
    DECLINED = "declined"


class RefillStep(StrEnum):
    """What can be done with a request."""

    APPROVE = "approve"
    DECLINE = "decline"
    ASK = "ask"
    ANSWER = "answer"
    FORWARD = "forward"


OPEN_STATES: Final = frozenset({RefillState.REQUESTED, RefillState.RETURNED})
"""Undecided: an episode has at most one such request."""

_PRESCRIBER = by(Role.PRESCRIBER)
_S, _T = RefillState, RefillStep

REFILL_TRANSITIONS: Final = Transitions(
    "refill request",
    {
        (_S.REQUESTED, _T.APPROVE): (_S.APPROVED, _PRESCRIBER),
        (_S.REQUESTED, _T.DECLINE): (_S.DECLINED, _PRESCRIBER),
        (_S.REQUESTED, _T.ASK): (_S.RETURNED, _PRESCRIBER),
        (_S.REQUESTED, _T.FORWARD): (_S.REQUESTED, _PRESCRIBER),
        (_S.RETURNED, _T.ANSWER): (_S.REQUESTED, by(Role.THERAPIST)),
        # A question that nobody answers does not keep a request open for ever; approving it needs the answer first.
        (_S.RETURNED, _T.DECLINE): (_S.DECLINED, _PRESCRIBER),
    },
)
