"""Whether an answer may stand in a text message (DOMAIN 7): nothing clinical, nobody's name, one segment.

Pure: the words in, findings out. Any finding sends the answer behind a link, where only the patient reads it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.messaging.sms import Encoding, plain, segments
from services.messaging.texts import forbidden_word
from services.questions.topics import clinical_word, folded

SOURCE: Final = "DOMAIN 7"
FIXED: Final = "what may stand in a text is not for a clinic to set"

FORBIDDEN_WORD: Final = declare(
    "answers.forbidden_word",
    Severity.INFORM,
    SOURCE,
    "A word in it must not stand in a text message, so the answer goes behind a link.",
    fixed=FIXED,
)
CLINICAL_WORD: Final = declare(
    "answers.clinical_word",
    Severity.INFORM,
    SOURCE,
    "It is about medicine or how the patient feels, so the answer goes behind a link.",
    fixed=FIXED,
)
ASKED_CLINICALLY: Final = declare(
    "answers.asked_clinically",
    Severity.INFORM,
    SOURCE,
    "The question was about medicine or how the patient feels, so any answer to it goes behind a link.",
    fixed=FIXED,
)
AMOUNT: Final = declare(
    "answers.amount",
    Severity.INFORM,
    SOURCE,
    "It holds a number that may be a dose, a reading or a score, so the answer goes behind a link.",
    fixed=FIXED,
)
NAMES_SOMEBODY: Final = declare(
    "answers.names_somebody",
    Severity.INFORM,
    SOURCE,
    "It names the patient or somebody of the care team, so the answer goes behind a link.",
    fixed=FIXED,
)
NAMES_PROGRAMME: Final = declare(
    "answers.names_programme",
    Severity.INFORM,
    SOURCE,
    "It names the programme, so the answer goes behind a link.",
    fixed=FIXED,
)
HOLDS_ADDRESS: Final = declare(
    "answers.holds_address",
    Severity.INFORM,
    SOURCE,
    "It holds a web or mail address, so the answer goes behind a link.",
    fixed="a text of the service holds no other address than its own",
)
NOT_PLAIN: Final = declare(
    "answers.not_plain",
    Severity.INFORM,
    SOURCE,
    "It has characters that do not fit a single text message, so the answer goes behind a link.",
    fixed="GSM-7 is what one segment of 160 characters is made of",
)
TOO_LONG: Final = declare(
    "answers.too_long",
    Severity.INFORM,
    SOURCE,
    "It has more than {value} characters and would not fit one text message, so the answer goes behind a link.",
    setting="notices.answer_max_units",
)
AS_ASKED: Final = declare(
    "answers.as_asked",
    Severity.INFORM,
    SOURCE,
    "Whoever answers wants it to go behind a link.",
    fixed="the more careful way may always be taken",
)

# Numbers in words; "half" and "twice" are shares of something that was given before.
_NUMBER: Final = (
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand"
)
_SHARE: Final = r"once|twice|thrice|half|halves|double|triple|quarters?|thirds?|dozen|couple"
_AMOUNT: Final = re.compile(rf"\b(?:{_NUMBER}|{_SHARE})\b|%")

# The numbers that tell when and no more: a time of day that is plainly one, and a date with its month. "At 3" alone may
# be a reading or a count.
_HOUR: Final = r"(?:1[0-2]|0?[1-9]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_DAY: Final = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tonight|tomorrow)"
_MONTH: Final = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_DATE: Final = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
_WHEN: Final = re.compile(
    rf"(?<![\d:./])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:/%])(?:\s*[ap]\.?m\b)?|\b{_HOUR}\s*(?:[ap]\.?m|o.?clock)\b"
    rf"|\b{_DAY} at {_HOUR}\b(?![.,:/]?\d|\s*%)|\b{_MONTH}\.? {_DATE}\b(?![.,:/]\d)"
    rf"|\b{_DATE} (?:of )?(?!may\b){_MONTH}\b"
)
_ADDRESS: Final = re.compile(
    r"https?:|www\.|\S@\S|\b[a-z0-9-]+\.(?:com|org|net|io|co|us|info|health|app|link|ly|gov|edu)\b"
)
SHORTEST_NAME: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """An answer and what must not stand in it: names of people, of medicines and instruments, each as written.

    ``asked_clinically``: the patient asked about medicine or told how they feel, so that "yes" tells something too.
    """

    text: str
    people: Collection[str]
    clinical_names: Collection[str]
    asked_clinically: bool = False
    by_link: bool = False


def answer_findings(facts: AnswerFacts, programme: Programme) -> list[Finding]:
    """What speaks against sending the answer as a text; nothing when it may go."""
    text, low, words = plain(facts.text), facts.text.casefold(), folded(facts.text)
    size = segments(text)
    asked = (
        (AS_ASKED, facts.by_link),
        (FORBIDDEN_WORD, forbidden_word(text) is not None),
        (CLINICAL_WORD, clinical_word(facts.text) is not None or _names(words, facts.clinical_names)),
        (ASKED_CLINICALLY, facts.asked_clinically),
        (AMOUNT, _tells_amount(low)),
        (NAMES_SOMEBODY, _names(words, _single(facts.people))),
        (NAMES_PROGRAMME, _names(words, (programme.title, programme.name))),
        (HOLDS_ADDRESS, _ADDRESS.search(low) is not None),
        (NOT_PLAIN, size.encoding is not Encoding.GSM7 or not text.isprintable()),
        (TOO_LONG, size.units > programme.whole("notices.answer_max_units")),
    )
    return [rule.finding(programme) for rule, speaks in asked if speaks]


def _tells_amount(low: str) -> bool:
    """Whether a text holds a number, in digits or words, that is no time of day and no date."""
    rest = _WHEN.sub(" ", low)
    return any(character.isnumeric() for character in rest) or _AMOUNT.search(rest) is not None


def _names(words: str, names: Collection[str]) -> bool:
    """Whether one of the names stands in a folded text, as whole words."""
    return any(name and f" {name} " in f" {words} " for name in map(folded, names))


def _single(people: Collection[str]) -> set[str]:
    """Each part of a name by itself: a first name alone names somebody too. Initials name nobody."""
    return {part for name in people for part in folded(name).split() if len(part) >= SHORTEST_NAME}
