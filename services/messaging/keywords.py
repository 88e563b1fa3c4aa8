"""What a patient's text means: opt-out, opt-in, help, a visit, a receipt, a crisis, or for a person to read (DOMAIN 7).

The words are data (``keywords.toml``). When in doubt the answer is ``UNCLEAR``: staff read it, nothing is guessed.
Only crisis words work the other way: better one urgent task too many.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("keywords.toml")
LONGEST_COUNT = 3
_SENTENCE_END = re.compile(r"[.!?;\n]+")


class Command(StrEnum):
    """What the text asks for. ``YES`` is ``START``, never a confirmation; ``CANCEL`` is ``STOP``, never a visit."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    CONFIRM = "confirm"
    RESCHEDULE = "reschedule"
    RECEIVED = "received"
    NOT_RECEIVED = "not_received"
    CRISIS = "crisis"
    UNCLEAR = "unclear"


class Seal(StrEnum):
    """What the patient says of the seal."""

    SEALED = "sealed"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, understood.

    ``count`` and ``seal`` stand only with ``RECEIVED``, always both. ``resembles`` stands only with ``UNCLEAR``: what
    the text seems to be about (``RECEIVED``, ``CONFIRM`` or ``STOP``), to route the task, never to act upon.
    """

    command: Command
    count: int | None = None
    seal: Seal | None = None
    resembles: Command | None = None


@dataclass(frozen=True)
class _Words:
    """``keywords.toml``, ready to compare."""

    exact: dict[Command, frozenset[str]]
    worded: dict[Command, frozenset[str]]
    polite: frozenset[str]
    skipped: frozenset[str]
    received: frozenset[str]
    seals: dict[str, Seal]
    resembles: dict[Command, re.Pattern[str]]
    crisis: re.Pattern[str]
    crisis_alone: frozenset[str]


def _word_pattern(word: str) -> str:
    return re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word)


def _pattern(phrases: Iterable[str], gap_words: int = 0) -> re.Pattern[str]:
    between = rf" (?:\w+ ){{0,{gap_words}}}"
    alternatives = (between.join(_word_pattern(word) for word in phrase.split()) for phrase in phrases)
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")


@lru_cache(maxsize=1)
def _words() -> _Words:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    exact, worded, receipt, crisis = tables["exact"], tables["worded"], tables["receipt"], tables["crisis"]
    seals = dict.fromkeys(receipt["sealed"], Seal.SEALED) | dict.fromkeys(receipt["broken"], Seal.BROKEN)
    return _Words(
        exact={command: frozenset(exact[command]) for command in (Command.STOP, Command.START, Command.HELP)},
        worded={
            command: frozenset(_without(phrase, worded["polite"]) for phrase in worded[command])
            for command in (Command.STOP, Command.CONFIRM, Command.RESCHEDULE, Command.NOT_RECEIVED)
        },
        polite=frozenset(worded["polite"]),
        skipped=frozenset(receipt["skipped"]),
        received=frozenset(receipt["received"]),
        seals=seals,
        resembles={Command(name): _pattern(phrases) for name, phrases in tables["resembles"].items()},
        crisis=_pattern(crisis["phrases"], crisis["gap_words"]),
        crisis_alone=frozenset(crisis["alone"]),
    )


def _without(text: str, skipped: Iterable[str]) -> str:
    dropped = frozenset(skipped)
    return " ".join(word for word in text.split() if word not in dropped)


def _spellings(text: str) -> Iterator[str]:
    """``text`` in lower case without accents; punctuation first as spaces, then as nothing ("S.T.O.P.", "opt-out")."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    for gap in (" ", ""):
        letters = []
        for character in decomposed:
            kind = unicodedata.category(character)
            if kind.startswith("Z") or character in "\t\n\r\f\v":
                letters.append(" ")
            elif kind.startswith(("M", "C")) or character in "'’‘ʼ`´":
                continue  # accents, invisible characters and apostrophes leave no gap: "don't" is "dont"
            elif kind.startswith(("P", "S")):
                letters.append(gap)
            else:
                letters.append(character)
        yield " ".join("".join(letters).split())


def _relaxed(spellings: Sequence[str]) -> Iterator[str]:
    """The spellings, and again with drawn-out letters shortened ("dieee", "killll")."""
    for spelling in spellings:
        yield spelling
        yield re.sub(r"(\w)\1{2,}", r"\1", spelling)
        yield re.sub(r"(\w)\1{2,}", r"\1\1", spelling)


def _once(text: str) -> str:
    """The text, or its word when it only says one word over and over ("STOP STOP STOP")."""
    words = text.split()
    return words[0] if len(set(words)) == 1 else text


def read(text: str) -> Reading:
    """Understand one inbound text. Never raises; an empty text is ``UNCLEAR``.

    A word of the STOP family alone is STOP ("END"); otherwise crisis words win over everything ("end it all"),
    be they the whole text or one sentence of it.
    """
    words = _words()
    spellings = [_once(spelling) for spelling in _spellings(text)]
    if any(spelling in words.exact[Command.STOP] for spelling in spellings):
        return Reading(Command.STOP)
    if may_be_crisis(text):
        return Reading(Command.CRISIS)
    for command in (Command.START, Command.HELP):
        if any(spelling in words.exact[command] for spelling in spellings):
            return Reading(command)
    for command, phrases in words.worded.items():
        if any(_without(spelling, words.polite) in phrases for spelling in spellings):
            return Reading(command)
    return _receipt(spellings[0], words) or Reading(Command.UNCLEAR, resembles=_resembles(spellings[0], words))


def _is_crisis(text: str) -> bool:
    words = _words()
    return any(words.crisis.search(spelling) or spelling in words.crisis_alone for spelling in folded(text))


def may_be_crisis(text: str) -> bool:
    """Whether a text of any length that a patient wrote may tell of a crisis: as a whole, or one sentence of it."""
    return any(_is_crisis(part) for part in (text, *_SENTENCE_END.split(text)))


def folded(text: str) -> tuple[str, ...]:
    """The spellings of a text to look for phrases in; the first has punctuation as spaces and nothing shortened."""
    return tuple(_relaxed([_once(spelling) for spelling in _spellings(text)]))


def pattern_of(phrases: Iterable[str], gap_words: int = 0) -> re.Pattern[str]:
    """What finds any of the phrases in a folded text, with up to so many other words between two of theirs."""
    return _pattern(phrases, gap_words)


def _receipt(text: str, words: _Words) -> Reading | None:
    """``RECEIVED <count> SEALED`` or ``BROKEN``, nothing more; ``None`` when it is anything else."""
    said, *rest = _without(text, words.skipped).split() or [""]
    if said not in words.received or not rest or not re.fullmatch(rf"[0-9]{{1,{LONGEST_COUNT}}}", rest[0]):
        return None
    seal = words.seals.get(" ".join(rest[1:]))
    return Reading(Command.RECEIVED, count=int(rest[0]), seal=seal) if seal else None


def resemblances(text: str) -> frozenset[Command]:
    """Everything that a text seems to be about, where ``Reading.resembles`` is the first of it."""
    words, (spelling, _) = _words(), _spellings(text)
    return frozenset(command for command, pattern in words.resembles.items() if pattern.search(spelling))


def _resembles(text: str, words: _Words) -> Command | None:
    return next((command for command, pattern in words.resembles.items() if pattern.search(text)), None)
