"""Instruments as data: items, answer ranges, bands and missing-answer rules (DOMAIN 2.1 and 2.3).

``instruments.toml`` holds the definitions and explains every key; this module reads, checks and serves them. A changed
text, range or band is a new version, so a stored score can always be explained by the version it was made with.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from services.core.errors import InvalidConfiguration, InvalidInput

DEFAULT_FILE = Path(__file__).parent / "instruments.toml"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LOINC = re.compile(r"\d{1,7}-\d")
_WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}

V = TypeVar("V")
E = TypeVar("E", bound=StrEnum)


class RiskLevel(StrEnum):
    """Suicide-risk level of the C-SSRS screener, weakest first (DOMAIN 2.2)."""

    NONE = "none"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """0 for none up to 3 for high. Compare levels by rank: as texts they would sort alphabetically."""
        return list(RiskLevel).index(self)


class Kind(StrEnum):
    """How an item is answered: a whole number on a scale, or yes (true) / no (false)."""

    SCALE = "scale"
    YES_NO = "yes_no"


class Total(StrEnum):
    """How the answers become a total: added up, or never."""

    SUM = "sum"
    NONE = "none"


class Combine(StrEnum):
    """How the items of a group become the group's value."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Item:
    """One question. ``low``…``high`` is the range of answers; a yes/no item counts yes as 1 and no as 0.

    ``asked_when`` names the yes/no item that must be yes for this one to be asked; the file explains the other keys.
    """

    id: str
    text: str
    kind: Kind
    low: int
    high: int
    labels: tuple[str, ...]
    examples: str | None
    scored: bool
    reverse: bool
    may_not_apply: bool
    asked_when: str | None
    level_if_yes: RiskLevel | None


@dataclass(frozen=True, slots=True)
class Band:
    """A named range of totals, both ends included."""

    name: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Group:
    """A domain or cluster of items that gives one value."""

    name: str
    items: tuple[str, ...]
    combine: Combine


@dataclass(frozen=True, slots=True)
class Instrument:
    """One questionnaire. ``window_days`` is None where no single recall window applies.

    ``prorate_up_to`` unanswered items may be replaced by the mean of the others, never those in ``never_imputed``.
    ``change_settings`` names the programme section with its cut-offs; None means that no outcome class is formed.
    """

    id: str
    title: str
    version: str
    window: str
    window_days: int | None
    prompt: str
    licence: str
    credit: str
    loinc: str | None
    total: Total
    items: tuple[Item, ...]
    bands: tuple[Band, ...]
    groups: tuple[Group, ...]
    prorate_up_to: int
    never_imputed: frozenset[str]
    suicide_risk_item: str | None
    change_settings: str | None

    @property
    def scored_items(self) -> tuple[Item, ...]:
        """The items that are added, in order."""
        return tuple(item for item in self.items if item.scored)

    @property
    def lowest(self) -> int:
        """The lowest possible total."""
        return self._extreme([item.low for item in self.scored_items])

    @property
    def highest(self) -> int:
        """The highest possible total."""
        return self._extreme([item.high for item in self.scored_items])

    def item(self, item_id: str) -> Item | None:
        """The item of that id, or None."""
        return next((item for item in self.items if item.id == item_id), None)

    def _extreme(self, values: Sequence[int]) -> int:
        return sum(combined(self, dict(zip((item.id for item in self.scored_items), values, strict=True))).values())


def combined(instrument: Instrument, values: Mapping[str, int]) -> dict[str, int]:
    """The parts that add up to the total: one value per group, then one per scored item outside every group.

    ``values`` holds the counting value of each answered item; a group without any answered item has no part.
    """
    grouped = {item_id for group in instrument.groups for item_id in group.items}
    parts: dict[str, int] = {}
    for group in instrument.groups:
        members = [values[item_id] for item_id in group.items if item_id in values]
        if members:
            parts[group.name] = max(members) if group.combine is Combine.MAX else sum(members)
    return parts | {item_id: value for item_id, value in values.items() if item_id not in grouped}


def get(instrument_id: str) -> Instrument:
    """The instrument of that id (``phq9``). Raises ``InvalidInput`` naming the known ones."""
    known = load_instruments()
    if instrument_id not in known:
        raise InvalidInput(f"Unknown instrument. Known: {', '.join(known)}.", field="instrument")
    return known[instrument_id]


@lru_cache(maxsize=8)
def load_instruments(path: Path = DEFAULT_FILE) -> Mapping[str, Instrument]:
    """All instruments of a file by id, read once per process.

    Raises ``InvalidConfiguration`` naming the file, the instrument, the item and the key that is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration(f"The instrument file {path.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"The instrument file {path.name} is not valid TOML: {error}") from error
    return {name: _instrument(name, _Table(table, f"{path.name}: {name}")) for name, table in tables.items()}


class _Table:
    """A TOML table from which each key is taken once; whatever is left over at the end was misspelled."""

    def __init__(self, table: Any, where: str) -> None:
        self.where = where
        if not isinstance(table, dict):
            self.refuse("must be a table")
        self._left = dict(table)

    def refuse(self, what: str) -> NoReturn:
        raise InvalidConfiguration(f"{self.where}: {what}.")

    def take(self, key: str, kind: type[V], default: V | None = None) -> V:
        """The value of a required key, or of an optional one that has a default."""
        value = self.maybe(key, kind)
        if value is None:
            value = default
        if value is None:
            self.refuse(f"'{key}' is missing")
        return value

    def maybe(self, key: str, kind: type[V]) -> V | None:
        """The value of an optional key."""
        value = self._left.pop(key, None)
        if value is not None and type(value) is not kind:
            self.refuse(f"'{key}' must be {_WORDS[kind]}")
        return value

    def word(self, key: str, words: type[E], default: E | None = None) -> E:
        """The value of a key that allows only the words of an enumeration."""
        text = str(self.take(key, str, default))
        if text not in list(words):
            self.refuse(f"'{key}' must be one of {', '.join(words)}")
        return words(text)

    def list_of(self, key: str, kind: type[V]) -> list[V]:
        """A list of values of one type; empty when the key is absent."""
        values = self.take(key, list, [])
        if any(type(value) is not kind for value in values):
            self.refuse(f"every entry of '{key}' must be {_WORDS[kind]}")
        return values

    def finish(self) -> None:
        """Refuse keys that nobody took."""
        if self._left:
            self.refuse(f"unknown key '{min(self._left)}'")


def _instrument(name: str, table: _Table) -> Instrument:
    if not _NAME.fullmatch(name):
        table.refuse("the name must be a small letter followed by small letters, digits or _")
    kind = table.word("kind", Kind, Kind.SCALE)
    bounds = table.list_of("range", int)
    labels = table.list_of("labels", str)
    items = tuple(
        _item(_Table(raw, f"{table.where}: item {number}"), kind, bounds, labels)
        for number, raw in enumerate(table.take("items", list), start=1)
    )
    instrument = Instrument(
        id=name,
        title=table.take("title", str),
        version=table.take("version", str),
        window=table.take("window", str),
        window_days=table.maybe("window_days", int),
        prompt=table.take("prompt", str),
        licence=table.take("licence", str),
        credit=table.take("credit", str),
        loinc=table.maybe("loinc", str),
        total=table.word("total", Total),
        items=items,
        bands=tuple(_band(raw, table) for raw in table.list_of("bands", list)),
        groups=tuple(_group(_Table(raw, f"{table.where}: group")) for raw in table.list_of("groups", dict)),
        prorate_up_to=table.take("prorate_up_to", int, 0),
        never_imputed=frozenset(table.list_of("never_imputed", str)),
        suicide_risk_item=table.maybe("suicide_risk_item", str),
        change_settings=table.maybe("change_settings", str),
    )
    table.finish()
    _check_items(instrument, table)
    _check_scoring(instrument, table)
    return instrument


def _item(table: _Table, kind: Kind, bounds: list[int], labels: list[str]) -> Item:
    kind = table.word("kind", Kind, kind)
    own_bounds, own_labels = table.list_of("range", int), table.list_of("labels", str)
    if kind is Kind.YES_NO:
        low, high, words = 0, 1, ["No", "Yes"]
    else:
        ends, words = own_bounds or bounds, own_labels or labels
        if len(ends) != 2 or ends[0] >= ends[1]:
            table.refuse("'range' must be [lowest, highest]")
        low, high = ends
        if words and len(words) != high - low + 1:
            table.refuse(f"'labels' must hold {high - low + 1} texts, one for each answer")
    level = table.word("level_if_yes", RiskLevel, RiskLevel.NONE)
    item = Item(
        id=table.take("id", str),
        text=table.take("text", str),
        kind=kind,
        low=low,
        high=high,
        labels=tuple(words),
        examples=table.maybe("examples", str),
        scored=table.take("scored", bool, True),
        reverse=table.take("reverse", bool, False),
        may_not_apply=table.take("may_not_apply", bool, False),
        asked_when=table.maybe("asked_when", str),
        level_if_yes=None if level is RiskLevel.NONE else level,
    )
    table.finish()
    if not _NAME.fullmatch(item.id):
        table.refuse("'id' must be a small letter followed by small letters, digits or _")
    if item.level_if_yes and kind is not Kind.YES_NO:
        table.refuse("'level_if_yes' is for yes/no items")
    return item


def _band(raw: list[Any], table: _Table) -> Band:
    if [type(value) for value in raw] != [str, int, int]:
        table.refuse("each of 'bands' must be [name, lowest, highest]")
    return Band(*raw)


def _group(table: _Table) -> Group:
    group = Group(table.take("name", str), tuple(table.list_of("items", str)), table.word("combine", Combine))
    table.finish()
    return group


def _check_items(instrument: Instrument, table: _Table) -> None:
    """Item ids are unique and whatever refers to an item names one that exists."""
    seen: dict[str, Item] = {}
    for item in instrument.items:
        if item.id in seen:
            table.refuse(f"the item '{item.id}' appears twice")
        if item.asked_when is not None:
            asked = seen.get(item.asked_when)
            if asked is None or asked.kind is not Kind.YES_NO:
                table.refuse(f"'asked_when' of the item '{item.id}' must name an earlier yes/no item")
        seen[item.id] = item
    if not seen:
        table.refuse("'items' must not be empty")
    named = [*instrument.never_imputed, *filter(None, [instrument.suicide_risk_item])]
    grouped = [item_id for group in instrument.groups for item_id in group.items]
    for item_id in [*named, *grouped]:
        if item_id not in seen or not seen[item_id].scored:
            table.refuse(f"'{item_id}' is not one of the scored items")
    if len(grouped) != len(set(grouped)):
        table.refuse("an item belongs to two groups")


def _check_scoring(instrument: Instrument, table: _Table) -> None:
    """The bands cover every possible total once, and prorating is possible where it is asked for."""
    if instrument.loinc is not None and not _LOINC.fullmatch(instrument.loinc):
        table.refuse("'loinc' must look like 44261-6")
    if not 0 <= instrument.prorate_up_to < len(instrument.scored_items):
        table.refuse("'prorate_up_to' must leave at least one answered item")
    imputed = instrument.prorate_up_to > 0 or any(item.may_not_apply for item in instrument.items)
    if imputed and any(group.combine is Combine.MAX for group in instrument.groups):
        table.refuse("a mean cannot replace an answer in a group that takes the highest")
    if imputed and len({(item.low, item.high) for item in instrument.scored_items}) > 1:
        table.refuse("a mean cannot replace an answer where the items have different ranges")
    if instrument.total is Total.NONE:
        if instrument.bands:
            table.refuse("'bands' need a total")
        return
    expected = instrument.lowest
    for band in instrument.bands:
        if band.low != expected or band.high < band.low:
            table.refuse(f"the band '{band.name}' must start at {expected}")
        expected = band.high + 1
    if instrument.bands and expected != instrument.highest + 1:
        table.refuse(f"the last band must end at {instrument.highest}")
