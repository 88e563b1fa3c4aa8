"""How a prescription moves. Only the named prescriber marks it ready and signs it (21 CFR 1311.140)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class PrescriptionState(StrEnum):
    """Where a prescription stands. From ``signed`` on its content is fixed."""

    DRAFTED = "drafted"
    READY = "ready"
    REPORTED = "reported"
    SIGNED = "signed"
    FILLING = "filling"
    DISPENSED = "dispensed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class PrescriptionStep(StrEnum):
    """What moves a prescription."""

    CHANGE = "change"
    MARK_READY = "mark_ready"
    SIGN = "sign"
    REPORT_SIGNED = "report_signed"
    CONFIRM_SIGNED = "confirm_signed"
    FILL = "fill"
    COMPLETE_FILL = "complete_fill"
    AUTHORIZE_FILL = "authorize_fill"
    EXPIRE = "expire"
    CANCEL = "cancel"
    SUPERSEDE = "supersede"


_PRESCRIBER = by(Role.PRESCRIBER)
_MEDICAL = by(Role.PRESCRIBER, Role.MEDICAL_STAFF)
_PHARMACY = by(Role.PHARMACIST)
_SYSTEM = by(Role.SYSTEM)
_S, _T = PrescriptionState, PrescriptionStep

DRAFTS: Final = frozenset({_S.DRAFTED, _S.READY, _S.REPORTED})
"""Not in force yet: may be changed, and nobody outside the medical team sees it."""

VALID: Final = frozenset({_S.SIGNED, _S.FILLING, _S.DISPENSED})
"""Signed and in force."""

PRESCRIPTION_TRANSITIONS: Final = Transitions(
    "prescription",
    {
        (_S.DRAFTED, _T.CHANGE): (_S.DRAFTED, _MEDICAL),
        # A change after it was marked ready needs the prescriber's eyes again.
        (_S.READY, _T.CHANGE): (_S.DRAFTED, _MEDICAL),
        (_S.DRAFTED, _T.MARK_READY): (_S.READY, _PRESCRIBER),
        (_S.READY, _T.MARK_READY): (_S.READY, _PRESCRIBER),
        (_S.READY, _T.SIGN): (_S.SIGNED, _PRESCRIBER),
        # Signed in a certified system elsewhere: staff may say so, and it counts once the named prescriber confirms it.
        (_S.READY, _T.REPORT_SIGNED): (_S.REPORTED, _MEDICAL),
        (_S.REPORTED, _T.CONFIRM_SIGNED): (_S.SIGNED, _PRESCRIBER),
        (_S.REPORTED, _T.MARK_READY): (_S.READY, _PRESCRIBER),
        (_S.REPORTED, _T.CHANGE): (_S.DRAFTED, _MEDICAL),
        (_S.REPORTED, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER),
        (_S.REPORTED, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
        (_S.SIGNED, _T.FILL): (_S.FILLING, _PHARMACY),
        (_S.FILLING, _T.FILL): (_S.FILLING, _PHARMACY),
        (_S.FILLING, _T.COMPLETE_FILL): (_S.DISPENSED, _PHARMACY),
        (_S.DISPENSED, _T.AUTHORIZE_FILL): (_S.FILLING, _PRESCRIBER),
        (_S.SIGNED, _T.EXPIRE): (_S.EXPIRED, _SYSTEM),
        (_S.FILLING, _T.EXPIRE): (_S.EXPIRED, _SYSTEM),
        (_S.DISPENSED, _T.EXPIRE): (_S.EXPIRED, _SYSTEM),
        (_S.DRAFTED, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER),
        (_S.READY, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER),
        # The system cancels what was altered after it was signed.
        (_S.SIGNED, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER | _SYSTEM),
        (_S.FILLING, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER | _SYSTEM),
        (_S.DISPENSED, _T.CANCEL): (_S.CANCELLED, _PRESCRIBER | _SYSTEM),
        (_S.DRAFTED, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
        (_S.READY, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
        (_S.SIGNED, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
        (_S.FILLING, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
        (_S.DISPENSED, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
    },
)
