"""A lean HTTP client on a kept-alive connection, so that the measurement does not measure the client."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Client:
    """One connection to the web process, with one bearer token."""

    def __init__(self, port: int, token: str) -> None:
        self._address = ("127.0.0.1", port)
        self._headers = f"Host: bench\r\nAuthorization: Bearer {token}\r\n"
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._address, timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")

    def get(self, path: str) -> Any:
        return self._call(f"GET {path} HTTP/1.1\r\n{self._headers}\r\n".encode())

    def post(self, path: str, body: Any) -> Any:
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\n{self._headers}Idempotency-Key: {secrets.token_hex(12)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return self._call(head.encode() + content)

    def _call(self, request: bytes) -> Any:
        self._socket.sendall(request)
        status = int(self._stream.readline().split(b" ", 2)[1])
        length = 0
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = self._stream.read(length)
        if status >= 400:
            raise RuntimeError(f"{status}: {body[:300]!r}")
        return json.loads(body) if body else None


@dataclass(frozen=True)
class Measured:
    """Times of all calls in milliseconds, and how long it all took in seconds."""

    milliseconds: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def measure(clients: int, seconds: float, make_call: Callable[[int], Callable[[], None]]) -> Measured:
    """Let ``clients`` threads call as fast as they can for ``seconds``; ``make_call(n)`` prepares the call of each."""
    times: list[list[float]] = [[] for _ in range(clients)]
    calls = [make_call(number) for number in range(clients)]
    for call in calls:
        call()  # the first call of a connection is not like the others
    start = time.perf_counter()
    end = start + seconds
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            while (began := time.perf_counter()) < end:
                calls[number]()
                times[number].append((time.perf_counter() - began) * 1000)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Measured([each for some in times for each in some], time.perf_counter() - start)
