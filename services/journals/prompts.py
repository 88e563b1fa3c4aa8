"""What a programme gives its patients to write and to do around a session: ``[journal]`` in its file.

[journal]
offered = true
before_session = ["What do you hope for today?"]
after_session = ["What stays with you?"]
to_do_before_session = ["Sit quietly for ten minutes."]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from services.core.programme import Programme

LONGEST: Final = 300
MOST: Final = 20


class Occasion(StrEnum):
    """When an entry is written."""

    BEFORE_SESSION = "before_session"
    AFTER_SESSION = "after_session"
    ANY_TIME = "any_time"


PROMPTED: Final = (Occasion.BEFORE_SESSION, Occasion.AFTER_SESSION)
TO_DO: Final = "to_do_before_session"


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts of a programme, each list in its order."""

    before_session: Sequence[str]
    after_session: Sequence[str]
    to_do_before_session: Sequence[str]

    def of(self, occasion: Occasion) -> Sequence[str]:
        """The prompts of one occasion; none at any other time."""
        return {Occasion.BEFORE_SESSION: self.before_session, Occasion.AFTER_SESSION: self.after_session}.get(
            occasion, ()
        )


def prompts_of(programme: Programme) -> Prompts:
    """What the programme gives its patients; nothing where it offers no journal."""
    return Prompts(*(_texts(programme, name) for name in (*PROMPTED, TO_DO)))


def _texts(programme: Programme, name: str) -> tuple[str, ...]:
    # Things to do before a session need no journal: some programmes ask for a meditation and nothing else.
    if name != TO_DO and not programme.value("journal.offered"):
        return ()
    return tuple(programme.value(f"journal.{name}"))


def prompt_problems(programme: Programme) -> dict[str, str]:
    """What is wrong with the texts under ``[journal]``, by setting; empty when nothing is."""
    problems = {}
    for setting, value in programme.settings.items():
        if not setting.startswith("journal."):
            continue
        wrong = _problem(setting.removeprefix("journal."), value)
        if wrong is not None:
            problems[setting] = wrong
    return problems


def _problem(name: str, value: Any) -> str | None:
    if name == "offered":
        return None if isinstance(value, bool) else "This must be true or false."
    if name not in (*PROMPTED, TO_DO):
        return f"There are offered, {', '.join(PROMPTED)} and {TO_DO} to set."
    if not isinstance(value, list) or len(value) > MOST or not all(map(_is_text, value)):
        return f"This must be a list of at most {MOST} texts of 1 to {LONGEST} printable characters."
    return None


def _is_text(each: Any) -> bool:
    return isinstance(each, str) and len(each.strip()) > 0 and len(each) <= LONGEST and each.isprintable()
