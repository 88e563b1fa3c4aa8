"""How sure a proportion is: its confidence interval, reckoned by scipy, which is loaded only when a report is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from services.core.errors import InvalidConfiguration
from services.core.programme import Programme

METHODS = ("wilson", "exact")
"""Wilson's score interval, and that of Clopper and Pearson."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A proportion in percent, between ``low`` and ``high`` with so many percent of confidence, by a named method."""

    percent: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """The interval as plain JSON types, to a tenth of a percent."""
        return {name: round(getattr(self, name), 1) for name in ("percent", "low", "high")}


@dataclass(frozen=True, slots=True)
class Confidence:
    """How intervals are reckoned: ``method`` of ``METHODS``, ``percent`` of confidence."""

    method: str
    percent: float

    @classmethod
    def of(cls, programme: Programme) -> Confidence:
        """As a programme has it. Raises ``InvalidConfiguration`` for a method that is not known."""
        method = programme.text("outcomes.cohort.interval_method")
        if method not in METHODS:
            raise InvalidConfiguration(f"'outcomes.cohort.interval_method' must be one of {', '.join(METHODS)}.")
        return cls(method, programme.number("outcomes.cohort.confidence_percent"))

    def interval(self, count: int, of: int) -> Interval:
        """The interval of ``count`` people out of ``of``, which must be more than none."""
        from scipy.stats import binomtest

        method = cast(Literal["wilson", "exact"], self.method)
        found = binomtest(count, of).proportion_ci(confidence_level=self.percent / 100, method=method)
        return Interval(100 * count / of, 100 * float(found.low), 100 * float(found.high))
