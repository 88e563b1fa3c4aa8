"""Medicines by the names people give them: which class is meant, and what a misspelt name may be (DOMAIN 3.2).

Case, accents, punctuation, strength, dose form, salt and how often it is taken do not matter. A name that is only
nearly one of the table's is never resolved: it leads to the question "did you mean …?".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from services.core.programme import Programme
from services.eligibility.medicines import UNLISTED, load_medicines, normal_form

MOST_EDITS: Final = 2
SUGGESTIONS_AT_MOST: Final = 3
_LONGEST_WORD: Final = 40  # no name is longer; more text is no misspelling of one

_STRENGTH = re.compile(
    r"\d+(?:[.,]\d+)?\s*(?:mg|mcg|µg|μg|ug|g|ml|iu|units?|%)(?!\w)(?:\s*/\s*(?:\d+\s*)?(?:ml|h|hr|hour|day))?"
)
# Dose forms and release forms say how a medicine is taken, not which one it is.
_FORM = re.compile(
    r"\b(?:tablets?|tabs?|capsules?|caps?|pills?|patch(?:es)?|solution|suspension|syrup|drops|spray|films?|lozenges?"
    r"|injection|oral|sublingual|(?:extended|delayed|immediate|slow|sustained)[ -]release"
    r"|er|xr|xl|sr|cr|dr|ir|la|odt|daily|nightly|bedtime)\b"
)
# Salts, and how often and when it is taken.
_SALT = re.compile(
    r"\b(?:hydrochloride|hcl|hydrobromide|hbr|maleate|tartrate|sulfate|sulphate|succinate|mesylate|phosphate|oxalate"
    r"|fumarate|sodium|dose|qd|bid|tid|qid|qhs|prn|po|(?:as|when) needed|by mouth"
    r"|once|twice|(?:one|two|three|four) times|times|a day|per day|every day|each day|at night|every night"
    r"|(?:in the|every) (?:morning|evening)|every \d+ hours|at|x)\b"
)
_COUNT = re.compile(r"(?<![\w])x?\d+(?:[.,/]\d+)?x?(?![\w])|½")


@dataclass(frozen=True, slots=True, repr=False)
class NamedMedicine:
    """A medicine as somebody typed it, and what is known of it. Clinical data: ``repr`` shows nothing.

    ``classes`` holds ``UNLISTED`` unless the name is exactly one listed medicine; classes beside it are those of listed
    medicines that stand in the text. ``near`` holds listed names (in normal form) a few letters away, with how many.
    """

    given: str
    classes: tuple[str, ...]
    near: tuple[tuple[str, int], ...] = ()

    def maybe(self, programme: Programme) -> tuple[str, ...]:
        """The normal forms that may be meant, nearest first, as far as the programme calls them alike."""
        one, two = (programme.whole(f"eligibility.medicines.{name}") for name in _ALIKE)
        near = [
            listed for listed, edits in self.near if len(listed) >= (one if edits == 1 else two) and edits <= MOST_EDITS
        ]
        return tuple(near[:SUGGESTIONS_AT_MOST])

    def did_you_mean(self, programme: Programme) -> tuple[str, ...]:
        """What to ask for, as the table writes it; empty when no listed name is near."""
        shown = _index().shown
        return tuple(shown[each] for each in self.maybe(programme))

    def possible_classes(self, programme: Programme) -> tuple[str, ...]:
        """Its classes with those of what may be meant: for what is safer done once too often."""
        classes = _index().classes
        return tuple(dict.fromkeys((*self.classes, *(classes[each] for each in self.maybe(programme)))))


_ALIKE: Final = ("one_letter_off_from_letters", "two_letters_off_from_letters")


@dataclass(frozen=True, slots=True)
class _Index:
    """Every listed name in normal form: its class, how the table writes it; and the number of words of the longest."""

    classes: Mapping[str, str]
    shown: Mapping[str, str]
    words_at_most: int


def read_names(names: Iterable[str]) -> tuple[NamedMedicine, ...]:
    """What is known of each name, order kept."""
    return tuple(map(read_name, names))


def read_name(name: str) -> NamedMedicine:
    """What is known of a medicine as somebody typed it."""
    index = _index()
    forms = list(_forms(name))
    for form in forms:
        if form in index.classes:
            return NamedMedicine(name, (index.classes[form],))
    mentioned = tuple(dict.fromkeys(_mentioned(forms[0], index)))
    return NamedMedicine(name, (*mentioned, UNLISTED), () if mentioned else _near(forms[-1], index))


def class_of(name: str) -> str:
    """The class of a medicine as somebody typed it, ``UNLISTED`` when it is not exactly one listed medicine."""
    return read_name(name).classes[-1]


def by_class(names: Iterable[NamedMedicine]) -> dict[str, tuple[str, ...]]:
    """The given names grouped by class, order kept; a name that mentions several medicines is in several."""
    grouped: dict[str, tuple[str, ...]] = {}
    for name in names:
        for each in name.classes:
            grouped[each] = (*grouped.get(each, ()), name.given)
    return grouped


def unclear(names: Iterable[str], programme: Programme) -> list[tuple[str, tuple[str, ...]]]:
    """Each name that may be a misspelt one of the table, with what to ask: "did you mean …?"."""
    asked = ((name.given, name.did_you_mean(programme)) for name in read_names(names))
    return [(given, meant) for given, meant in asked if meant]


def _forms(name: str) -> Iterator[str]:
    """The name in normal form as given, without strength and dose form, and without all else that names no medicine."""
    folded = _folded(name)
    yield normal_form(folded)
    plain = _FORM.sub(" ", _STRENGTH.sub(" ", folded))
    yield normal_form(plain)
    yield normal_form(_SALT.sub(" ", _COUNT.sub(" ", _SALT.sub(" ", plain))))


def _folded(name: str) -> str:
    """Case folded, accents dropped."""
    letters = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _mentioned(form: str, index: _Index) -> Iterator[str]:
    """The classes of the listed medicines that stand in a longer text, the longest names first."""
    words, at = form.split(), 0
    while at < len(words):
        for end in range(min(len(words), at + index.words_at_most), at, -1):
            found = index.classes.get(" ".join(words[at:end]))
            if found is not None:
                yield found
                at = end
                break
        else:
            at += 1


def _near(form: str, index: _Index) -> tuple[tuple[str, int], ...]:
    """Listed names at most ``MOST_EDITS`` letters away from the whole form, or else from one of its words."""
    found = _alike(form, index)
    if not found and " " in form:
        found = [each for word in form.split()[:12] for each in _alike(word, index)]
    return tuple(sorted(dict.fromkeys(found), key=lambda each: (each[1], each[0])))


def _alike(form: str, index: _Index) -> list[tuple[str, int]]:
    if not 4 <= len(form) <= _LONGEST_WORD:
        return []
    matches = process.extract(form, index.classes.keys(), scorer=OSA.distance, score_cutoff=MOST_EDITS, limit=None)
    return [(listed, int(edits)) for listed, edits, _ in matches]


@lru_cache(maxsize=1)
def _index() -> _Index:
    classes = load_medicines()
    listed = {medicine: each.name for each in classes for medicine in each.shown}
    shown = {medicine: name for each in classes for medicine, name in each.shown.items()}
    return _Index(listed, shown, max(len(medicine.split()) for medicine in listed))
