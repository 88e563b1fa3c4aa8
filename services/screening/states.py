"""How a screening moves, and how a suicide-risk flag is put down again."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class ScreeningState(StrEnum):
    """Where one round of the screening stands. Only an opened one takes answers."""

    OPENED = "opened"
    COMPLETED = "completed"
    SUPERSEDED = "superseded"


class ScreeningStep(StrEnum):
    """What moves a screening."""

    ANSWER = "answer"
    COMPLETE = "complete"
    SUPERSEDE = "supersede"


class RiskState(StrEnum):
    """Whether a suicide-risk flag still stands."""

    RAISED = "raised"
    CLEARED = "cleared"


class RiskStep(StrEnum):
    """What moves a suicide-risk flag."""

    CLEAR = "clear"


_S, _T = ScreeningState, ScreeningStep

SCREENING_TRANSITIONS: Final = Transitions(
    "screening",
    {
        (_S.OPENED, _T.ANSWER): (_S.OPENED, by(Role.PATIENT)),
        (_S.OPENED, _T.COMPLETE): (_S.COMPLETED, by(Role.PATIENT)),
        # A prescriber who asks for more opens the next round; the answers of this one stay as they were.
        (_S.COMPLETED, _T.SUPERSEDE): (_S.SUPERSEDED, by(Role.PRESCRIBER)),
    },
)

RISK_TRANSITIONS: Final = Transitions(
    "flag", {(RiskState.RAISED, RiskStep.CLEAR): (RiskState.CLEARED, by(Role.PRESCRIBER))}
)
