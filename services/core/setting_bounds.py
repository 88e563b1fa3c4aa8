"""How far a clinic may go: what the law, the domain reference or plain sense allow for a setting.

``setting_bounds.toml`` holds the table and explains its keys; this module asks it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "setting_bounds.toml"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The table of bounds by the name of the setting."""

    rows: Mapping[str, Mapping[str, Any]]

    def problem(self, setting: str, value: Any) -> str | None:
        """What is wrong with a value, to be put behind the name of the setting; None when it is allowed."""
        row = self._row(setting)
        because = f" ({row['source']})" if "source" in row else ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            least, most = row.get("least", 0), row.get("most")
            if value < least:
                return f"must not be less than {least}{because}."
            if most is not None and value > most:
                return f"must not be more than {most}{because}."
        if "one_of" in row and value not in row["one_of"]:
            return f"must be one of {', '.join(map(str, row['one_of']))}{because}."
        if "holds" in row and not set(row["holds"]) <= set(value):
            return f"must hold {', '.join(map(str, row['holds']))}{because}."
        if "only" in row and not set(value) <= set(row["only"]):
            return f"may hold {', '.join(map(str, row['only']))} only{because}."
        if "entries_least" in row and any(entry < row["entries_least"] for entry in value):
            return f"may hold nothing less than {row['entries_least']}{because}."
        if "entries_most" in row and any(entry > row["entries_most"] for entry in value):
            return f"may hold nothing more than {row['entries_most']}{because}."
        if row.get("kind") == "day" and not _is_day(value):
            return f"must be a day such as 2026-12-31{because}."
        return None

    def may_be_fraction(self, setting: str) -> bool:
        """Whether a number that is whole in the default may have a fraction elsewhere."""
        return bool(self._row(setting).get("fraction", False))

    def _row(self, setting: str) -> Mapping[str, Any]:
        """The row of a setting, or else the one for all settings of its section."""
        return self.rows.get(setting) or self.rows.get(f"{setting.rpartition('.')[0]}.*", {})


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@lru_cache(maxsize=1)
def bounds() -> Bounds:
    """The table, read once per process."""
    return Bounds(_table()["setting"])


@lru_cache(maxsize=1)
def order() -> tuple[tuple[str, str], ...]:
    """Pairs of settings of which the first must not be more than the second."""
    return tuple((smaller, larger) for smaller, larger in _table()["order"]["not_more_than"])


def _table() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
