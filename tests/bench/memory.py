"""Resident memory of every process of the stack."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from coordinator.local.stack import Stack

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def processes_of(stack: Stack) -> dict[str, int]:
    """The process ids of our own programs by name; what a program forked has a number behind its name."""
    assert stack.supervisor is not None
    found: dict[str, int] = {}
    for name in stack.supervisor.restarts():
        pid = stack.supervisor.pid(name)
        if pid is None:
            continue
        family = [pid, *_children(pid)]
        for index, member in enumerate(family):
            found[name if index == 0 else f"{name}-{index}"] = member
    return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    direct = [int(each) for each in text.split()]
    return direct + [each for child in direct for each in _children(child)]


def resident_mb(pid: int) -> float:
    """Megabytes that a process has in memory, shared or not."""
    return round(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_MB, 1)


def proportional_mb(pids: Iterable[int]) -> float:
    """Megabytes that processes have in memory together: what several share is counted once."""
    return round(sum(_proportional(pid) for pid in pids), 1)


def _proportional(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
