"""What patients agree to, in versions (``consent_texts.toml``). The treatment text states what DOMAIN 3.1 asks for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core.errors import InvalidConfiguration, RuleRefused
from services.people.consents import ConsentKind

DEFAULT_FILE = Path(__file__).parent / "consent_texts.toml"


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
    folded = " ".join(wording.split()).casefold()
    unsaid = [words for words in required if words not in folded]
    if unsaid:
        raise InvalidConfiguration(f"{file}: the text '{version}' does not say: {', '.join(unsaid)}.")
    return ConsentText(kind, version, title, wording)


def text_agreed_to(kind: ConsentKind, version: str) -> ConsentText:
    """The current text of a kind, if ``version`` is the one the patient read; raises ``RuleRefused`` for any other."""
    text = current_texts()[kind]
    if version != text.version:
        raise RuleRefused(
            "This is not the text that is given today. Show the patient the current one.",
            field="text_version",
            rule="consent.current_text",
        )
    return text
