"""How a session moves. A dosing session has gates; preparation and integration are held or they are not (DOMAIN 4).

Some steps do not change the state; they stand here all the same, because they are possible in that state only.
"""

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


class TalkState(StrEnum):
    """Where a preparation or integration session stands: those of the states above that it can have."""

    SCHEDULED = SessionState.SCHEDULED.value
    CLOSED = SessionState.CLOSED.value
    CANCELLED = SessionState.CANCELLED.value


class SessionStep(StrEnum):
    """What moves a session."""

    MOVE = "move"
    CONFIRM = "confirm"
    ASK_TO_RESCHEDULE = "ask_to_reschedule"
    READY = "ready"
    TAKE_VITALS = "take_vitals"
    PASS_VITALS = "pass_vitals"
    TRANSPORT = "transport"
    COUNT_ARRIVAL = "count_arrival"
    RECONCILE = "reconcile"
    DECIDE_MEDICINES = "decide_medicines"
    ATTEND_START = "attend_start"
    DOSE = "dose"
    END_INFUSION = "end_infusion"
    MONITOR = "monitor"
    PASS_DISCHARGE = "pass_discharge"
    DISCHARGE = "discharge"
    CHECK_IN = "check_in"
    HOLD = "hold"
    INTEGRATE = "integrate"
    RATE = "rate"
    CANCEL = "cancel"
    ABORT = "abort"
    DECLARE_EMERGENCY = "declare_emergency"
    CLOSE_EMERGENCY = "close_emergency"


_THERAPIST, _PATIENT, _PRESCRIBER = by(Role.THERAPIST), by(Role.PATIENT), by(Role.PRESCRIBER)
_SYSTEM = by(Role.SYSTEM)
_S, _T = SessionState, SessionStep

# An emergency can be declared from the moment the patient is there until the session is integrated, and again.
_EMERGENCY_FROM: Final = (
    _S.SCHEDULED,
    _S.READY,
    _S.VITALS_PASSED,
    _S.DOSED,
    _S.MONITORING,
    _S.DISCHARGE_READY,
    _S.INTEGRATION_DUE,
    _S.ABORTED,
    _S.EMERGENCY,
)

DOSING_TRANSITIONS: Final = Transitions(
    "dosing session",
    {
        (_S.SCHEDULED, _T.MOVE): (_S.SCHEDULED, _THERAPIST),
        (_S.SCHEDULED, _T.CONFIRM): (_S.SCHEDULED, _PATIENT),
        (_S.SCHEDULED, _T.ASK_TO_RESCHEDULE): (_S.SCHEDULED, _PATIENT),
        # The system cancels what was booked when the treatment is discontinued.
        (_S.SCHEDULED, _T.CANCEL): (_S.CANCELLED, _THERAPIST | _SYSTEM),
        (_S.SCHEDULED, _T.READY): (_S.READY, _THERAPIST),
        # Readiness grows old: it is recorded anew when the session does not begin in time.
        (_S.READY, _T.READY): (_S.READY, _THERAPIST),
        (_S.VITALS_PASSED, _T.READY): (_S.READY, _THERAPIST),
        # The medicine is brought and counted, and the list of medicines gone through, before anything is taken.
        (_S.SCHEDULED, _T.TRANSPORT): (_S.SCHEDULED, by(Role.THERAPIST, Role.PATIENT)),
        **{(state, _T.COUNT_ARRIVAL): (state, _THERAPIST) for state in (_S.SCHEDULED, _S.READY)},
        **{
            (state, step): (state, who)
            for state in (_S.SCHEDULED, _S.READY, _S.VITALS_PASSED)
            for step, who in ((_T.RECONCILE, _THERAPIST), (_T.DECIDE_MEDICINES, _PRESCRIBER))
        },
        # Whoever measures again asks the gate again.
        (_S.READY, _T.TAKE_VITALS): (_S.READY, _THERAPIST),
        (_S.VITALS_PASSED, _T.TAKE_VITALS): (_S.READY, _THERAPIST),
        (_S.READY, _T.PASS_VITALS): (_S.VITALS_PASSED, _THERAPIST),
        # Where the dose demands it, the physician is there when it begins, and before it is raised.
        **{
            (state, _T.ATTEND_START): (state, _PRESCRIBER)
            for state in (_S.READY, _S.VITALS_PASSED, _S.DOSED, _S.MONITORING)
        },
        (_S.VITALS_PASSED, _T.DOSE): (_S.DOSED, _THERAPIST),
        # An infusion ends, whatever else happened meanwhile.
        **{
            (state, _T.END_INFUSION): (state, _THERAPIST)
            for state in (_S.DOSED, _S.MONITORING, _S.EMERGENCY, _S.ABORTED)
        },
        # The other half, or the booster.
        (_S.DOSED, _T.DOSE): (_S.DOSED, _THERAPIST),
        (_S.MONITORING, _T.DOSE): (_S.MONITORING, _THERAPIST),
        (_S.DOSED, _T.MONITOR): (_S.MONITORING, _THERAPIST),
        (_S.MONITORING, _T.MONITOR): (_S.MONITORING, _THERAPIST),
        # A check that no longer meets the gate takes the passed discharge back.
        (_S.DISCHARGE_READY, _T.MONITOR): (_S.MONITORING, _THERAPIST),
        # Until help has come, and until the patient has gone, the therapist goes on looking and measuring.
        (_S.EMERGENCY, _T.MONITOR): (_S.EMERGENCY, _THERAPIST),
        (_S.ABORTED, _T.MONITOR): (_S.ABORTED, _THERAPIST),
        (_S.MONITORING, _T.PASS_DISCHARGE): (_S.DISCHARGE_READY, _THERAPIST),
        (_S.DISCHARGE_READY, _T.DISCHARGE): (_S.INTEGRATION_DUE, _THERAPIST),
        (_S.INTEGRATION_DUE, _T.CHECK_IN): (_S.INTEGRATION_DUE, _THERAPIST),
        (_S.ABORTED, _T.CHECK_IN): (_S.ABORTED, _THERAPIST),
        (_S.EMERGENCY, _T.CHECK_IN): (_S.EMERGENCY, _THERAPIST),
        (_S.CLOSED, _T.CHECK_IN): (_S.CLOSED, _THERAPIST),
        (_S.INTEGRATION_DUE, _T.INTEGRATE): (_S.CLOSED, _THERAPIST),
        (_S.ABORTED, _T.INTEGRATE): (_S.CLOSED, _THERAPIST),
        # How it was is rated by whoever was there, once something was taken.
        **{
            (state, _T.RATE): (state, by(Role.THERAPIST, Role.PATIENT))
            for state in (_S.MONITORING, _S.DISCHARGE_READY, _S.INTEGRATION_DUE, _S.ABORTED, _S.CLOSED)
        },
        (_S.READY, _T.CANCEL): (_S.CANCELLED, _THERAPIST | _SYSTEM),
        (_S.VITALS_PASSED, _T.CANCEL): (_S.CANCELLED, _THERAPIST | _SYSTEM),
        # After a dose nothing is merely cancelled. Aborted: the patient did not stay until the discharge gate.
        (_S.DOSED, _T.ABORT): (_S.ABORTED, _THERAPIST),
        (_S.MONITORING, _T.ABORT): (_S.ABORTED, _THERAPIST),
        (_S.DISCHARGE_READY, _T.ABORT): (_S.ABORTED, _THERAPIST),
        **{(state, _T.DECLARE_EMERGENCY): (_S.EMERGENCY, _THERAPIST) for state in _EMERGENCY_FROM},
        (_S.EMERGENCY, _T.CLOSE_EMERGENCY): (_S.INTEGRATION_DUE, _PRESCRIBER),
        # Nothing was taken before it: there is nothing to integrate.
        (_S.EMERGENCY, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER),
    },
)

TALKING_TRANSITIONS: Final = Transitions(
    "talking session",
    {
        (TalkState.SCHEDULED, _T.MOVE): (TalkState.SCHEDULED, _THERAPIST),
        (TalkState.SCHEDULED, _T.CONFIRM): (TalkState.SCHEDULED, _PATIENT),
        (TalkState.SCHEDULED, _T.ASK_TO_RESCHEDULE): (TalkState.SCHEDULED, _PATIENT),
        (TalkState.SCHEDULED, _T.HOLD): (TalkState.CLOSED, _THERAPIST),
        (TalkState.SCHEDULED, _T.CANCEL): (TalkState.CANCELLED, _THERAPIST),
    },
)

OVER: Final = frozenset({_S.CLOSED, _S.CANCELLED})
"""Nothing of the session is still to come."""


class AdverseEventState(StrEnum):
    """Where an adverse event stands."""

    OPEN = "open"
    CLOSED = "closed"


class AdverseEventStep(StrEnum):
    """What moves an adverse event."""

    CLOSE = "close"


ADVERSE_EVENT_TRANSITIONS: Final = Transitions(
    "adverse event",
    {(AdverseEventState.OPEN, AdverseEventStep.CLOSE): (AdverseEventState.CLOSED, _PRESCRIBER)},
)


def advanced(kind: str, state: str, step: SessionStep, role: Role) -> SessionState:
    """The state of a session of ``kind`` after ``step``. Raises ``IllegalTransition`` and ``NotAllowed``."""
    if kind == SessionKind.DOSING:
        return DOSING_TRANSITIONS.advance(SessionState(state), step, role)
    return SessionState(TALKING_TRANSITIONS.advance(TalkState(state), step, role))
