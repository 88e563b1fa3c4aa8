"""How a circle and each patient's place in it move."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class CircleState(StrEnum):
    """Where a circle stands."""

    PLANNED = "planned"
    HELD = "held"
    CANCELLED = "cancelled"


class CircleStep(StrEnum):
    """What moves a circle."""

    HOLD = "hold"
    CANCEL = "cancel"


class PlaceState(StrEnum):
    """Where a patient's place stands."""

    INVITED = "invited"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    ATTENDED = "attended"
    ABSENT = "absent"


class PlaceStep(StrEnum):
    """What moves a place."""

    INVITE = "invite"
    ACCEPT = "accept"
    DECLINE = "decline"
    WITHDRAW = "withdraw"
    ATTEND = "attend"
    MISS = "miss"


TAKEN: Final = frozenset({PlaceState.INVITED, PlaceState.ACCEPTED, PlaceState.ATTENDED, PlaceState.ABSENT})
AWAITED: Final = frozenset({PlaceState.INVITED, PlaceState.ACCEPTED})

_PATIENT, _THERAPIST = by(Role.PATIENT), by(Role.THERAPIST)
_P, _PS = PlaceState, PlaceStep

CIRCLE_TRANSITIONS: Final = Transitions(
    "circle",
    {
        (CircleState.PLANNED, CircleStep.HOLD): (CircleState.HELD, _THERAPIST),
        (CircleState.HELD, CircleStep.HOLD): (CircleState.HELD, _THERAPIST),
        (CircleState.PLANNED, CircleStep.CANCEL): (CircleState.CANCELLED, _THERAPIST),
    },
)

PLACE_TRANSITIONS: Final = Transitions(
    "circle place",
    {
        (_P.INVITED, _PS.ACCEPT): (_P.ACCEPTED, _PATIENT),
        (_P.INVITED, _PS.DECLINE): (_P.DECLINED, _PATIENT),
        (_P.ACCEPTED, _PS.DECLINE): (_P.DECLINED, _PATIENT),
        (_P.INVITED, _PS.WITHDRAW): (_P.WITHDRAWN, _THERAPIST),
        (_P.ACCEPTED, _PS.WITHDRAW): (_P.WITHDRAWN, _THERAPIST),
        (_P.DECLINED, _PS.INVITE): (_P.INVITED, _THERAPIST),
        (_P.WITHDRAWN, _PS.INVITE): (_P.INVITED, _THERAPIST),
        # Whoever did not answer may come all the same.
        (_P.INVITED, _PS.ATTEND): (_P.ATTENDED, _THERAPIST),
        (_P.ACCEPTED, _PS.ATTEND): (_P.ATTENDED, _THERAPIST),
        (_P.INVITED, _PS.MISS): (_P.ABSENT, _THERAPIST),
        (_P.ACCEPTED, _PS.MISS): (_P.ABSENT, _THERAPIST),
    },
)
