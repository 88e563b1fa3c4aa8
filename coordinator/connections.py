"""How the web processes share connections. ``gunicorn.conf.py`` names this worker class."""

from __future__ import annotations

import time
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

# Enough for another process to wake up in, and little for a client to wait.
YIELD_SECONDS_PER_CONNECTION: Final = 0.0002
YIELD_SECONDS_AT_MOST: Final = 0.002


class EvenWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that lets a process with fewer connections have the next one.

    Connections are kept alive and stay where they were accepted. Left to chance, one process often had all connections
    of a proxy and the other ones idled: half the requests per second on two cores.
    """

    def accept(self, listener: Any) -> None:
        """Accept a connection, unless another process has taken it meanwhile."""
        time.sleep(min(self.nr_conns * YIELD_SECONDS_PER_CONNECTION, YIELD_SECONDS_AT_MOST))
        super().accept(listener)
