"""Requests and answers of the sandbox on the wire, including the answers that a healthy server never gives."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.core.errors import InvalidInput

MAX_BODY = 1_000_000
HANG_SECONDS = 120


@dataclass(frozen=True)
class Reply:
    """An answer; ``ending`` is what happens to the connection: an answer, a reset, or silence."""

    status: int
    body: Any
    ending: str = "answer"


@dataclass(frozen=True)
class Ask:
    """A request: the parts of its path, its query, its body and its headers (names in lower case)."""

    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]

    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; nothing is an empty one. Raises ``InvalidInput``."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise InvalidInput("The body is not JSON.") from error
        if not isinstance(value, dict):
            raise InvalidInput("The body is not a JSON object.")
        return value


class WireServer(ThreadingHTTPServer):
    """A server on loopback that gives every request to ``answer`` and ends the connection as the reply says."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[str, Ask], Reply], stopping: threading.Event) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.stopping = stopping

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: WireServer
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        """Read the request, answer it, and end the connection as the reply says."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            return self._write(Reply(413, {"message": "too large"}))
        url = urlsplit(self.path)
        body = self.rfile.read(length)
        ask = Ask(
            tuple(part for part in url.path.split("/") if part),
            dict(parse_qsl(url.query)),
            body,
            {name.lower(): value for name, value in self.headers.items()},
        )
        reply = self.server.answer(self.command, ask)
        if reply.ending == "answer":
            return self._write(reply)
        self.close_connection = True
        if reply.ending == "hang":
            return self._wait_for_client_to_leave()
        # Linger for zero seconds: the kernel then sends RST in place of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return None

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names are the base class's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing: addresses hold tracking codes and phone numbers."""

    def _write(self, reply: Reply) -> None:
        body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wait_for_client_to_leave(self) -> None:
        for _ in range(HANG_SECONDS * 10):
            readable, _, _ = select.select([self.connection], [], [], 0.1)
            if self.server.stopping.is_set() or (readable and not self.connection.recv(1)):
                return
