"""Ways in which a provider can fail, ordered in advance: each one spoils exactly one of the next sends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.core.errors import InvalidInput

PROVIDERS = ("twilio", "easypost")
KINDS: Mapping[str, str] = {
    "429": "answers 429, takes nothing",
    "500": "answers 500, takes nothing",
    "503": "answers 503, takes nothing",
    "refuse": "answers 400 with the provider's error 'code', takes nothing",
    "reset": "resets the connection, takes nothing",
    "hang": "takes nothing and never answers",
    "accept_then_reset": "takes the message, then resets the connection",
    "accept_then_hang": "takes the message and never answers",
    "accept_then_vanish": "takes the message, never answers and never calls back",
    "accept_then_500": "takes the message and answers 500",
    "undelivered": "takes the message; its last callback says undelivered with error 'code'",
    "failed": "takes the message; its last callback says failed with error 'code'",
    "drop_callbacks": "takes the message and never calls back",
    "repeat_callbacks": "takes the message and sends every callback three times",
    "reverse_callbacks": "takes the message and sends its callbacks last one first",
    "parallel_callbacks": "takes the message and sends all its callbacks at once, twice",
}


@dataclass(frozen=True)
class Fault:
    """One spoilt send. ``code`` is the provider's error code, for the kinds that have one."""

    kind: str
    code: int

    @property
    def takes_nothing(self) -> bool:
        """Whether the provider keeps no trace of the send."""
        return self.kind in {"429", "500", "503", "refuse", "reset", "hang"}


class Faults:
    """The faults still to come, in order, for each provider. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Fault]] = {provider: deque() for provider in PROVIDERS}

    def order(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Add what ``{"kind", "count"=1, "code"=30003, "provider"="twilio"}`` asks for. Raises ``InvalidInput``."""
        kind, provider = str(wish.get("kind")), str(wish.get("provider", "twilio"))
        if kind not in KINDS:
            raise InvalidInput(f"The kinds of fault are {', '.join(KINDS)}.", field="kind")
        if provider not in PROVIDERS:
            raise InvalidInput(f"The providers are {', '.join(PROVIDERS)}.", field="provider")
        count, code = wish.get("count", 1), wish.get("code", 30003)
        if not isinstance(count, int) or not 1 <= count <= 10_000 or not isinstance(code, int):
            raise InvalidInput("count is a whole number from 1 to 10000, code a whole number.", field="count")
        with self._lock:
            self._waiting[provider].extend([Fault(kind, code)] * count)
        return self.waiting()

    def take(self, provider: str) -> Fault | None:
        """The fault for the send that is happening now, if one was ordered."""
        with self._lock:
            return self._waiting[provider].popleft() if self._waiting[provider] else None

    def waiting(self) -> dict[str, Any]:
        """How many faults are still to come, by provider and kind."""
        with self._lock:
            return {
                provider: {kind: sum(fault.kind == kind for fault in queue) for kind in {f.kind for f in queue}}
                for provider, queue in self._waiting.items()
            }

    def clear(self) -> None:
        """Forget all faults that have not happened yet."""
        with self._lock:
            for queue in self._waiting.values():
                queue.clear()
