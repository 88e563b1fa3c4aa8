"""Adverse events: how bad one is, what it is, and who must hear of it (DOMAIN 4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from services.core.findings import Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.core.vocabulary import EventKind


class Grade(StrEnum):
    """How bad an adverse event is, mildest first."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"
    SERIOUS = "serious"


HIGH_GRADES: Final = frozenset({Grade.SEVERE, Grade.SERIOUS})
"""While one of these is open, nothing is refilled (DOMAIN 4)."""

PAGED_GRADES: Final = frozenset({Grade.SERIOUS})
"""These page the medical team at once (DOMAIN 4)."""


class Effect(StrEnum):
    """What happened, as one word for one thing, so that events can be counted across episodes (DOMAIN 1 and 3.1)."""

    DIZZINESS = "dizziness"
    NAUSEA = "nausea"
    VOMITING = "vomiting"
    DISSOCIATION = "dissociation"
    RAISED_BLOOD_PRESSURE = "raised_blood_pressure"
    RAPID_HEARTBEAT = "rapid_heartbeat"
    HEADACHE = "headache"
    SEDATION = "sedation"
    BLURRED_VISION = "blurred_vision"
    ANXIETY = "anxiety"
    CONFUSION = "confusion"
    URINARY_SYMPTOMS = "urinary_symptoms"
    PSYCHIATRIC_EVENT = "psychiatric_event"
    RESPIRATORY_DEPRESSION = "respiratory_depression"
    ALLERGIC_REACTION = "allergic_reaction"
    FALL_OR_INJURY = "fall_or_injury"
    MISUSE = "misuse"
    OTHER = "other"


EVENT_OUT_OF_TIME: Final = declare(
    "sessions.event_out_of_time",
    Severity.STOP,
    "DOMAIN 4",
    "An adverse event lies between the beginning of the episode and now.",
    fixed="the order of what happened",
)
EVENT_OF_OTHER_EPISODE: Final = declare(
    "sessions.event_of_other_episode",
    Severity.STOP,
    "DOMAIN 4",
    "Name a session of this episode, or none.",
    fixed="whose session it is",
)


def is_expected(effect: Effect, programme: Programme) -> bool:
    """Whether an effect is one of those that the programme tells patients to expect."""
    return effect.value in programme.choices("sessions.expected_effects")


def event_of(grade: Grade, effect: Effect, programme: Programme) -> EventKind | None:
    """What is sent out about an adverse event; None where it is only kept on the record.

    A mild one that is expected calls nobody. A mild one that nobody expects is put before the prescriber all the same.
    """
    if grade in PAGED_GRADES:
        return EventKind.ADVERSE_EVENT_PAGED
    if grade is Grade.MILD and is_expected(effect, programme):
        return None
    return EventKind.ADVERSE_EVENT_RECORDED
