"""Marked words and what to look for: every canary in plain, base64, hex and UTF-16, and these in hex once more."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

# Every marked word begins with this, so that one search finds them all. No word of the product contains it.
STEM = "zqvxkjwpf"

# Figures that only answers, readings and scores have; whoever stores these in clear stores scores in clear.
SCORES = re.compile(
    rb'"(systolic|diastolic|heart_rate|oxygen_percent|weight_kg|total|q[1-9]|dissociation|remaining_units|mg)"\s*:\s*[0-9]'
)


class Canaries:
    """Marks each personal field of the story with a word of its own: ``words`` says which is where."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def mark(self, field: str, text: str) -> str:
        """The text of ``field`` with its word; the same field always has the same word."""
        word = self.words.setdefault(field, STEM + _letters(len(self.words)))
        if field.startswith("tracking"):
            return text + word
        if field.endswith(".email"):
            return f"{text}.{word}"
        return f"{text} {word.capitalize() if field.endswith('name') else word}"


def _letters(number: int) -> str:
    """A number in letters only: names take no digits."""
    return "".join(chr(ord("a") + number // 26**place % 26) for place in (1, 0))


def readable_forms(text: str) -> set[bytes]:
    """``text`` as it is, in UTF-16, and what is left of either in base64."""
    plain = {each.encode(code) for each in (text, text.lower()) for code in ("utf-8", "utf-16-le", "utf-16-be")}
    return plain | {core for form in plain for core in _base64_cores(form)}


def forms(text: str) -> set[bytes]:
    """How ``text`` may look when somebody stored it without sealing it: readable, or bytes that were written in hex."""
    readable = readable_forms(text)
    return readable | {form.hex().encode() for form in readable}


def _base64_cores(data: bytes) -> Iterable[bytes]:
    """The part of a base64 text that ``data`` alone decides, wherever in the text it begins."""
    for shift in range(3):
        padded = bytes(shift) + data
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            tail = {0: 0, 1: 3, 2: 2}[
                len(padded) % 3
            ]  # the padding, and the last sign, which the next bytes would change
            text = encode(padded)
            yield text[(0, 2, 3)[shift] : len(text) - tail]


def found_in(haystack: bytes, needles: Mapping[str, str]) -> list[str]:
    """The names of all ``needles`` (name → text) that are somewhere in ``haystack`` in some form."""
    folded = haystack.lower()
    return sorted(
        name
        for name, text in needles.items()
        if text.lower().encode() in folded or any(form in haystack for form in forms(text))
    )
