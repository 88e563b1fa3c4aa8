"""How a match moves, from the list that the medical team proposes to the therapist of record (DOMAIN 1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class MatchState(StrEnum):
    """Where a match stands. ``proposed`` waits for the patient, ``chosen`` for a therapist."""

    PROPOSED = "proposed"
    CHOSEN = "chosen"
    MATCHED = "matched"
    EXHAUSTED = "exhausted"
    WITHDRAWN = "withdrawn"


class MatchStep(StrEnum):
    """What moves a match."""

    CHOOSE = "choose"
    ACCEPT = "accept"
    ASK_NEXT = "ask_next"
    ASK_PATIENT = "ask_patient"
    RUN_OUT = "run_out"
    WITHDRAW = "withdraw"


class OptionState(StrEnum):
    """Where one proposed therapist stands. ``preferred`` was chosen by the patient behind others."""

    OFFERED = "offered"
    PREFERRED = "preferred"
    ASKED = "asked"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"


class OptionStep(StrEnum):
    """What moves an option."""

    PREFER = "prefer"
    ASK = "ask"
    ACCEPT = "accept"
    DECLINE = "decline"
    DROP = "drop"


UNDER_WAY: Final = frozenset({MatchState.PROPOSED, MatchState.CHOSEN})
LEFT: Final = frozenset({OptionState.OFFERED, OptionState.PREFERRED})

_PATIENT, _THERAPIST = by(Role.PATIENT), by(Role.THERAPIST)
_MEDICAL = by(Role.PRESCRIBER, Role.MEDICAL_STAFF)
_M, _MS, _O, _OS = MatchState, MatchStep, OptionState, OptionStep

MATCH_TRANSITIONS: Final = Transitions(
    "match",
    {
        (_M.PROPOSED, _MS.CHOOSE): (_M.CHOSEN, _PATIENT),
        (_M.CHOSEN, _MS.ACCEPT): (_M.MATCHED, _THERAPIST),
        # The one who was asked declines: the patient's next choice is asked, or the patient, or there is nobody left.
        (_M.CHOSEN, _MS.ASK_NEXT): (_M.CHOSEN, _THERAPIST),
        (_M.CHOSEN, _MS.ASK_PATIENT): (_M.PROPOSED, _THERAPIST),
        (_M.CHOSEN, _MS.RUN_OUT): (_M.EXHAUSTED, _THERAPIST),
        (_M.PROPOSED, _MS.WITHDRAW): (_M.WITHDRAWN, _MEDICAL),
        (_M.CHOSEN, _MS.WITHDRAW): (_M.WITHDRAWN, _MEDICAL),
    },
)

OPTION_TRANSITIONS: Final = Transitions(
    "match option",
    {
        (_O.OFFERED, _OS.PREFER): (_O.PREFERRED, _PATIENT),
        (_O.OFFERED, _OS.ASK): (_O.ASKED, _PATIENT | _THERAPIST),
        (_O.PREFERRED, _OS.ASK): (_O.ASKED, _PATIENT | _THERAPIST),
        (_O.ASKED, _OS.ACCEPT): (_O.ACCEPTED, _THERAPIST),
        (_O.ASKED, _OS.DECLINE): (_O.DECLINED, _THERAPIST),
        # Meanwhile full, not licensed any more, and the like: found out when it is their turn.
        (_O.PREFERRED, _OS.DROP): (_O.UNAVAILABLE, _PATIENT | _THERAPIST),
        (_O.ASKED, _OS.DROP): (_O.UNAVAILABLE, _MEDICAL),
    },
)
