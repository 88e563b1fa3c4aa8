"""Mutants that no test can notice, each with the reason: they mean the same as what they were made from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.running import Fate, Outcome

FILE: Final = Path(__file__).with_name("explained.toml")


@dataclass(frozen=True)
class Explained:
    """One mutant of ``module``, as ``Mutant.name`` names it, and why it may survive."""

    module: str
    name: str
    reason: str


class BadExplanation(Exception):
    """The file does not have its form."""


def read_explained(file: Path = FILE) -> list[Explained]:
    """The list. Raises ``BadExplanation`` for an entry given twice, with a part missing, or without a real reason."""
    found = []
    for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("explained", []):
        if set(entry) != {"module", "mutant", "reason"} or not all(isinstance(each, str) for each in entry.values()):
            raise BadExplanation(f"An entry has module, mutant and reason: {entry}")
        if len(entry["reason"].split()) < 4:
            raise BadExplanation(f"A reason is a sentence: {entry}")
        found.append(Explained(entry["module"], entry["mutant"], entry["reason"]))
    if len({(each.module, each.name) for each in found}) < len(found):
        raise BadExplanation("A mutant is explained twice.")
    return found


def stale(reasons: Mapping[str, str], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What is explained and is not so any more."""
    fates = {each.name: each.fate for each in outcomes}
    for name in reasons:
        if name not in fates:
            yield f"there is no such mutant any more: {name}"
        elif fates[name] is not Fate.SURVIVED:
            yield f"it does not survive: {name}"
