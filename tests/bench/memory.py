"""Resident memory of every process of the stack."""

from __future__ import annotations

import os
from pathlib import Path

from coordinator.local.stack import Stack

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def rss_mb(stack: Stack) -> dict[str, float]:
    """Megabytes by process, named after the program; PostgreSQL's many processes count as one, shared memory once."""
    assert stack.supervisor is not None
    found: dict[str, float] = {}
    for name in stack.supervisor.restarts():
        pid = stack.supervisor.pid(name)
        if pid is None:
            continue
        family = [pid, *_children(pid)]
        for index, member in enumerate(family):
            found[name if index == 0 else f"{name}-{index}"] = _resident(member)
    return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    direct = [int(each) for each in text.split()]
    return direct + [each for child in direct for each in _children(child)]


def _resident(pid: int) -> float:
    return round(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_MB, 1)


def server_mb(pids: list[int]) -> float:
    """Proportional megabytes of a server's processes together: what they share is counted once."""
    return round(sum(_proportional(pid) for pid in pids), 1)


def _proportional(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
