"""Watching a journey while it happens: what is sent to Valkey, and the command lines of processes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from coordinator.local import processes
from coordinator.local.stack import Stack


@dataclass
class Watch:
    """``heard``: every command that Valkey was sent, as its MONITOR shows it; ``seen``: all command lines."""

    heard: bytearray = field(default_factory=bytearray)
    seen: set[bytes] = field(default_factory=set)


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
def watching(stack: Stack) -> Iterator[Watch]:
    """Watch until the block ends. Processes are looked for five times a second."""
    watch, over = Watch(), threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            watch.seen.update(command_lines())

    def listen() -> None:
        while data := line.recv(1 << 16):
            watch.heard.extend(data)

    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(next(stack.valkey.sockets.glob("*.sock"))))
        line.sendall(b"MONITOR\r\n")
        assert line.recv(5) == b"+OK\r\n"
        threads = [threading.Thread(target=look), threading.Thread(target=listen)]
        for thread in threads:
            thread.start()
        try:
            yield watch
        finally:
            over.set()
            line.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
