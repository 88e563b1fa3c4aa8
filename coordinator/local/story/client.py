"""A JSON client on one kept-alive connection: bearer tokens, a fresh idempotency key for every POST, problems kept."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from coordinator.local.story.records import Unmet

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """What came back: ``body`` is the parsed JSON (None without one), ``at`` the monotonic moment it was complete."""

    status: int
    body: Any
    headers: Mapping[str, str]
    at: float

    @property
    def rules(self) -> list[str]:
        """The ids of the rules that a problem names: its own and those of its findings."""
        if not isinstance(self.body, dict):
            return []
        named = [finding["rule"] for finding in self.body.get("findings") or ()]
        own = self.body.get("rule")
        return named if own is None or own in named else [own, *named]

    @property
    def sentence(self) -> str:
        """What a problem says to people: its findings' sentences, else its own."""
        if not isinstance(self.body, dict):
            return ""
        found = [str(finding["sentence"]) for finding in self.body.get("findings") or ()]
        return " ".join(found) or str(self.body.get("detail", ""))


class Client:
    """Calls one server, from the loopback address ``source`` if one is given.

    ``problems`` keeps the raw body of everything that was refused.
    """

    def __init__(self, base_url: str, *, source: str | None = None) -> None:
        parts = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1",
            parts.port,
            timeout=TIMEOUT_SECONDS,
            source_address=None if source is None else (source, 0),
        )
        self._prefix = parts.path.rstrip("/")
        self.problems: list[bytes] = []

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        version: int | None = None,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Make one call. ``version`` is sent as ``If-Match``; ``key`` stands in for a fresh idempotency key.

        Raises ``Unmet`` when nobody answers.
        """
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if method == "POST":
            headers["Idempotency-Key"] = key or secrets.token_hex(12)
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        content = None
        if method != "GET":
            headers["Content-Type"] = "application/json"
            content = json.dumps({} if body is None else body).encode()
        target = self._prefix + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        return self._answer(method, target, content, headers)

    def _answer(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        response, raw = self._exchange(method, target, content, headers)
        at = time.monotonic()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            self.problems.append(raw)
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status, json.loads(raw) if raw and is_json else None, dict(response.headers), at)

    def text(self, path: str) -> str:
        """What a plain-text address says."""
        _, raw = self._exchange("GET", self._prefix + path, None, {})
        return raw.decode()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _exchange(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Ask, and once more when the server closed the kept-alive connection; the idempotency key makes that safe."""
        for is_last in (False, True):
            try:
                self._connection.request(method, target, body=content, headers=dict(headers))
                response = self._connection.getresponse()
                return response, response.read()
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                if is_last:
                    address = f"{self._connection.host}:{self._connection.port}"
                    raise Unmet(f"{address} does not answer: {type(error).__name__}.") from error
        raise AssertionError("The loop returns or raises.")
