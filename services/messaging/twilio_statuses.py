"""Twilio's statuses and error codes: how they rank and what follows from them. The tables are data (DOMAIN 7)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from services.core.errors import InvalidInput

DATA: Final = Path(__file__).with_name("twilio_statuses.toml")


class UnknownStatus(InvalidInput):
    """The provider used a status word that ``twilio_statuses.toml`` does not know: a person must look at it."""

    code = "unknown_status"


class Action(StrEnum):
    """What to do about a text that did not get through."""

    MARK_OPTED_OUT = "mark_opted_out"
    MARK_INVALID = "mark_invalid"
    MARK_NOT_MOBILE = "mark_not_mobile"
    RETRY = "retry"
    BACK_OFF = "back_off"
    GIVE_UP = "give_up"
    RECONCILE = "reconcile"
    ASK_STAFF = "ask_staff"

    @property
    def may_retry(self) -> bool:
        """Whether the same text may be sent again later."""
        return self in {Action.RETRY, Action.BACK_OFF}


@dataclass(frozen=True, slots=True)
class _Status:
    direction: str
    rank: int
    terminal: bool
    then: frozenset[str]


@lru_cache(maxsize=1)
def _tables() -> tuple[Mapping[str, _Status], Mapping[str, Action], Mapping[str, Action]]:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    statuses = {
        name: _Status(row["direction"], row["rank"], row.get("terminal", False), frozenset(row.get("then", ())))
        for name, row in tables["statuses"].items()
    }
    codes = {code: Action(action) for code, action in tables["codes"].items()}
    return statuses, codes, {status: Action(action) for status, action in tables["http"].items()}


def known_statuses(direction: str = "outbound") -> frozenset[str]:
    """All status words of one direction, ``outbound`` or ``inbound``."""
    return frozenset(name for name, status in _tables()[0].items() if status.direction == direction)


def is_terminal(status: str) -> bool:
    """Whether nothing more is to come (``delivered`` may still become ``read``). Raises ``UnknownStatus``."""
    return _status(status).terminal


def advance(current: str | None, incoming: str) -> str:
    """The status to keep after ``incoming`` is reported while ``current`` (``None``: nothing yet) is on record.

    Repeated and late reports change nothing; a terminal status stays, except that ``delivered`` may become ``read``.
    Raises ``UnknownStatus`` for a word that is not in the table or belongs to the other direction.
    """
    reported = _status(incoming)
    if current is None:
        return incoming
    known = _status(current)
    if known.direction != reported.direction:
        raise UnknownStatus("The provider mixed up the statuses of inbound and outbound texts.", field="status")
    if known.terminal:
        return incoming if incoming in known.then else current
    return incoming if reported.rank > known.rank else current


def _status(name: str) -> _Status:
    try:
        return _tables()[0][name]
    except KeyError:
        # The word is repeated only when it looks like one: this sentence ends up in tasks and logs.
        shown = f"'{name}'" if re.fullmatch(r"[a-z][a-z_-]{1,29}", name) else "with unusual characters"
        raise UnknownStatus(f"The provider reported a status {shown} that is not known here.", field="status") from None


def action_for(code: int | str | None, http_status: int | None = None) -> Action:
    """What to do about an error ``code`` (API answer or callback) or, without a known one, the API's ``http_status``.

    Anything unknown is ``ASK_STAFF``: no retry, and loud.
    """
    _, codes, answers = _tables()
    if code is not None and (action := codes.get(str(code))):
        return action
    if http_status is None:
        return Action.ASK_STAFF
    return answers.get(str(http_status)) or answers.get(f"{http_status // 100}xx") or Action.ASK_STAFF
