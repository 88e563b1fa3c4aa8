"""What a text is about: the topics whose words it holds (``topics.toml``)."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).with_name("topics.toml")


class Topic(StrEnum):
    """What a question can be about."""

    SYMPTOM = "symptom"
    MEDICINE = "medicine"
    DELIVERY = "delivery"
    VISIT = "visit"


CLINICAL: Final = frozenset({Topic.SYMPTOM, Topic.MEDICINE})


@lru_cache(maxsize=1)
def _patterns() -> Mapping[Topic, re.Pattern[str]]:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return {topic: pattern_of(tables["topics"][topic]) for topic in Topic}


@lru_cache(maxsize=1)
def _of_answers() -> re.Pattern[str]:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return pattern_of(tables["answers"]["clinical"])


def pattern_of(phrases: Iterable[str]) -> re.Pattern[str]:
    """What finds any of some phrases in a folded text; a word that ends in ``*`` stands for all that begin with it."""
    alternatives = (" ".join(_word(word) for word in phrase.split()) for phrase in phrases)
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")


def _word(word: str) -> str:
    return re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word)


def folded(text: str) -> str:
    """``text`` in lower case, without accents and apostrophes, everything but letters and digits as single spaces."""
    letters = []
    for character in unicodedata.normalize("NFKD", text).casefold():
        kind = unicodedata.category(character)
        if kind.startswith(("M", "C")) and not character.isspace():
            continue
        if character in "'’‘ʼ`´":
            continue
        letters.append(character if kind[0] in "LN" else " ")
    return " ".join("".join(letters).split())


def topics_of(text: str) -> frozenset[Topic]:
    """The topics of a text; none when it holds no word that tells."""
    plain = folded(text)
    return frozenset(topic for topic, pattern in _patterns().items() if pattern.search(plain))


def clinical_word(text: str) -> str | None:
    """The first word in an answer that is about medicine, a finding or how somebody feels, or None."""
    plain = folded(text)
    for pattern in (*(_patterns()[topic] for topic in sorted(CLINICAL)), _of_answers()):
        found = pattern.search(plain)
        if found is not None:
            return found.group()
    return None
