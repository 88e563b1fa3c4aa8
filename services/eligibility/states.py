"""How an eligibility review moves: one round of screening in, one decision out."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class ReviewState(StrEnum):
    """Where a review stands. Only a requested one can be decided."""

    REQUESTED = "requested"
    APPROVED = "approved"
    DECLINED = "declined"
    RETURNED = "returned"
    SUPERSEDED = "superseded"


class ReviewStep(StrEnum):
    """What a prescriber can do with a review. The first three decide it."""

    APPROVE = "approve"
    DECLINE = "decline"
    ASK = "ask"
    SUPERSEDE = "supersede"


_PRESCRIBER = by(Role.PRESCRIBER)
_S, _T = ReviewState, ReviewStep

REVIEW_TRANSITIONS: Final = Transitions(
    "review",
    {
        (_S.REQUESTED, _T.APPROVE): (_S.APPROVED, _PRESCRIBER),
        (_S.REQUESTED, _T.DECLINE): (_S.DECLINED, _PRESCRIBER),
        (_S.REQUESTED, _T.ASK): (_S.RETURNED, _PRESCRIBER),
        # A decision is looked at anew: the patient is screened again. No step leads from one decision to another, so
        # that of two prescribers at the same instant exactly one decides.
        (_S.APPROVED, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
        (_S.DECLINED, _T.SUPERSEDE): (_S.SUPERSEDED, _PRESCRIBER),
    },
)
