"""Interacting medicines by class (DOMAIN 3.2), read from ``medicines.toml``, and the names people give them."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core.errors import InvalidConfiguration
from services.core.findings import Severity

DEFAULT_FILE = Path(__file__).parent / "medicines.toml"

UNLISTED = "unlisted"
"""The class name of every medicine that the table does not know."""

_APOSTROPHES = re.compile(r"['’`´]")
_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")
_STRENGTH = re.compile(
    r"\d+(?:[.,]\d+)?\s*(?:mg|mcg|µg|μg|ug|g|ml|iu|units?)\b(?:\s*/\s*(?:\d+\s*)?(?:ml|h|hr|hour|day))?"
)
# Dose forms and release forms say how a medicine is taken, not which one it is.
_FORM = re.compile(
    r"\b(?:tablets?|tabs?|capsules?|caps?|pills?|patch|solution|er|xr|xl|sr|cr|dr|ir|la|odt|daily|nightly|bedtime)\b"
)


@dataclass(frozen=True, slots=True)
class MedicineClass:
    """One class: the table row it implements, what it does to a case and the (normal form of the) names in it."""

    name: str
    row: str
    severity: Severity
    sentence: str
    setting: str | None
    medicines: frozenset[str]


def normal_form(name: str) -> str:
    """A medicine's name without case, accents, punctuation and doubled spaces (``St. John’s Wort`` → st johns wort)."""
    return _BETWEEN_WORDS.sub(" ", _APOSTROPHES.sub("", _folded(name))).strip()


def class_of(name: str) -> str:
    """The class of a medicine as somebody typed it, ``UNLISTED`` when the table does not know it.

    Strength and dose form are left aside (``Sertraline 50 mg tablets``), nothing else is: a name that holds anything
    more than one listed medicine is unlisted, so that "sertraline and something" is looked at by a person.
    """
    known = _names(load_medicines())
    found = known.get(normal_form(name))
    if found is None:
        found = known.get(normal_form(_FORM.sub(" ", _STRENGTH.sub(" ", _folded(name)))))
    return found or UNLISTED


def by_class(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The given names grouped by class, order kept."""
    grouped: dict[str, tuple[str, ...]] = {}
    for name in names:
        found = class_of(name)
        grouped[found] = (*grouped.get(found, ()), name)
    return grouped


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


def _folded(name: str) -> str:
    """Case folded, accents dropped."""
    letters = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _medicine_class(name: str, table: Any, where: str) -> MedicineClass:
    if not isinstance(table, dict):
        raise InvalidConfiguration(f"{where}: must be a table.")
    texts = {key: value for key, value in table.items() if key != "medicines"}
    required = {"row", "severity", "sentence"}
    if not required <= set(texts) <= required | {"setting"} or not all(isinstance(v, str) for v in texts.values()):
        raise InvalidConfiguration(f"{where}: needs the texts 'row', 'severity', 'sentence' and perhaps 'setting'.")
    if texts["severity"] not in list(Severity):
        raise InvalidConfiguration(f"{where}: 'severity' must be one of {', '.join(Severity)}.")
    if ("{value}" in texts["sentence"]) != ("setting" in texts):
        raise InvalidConfiguration(f"{where}: '{{value}}' in the sentence and 'setting' belong together.")
    return MedicineClass(
        name=name,
        row=texts["row"],
        severity=Severity(texts["severity"]),
        sentence=texts["sentence"],
        setting=texts.get("setting"),
        medicines=_medicines(table.get("medicines"), where),
    )


def _medicines(table: Any, where: str) -> frozenset[str]:
    if not isinstance(table, dict) or not table:
        raise InvalidConfiguration(f"{where}: 'medicines' must be a table of generic name = [brand names].")
    names: list[str] = []
    for generic, brands in table.items():
        if not isinstance(brands, list) or not all(isinstance(brand, str) for brand in brands):
            raise InvalidConfiguration(f"{where}: the brand names of '{generic}' must be a list of texts.")
        names += [generic, *brands]
    return frozenset(normal_form(name) for name in names)


@lru_cache(maxsize=8)
def _names(classes: tuple[MedicineClass, ...]) -> Mapping[str, str]:
    return {medicine: each.name for each in classes for medicine in each.medicines}
