"""The only jobs that a worker runs. Redis is not trusted: whoever can write there must not choose what runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rq.job import Job

HANDLE_BAG: Final = "workers.handlers.handle_bag"
RUN_ERRANDS: Final = "workers.handlers.run_errands"
CALLS: Final = frozenset({HANDLE_BAG, RUN_ERRANDS})


class UnknownCall(Exception):
    """A job in the queue asks for something else than our work."""


class OwnJob(Job):
    """A job of ours. RQ imports and calls whatever function a job in Redis names, before, in or after it; this one
    calls one of ``CALLS``, and nobody else hears of it."""

    @property
    def func(self) -> Callable[..., Any] | None:
        """The function to call. Raises ``UnknownCall`` unless it is one of ``CALLS``."""
        if self.instance is not None or self.func_name not in CALLS:
            raise UnknownCall
        function: Callable[..., Any] | None = super().func
        return function

    @property
    def success_callback(self) -> None:
        """None, whatever Redis says."""

    @property
    def failure_callback(self) -> None:
        """None, whatever Redis says."""

    @property
    def stopped_callback(self) -> None:
        """None, whatever Redis says."""

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        """Send nothing, whatever Redis says."""
