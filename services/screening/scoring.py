"""From answers to a score and a band, and against a baseline to an outcome class (DOMAIN 2.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from services.core.errors import InvalidInput
from services.core.programme import Programme
from services.screening.answers import asked_items, checked_answers
from services.screening.definitions import NOT_APPLICABLE, Answers, Instrument, Positive, Total, combined


@dataclass(frozen=True, slots=True, repr=False)
class Score:
    """What the answers add up to. Clinical data: store it only sealed; ``repr`` shows nothing.

    ``total`` is None when the instrument has no total or ``unscorable_because`` says why there is none; ``band`` is
    the name of the band of the total. ``missing`` lists the items that should have been answered. ``parts`` holds the
    value of each group (domain, cluster, factor). ``trace`` tells, in plain JSON types, what was answered and added.
    """

    instrument: str
    version: str
    total: int | None
    band: str | None
    prorated: bool
    missing: tuple[str, ...]
    unscorable_because: str | None
    parts: Mapping[str, int]
    trace: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Whether every item that should have been answered was answered."""
        return not self.missing

    def as_dict(self) -> dict[str, Any]:
        """The score as plain JSON types, for storing sealed and for answering the API."""
        return {**asdict(self), "missing": list(self.missing)}


class OutcomeClass(StrEnum):
    """How a score compares with the last one before the first dose, best first."""

    REMISSION = "remission"
    RESPONSE = "response"
    PARTIAL = "partial"
    NO_CHANGE = "no_change"
    DETERIORATED = "deteriorated"


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """How a total compares with the baseline. Clinical data: ``repr`` shows nothing.

    ``drop`` is in points, above 0 when the patient is better. ``reliable`` (more than the instrument's own error, in
    either direction) and ``clinically_significant`` (reliably better, and down to where people without the condition
    are) are None for an instrument that does not tell them.
    """

    outcome: OutcomeClass
    drop: int
    reliable: bool | None
    clinically_significant: bool | None


def score(instrument: Instrument, answers: Answers) -> Score:
    """Score one set of answers.

    Unanswered items: up to ``prorate_up_to`` are replaced by the mean of the answered ones, so the total is
    sum × items ÷ answered, rounded to the nearest whole number, exact halves up (4.5 → 5), so that rounding never
    makes a patient look better. More of them, or one that may never be imputed (item 9 of the PHQ-9), and there is no
    total. Items that do not apply are left out: of the mean, or of what a percent is taken of. Raises ``InvalidInput``
    as ``checked_answers`` does.
    """
    given = checked_answers(instrument, answers)
    values = {
        item.id: item.counts(answer)
        for item in instrument.scored_items
        if not isinstance(answer := given.get(item.id, NOT_APPLICABLE), str)
    }
    missing = _missing(instrument, given)
    reason = _unscorable(instrument, missing, values)
    parts = combined(instrument, values)
    groups = {group.name: parts[group.name] for group in instrument.groups if group.name in parts}
    total = None if reason else _total(instrument, values, sum(parts.values()))
    trace: dict[str, Any] = {
        "answers": given,
        "added": values,
        "groups": groups,
        "sum": None,
        "answered": len(values),
        "texts": instrument.texts_from,
    }
    if instrument.total is not Total.NONE:
        trace |= {"items": len(instrument.scored_items), "sum": sum(parts.values())}
    return Score(
        instrument=instrument.id,
        version=instrument.version,
        total=total,
        band=None if total is None else _band(instrument, total),
        prorated=total is not None and instrument.total is Total.SUM and _is_prorated(instrument, values),
        missing=missing,
        unscorable_because=reason,
        parts=groups,
        trace=trace,
    )


def _missing(instrument: Instrument, given: Mapping[str, object]) -> tuple[str, ...]:
    """The scored items that should have been answered; of alternatives all, as long as none of them is answered."""
    settled = {item_id for ids in instrument.alternatives if any(each in given for each in ids) for item_id in ids}
    return tuple(
        item.id
        for item in asked_items(instrument, given)
        if item.id not in given and item.id not in settled and _is_needed(instrument, item.id)
    )


def _is_needed(instrument: Instrument, item_id: str) -> bool:
    """Whether a result depends on the item: it is added, or it confirms."""
    return item_id in instrument.confirmed_by or any(item.id == item_id for item in instrument.scored_items)


def _unscorable(instrument: Instrument, missing: Sequence[str], values: Mapping[str, int]) -> str | None:
    barred = [item_id for item_id in missing if item_id in instrument.never_imputed]
    if barred:
        return f"Item {', '.join(barred)} is not answered and is never imputed."
    if len(missing) > instrument.prorate_up_to:
        return f"Not answered: {', '.join(missing)}. At most {instrument.prorate_up_to} may be missing."
    if not values:
        return "No item is answered with a value."
    return None


def _is_prorated(instrument: Instrument, values: Mapping[str, int]) -> bool:
    """Whether a mean stands in for some item; what only an alternative left out needs none."""
    spared = {item_id for ids in instrument.alternatives for item_id in ids}
    return any(item.id not in values and item.id not in spared for item in instrument.scored_items)


def _total(instrument: Instrument, values: Mapping[str, int], added: int) -> int | None:
    match instrument.total:
        case Total.NONE:
            return None
        case Total.PERCENT:
            return _rounded(100 * added, instrument.highest_of(values))
        case Total.SUM:
            if _is_prorated(instrument, values):
                return _rounded(added * len(instrument.scored_items), len(values))
            return added


def _rounded(dividend: int, divisor: int) -> int:
    # Whole-number arithmetic: floats and Python's round() would take some exact halves down.
    return (2 * dividend + divisor) // (2 * divisor)


def _band(instrument: Instrument, total: int) -> str | None:
    return next((band.name for band in instrument.bands if band.low <= total <= band.high), None)


def is_positive(instrument: Instrument, total: int | None, programme: Programme) -> bool | None:
    """Whether a total reaches the positive cut-off of the programme; None without a total or without such a cut-off.

    This looks at the total alone, as the outcome class does; ``results.read_result`` also knows clusters and sex.
    """
    if total is None or instrument.positive not in (Positive.TOTAL, Positive.CLUSTERS_OR_TOTAL):
        return None
    return total >= programme.number(f"{instrument.settings}.positive_from")


def outcome_class(
    instrument: Instrument, *, baseline: int | None, current: int | None, programme: Programme
) -> OutcomeClass | None:
    """The class of ``compare``; None where that gives none."""
    change = compare(instrument, baseline=baseline, current=current, programme=programme)
    return None if change is None else change.outcome


def compare(
    instrument: Instrument, *, baseline: int | None, current: int | None, programme: Programme
) -> Change | None:
    """How ``current`` compares with ``baseline``, the last total before the first dose; the best class that holds.

    None when either is missing, when the instrument has no change rule, or when the baseline is under the positive
    cut-off: who had no symptoms can neither respond nor remit. Raises ``InvalidInput`` for an impossible total.
    """
    section = instrument.change_settings
    if baseline is None or current is None or section is None:
        return None
    for field, total in (("baseline", baseline), ("current", current)):
        if not instrument.lowest <= total <= instrument.highest:
            raise InvalidInput(f"A total must be from {instrument.lowest} to {instrument.highest}.", field=field)
    if not is_positive(instrument, baseline, programme):
        return None
    drop = baseline - current
    reliable = significant = None
    if instrument.tells_reliable_change:
        least = programme.number(f"{section}.reliable_change")
        reliable = abs(drop) >= least
        significant = drop >= least and current <= programme.number(f"{section}.clinically_significant_up_to")
    return Change(_outcome(section, baseline, current, programme), drop, reliable, significant)


def _outcome(section: str, baseline: int, current: int, programme: Programme) -> OutcomeClass:
    drop, minimal_change = baseline - current, programme.number(f"{section}.minimal_change")
    if current < programme.number(f"{section}.remission_below"):
        return OutcomeClass.REMISSION
    if 100 * drop >= baseline * programme.number("instruments.outcome_classes.response_drop_percent"):
        return OutcomeClass.RESPONSE
    partial = 100 * drop >= baseline * programme.number("instruments.outcome_classes.partial_drop_percent")
    if partial or drop >= minimal_change:
        return OutcomeClass.PARTIAL
    return OutcomeClass.DETERIORATED if -drop >= minimal_change else OutcomeClass.NO_CHANGE
