"""Who gets a patient's question: topic words and what is under way in, the party out. Pure and in one table.

When in doubt the more careful reading wins: how somebody feels before everything else, medicine before a visit, and
what nobody can place goes to the desk, which forwards it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.core.findings import Severity
from services.core.rules import Rule, declare
from services.core.vocabulary import Party
from services.questions.topics import Topic

SOURCE: Final = "DOMAIN 1"
NOTHING_TO_SET: Final = "the words are data (services/questions/topics.toml), and whoever gets it may forward it"

OF_SYMPTOMS: Final = declare(
    "questions.of_symptoms",
    Severity.INFORM,
    "DOMAIN 1 and 2.2",
    "The text tells how the patient feels: the medical team answers, urgently.",
    fixed=NOTHING_TO_SET,
)
MAYBE_OPT_OUT: Final = declare(
    "questions.maybe_opt_out",
    Severity.INFORM,
    "DOMAIN 7",
    "The text may be a wish to get no more texts: the desk reads it.",
    fixed="any reasonable wording of an opt-out counts (DOMAIN 7)",
)
OF_DELIVERY: Final = declare(
    "questions.of_delivery",
    Severity.INFORM,
    SOURCE,
    "The text is about a delivery: the pharmacy answers.",
    fixed=NOTHING_TO_SET,
)
OF_MEDICINE: Final = declare(
    "questions.of_medicine",
    Severity.INFORM,
    SOURCE,
    "The text is about medicine: the medical team answers.",
    fixed=NOTHING_TO_SET,
)
OF_VISIT: Final = declare(
    "questions.of_visit",
    Severity.INFORM,
    SOURCE,
    "The text is about a visit: the therapist answers.",
    fixed=NOTHING_TO_SET,
)
OF_VISIT_TO_TEAM: Final = declare(
    "questions.of_visit_without_therapist",
    Severity.INFORM,
    SOURCE,
    "The text is about a visit and there is no therapist yet: the medical team answers.",
    fixed=NOTHING_TO_SET,
)
WITH_PARCEL: Final = declare(
    "questions.while_parcel_travels",
    Severity.INFORM,
    SOURCE,
    "The text answers to a parcel that is under way: the pharmacy reads it.",
    fixed=NOTHING_TO_SET,
)
BEFORE_VISIT: Final = declare(
    "questions.before_visit",
    Severity.INFORM,
    SOURCE,
    "The text answers to a visit that is coming: the therapist reads it.",
    fixed=NOTHING_TO_SET,
)
UNCLEAR: Final = declare(
    "questions.unclear",
    Severity.INFORM,
    SOURCE,
    "Nobody can tell by the words what it is about: the desk reads it.",
    fixed=NOTHING_TO_SET,
)
NOT_TO_PATIENT: Final = declare(
    "questions.not_to_the_patient",
    Severity.STOP,
    SOURCE,
    "A question is for somebody who can answer it, not for the patient who asked.",
    fixed="a patient has no inbox, and a question without one is lost",
)
TEXT_NEEDED: Final = declare(
    "questions.text_needed",
    Severity.STOP,
    "DOMAIN 1",
    "Write something.",
    fixed="a text is there or it is not",
)
FORWARD_TO_ONE: Final = declare(
    "questions.forward_to_one",
    Severity.STOP,
    "DOMAIN 1",
    "Name a colleague or a party to forward it to, one of them.",
    fixed="one of them has a question",
)
WITH_SOMEBODY_ELSE: Final = declare(
    "questions.with_somebody_else",
    Severity.STOP,
    "DOMAIN 1",
    "Somebody else has this question now.",
    fixed="one of them has a question",
)

RULES: Final = {
    rule.id: rule
    for rule in (
        *(OF_SYMPTOMS, MAYBE_OPT_OUT, OF_DELIVERY, OF_MEDICINE, OF_VISIT),
        *(OF_VISIT_TO_TEAM, WITH_PARCEL, BEFORE_VISIT, UNCLEAR),
    )
}


CLINICAL: Final = frozenset({OF_SYMPTOMS.id, OF_MEDICINE.id})
"""The rules of what is about the patient's body or medicine: its answer may never stand in a text (DOMAIN 7)."""


class Answering(StrEnum):
    """The parties that a question can be forwarded to: all but the patient."""

    THERAPIST = Party.THERAPIST.value
    MEDICAL_TEAM = Party.MEDICAL_TEAM.value
    PHARMACY = Party.PHARMACY.value
    OPERATIONS = Party.OPERATIONS.value


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFacts:
    """A text and what is under way.

    ``like_opt_out``, ``like_receipt`` and ``like_confirmation`` tell what an unclear text resembles (``keywords``).
    """

    topics: frozenset[Topic]
    like_opt_out: bool = False
    like_receipt: bool = False
    like_confirmation: bool = False
    has_therapist: bool = True
    parcel_under_way: bool = False
    visit_ahead: bool = False


@dataclass(frozen=True, slots=True)
class Routed:
    """Who gets a question, by which rule, and whether it is urgent."""

    rule: Rule
    party: Party
    urgent: bool = False


def asks_clinically(topics: frozenset[Topic]) -> bool:
    """Whether a text by itself is about the body or medicine; where a parcel of medicine is, is not."""
    return Topic.SYMPTOM in topics or (Topic.MEDICINE in topics and Topic.DELIVERY not in topics)


def _about(topic: Topic) -> Callable[[AskedFacts], bool]:
    return lambda facts: topic in facts.topics


def _delivery(facts: AskedFacts) -> bool:
    """ "Has my medicine shipped" is for the pharmacy while something travels, and else a question about medicine."""
    if Topic.DELIVERY not in facts.topics:
        return False
    return facts.parcel_under_way or Topic.MEDICINE not in facts.topics


ROUTES: Final[tuple[tuple[Callable[[AskedFacts], bool], Routed], ...]] = (
    (_about(Topic.SYMPTOM), Routed(OF_SYMPTOMS, Party.MEDICAL_TEAM, urgent=True)),
    (lambda facts: facts.like_opt_out, Routed(MAYBE_OPT_OUT, Party.OPERATIONS)),
    (_delivery, Routed(OF_DELIVERY, Party.PHARMACY)),
    (_about(Topic.MEDICINE), Routed(OF_MEDICINE, Party.MEDICAL_TEAM)),
    (
        lambda facts: Topic.VISIT in facts.topics and not facts.has_therapist,
        Routed(OF_VISIT_TO_TEAM, Party.MEDICAL_TEAM),
    ),
    (_about(Topic.VISIT), Routed(OF_VISIT, Party.THERAPIST)),
    (lambda facts: facts.like_receipt and facts.parcel_under_way, Routed(WITH_PARCEL, Party.PHARMACY)),
    (
        lambda facts: facts.like_confirmation and facts.visit_ahead and facts.has_therapist,
        Routed(BEFORE_VISIT, Party.THERAPIST),
    ),
)
"""The first row that fits decides; when none does, the desk."""


def routed(facts: AskedFacts) -> Routed:
    """Who gets a question."""
    return next((route for fits, route in ROUTES if fits(facts)), Routed(UNCLEAR, Party.OPERATIONS))
