"""What patients agree to, in versions (``consent_texts.toml``). The treatment text states what DOMAIN 3.1 asks for.

A programme may give a text of its own: ``[consents.<kind>]`` with ``version``, ``title`` and ``wording`` in its file.
It must make the same statements.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core.errors import InvalidConfiguration
from services.core.programme import Programme
from services.people.consents import ConsentKind
from services.screening.sheet_rules import CURRENT_TEXT

DEFAULT_FILE = Path(__file__).parent / "consent_texts.toml"
PARTS = ("version", "title", "wording")
LONGEST = {"version": 40, "title": 120, "wording": 20_000}


@dataclass(frozen=True, slots=True)
class ConsentText:
    """One version of one text: what a patient reads and agrees to."""

    kind: ConsentKind
    version: str
    title: str
    wording: str


@lru_cache(maxsize=8)
def current_texts(path: Path = DEFAULT_FILE) -> Mapping[ConsentKind, ConsentText]:
    """The text of each kind that is given today.

    Raises ``InvalidConfiguration`` naming the file, the kind and what is wrong; a statement that a text must make and
    does not is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration(f"The file {path.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"The file {path.name} is not valid TOML: {error}") from error
    return {kind: _current(kind, tables, path.name) for kind in ConsentKind}


def _current(kind: ConsentKind, tables: Mapping[str, Any], file: str) -> ConsentText:
    try:
        version = tables["current"][kind]
        required = tables["required"][kind]
        title, wording = tables["texts"][version]["title"], tables["texts"][version]["wording"].strip()
    except KeyError as error:
        raise InvalidConfiguration(f"{file}: {error} is missing for the consent '{kind}'.") from None
    unsaid = _unsaid(wording, required)
    if unsaid:
        raise InvalidConfiguration(f"{file}: the text '{version}' does not say: {', '.join(unsaid)}.")
    return ConsentText(kind, version, title, wording)


def _unsaid(wording: str, required: Sequence[str]) -> list[str]:
    folded = " ".join(wording.split()).casefold()
    return [words for words in required if words not in folded]


@lru_cache(maxsize=8)
def _required(path: Path) -> Mapping[str, Sequence[str]]:
    required: Mapping[str, Sequence[str]] = tomllib.loads(path.read_text(encoding="utf-8"))["required"]
    return required


def texts_of(programme: Programme) -> Mapping[ConsentKind, ConsentText]:
    """The text of each kind that a programme gives today: its own, or the default one.

    Raises ``InvalidConfiguration`` as ``consent_problems`` finds.
    """
    problems = consent_problems(programme)
    if problems:
        setting, wrong = next(iter(problems.items()))
        raise InvalidConfiguration(f"{setting}: {wrong}")
    return {kind: _own_text(kind, programme) or text for kind, text in current_texts().items()}


def _own_text(kind: ConsentKind, programme: Programme) -> ConsentText | None:
    given = [programme.settings.get(f"consents.{kind}.{part}") for part in PARTS]
    if None in given:
        return None
    version, title, wording = given
    return ConsentText(kind, str(version), str(title), str(wording).strip())


def consent_problems(programme: Programme) -> dict[str, str]:
    """What is wrong with the consent texts that a programme gives itself, by setting; empty when nothing is."""
    own = {name: value for name, value in programme.settings.items() if name.startswith("consents.")}
    problems = {}
    for setting, value in own.items():
        kind, _, part = setting.removeprefix("consents.").partition(".")
        if kind not in set(ConsentKind) or part not in PARTS:
            problems[setting] = "A programme may set consents.<kind>.version, .title and .wording."
        elif not isinstance(value, str) or not 0 < len(value.strip()) <= LONGEST[part]:
            problems[setting] = f"This must be a text of 1 to {LONGEST[part]} characters."
        elif missing := [each for each in PARTS if f"consents.{kind}.{each}" not in own]:
            problems[setting] = f"A text of its own also needs its {' and '.join(missing)}."
        elif part == "version" and _is_taken(value):
            problems[setting] = "This version names a text that exists: a changed text needs a version of its own."
        elif part == "wording" and (unsaid := _unsaid(value, _required(DEFAULT_FILE)[kind])):
            problems[setting] = f"The text does not say: {', '.join(unsaid)}."
    return problems


def _is_taken(version: str) -> bool:
    return version in {text.version for text in current_texts().values()}


def text_agreed_to(programme: Programme, kind: ConsentKind, version: str) -> ConsentText:
    """The current text of a kind, if ``version`` is the one the patient read; raises ``RuleRefused`` for any other."""
    text = texts_of(programme)[kind]
    if version != text.version:
        raise CURRENT_TEXT.refused(field="text_version", read=version, current=text.version)
    return text
