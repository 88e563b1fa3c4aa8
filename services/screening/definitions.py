"""What an instrument is: items, groups, bands, and how its answers become a result (DOMAIN 2.1 and 2.3).

The definitions are data, one file each in ``services/screening/instruments/``; ``instruments.get`` serves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NOT_APPLICABLE: Final = "not_applicable"
"""The answer to an item that does not concern the patient, where the instrument allows it."""

Answers = Mapping[str, int | bool | str | None]
"""Item id to answer: a number for a scale, true or false for yes/no, ``NOT_APPLICABLE``, None for not answered."""


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
    """How the answers become a total: added up, as percent of what the answered items could give, or never."""

    SUM = "sum"
    PERCENT = "percent"
    NONE = "none"


class Combine(StrEnum):
    """How the items of a group become the group's value."""

    SUM = "sum"
    MAX = "max"


class Positive(StrEnum):
    """What makes a result positive; the numbers are the clinic's (``instruments.<id>`` of the programme)."""

    TOTAL = "total"
    """The total reaches ``positive_from``."""
    TOTAL_BY_SEX = "total_by_sex"
    """The total reaches ``positive_from_men``, ``positive_from_women`` or ``positive_from_unspecified``."""
    CLUSTERS_OR_TOTAL = "clusters_or_total"
    """Every group has as many symptoms as it needs, or the total reaches ``positive_from``."""
    CONFIRMED_COUNT = "confirmed_count"
    """The total reaches ``positive_from`` and the items of ``confirmed_by`` agree."""
    EVERY_GROUP = "every_group"
    """Every group reaches ``complete_from_percent`` of its highest value."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question. ``low``…``high`` is the range of answers; a yes/no item counts yes as 1 and no as 0.

    ``text`` is None where the authors' terms forbid shipping it and no content pack gave it. ``asked_when`` names the
    yes/no item that must be yes for this one to be asked, ``asked_from_yes`` how many scored items must be. The
    README beside the files explains the other keys.
    """

    id: str
    text: str | None
    kind: Kind
    low: int
    high: int
    labels: tuple[str, ...]
    examples: str | None
    scored: bool
    reverse: bool
    may_not_apply: bool
    asked_when: str | None
    asked_from_yes: int
    level_if_yes: RiskLevel | None

    def counts(self, answer: int | bool) -> int:
        """The counting value of an answer: itself, or turned around in a reverse item."""
        return self.low + self.high - int(answer) if self.reverse else int(answer)


@dataclass(frozen=True, slots=True)
class Band:
    """A named range of totals, both ends included."""

    name: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Group:
    """A domain, cluster or factor: items that give one value. ``symptoms_needed`` of them must count as symptoms."""

    name: str
    items: tuple[str, ...]
    combine: Combine
    symptoms_needed: int


@dataclass(frozen=True, slots=True)
class Instrument:
    """One questionnaire. ``window_days`` is None where no single recall window applies.

    ``prorate_up_to`` unanswered items may be replaced by the mean of the others, never those in ``never_imputed``. Of
    each of ``alternatives`` one item is answered. ``change_settings`` names the programme section with the cut-offs of
    the outcome class; None means that none is formed. ``texts_from`` says where the wording comes from: ``shipped``, or
    the content pack that gave it; None for an instrument that cannot be shown.
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
    alternatives: tuple[tuple[str, ...], ...]
    prorate_up_to: int
    never_imputed: frozenset[str]
    suicide_risk_item: str | None
    positive: Positive | None
    symptom_from: int | None
    confirmed_by: Mapping[str, int]
    review_if_all_from: str | None
    change_settings: str | None
    tells_reliable_change: bool
    texts_from: str | None

    @property
    def settings(self) -> str:
        """The section of the programme that holds what a clinic may set."""
        return f"instruments.{self.id}"

    @property
    def is_offered(self) -> bool:
        """Whether a patient can be shown it."""
        return self.texts_from is not None

    @property
    def scored_items(self) -> tuple[Item, ...]:
        """The items that are added, in order."""
        return tuple(item for item in self.items if item.scored)

    @property
    def lowest(self) -> int:
        """The lowest possible total."""
        return 0 if self.total is Total.PERCENT else self._extreme([item.low for item in self.scored_items])

    @property
    def highest(self) -> int:
        """The highest possible total."""
        return 100 if self.total is Total.PERCENT else self._extreme([item.high for item in self.scored_items])

    def item(self, item_id: str) -> Item | None:
        """The item of that id, or None."""
        return next((item for item in self.items if item.id == item_id), None)

    def highest_of(self, item_ids: Iterable[str]) -> int:
        """The sum that these items could give at most."""
        named = frozenset(item_ids)
        return sum(item.high for item in self.items if item.id in named)

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
