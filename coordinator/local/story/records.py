"""What came of the story: its steps, what followed from them, and how long each hand-over took."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median


class Unmet(Exception):
    """Something in the story did not happen as it must; the message is a sentence."""


@dataclass
class StepRecord:
    """What happened in one step of the journey.

    ``tasks`` and ``notices`` are the kinds that appeared, ``texts`` the words that reached a phone, ``kept_back`` the
    kinds of texts that could not go, ``refusals`` the ids of the rules (or the status) that refused.
    """

    number: int
    title: str
    calls: int = 0
    tasks: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    kept_back: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    done: bool = False


@dataclass
class Record:
    """The whole story: its steps in the order told, and every hand-over in milliseconds.

    A hand-over runs from the answer of a call (or the moment to which time was moved) until what follows from it can be
    seen: a task in an inbox, a notice, a text at the provider.
    """

    steps: list[StepRecord] = field(default_factory=list)
    handovers: list[tuple[str, float]] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """The hand-over in the middle."""
        return median(ms for _, ms in self.handovers) if self.handovers else 0.0

    @property
    def slowest(self) -> tuple[str, float]:
        """The slowest hand-over: what it was, and its milliseconds."""
        return max(self.handovers, key=lambda handover: handover[1], default=("", 0.0))

    def summary(self) -> list[tuple[str, str]]:
        """The story in figures, as names and values."""
        steps = self.steps
        slowest, slowest_ms = self.slowest
        return [
            ("steps done", f"{sum(step.done for step in steps)} of {len(steps)}"),
            ("calls on the API", str(sum(step.calls for step in steps))),
            ("tasks that appeared", str(sum(len(step.tasks) for step in steps))),
            ("notices in the app", str(sum(len(step.notices) for step in steps))),
            ("texts on phones", str(sum(len(step.texts) for step in steps))),
            ("texts kept back by a rule", str(sum(len(step.kept_back) for step in steps))),
            ("refused, as it must be", str(sum(len(step.refusals) for step in steps))),
            ("hand-overs", f"{len(self.handovers)}: median {self.median_ms:.0f} ms, slowest {slowest_ms:.0f} ms"),
            ("the slowest one", slowest),
        ]
