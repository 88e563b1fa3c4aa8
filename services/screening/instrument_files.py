"""Reading the definitions of the instruments (``services/screening/instruments/*.toml``), with every key checked.

A changed text, range or band is a new version, so a stored score can be explained by the version it was made with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from services.core.errors import InvalidConfiguration
from services.screening.definitions import Band, Combine, Group, Instrument, Item, Kind, Positive, RiskLevel, Total
from services.screening.toml_tables import Table, read_toml

DEFAULT_FOLDER: Final = Path(__file__).parent / "instruments"
SHIPPED: Final = "shipped"
YES_NO_LABELS: Final = ("No", "Yes")

# The order in which they are listed and asked: what everybody answers comes first.
_ORDER: Final = ("phq9", "gad7", "cssrs", "cssrs_since_last_visit")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LOINC: Final = re.compile(r"\d{1,7}-\d")


@lru_cache(maxsize=8)
def load_instruments(folder: Path = DEFAULT_FOLDER) -> Mapping[str, Instrument]:
    """All instruments of a folder by id (the name of the file), read once per process.

    Raises ``InvalidConfiguration`` naming the file, the item and the key that is wrong.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.toml"))}
    if not files:
        raise InvalidConfiguration(f"There are no instruments in {folder.name}.")
    names = [*(name for name in _ORDER if name in files), *(name for name in files if name not in _ORDER)]
    return {name: _instrument(name, Table(read_toml(files[name]), files[name].name)) for name in names}


def _instrument(name: str, table: Table) -> Instrument:
    if not _NAME.fullmatch(name):
        table.refuse("the name must be a small letter followed by small letters, digits or _")
    kind = table.word("kind", Kind, Kind.SCALE)
    bounds = table.list_of("range", int)
    labels = table.list_of("labels", str)
    items = tuple(
        _item(Table(raw, f"{table.where}: item {number}"), kind, bounds, labels)
        for number, raw in enumerate(table.take("items", list), start=1)
    )
    is_classed = table.take("forms_outcome_class", bool, False)
    instrument = Instrument(
        id=name,
        title=table.take("title", str),
        version=table.take("version", str),
        window=table.take("window", str),
        window_days=table.maybe("window_days", int),
        prompt=table.take("prompt", str, ""),
        licence=table.take("licence", str),
        credit=table.take("credit", str),
        loinc=table.maybe("loinc", str),
        total=table.word("total", Total),
        items=items,
        bands=tuple(_band(raw, table) for raw in table.list_of("bands", list)),
        groups=tuple(_group(Table(raw, f"{table.where}: group")) for raw in table.list_of("groups", dict)),
        alternatives=tuple(tuple(ids) for ids in table.list_of("alternatives", list)),
        prorate_up_to=table.take("prorate_up_to", int, 0),
        never_imputed=frozenset(table.list_of("never_imputed", str)),
        suicide_risk_item=table.maybe("suicide_risk_item", str),
        positive=table.word("positive", Positive) if "positive" in table else None,
        symptom_from=table.maybe("symptom_from", int),
        confirmed_by=_lowest_answers(table),
        review_if_all_from=table.maybe("review_if_all_from", str),
        change_settings=f"instruments.{name}" if is_classed else None,
        tells_reliable_change=table.take("tells_reliable_change", bool, False),
        texts_from=SHIPPED if all(item.text for item in items) else None,
    )
    table.finish()
    _check_texts(instrument, table)
    _check_items(instrument, table)
    _check_scoring(instrument, table)
    _check_positive(instrument, table)
    return instrument


def _item(table: Table, kind: Kind, bounds: list[int], labels: list[str]) -> Item:
    kind = table.word("kind", Kind, kind)
    own_bounds, own_labels = table.list_of("range", int), table.list_of("labels", str)
    words: tuple[str, ...] = YES_NO_LABELS
    low, high = 0, 1
    if kind is Kind.SCALE:
        ends, words = own_bounds or bounds, tuple(own_labels or labels)
        if len(ends) != 2 or ends[0] >= ends[1]:
            table.refuse("'range' must be [lowest, highest]")
        low, high = ends
        if words and len(words) != high - low + 1:
            table.refuse(f"'labels' must hold {high - low + 1} texts, one for each answer")
    level = table.word("level_if_yes", RiskLevel, RiskLevel.NONE)
    item = Item(
        id=table.take("id", str),
        text=table.maybe("text", str),
        kind=kind,
        low=low,
        high=high,
        labels=words,
        examples=table.maybe("examples", str),
        scored=table.take("scored", bool, True),
        reverse=table.take("reverse", bool, False),
        may_not_apply=table.take("may_not_apply", bool, False),
        asked_when=table.maybe("asked_when", str),
        asked_from_yes=table.take("asked_from_yes", int, 0),
        level_if_yes=None if level is RiskLevel.NONE else level,
    )
    table.finish()
    if not _NAME.fullmatch(item.id):
        table.refuse("'id' must be a small letter followed by small letters, digits or _")
    if item.level_if_yes and kind is not Kind.YES_NO:
        table.refuse("'level_if_yes' is for yes/no items")
    return item


def _band(raw: list[Any], table: Table) -> Band:
    if [type(value) for value in raw] != [str, int, int]:
        table.refuse("each of 'bands' must be [name, lowest, highest]")
    return Band(*raw)


def _group(table: Table) -> Group:
    group = Group(
        table.take("name", str),
        tuple(table.list_of("items", str)),
        table.word("combine", Combine),
        table.take("symptoms_needed", int, 0),
    )
    table.finish()
    return group


def _lowest_answers(table: Table) -> Mapping[str, int]:
    answers = table.take("confirmed_by", dict, {})
    if any(type(lowest) is not int for lowest in answers.values()):
        table.refuse("every entry of 'confirmed_by' must be a whole number")
    return answers


def _check_texts(instrument: Instrument, table: Table) -> None:
    """Either all texts ship or none: half a questionnaire is no use to anybody and no less a copy."""
    told = [item.id for item in instrument.items if item.text]
    if told and len(told) < len(instrument.items):
        table.refuse("either every item has a 'text' or none")
    if told and not instrument.prompt:
        table.refuse("'prompt' is missing")


def _check_items(instrument: Instrument, table: Table) -> None:
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
    _check_references(instrument, table, seen)


def _check_references(instrument: Instrument, table: Table, seen: Mapping[str, Item]) -> None:
    single = [instrument.suicide_risk_item, instrument.review_if_all_from]
    alternative = [item_id for ids in instrument.alternatives for item_id in ids]
    grouped = [item_id for group in instrument.groups for item_id in group.items]
    for item_id in [*instrument.never_imputed, *filter(None, single), *alternative, *grouped]:
        if item_id not in seen or not seen[item_id].scored:
            table.refuse(f"'{item_id}' is not one of the scored items")
    for item_id in instrument.confirmed_by:
        if item_id not in seen:
            table.refuse(f"'confirmed_by' names '{item_id}', which is not one of the items")
    if len(grouped) != len(set(grouped)):
        table.refuse("an item belongs to two groups")


def _check_scoring(instrument: Instrument, table: Table) -> None:
    """The bands cover every possible total once, and prorating is possible where it is asked for."""
    if instrument.loinc is not None and not _LOINC.fullmatch(instrument.loinc):
        table.refuse("'loinc' must look like 44261-6")
    if not 0 <= instrument.prorate_up_to < len(instrument.scored_items):
        table.refuse("'prorate_up_to' must leave at least one answered item")
    _check_means(instrument, table)
    if instrument.total is Total.PERCENT and any(item.low for item in instrument.scored_items):
        table.refuse("a percent needs items that begin at 0")
    if instrument.total is not Total.NONE:
        _check_bands(instrument, table)
    elif instrument.bands:
        table.refuse("'bands' need a total")


def _check_means(instrument: Instrument, table: Table) -> None:
    imputed = instrument.prorate_up_to > 0 or any(item.may_not_apply for item in instrument.items)
    if imputed and any(group.combine is Combine.MAX for group in instrument.groups):
        table.refuse("a mean cannot replace an answer in a group that takes the highest")
    if imputed and len({(item.low, item.high) for item in instrument.scored_items}) > 1:
        table.refuse("a mean cannot replace an answer where the items have different ranges")


def _check_bands(instrument: Instrument, table: Table) -> None:
    expected = instrument.lowest
    for band in instrument.bands:
        if band.low != expected or band.high < band.low:
            table.refuse(f"the band '{band.name}' must start at {expected}")
        expected = band.high + 1
    if instrument.bands and expected != instrument.highest + 1:
        table.refuse(f"the last band must end at {instrument.highest}")


def _check_positive(instrument: Instrument, table: Table) -> None:
    """What a positive result needs is there, and nothing that it would not read."""
    by_clusters = instrument.positive is Positive.CLUSTERS_OR_TOTAL
    if by_clusters != (instrument.symptom_from is not None):
        table.refuse("'symptom_from' goes with positive = \"clusters_or_total\"")
    if by_clusters != any(group.symptoms_needed for group in instrument.groups):
        table.refuse("'symptoms_needed' goes with positive = \"clusters_or_total\"")
    if (instrument.positive is Positive.CONFIRMED_COUNT) != bool(instrument.confirmed_by):
        table.refuse("'confirmed_by' goes with positive = \"confirmed_count\"")
    if instrument.positive is Positive.EVERY_GROUP and not instrument.groups:
        table.refuse('positive = "every_group" needs groups')
    if instrument.change_settings and instrument.total is Total.NONE:
        table.refuse("'forms_outcome_class' needs a total")
    if instrument.tells_reliable_change and not instrument.change_settings:
        table.refuse("'tells_reliable_change' needs 'forms_outcome_class'")
