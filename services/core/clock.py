"""The one source of the present time. All rules read ``now()``; nothing else asks the operating system.

The demo and the tests move time forward by writing a number of seconds into the file named by
``COORDINATOR_CLOCK_FILE``; every process of the stack follows. Production refuses that variable (see ``config.py``).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path


class _Offset:
    """The seconds by which a clock file moves time, reread only when the file changes."""

    def __init__(self) -> None:
        self._seen: tuple[int, int, int] | None = None
        self._seconds = timedelta()

    def read(self, path: str) -> timedelta:
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            return timedelta()
        # With the size: writing cuts a file off first, and both may happen within one tick of the file's time.
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            text = Path(path).read_text(encoding="ascii").strip()
            self._seconds = timedelta(seconds=float(text or 0))
            self._seen = seen
        return self._seconds


_offset = _Offset()


def now() -> datetime:
    """The present moment, aware and in UTC."""
    present = datetime.now(UTC)
    path = os.environ.get("COORDINATOR_CLOCK_FILE")
    return present + _offset.read(path) if path else present


def in_minutes(span: timedelta) -> float:
    """How many minutes a span has, to the hundredth: for telling people and records, not for comparing."""
    return round(span / timedelta(minutes=1), 2)


def in_hours(span: timedelta) -> float:
    """How many hours a span has, to the hundredth; as ``in_minutes``."""
    return round(span / timedelta(hours=1), 2)
