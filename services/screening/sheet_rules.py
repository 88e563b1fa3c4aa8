"""What a screening takes as an answer, and what must be in place before it is complete (DOMAIN 2.1, 2.2, 3.1, 4)."""

from __future__ import annotations

from typing import Final

from services.core.findings import Severity
from services.core.rules import declare

PART_MISSING: Final = declare(
    "screening.part_missing",
    Severity.STOP,
    "DOMAIN 2.1",
    "The part '{part}' is not answered.",
    fixed="a part that is asked for is answered",
)
PART_NOT_ASKED: Final = declare(
    "screening.part_not_asked",
    Severity.STOP,
    "DOMAIN 2.1",
    "This programme does not ask for '{part}' at a screening. It asks for: {value}.",
    setting="screening.instruments",
)
PART_UNFINISHED: Final = declare(
    "screening.part_unfinished",
    Severity.STOP,
    "DOMAIN 2.1",
    "Not answered in '{part}': {unanswered}.",
    fixed="how many answers may be missing is part of each instrument",
)
PART_OUTDATED: Final = declare(
    "screening.part_outdated",
    Severity.STOP,
    "DOMAIN 2.1",
    "The answers to '{part}' are older than {value} days; they must be given again.",
    setting="screening.instruments_valid_days",
)
CSSRS_SAME_DAY: Final = declare(
    "screening.cssrs_same_day",
    Severity.STOP,
    "DOMAIN 2.2",
    "The {instrument} asks for a C-SSRS of the same day.",
    fixed="the same day is what the triage demands; from which answer on is the setting of the triage rule",
)
TREATMENT_CONSENT: Final = declare(
    "screening.treatment_consent",
    Severity.STOP,
    "DOMAIN 3.1",
    "The consent to treatment is not on record; it comes before the answers are used.",
    fixed="a consent is on record or it is not",
)
MEDICINE_NAMED: Final = declare(
    "screening.medicine_named",
    Severity.STOP,
    "DOMAIN 3.2",
    "A medicine needs a name.",
    fixed="a medicine has a name or it is none",
)
READING_POSSIBLE: Final = declare(
    "screening.reading_possible",
    Severity.STOP,
    "DOMAIN 4",
    "A {quantity} pressure lies between {least} and {most} mmHg.",
    setting="vitals.plausible.systolic_least",
)
READING_IN_ORDER: Final = declare(
    "screening.reading_in_order",
    Severity.STOP,
    "DOMAIN 4",
    "The diastolic pressure is lower than the systolic one.",
    fixed="it cannot be otherwise",
)
READING_RECENT: Final = declare(
    "screening.reading_recent",
    Severity.STOP,
    "DOMAIN 4",
    "A reading must be of the last {value} days.",
    setting="screening.pressure_valid_days",
)
CONSENT_STANDS: Final = declare(
    "consent.stands",
    Severity.STOP,
    "DOMAIN 7",
    "There is no such consent to take back.",
    fixed="a consent stands or it does not",
)
CURRENT_TEXT: Final = declare(
    "consent.current_text",
    Severity.STOP,
    "DOMAIN 3.1, DOMAIN 7",
    "This is not the text that is given today. Show the patient the current one.",
    fixed="the text in force is the one that the programme gives",
)
