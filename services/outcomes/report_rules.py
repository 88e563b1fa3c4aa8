"""Rules of what may be asked, answered, reported and noted about how a patient fares (DOMAIN 2.1, 2.3 and 6)."""

from __future__ import annotations

from services.core.findings import Severity
from services.core.rules import declare

INSTRUMENT_NOT_OFFERED = declare(
    "outcomes.instrument_not_offered",
    Severity.STOP,
    "DOMAIN 2.1",
    "This programme does not use this instrument. It uses: {value}.",
    setting="outcomes.instruments",
)
INSTRUMENT_WITHOUT_TEXTS = declare(
    "outcomes.instrument_without_texts",
    Severity.STOP,
    "DOMAIN 2.3",
    "The texts of {untold} are not there; an operator gives them in a content pack.",
    fixed="the authors do not let the texts ship",
)
INSTRUMENT_NOT_ASKED = declare(
    "outcomes.instrument_not_asked",
    Severity.STOP,
    "DOMAIN 2.1",
    "This was not asked for. Asked for: {asked}.",
    fixed="the assessment names what it asks",
)
ASSESSMENT_OPEN = declare(
    "outcomes.assessment_open",
    Severity.STOP,
    "DOMAIN 2.1",
    "An assessment of this episode is still unanswered.",
    fixed="one assessment at a time",
)
REASON_NEEDED = declare(
    "outcomes.reason_needed",
    Severity.STOP,
    "DOMAIN 2.1",
    "A reason is needed.",
    fixed="a text is there or it is not",
)
REPORT_EMPTY = declare(
    "outcomes.report_not_empty",
    Severity.STOP,
    "DOMAIN 2.1",
    "Report answers, a summary, or both.",
    fixed="a text is there or it is not",
)
ANSWERED_IN_THE_FUTURE = declare(
    "outcomes.answered_in_the_future",
    Severity.STOP,
    "DOMAIN 2.1",
    "Answers cannot lie in the future.",
    fixed="the clock",
)
SESSION_OF_OTHERS = declare(
    "outcomes.session_of_episode",
    Severity.STOP,
    "DOMAIN 2.1",
    "A report names a session of the same episode.",
    fixed="whose session it is",
)
NOTE_NEEDS_TEXT = declare(
    "psychotherapy_notes.text_needed",
    Severity.STOP,
    "DOMAIN 6",
    "A note needs a text.",
    fixed="a text is there or it is not",
)
NOTE_OF_OTHERS = declare(
    "psychotherapy_notes.session_of_episode",
    Severity.STOP,
    "DOMAIN 6",
    "A note names a session of the same episode.",
    fixed="whose session it is",
)
