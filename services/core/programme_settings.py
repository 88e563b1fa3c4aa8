"""The settings of a programme: every clinical number, duty and default of one way of working, by name.

Rules ask for a setting by its dotted name (``vitals.start.systolic_below``), so that a finding can say which setting
it read. A programme is immutable; its ``version`` is stored with every decision made under it. How one is read from its
file stands in ``programme.py``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from services.core.errors import InvalidConfiguration

NOBODY_YET: Final = "nobody yet: shipped starting values"
DIGEST_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Approval:
    """Who answers for a value, and the day from which it holds."""

    effective_from: date
    approved_by: str


@dataclass(frozen=True)
class Programme:
    """The settings of one version of a programme.

    ``version`` is made of name, declared version and a hash of everything in it. ``approvals`` names for each setting
    since when it holds and who approved it. ``is_starting`` marks what was shipped and no clinic has approved: good for
    trying out, refused in production.
    """

    name: str
    version: str
    settings: Mapping[str, Any]
    title: str = ""
    effective_from: date = date.min
    approved_by: str = NOBODY_YET
    is_starting: bool = True
    approvals: Mapping[str, Approval] = field(default_factory=dict)

    def value(self, setting: str) -> Any:
        """The value of a setting. Raises ``InvalidConfiguration`` when no file defines that name."""
        try:
            return self.settings[setting]
        except KeyError:
            raise InvalidConfiguration(f"The programme '{self.name}' has no setting '{setting}'.") from None

    def number(self, setting: str) -> float:
        """A numeric setting; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        # TOML knows nan and inf; nothing is below or above nan, so that a limit of nan would let everything pass.
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a number.")
        return value

    def whole(self, setting: str) -> int:
        """An integer setting; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a whole number.")
        return value

    def flag(self, setting: str) -> bool:
        """A setting that is true or false; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if not isinstance(value, bool):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be true or false.")
        return value

    def text(self, setting: str) -> str:
        """A text setting; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if not isinstance(value, str):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a text.")
        return value

    def choices(self, setting: str) -> frozenset[str]:
        """A setting that lists texts; ``InvalidConfiguration`` when it is something else."""
        value = self.value(setting)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidConfiguration(f"The setting '{setting}' of '{self.name}' must be a list of texts.")
        return frozenset(value)

    def section(self, prefix: str) -> dict[str, Any]:
        """All settings below ``prefix`` (``texts``), by the rest of their names; empty when there are none."""
        start = f"{prefix}."
        return {name[len(start) :]: value for name, value in self.settings.items() if name.startswith(start)}

    def approval_of(self, setting: str) -> Approval:
        """Since when a setting has its value, and who approved it. Raises as ``value`` does."""
        self.value(setting)
        return self.approvals.get(setting) or Approval(self.effective_from, self.approved_by)

    def as_dict(self) -> dict[str, Any]:
        """The whole programme as plain JSON types, for storing the version that episodes are pinned to."""
        return {
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "effective_from": self.effective_from.isoformat(),
            "approved_by": self.approved_by,
            "is_starting": self.is_starting,
            "settings": dict(self.settings),
            "approvals": {
                setting: [each.effective_from.isoformat(), each.approved_by] for setting, each in self.approvals.items()
            },
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Programme:
        """The programme that ``as_dict`` gave. Raises ``InvalidConfiguration`` when it is not what its version says."""
        approvals = {
            setting: Approval(date.fromisoformat(day), who) for setting, (day, who) in stored["approvals"].items()
        }
        programme = cls(
            name=stored["name"],
            version=stored["version"],
            settings=MappingProxyType(dict(stored["settings"])),
            title=stored["title"],
            effective_from=date.fromisoformat(stored["effective_from"]),
            approved_by=stored["approved_by"],
            is_starting=stored["is_starting"],
            approvals=MappingProxyType(approvals),
        )
        if not programme.version.endswith(f"-{programme.digest()}"):
            raise InvalidConfiguration(f"The stored programme '{programme.version}' was altered.")
        return programme

    def digest(self) -> str:
        """The hash of everything but the version itself, which ends in it."""
        content = {name: value for name, value in self.as_dict().items() if name != "version"}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:DIGEST_DIGITS]
