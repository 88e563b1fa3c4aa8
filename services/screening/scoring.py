"""From answers to a score, a band and, against a baseline, an outcome class (DOMAIN 2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from services.core.errors import InvalidInput
from services.core.programme import Programme
from services.screening.instruments import Instrument, Item, Kind, Total, combined

Answers = Mapping[str, int | bool | None]
"""Item id to answer: a whole number for a scale, true or false for yes/no, None for not answered."""

_ITEM_LIKE = re.compile(r"q\d{1,3}")


@dataclass(frozen=True, slots=True, repr=False)
class Score:
    """What the answers add up to. Clinical data: store it only sealed; ``repr`` shows nothing.

    ``total`` is None when the instrument has no total or ``unscorable_because`` says why there is none; ``band`` is
    the name of the band of the total. ``missing`` lists the items that should have been answered. ``parts`` holds the
    value of each group (domain, cluster). ``trace`` tells, in plain JSON types, what was added.
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


def checked_answers(instrument: Instrument, answers: Answers) -> dict[str, int | bool]:
    """The given answers in the order of the items, without the unanswered ones.

    Raises ``InvalidInput`` with ``field`` = ``<instrument>.<item>`` for an unknown item, a wrong type or a value
    outside the range. A name that does not look like an item is not repeated: it could hold anything.
    """
    known = {item.id for item in instrument.items}
    for name in answers:
        if name not in known:
            field = f"{instrument.id}.{name}" if _ITEM_LIKE.fullmatch(str(name)) else instrument.id
            allowed = ", ".join(item.id for item in instrument.items)
            raise InvalidInput(f"{instrument.title} has no such item. Items: {allowed}.", field=field)
    given: dict[str, int | bool] = {}
    for item in instrument.items:
        answer = answers.get(item.id)
        if answer is not None:
            given[item.id] = _checked(instrument, item, answer)
    return given


def _checked(instrument: Instrument, item: Item, answer: object) -> int | bool:
    field = f"{instrument.id}.{item.id}"
    if item.kind is Kind.YES_NO:
        if not isinstance(answer, bool):
            raise InvalidInput("The answer must be yes (true) or no (false).", field=field)
        return answer
    # A bool is an int to Python, but "true" is no answer on a scale.
    if isinstance(answer, bool) or not isinstance(answer, int) or not item.low <= answer <= item.high:
        raise InvalidInput(f"The answer must be a whole number from {item.low} to {item.high}.", field=field)
    return answer


def asked_items(instrument: Instrument, answers: Answers) -> tuple[Item, ...]:
    """The items to ask given the answers so far: those without a condition, and those whose condition is a yes."""
    return tuple(item for item in instrument.items if item.asked_when is None or answers.get(item.asked_when) is True)


def score(instrument: Instrument, answers: Answers) -> Score:
    """Score one set of answers.

    Unanswered items: up to ``prorate_up_to`` are replaced by the mean of the answered ones, so the total is
    sum × items ÷ answered, rounded to the nearest whole number, exact halves up (4.5 → 5), so that rounding never
    makes a patient look better. More of them, or one that may never be imputed (item 9 of the PHQ-9), and there is no
    total. Raises ``InvalidInput`` as ``checked_answers`` does.
    """
    given = checked_answers(instrument, answers)
    unanswered = [item for item in asked_items(instrument, given) if item.scored and item.id not in given]
    missing = tuple(item.id for item in unanswered if not item.may_not_apply)
    reason = _unscorable(instrument, missing, given)
    values = {item.id: _counted(item, given[item.id]) for item in instrument.scored_items if item.id in given}
    parts = combined(instrument, values)
    groups = {group.name: parts[group.name] for group in instrument.groups if group.name in parts}
    trace: dict[str, Any] = {"added": values, "groups": groups, "sum": None, "answered": len(values)}
    total, prorated = None, False
    if instrument.total is Total.SUM:
        trace |= {"items": len(instrument.scored_items), "sum": sum(parts.values())}
        if reason is None:
            prorated = bool(unanswered)
            total = _prorated(trace["sum"], trace["items"], trace["answered"]) if prorated else trace["sum"]
    return Score(
        instrument=instrument.id,
        version=instrument.version,
        total=total,
        band=None if total is None else _band(instrument, total),
        prorated=prorated,
        missing=missing,
        unscorable_because=reason,
        parts=groups,
        trace=trace,
    )


def _counted(item: Item, answer: int | bool) -> int:
    return item.low + item.high - int(answer) if item.reverse else int(answer)


def _unscorable(instrument: Instrument, missing: tuple[str, ...], given: Mapping[str, int | bool]) -> str | None:
    barred = [item_id for item_id in missing if item_id in instrument.never_imputed]
    if barred:
        return f"Item {', '.join(barred)} is not answered and is never imputed."
    if len(missing) > instrument.prorate_up_to:
        return f"Not answered: {', '.join(missing)}. At most {instrument.prorate_up_to} may be missing."
    if not any(item.id in given for item in instrument.scored_items):
        return "No item is answered."
    return None


def _prorated(added: int, items: int, answered: int) -> int:
    # Whole-number arithmetic: floats and Python's round() would take some exact halves down.
    return (2 * added * items + answered) // (2 * answered)


def _band(instrument: Instrument, total: int) -> str | None:
    return next((band.name for band in instrument.bands if band.low <= total <= band.high), None)


def is_positive(instrument: Instrument, total: int | None, programme: Programme) -> bool | None:
    """Whether a total reaches the positive cut-off of the programme; None without a total or without a cut-off."""
    if total is None or instrument.change_settings is None:
        return None
    return total >= programme.number(f"{instrument.change_settings}.positive_from")


def outcome_class(
    instrument: Instrument, *, baseline: int | None, current: int | None, programme: Programme
) -> OutcomeClass | None:
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
    minimal_change = programme.number(f"{section}.minimal_change")
    drop = baseline - current
    if current < programme.number(f"{section}.remission_below"):
        return OutcomeClass.REMISSION
    if 100 * drop >= baseline * programme.number("instruments.outcome_classes.response_drop_percent"):
        return OutcomeClass.RESPONSE
    partial = 100 * drop >= baseline * programme.number("instruments.outcome_classes.partial_drop_percent")
    if partial or drop >= minimal_change:
        return OutcomeClass.PARTIAL
    return OutcomeClass.DETERIORATED if -drop >= minimal_change else OutcomeClass.NO_CHANGE
