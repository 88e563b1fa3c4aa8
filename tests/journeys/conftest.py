"""One journey for all tests here: the demo's story on a real stack, with marked data, watched while it happens."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coordinator.local import processes
from coordinator.local.migrations import ROOT
from coordinator.local.stack import Stack
from coordinator.local.story import Narrator, Record, Script, Story
from tests.journeys.canaries import Canaries

KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")


def clean_environment() -> dict[str, str]:
    """What a shell gives: other tests of this process may have set addresses and keys of their own."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


@dataclass
class Journey:
    """A journey that was made; its stack is still up."""

    stack: Stack
    story: Story
    record: Record
    canaries: Canaries
    told: str
    passed_through: bytes = b""
    command_lines: set[bytes] = field(default_factory=set)

    @property
    def directory(self) -> Path:
        """Where the stack keeps its data, keys and logs."""
        return self.stack.directory


@contextmanager
def listening(stack: Stack, heard: bytearray) -> Iterator[None]:
    """Every command that Valkey is sent meanwhile, as its MONITOR shows it."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(next(stack.valkey.sockets.glob("*.sock"))))
        line.sendall(b"MONITOR\r\n")
        assert line.recv(5) == b"+OK\r\n"

        def listen() -> None:
            while data := line.recv(1 << 16):
                heard.extend(data)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield
        finally:
            line.shutdown(socket.SHUT_RDWR)
            listener.join()


def command_lines() -> set[bytes]:
    """The command lines of all processes of this machine that can be read."""
    found = set()
    for entry in processes.PROC.iterdir():
        if entry.name.isdigit():
            try:
                found.add((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return found


@contextmanager
def looking_around(seen: set[bytes]) -> Iterator[None]:
    """The command lines of all processes that live meanwhile, as far as a look every tenth of a second shows them."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen.update(command_lines())

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The journey. A step that is not as it must be fails every test here, with the story's own sentence."""
    stack = Stack(tmp_path_factory.mktemp("journey"), clean_environment(), port=0, durable=False)
    canaries, told, heard, seen = Canaries(), io.StringIO(), bytearray(), set[bytes]()
    with stack:
        story = Story(stack.environment, script=Script(canaries.mark), narrator=Narrator(told))
        with listening(stack, heard), looking_around(seen):
            record = story.perform()
        yield Journey(stack, story, record, canaries, told.getvalue(), bytes(heard), seen)


def command(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m …`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
