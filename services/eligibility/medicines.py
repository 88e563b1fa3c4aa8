"""Interacting medicines by class (DOMAIN 3.2), read from ``medicines.toml``; names are read in ``medicine_names``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core.errors import InvalidConfiguration
from services.core.findings import Severity
from services.core.programme import Programme

DEFAULT_FILE = Path(__file__).parent / "medicines.toml"

UNLISTED = "unlisted"
"""The class name of every medicine that the table does not know."""

_APOSTROPHES = re.compile(r"['’`´]")
_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")
_HOLDS = ("hold_hours", "hold_days_before")
_FLAGS = ("may_continue", "of_everybody")


@dataclass(frozen=True, slots=True)
class MedicineClass:
    """One class: the table row it implements, what it does to a case and the names in it.

    ``setting`` says how long it is held before a session, None when it is not: so many hours, or with ``holds_by_day``
    so many days before the day of the session. ``of_everybody``: the hold concerns every patient, listed or not.
    ``shown`` maps the normal form of each name to how the file writes it.
    """

    name: str
    row: str
    severity: Severity
    sentence: str
    setting: str | None
    holds_by_day: bool
    may_continue: bool
    of_everybody: bool
    shown: Mapping[str, str] = field(hash=False)

    @property
    def medicines(self) -> frozenset[str]:
        """The normal forms of all names."""
        return frozenset(self.shown)

    def hold_words(self, programme: Programme) -> str:
        """How long it is held, in words: "on the day of a session", "for 24 hours before a session"."""
        if self.setting is None:
            return ""
        if not self.holds_by_day:
            return f"for {programme.number(self.setting):g} hours before a session"
        match programme.whole(self.setting):
            case 0:
                return "on the day of a session"
            case 1:
                return "the day before and the day of a session"
            case days:
                return f"for {days} days before and on the day of a session"


def normal_form(name: str) -> str:
    """A folded name without punctuation and doubled spaces (``st. john’s wort`` → st johns wort)."""
    return _BETWEEN_WORDS.sub(" ", _APOSTROPHES.sub("", name.casefold())).strip()


@lru_cache(maxsize=8)
def load_medicines(path: Path = DEFAULT_FILE) -> tuple[MedicineClass, ...]:
    """All classes of a file in order, read once per process.

    Raises ``InvalidConfiguration`` naming the file, the class and what is wrong; no name may be in two classes.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration(f"The medicine file {path.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"The medicine file {path.name} is not valid TOML: {error}") from error
    classes = tuple(_medicine_class(name, table, f"{path.name}: {name}") for name, table in tables.items())
    seen: dict[str, str] = {}
    for each in classes:
        for medicine in sorted(each.medicines):
            if medicine in seen:
                where = f"'{seen[medicine]}' and '{each.name}'"
                raise InvalidConfiguration(f"{path.name}: '{medicine}' is in two classes, {where}.")
            seen[medicine] = each.name
    return classes


def _medicine_class(name: str, table: Any, where: str) -> MedicineClass:
    if not isinstance(table, dict):
        raise InvalidConfiguration(f"{where}: must be a table.")
    keys = {key for key in table if key != "medicines"}
    texts = {key: table[key] for key in keys if key not in _FLAGS}
    required = {"row", "severity", "sentence"}
    if not required <= keys <= required | {*_HOLDS, *_FLAGS} or not all(
        isinstance(text, str) for text in texts.values()
    ):
        raise InvalidConfiguration(
            f"{where}: needs the texts 'row', 'severity', 'sentence' and perhaps 'hold_hours' or 'hold_days_before'."
        )
    if texts["severity"] not in list(Severity):
        raise InvalidConfiguration(f"{where}: 'severity' must be one of {', '.join(Severity)}.")
    held = [key for key in _HOLDS if key in texts]
    places = [place for place in ("{value}", "{hold}") if place in texts["sentence"]]
    if len(held) > 1 or bool(held) != bool(places):
        raise InvalidConfiguration(f"{where}: '{{value}}' or '{{hold}}' in the sentence and one hold belong together.")
    flags = {flag: table.get(flag, False) for flag in _FLAGS}
    for flag, given in flags.items():
        if not isinstance(given, bool):
            raise InvalidConfiguration(f"{where}: '{flag}' must be true or false.")
    if flags["of_everybody"] and not held:
        raise InvalidConfiguration(f"{where}: 'of_everybody' needs a hold.")
    return MedicineClass(
        name=name,
        row=texts["row"],
        severity=Severity(texts["severity"]),
        sentence=texts["sentence"],
        setting=texts[held[0]] if held else None,
        holds_by_day=held == ["hold_days_before"],
        **flags,
        shown=_medicines(table.get("medicines"), where),
    )


def _medicines(table: Any, where: str) -> Mapping[str, str]:
    if not isinstance(table, dict) or not table:
        raise InvalidConfiguration(f"{where}: 'medicines' must be a table of generic name = [brand names].")
    names: list[str] = []
    for generic, brands in table.items():
        if not isinstance(brands, list) or not all(isinstance(brand, str) for brand in brands):
            raise InvalidConfiguration(f"{where}: the brand names of '{generic}' must be a list of texts.")
        names += [generic, *brands]
    shown: dict[str, str] = {}
    for name in names:
        shown.setdefault(normal_form(name), name)
    return shown
