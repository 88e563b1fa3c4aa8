"""How a journal entry moves: the patient shares it with the therapist, or takes that back."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class EntryState(StrEnum):
    """Who may read an entry: the patient alone, or the therapist too."""

    PRIVATE = "private"
    SHARED = "shared"


class EntryStep(StrEnum):
    """What moves an entry."""

    SHARE = "share"
    TAKE_BACK = "take_back"


_PATIENT = by(Role.PATIENT)

ENTRY_TRANSITIONS: Final = Transitions(
    "journal entry",
    {
        (EntryState.PRIVATE, EntryStep.SHARE): (EntryState.SHARED, _PATIENT),
        (EntryState.SHARED, EntryStep.TAKE_BACK): (EntryState.PRIVATE, _PATIENT),
    },
)
