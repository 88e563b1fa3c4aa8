"""The answers to an instrument: which are asked for, and whether each fits its item."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from services.core.errors import InvalidInput
from services.screening.definitions import NOT_APPLICABLE, Answers, Instrument, Item, Kind

_ITEM_LIKE: Final = re.compile(r"q\d{1,3}")


def checked_answers(instrument: Instrument, answers: Answers) -> dict[str, int | bool | str]:
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
    given: dict[str, int | bool | str] = {}
    for item in instrument.items:
        answer = answers.get(item.id)
        if answer is not None:
            given[item.id] = _checked(instrument, item, answer)
    return given


def _checked(instrument: Instrument, item: Item, answer: object) -> int | bool | str:
    field = f"{instrument.id}.{item.id}"
    if item.may_not_apply and answer == NOT_APPLICABLE:
        return NOT_APPLICABLE
    if item.kind is Kind.YES_NO:
        if not isinstance(answer, bool):
            raise InvalidInput("The answer must be yes (true) or no (false).", field=field)
        return answer
    # A bool is an int to Python, but "true" is no answer on a scale.
    if isinstance(answer, bool) or not isinstance(answer, int) or not item.low <= answer <= item.high:
        otherwise = f" or '{NOT_APPLICABLE}'" if item.may_not_apply else ""
        raise InvalidInput(f"The answer must be a whole number from {item.low} to {item.high}{otherwise}.", field=field)
    return answer


def asked_items(instrument: Instrument, answers: Mapping[str, object]) -> tuple[Item, ...]:
    """The items to ask given the answers so far: those without a condition, and those whose condition is met."""
    said_yes = sum(answers.get(item.id) is True for item in instrument.scored_items)
    return tuple(
        item
        for item in instrument.items
        if (item.asked_when is None or answers.get(item.asked_when) is True) and said_yes >= item.asked_from_yes
    )
