"""How a session moves. A dosing session has gates; preparation and integration are held or they are not (DOMAIN 4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class SessionKind(StrEnum):
    """What a session is for."""

    PREPARATION = "preparation"
    DOSING = "dosing"
    INTEGRATION = "integration"


class SessionState(StrEnum):
    """Where a session stands."""

    SCHEDULED = "scheduled"
    READY = "ready"
    VITALS_PASSED = "vitals_passed"
    DOSED = "dosed"
    MONITORING = "monitoring"
    DISCHARGE_READY = "discharge_ready"
    INTEGRATION_DUE = "integration_due"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    ABORTED = "aborted"
    EMERGENCY = "emergency"


class SessionStep(StrEnum):
    """What moves a session."""

    MOVE = "move"
    READY = "ready"
    PASS_VITALS = "pass_vitals"
    DOSE = "dose"
    MONITOR = "monitor"
    PASS_DISCHARGE = "pass_discharge"
    DISCHARGE = "discharge"
    HOLD = "hold"
    INTEGRATE = "integrate"
    CANCEL = "cancel"
    ABORT = "abort"
    DECLARE_EMERGENCY = "declare_emergency"
    CLOSE_EMERGENCY = "close_emergency"


_THERAPIST = by(Role.THERAPIST)
_S, _T = SessionState, SessionStep
_WITH_PATIENT = (_S.READY, _S.VITALS_PASSED, _S.DOSED, _S.MONITORING, _S.DISCHARGE_READY)

DOSING_TRANSITIONS: Final = Transitions(
    "dosing session",
    {
        (_S.SCHEDULED, _T.MOVE): (_S.SCHEDULED, _THERAPIST),
        (_S.SCHEDULED, _T.READY): (_S.READY, _THERAPIST),
        (_S.READY, _T.PASS_VITALS): (_S.VITALS_PASSED, _THERAPIST),
        (_S.VITALS_PASSED, _T.DOSE): (_S.DOSED, _THERAPIST),
        # The booster of the same session, and every check after a dose.
        (_S.DOSED, _T.DOSE): (_S.DOSED, _THERAPIST),
        (_S.MONITORING, _T.DOSE): (_S.MONITORING, _THERAPIST),
        (_S.DOSED, _T.MONITOR): (_S.MONITORING, _THERAPIST),
        (_S.MONITORING, _T.MONITOR): (_S.MONITORING, _THERAPIST),
        # A check that no longer meets the gate takes the passed discharge back.
        (_S.DISCHARGE_READY, _T.MONITOR): (_S.MONITORING, _THERAPIST),
        (_S.MONITORING, _T.PASS_DISCHARGE): (_S.DISCHARGE_READY, _THERAPIST),
        (_S.DISCHARGE_READY, _T.DISCHARGE): (_S.INTEGRATION_DUE, _THERAPIST),
        (_S.INTEGRATION_DUE, _T.INTEGRATE): (_S.CLOSED, _THERAPIST),
        (_S.SCHEDULED, _T.CANCEL): (_S.CANCELLED, _THERAPIST | by(Role.SYSTEM)),
        (_S.READY, _T.CANCEL): (_S.CANCELLED, _THERAPIST),
        (_S.VITALS_PASSED, _T.CANCEL): (_S.CANCELLED, _THERAPIST),
        # After a dose nothing is merely cancelled: the patient is watched until the discharge gate or an emergency.
        (_S.DOSED, _T.ABORT): (_S.ABORTED, _THERAPIST),
        (_S.MONITORING, _T.ABORT): (_S.ABORTED, _THERAPIST),
        **{(state, _T.DECLARE_EMERGENCY): (_S.EMERGENCY, _THERAPIST) for state in _WITH_PATIENT},
        (_S.EMERGENCY, _T.CLOSE_EMERGENCY): (_S.INTEGRATION_DUE, by(Role.PRESCRIBER)),
        (_S.ABORTED, _T.INTEGRATE): (_S.CLOSED, _THERAPIST),
    },
)

TALKING_TRANSITIONS: Final = Transitions(
    "talking session",
    {
        (_S.SCHEDULED, _T.MOVE): (_S.SCHEDULED, _THERAPIST),
        (_S.SCHEDULED, _T.HOLD): (_S.CLOSED, _THERAPIST),
        (_S.SCHEDULED, _T.CANCEL): (_S.CANCELLED, _THERAPIST),
    },
)
