"""Children that never outlive this process, and finding those that an earlier one left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from services.core.errors import Unavailable

UNPRIVILEGED = 65534
_IN_NAMESPACE = ["unshare", "-U", f"--map-user={UNPRIVILEGED}", f"--map-group={UNPRIVILEGED}"]
PROC = Path("/proc")


@lru_cache(maxsize=8)
def _tool(name: str) -> str | None:
    return shutil.which(name)


def tied(command: list[str], farewell: signal.Signals = signal.SIGTERM) -> list[str]:
    """``command``, made to receive ``farewell`` from the kernel when the thread that starts it ends, even by kill -9.

    Where util-linux has no ``setpriv`` the command comes back as it is: then only an orderly stop ends it.
    """
    setpriv = _tool("setpriv")
    return [setpriv, "--pdeathsig", farewell.name.removeprefix("SIG"), *command] if setpriv else command


@lru_cache(maxsize=1)
def _namespaces_work() -> bool:
    """Whether this system lets root enter a user namespace where it is nobody (most containers do not)."""
    return (
        _tool("unshare") is not None
        and subprocess.run([*_IN_NAMESPACE, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


def unprivileged_uid() -> int:
    """Who must own the files of an ``unprivileged`` command, as seen from outside: this user, unless it is root and
    has no namespace."""
    return os.geteuid() if os.geteuid() != 0 or _namespaces_work() else UNPRIVILEGED


def unprivileged(command: list[str], farewell: signal.Signals) -> list[str]:
    """``command`` tied to this process and never run as root. Raises ``Unavailable`` where root has no way to do so.

    Without namespaces it gets another user and keeps the one capability to walk through directories: a checkout under
    /root is closed to everybody else.
    """
    if os.geteuid() != 0:
        return tied(command, farewell)
    if _namespaces_work():
        return [*_IN_NAMESPACE, *tied(command, farewell)]
    if _tool("setpriv") is None:
        raise Unavailable("As root, PostgreSQL needs setpriv (package util-linux); or start as an ordinary user.")
    keep = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    setpriv, *rest = tied(command, farewell)
    return [setpriv, "--reuid", str(UNPRIVILEGED), "--regid", str(UNPRIVILEGED), "--clear-groups", *keep, *rest]


def give(tree: Path, uid: int) -> None:
    """As root: make ``uid`` the owner of everything under ``tree``; links are not followed. Else nothing."""
    if os.geteuid() != 0:
        return
    for folder, folders, files in os.walk(tree):
        for entry in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            os.chown(entry, uid, -1, follow_symlinks=False)


def naming(token: str) -> list[int]:
    """The ids of all living processes, other than this one, whose command line holds ``token``."""
    found = []
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if token.encode() in command:
            found.append(int(entry.name))
    return found


def end(pids: list[int], how: signal.Signals = signal.SIGKILL) -> None:
    """Send ``how`` to each of ``pids`` that still lives."""
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            continue


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask ``condition`` again and again until it holds; False when ``seconds`` have passed first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
