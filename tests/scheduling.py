"""Which test process runs what: scopes that must stay together, and the slowest first so that nobody idles at the end.

A scope is a file, or a package whose tests share running processes that take long to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

SHARING = ("tests/journeys/", "tests/faults/")
# What takes more than a few seconds, in the order in which to begin: two that start many processes not side by side.
SLOWEST = (
    "tests/journeys/",
    "tests/machine/test_episode.py",
    "tests/api/test_contract.py",
    "tests/faults/",
    "tests/api/test_bad_input.py",
    "tests/unit/test_local_stack.py",
    "tests/services/test_cli.py",
    "tests/services/test_rotation.py",
    "tests/unit/test_local_servers.py",
    "tests/services/test_audit.py",
    "tests/workers/test_notices_parallel.py",
    "tests/services/test_exports.py",
)


def scope_of(node_id: str) -> str:
    """The scope of a test, by its id."""
    file = node_id.partition("::")[0]
    return next((package for package in SHARING if file.startswith(package)), file)


def rank_of(item: pytest.Item) -> int:
    """The place of a test among all: those of ``SLOWEST`` first, the rest as collected."""
    scope = scope_of(item.nodeid)
    return SLOWEST.index(scope) if scope in SLOWEST else len(SLOWEST)


def scheduling(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Give whole scopes to test processes in the order of collection."""
    from xdist.scheduler import LoadFileScheduling

    class ByScope(LoadFileScheduling):
        """One scope after another, whichever process is free."""

        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    config.option.loadscopereorder = False  # xdist's own order is by the number of tests, not by their time
    return ByScope(config, log)
