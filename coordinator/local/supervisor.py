"""Runs the processes of the service on one machine, restarts those that die, and leaves none behind.

Why not honcho: it ends everything as soon as one process ends, knows no order and cannot restart. Here a killed worker
comes back, programs stop in the order in which work flows (web first, sandbox last), and the kernel ends them all even
when this process is killed with -9.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from coordinator.local import processes
from coordinator.local.servers import EmbeddedServer
from services.core.errors import Unavailable

WATCH_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 20.0  # a program that lived this long starts again with the first pause
COLORS = (36, 33, 32, 35, 34, 31)


@dataclass(frozen=True)
class Program:
    """One process to keep alive. Programs of a lower ``rank`` start earlier and stop later."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    rank: int = 0
    stop_seconds: float = 15


@dataclass
class _Child:
    """A program and the process that runs it now."""

    program: Program
    color: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    due_at: float | None = None
    restarts: int = 0
    pumps: list[threading.Thread] = field(default_factory=list)


class Supervisor:
    """Keeps ``programs`` alive in ``directory``, and restarts crashed ``servers``.

    What a program writes goes to ``logs/<name>.log``; with ``echo`` also to the terminal, prefixed with its name.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        directory: Path,
        logs: Path,
        servers: Sequence[EmbeddedServer] = (),
        echo: bool = False,
    ) -> None:
        ordered = sorted(programs, key=lambda program: program.rank)
        self._children = {p.name: _Child(p, COLORS[n % len(COLORS)]) for n, p in enumerate(ordered)}
        self._directory = directory
        self._logs = logs
        self._servers = servers
        self._echo = echo
        self._width = max((len(p.name) for p in programs), default=0)
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._watcher: threading.Thread | None = None

    def start(self, names: Collection[str] | None = None) -> None:
        """Start every program, or at first only those in ``names``, and begin to watch them. Called again: the rest."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._turn:
            for name, child in self._children.items():
                if child.process is None and (names is None or name in names):
                    (self._logs / f"{name}.log").write_bytes(b"")
                    self._launch(child)
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="supervisor")
            self._watcher.start()

    def stop(self) -> None:
        """Stop rank after rank, highest first, killing what takes too long. May be called again."""
        self._stopping.set()
        with self._turn:
            for rank in sorted({child.program.rank for child in self._children.values()}, reverse=True):
                children = [child for child in self._children.values() if child.program.rank == rank]
                for child in children:
                    if child.process is not None:
                        child.process.terminate()
                for child in children:
                    _wait(child)
        self._stopped.set()
        if self._watcher is not None:
            self._watcher.join()

    def pid(self, name: str) -> int | None:
        """The process id of a program, None while it is down. Raises ``KeyError`` for an unknown name."""
        process = self._children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def ended(self) -> list[str]:
        """The programs that have ended by themselves at least once."""
        return [name for name, child in self._children.items() if child.restarts or child.due_at is not None]

    def restarts(self) -> dict[str, int]:
        """How often each program had to be started again."""
        return {name: child.restarts for name, child in self._children.items()}

    def _launch(self, child: _Child) -> None:
        program = child.program
        log = (self._logs / f"{program.name}.log").open("ab")
        child.process = subprocess.Popen(
            processes.tied(list(program.command)),
            cwd=self._directory,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._echo else log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        child.started_at = time.monotonic()
        child.due_at = None
        if child.process.stdout is None:
            log.close()
            return
        pump = threading.Thread(target=self._pump, args=(child, child.process.stdout, log), daemon=True)
        child.pumps = [*(old for old in child.pumps if old.is_alive()), pump]
        pump.start()

    def _pump(self, child: _Child, source: BinaryIO, log: BinaryIO) -> None:
        """Copy lines to the log and to the terminal until the program has closed its side."""
        with source, log:
            for line in source:
                log.write(line)
                log.flush()
                self._say(child, line.decode(errors="replace").rstrip())

    def _say(self, child: _Child, line: str) -> None:
        prefix = f"{child.program.name:<{self._width}} │ "
        if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            prefix = f"\x1b[{child.color}m{prefix}\x1b[0m"
        print(prefix + line, flush=True)

    def _watch(self) -> None:
        """Restart what has died, until told to stop.

        What is restarted here is tied to this thread, which therefore lives until the last program has stopped.
        """
        while not self._stopping.wait(WATCH_SECONDS):
            with self._turn:
                for server in self._servers:
                    if server.crashed:
                        _restart(server)
                for child in self._children.values():
                    self._revive(child)
        self._stopped.wait()

    def _revive(self, child: _Child) -> None:
        now = time.monotonic()
        if self._stopping.is_set() or child.process is None or child.process.poll() is None:
            return
        if child.due_at is None:
            _kill_group(child.process)  # what it left behind
            if now - child.started_at >= STEADY_SECONDS:
                child.pause = FIRST_PAUSE_SECONDS
            self._note(child, f"ended with {child.process.returncode}, starting again in {child.pause:.1f} s")
            child.due_at = now + child.pause
            child.pause = min(child.pause * 2, LONGEST_PAUSE_SECONDS)
        elif now >= child.due_at:
            child.restarts += 1
            self._launch(child)

    def _note(self, child: _Child, text: str) -> None:
        with (self._logs / f"{child.program.name}.log").open("a", encoding="utf-8") as log:
            log.write(f"supervisor: {text}\n")
        if self._echo:
            self._say(child, text)


def _restart(server: EmbeddedServer) -> None:
    """Start a crashed server; one that does not come up now is tried again on the next turn."""
    try:
        server.start()
    except Unavailable as error:
        print(error.message, file=sys.stderr, flush=True)


def _wait(child: _Child) -> None:
    """Wait for a program that was told to stop; kill it when it takes too long, and in any case what it left behind."""
    if child.process is None:
        return
    try:
        child.process.wait(child.program.stop_seconds)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
    _kill_group(child.process)
    for pump in child.pumps:
        pump.join(timeout=1)


def _kill_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the group that ``leader`` led."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
