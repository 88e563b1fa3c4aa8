"""The demo's clock: the file of seconds by which every process of the stack moves time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from services.core import clock

NAME = "COORDINATOR_CLOCK_FILE"


class MovableClock:
    """Moves time forward for all who read the clock file of ``environment``, and tells it as in ``zone``."""

    def __init__(self, environment: Mapping[str, str], zone: str) -> None:
        self._file = Path(environment[NAME])
        self.zone = ZoneInfo(zone)
        self.first_day = self.now().date()

    def now(self) -> datetime:
        """The story's present moment, in its zone."""
        return clock.now().astimezone(self.zone)

    def begin_at(self, hour: int) -> None:
        """Move to the next time that it is ``hour`` o'clock; that day is day 1."""
        now = self.now()
        start = datetime.combine(now.date(), time(hour), self.zone)
        if start < now:
            start = datetime.combine(now.date() + timedelta(days=1), time(hour), self.zone)
        self.move_to(start)
        self.first_day = start.date()

    def on_day(self, day: int, at: str) -> datetime:
        """A moment of the story: ``at`` (``HH:MM``) on its ``day``-th day."""
        return datetime.combine(self.first_day + timedelta(days=day - 1), time.fromisoformat(at), self.zone)

    @property
    def day(self) -> int:
        """Which day of the story it is, from 1."""
        return (self.now().date() - self.first_day).days + 1

    @property
    def stamp(self) -> str:
        """The present moment as the story shows it."""
        return f"day {self.day:>2} {self.now():%H:%M}"

    def move_to(self, moment: datetime) -> timedelta:
        """Let it be ``moment`` now, if that lies ahead; gives by how much time moved."""
        # In UTC: two times of one zone are subtracted by the wall clock, which may be set back or forth in between.
        gap = moment.astimezone(UTC) - clock.now()
        if gap <= timedelta(0):
            return timedelta(0)
        return self.move_by(gap)

    def move_by(self, gap: timedelta) -> timedelta:
        """Let ``gap`` pass at once; it must not be negative."""
        if gap < timedelta(0):
            raise ValueError("Time does not go back.")
        text = self._file.read_text(encoding="ascii").strip()
        seconds = float(text or 0) + gap.total_seconds()
        # Replaced in one act: whoever read a half-written file would see time jump back.
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(f"{seconds:.6f}\n", encoding="ascii")
        unfinished.replace(self._file)
        return gap


@contextmanager
def following(environment: Mapping[str, str]) -> Iterator[None]:
    """Let ``services.core.clock`` of this process follow the stack's clock file for a while."""
    before = os.environ.get(NAME)
    os.environ[NAME] = environment[NAME]
    try:
        yield
    finally:
        if before is None:
            del os.environ[NAME]
        else:
            os.environ[NAME] = before
