"""What must be in place before a screening counts as complete (DOMAIN 2.1, 2.2 and 3.1)."""

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
    "The PHQ-9 asks for a C-SSRS of the same day.",
    fixed="the same day is what the triage demands; from which answer on is the setting of the triage rule",
)
TREATMENT_CONSENT: Final = declare(
    "screening.treatment_consent",
    Severity.STOP,
    "DOMAIN 3.1",
    "The consent to treatment is not on record; it comes before the answers are used.",
    fixed="a consent is on record or it is not",
)
