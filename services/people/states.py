"""How an episode of care moves, from the referral to its end; and how somebody comes to sign prescriptions."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class EpisodeState(StrEnum):
    """Where an episode stands."""

    REFERRED = "referred"
    SCREENING = "screening"
    IN_REVIEW = "in_review"
    ELIGIBLE = "eligible"
    DECLINED = "declined"
    IN_TREATMENT = "in_treatment"
    IN_MAINTENANCE = "in_maintenance"
    DISCONTINUED = "discontinued"
    CLOSED = "closed"


class EpisodeStep(StrEnum):
    """What moves an episode."""

    BEGIN_SCREENING = "begin_screening"
    COMPLETE_SCREENING = "complete_screening"
    REQUEST_INFORMATION = "request_information"
    APPROVE = "approve"
    DECLINE = "decline"
    REOPEN_REVIEW = "reopen_review"
    BEGIN_TREATMENT = "begin_treatment"
    BEGIN_MAINTENANCE = "begin_maintenance"
    DISCONTINUE = "discontinue"
    CLOSE = "close"


_PATIENT = by(Role.PATIENT)
_PRESCRIBER = by(Role.PRESCRIBER)
_MEDICAL = by(Role.PRESCRIBER, Role.MEDICAL_STAFF)
_S, _T = EpisodeState, EpisodeStep

EPISODE_TRANSITIONS: Final = Transitions(
    "episode",
    {
        (_S.REFERRED, _T.BEGIN_SCREENING): (_S.SCREENING, _PATIENT),
        (_S.REFERRED, _T.COMPLETE_SCREENING): (_S.IN_REVIEW, _PATIENT),
        (_S.SCREENING, _T.COMPLETE_SCREENING): (_S.IN_REVIEW, _PATIENT),
        (_S.IN_REVIEW, _T.REQUEST_INFORMATION): (_S.SCREENING, _PRESCRIBER),
        (_S.IN_REVIEW, _T.APPROVE): (_S.ELIGIBLE, _PRESCRIBER),
        (_S.IN_REVIEW, _T.DECLINE): (_S.DECLINED, _PRESCRIBER),
        (_S.DECLINED, _T.REOPEN_REVIEW): (_S.IN_REVIEW, _PRESCRIBER),
        (_S.ELIGIBLE, _T.REOPEN_REVIEW): (_S.IN_REVIEW, _PRESCRIBER),
        (_S.IN_TREATMENT, _T.REOPEN_REVIEW): (_S.IN_REVIEW, _PRESCRIBER),
        (_S.IN_MAINTENANCE, _T.REOPEN_REVIEW): (_S.IN_REVIEW, _PRESCRIBER),
        # Treatment begins with the first dose, which the therapist records.
        (_S.ELIGIBLE, _T.BEGIN_TREATMENT): (_S.IN_TREATMENT, by(Role.THERAPIST, Role.PRESCRIBER)),
        (_S.IN_TREATMENT, _T.BEGIN_MAINTENANCE): (_S.IN_MAINTENANCE, _PRESCRIBER),
        # After a renewed approval, where a plan was agreed before.
        (_S.ELIGIBLE, _T.BEGIN_MAINTENANCE): (_S.IN_MAINTENANCE, _PRESCRIBER),
        # Discontinued: nothing is prescribed, booked or taken; leftovers and the closing follow-up are due.
        # Whoever was treated may be asked for more information, or declined, when it is time to approve anew.
        (_S.SCREENING, _T.DISCONTINUE): (_S.DISCONTINUED, _PRESCRIBER),
        (_S.DECLINED, _T.DISCONTINUE): (_S.DISCONTINUED, _PRESCRIBER),
        (_S.IN_REVIEW, _T.DISCONTINUE): (_S.DISCONTINUED, _PRESCRIBER),
        (_S.ELIGIBLE, _T.DISCONTINUE): (_S.DISCONTINUED, _PRESCRIBER),
        (_S.IN_TREATMENT, _T.DISCONTINUE): (_S.DISCONTINUED, _PRESCRIBER),
        (_S.IN_MAINTENANCE, _T.DISCONTINUE): (_S.DISCONTINUED, _PRESCRIBER),
        (_S.DISCONTINUED, _T.CLOSE): (_S.CLOSED, _PRESCRIBER),
        (_S.REFERRED, _T.CLOSE): (_S.CLOSED, _MEDICAL),
        (_S.SCREENING, _T.CLOSE): (_S.CLOSED, _MEDICAL),
        (_S.IN_REVIEW, _T.CLOSE): (_S.CLOSED, _PRESCRIBER),
        (_S.ELIGIBLE, _T.CLOSE): (_S.CLOSED, _PRESCRIBER),
        (_S.DECLINED, _T.CLOSE): (_S.CLOSED, _MEDICAL),
        (_S.IN_TREATMENT, _T.CLOSE): (_S.CLOSED, _PRESCRIBER),
        (_S.IN_MAINTENANCE, _T.CLOSE): (_S.CLOSED, _PRESCRIBER),
    },
)


class GrantState(StrEnum):
    """Where somebody's access to signing stands."""

    NOMINATED = "nominated"
    GRANTED = "granted"
    ENDED = "ended"


class GrantStep(StrEnum):
    """What moves it."""

    APPROVE = "approve"
    END = "end"


_ENDING = by(Role.OPERATIONS, Role.PRESCRIBER, Role.SYSTEM)

GRANT_TRANSITIONS: Final = Transitions(
    "signing grant",
    {
        (GrantState.NOMINATED, GrantStep.APPROVE): (GrantState.GRANTED, _PRESCRIBER),
        (GrantState.NOMINATED, GrantStep.END): (GrantState.ENDED, _ENDING),
        (GrantState.GRANTED, GrantStep.END): (GrantState.ENDED, _ENDING),
    },
)
