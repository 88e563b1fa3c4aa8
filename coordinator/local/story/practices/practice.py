"""What makes a practice's own story: its programme, its people and patients, and its chapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.local.story.cast import ORGANISATIONS, Cast, cast_of
from coordinator.local.story.scripts import Character, Script
from coordinator.local.story.stage import Stage


@dataclass(frozen=True)
class Practice:
    """One of the five practices (DOMAIN 1). ``exchange`` is the block of its made-up phone numbers.

    ``names`` are its organisations', by kind; what is not named there is called as in the journey. ``locations`` are
    where the practice treats besides its own address.
    """

    programme: str
    title: str
    exchange: str
    names: Mapping[str, str]
    characters: Sequence[Character]
    chapters: Sequence[Callable[[Stage], None]]
    two_therapists: bool = False
    locations: Sequence[Mapping[str, str]] = ()

    def script(self) -> Script:
        """The patients."""
        return Script(characters=self.characters)

    def cast(self, script: Script) -> Cast:
        """The people."""
        return cast_of(
            script,
            domain=f"{self.programme.replace('_', '-')}.example.org",
            exchange=self.exchange,
            two_therapists=self.two_therapists,
        )

    def organisations(self) -> dict[str, dict[str, Any]]:
        """The organisations as they are founded: practice and medical team work by this programme."""
        made = {kind: dict(details) for kind, details in ORGANISATIONS.items()}
        for kind, name in self.names.items():
            made[kind] |= {"name": name, "short_name": name[:24].strip()}
        for kind in ("practice", "medical_team"):
            made[kind]["programme"] = self.programme
        made["practice"]["locations"] = self.locations
        return made
