"""What each fault did to the work: so much in, so much out, nothing twice, nothing lost. Shown at the end of the run.

A test hands its ``Count`` to the fixture ``counted``, which asserts it and lets it travel with the test's report, so
that the table is complete with several test processes too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

COUNTED = "fault counted"
HEADINGS = ("fault", "in", "out", "doubles", "lost", "proof")


@dataclass(frozen=True)
class Count:
    """One fault: ``came_in`` events or requests, ``went_out`` effects, and ``proof`` that the fault really happened."""

    fault: str
    came_in: int
    went_out: int
    doubles: int
    lost: int
    proof: str = ""

    @classmethod
    def of(cls, fault: str, effects: Iterable[int], proof: str = "") -> Count:
        """Count from the number of effects of each thing that came in, which should be one."""
        numbers = list(effects)
        doubles = sum(max(number - 1, 0) for number in numbers)
        return cls(fault, len(numbers), sum(numbers), doubles, numbers.count(0), proof)


def lines(counts: Sequence[Count]) -> Iterator[str]:
    """The counts as a table."""
    rows = [HEADINGS, *(tuple(str(value) for value in asdict(count).values()) for count in counts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    for fault, *numbers, proof in rows:
        aligned = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        yield f"{fault.ljust(widths[0])}  {'  '.join(aligned)}  {proof}".rstrip()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of all faults of this run."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    counts = [
        Count(**value)
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == COUNTED
    ]
    if counts:
        terminalreporter.section("faults: in, out, doubles, lost")
        for line in lines(sorted(counts, key=lambda count: count.fault)):
            terminalreporter.write_line(line)
