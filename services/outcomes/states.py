"""How an assessment moves, and how a decision on a treatment that does not help is asked for and made."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class AssessmentState(StrEnum):
    """Where an assessment stands. Only a requested one takes answers."""

    REQUESTED = "requested"
    COMPLETED = "completed"
    LAPSED = "lapsed"


class AssessmentStep(StrEnum):
    """What moves an assessment."""

    ANSWER = "answer"
    COMPLETE = "complete"
    LAPSE = "lapse"


class ResponseState(StrEnum):
    """Where a decision on a treatment that does not help stands. While it is open no refill passes the gate."""

    NOTED = "noted"
    OPEN = "open"
    DECIDED = "decided"
    LIFTED = "lifted"


class ResponseStep(StrEnum):
    """What moves such a decision."""

    REQUIRE = "require"
    DECIDE = "decide"
    LIFT = "lift"


_A, _R = AssessmentState, ResponseState

ASSESSMENT_TRANSITIONS: Final = Transitions(
    "assessment",
    {
        (_A.REQUESTED, AssessmentStep.ANSWER): (_A.REQUESTED, by(Role.PATIENT)),
        (_A.REQUESTED, AssessmentStep.COMPLETE): (_A.COMPLETED, by(Role.PATIENT)),
        # Its time is over, or a newer one asks for the same.
        (_A.REQUESTED, AssessmentStep.LAPSE): (_A.LAPSED, by(Role.SYSTEM)),
    },
)

RESPONSE_TRANSITIONS: Final = Transitions(
    "response decision",
    {
        # Noted, the prescriber is asked to look; some sessions later to decide, and may do so before.
        (_R.NOTED, ResponseStep.REQUIRE): (_R.OPEN, by(Role.SYSTEM)),
        (_R.NOTED, ResponseStep.DECIDE): (_R.DECIDED, by(Role.PRESCRIBER)),
        (_R.OPEN, ResponseStep.DECIDE): (_R.DECIDED, by(Role.PRESCRIBER)),
        # A later score shows that the treatment helps after all.
        (_R.NOTED, ResponseStep.LIFT): (_R.LIFTED, by(Role.SYSTEM)),
        (_R.OPEN, ResponseStep.LIFT): (_R.LIFTED, by(Role.SYSTEM)),
    },
)
