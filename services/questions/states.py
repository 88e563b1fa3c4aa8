"""How a question moves, from the patient's text to the answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by


class QuestionState(StrEnum):
    """Where a question stands."""

    ASKED = "asked"
    ANSWERED = "answered"
    CLOSED = "closed"


class QuestionStep(StrEnum):
    """What moves a question. ``close``: it needs no answer in writing, somebody called or it was no question."""

    ADD = "add"
    FORWARD = "forward"
    ANSWER = "answer"
    CLOSE = "close"


_STAFF = by(Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST, Role.OPERATIONS)
_S, _T = QuestionState, QuestionStep

QUESTION_TRANSITIONS: Final = Transitions(
    "question",
    {
        (_S.ASKED, _T.ADD): (_S.ASKED, by(Role.PATIENT)),
        (_S.ASKED, _T.FORWARD): (_S.ASKED, _STAFF),
        (_S.ASKED, _T.ANSWER): (_S.ANSWERED, _STAFF),
        # A second thought, or what was left out of the first answer.
        (_S.ANSWERED, _T.ANSWER): (_S.ANSWERED, _STAFF),
        (_S.ASKED, _T.CLOSE): (_S.CLOSED, _STAFF),
    },
)
