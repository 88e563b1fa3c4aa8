"""Who may import and call what: the contracts in pyproject.toml, and what they cannot express."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from coordinator.local.migrations import ROOT

PACKAGES = ("coordinator", "services", "workers")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# What the standard library has for speaking to the network; import-linter sees only whole packages.
NETWORK = ("socket", "ssl", "smtplib", "ftplib", "telnetlib", "http.client", "urllib.request", "xmlrpc", "asyncio")
READS_THE_TIME = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.gmtime")
# DESIGN's order: a package imports only those above it.
ORDER = (
    *(
        "core",
        "vault",
        "audit",
        "people",
        "routing",
        "messaging",
        "screening",
        "eligibility",
        "prescribing",
        "shipping",
    ),
    *("sessions", "outcomes", "refills"),
)


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, and every name it imports from one."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def calls_of(path: Path) -> Iterator[str]:
    """What a file calls, as written: ``datetime.now``, ``session.commit``."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contract_on_services_is_the_order_of_the_design() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(each for each in contracts if each.get("containers") == ["services"])
    assert layers["exhaustive"] is True
    assert [name for name in reversed(layers["layers"]) if name in ORDER] == list(ORDER)


def test_services_and_workers_speak_to_the_network_in_gateways_only() -> None:
    strays = {
        f"{place_of(path)} imports {name}"
        for path in SOURCES
        if path.name != "gateways.py" and "coordinator/local/" not in place_of(path)  # which serves on loopback
        for name in imports_of(path)
        if name.startswith(NETWORK)
    }
    assert strays == set()


def test_only_the_clock_reads_the_time() -> None:
    strays = [
        f"{place_of(path)}: {name}()" for path in SOURCES for name in calls_of(path) if name.endswith(READS_THE_TIME)
    ]
    # A limiter's window ends at a time of its own reckoning.
    assert sorted(strays) == [
        "coordinator/security/rate_limits.py: time.time()",
        "services/core/clock.py: datetime.now()",
    ]


def test_no_use_case_commits_or_rolls_back() -> None:
    ends = (".commit", ".rollback", ".begin", ".close")
    strays = [
        f"{place_of(path)}: {name}()"
        for path in SOURCES
        if "services/" in place_of(path) and place_of(path) != "services/core/database.py"
        for name in calls_of(path)
        if name.endswith(ends) and name.split(".")[-2] in {"session", "sessions", "connection", "transaction"}
    ]
    assert strays == []


def test_nothing_is_named_after_nothing() -> None:
    empty = ("util", "helper", "manager", "misc", "process_")
    modules = [place_of(path) for path in SOURCES if any(word in path.stem for word in empty)]
    names = [
        f"{place_of(path)}: {node.name}"
        for path in SOURCES
        for node in nodes(path)
        if (isinstance(node, ast.ClassDef) and any(word in node.name.lower() for word in empty))
        or (isinstance(node, ast.FunctionDef) and node.name.strip("_").startswith(("process_", "util", "helper")))
    ]
    assert modules + names == []


def test_no_view_reads_or_writes_tables_by_itself() -> None:
    """Routes, schemas, one use-case call: what is asked of the database stands in services."""
    strays = [
        f"{place_of(path)}: {name}()"
        for path in SOURCES
        if "coordinator/api/" in place_of(path) and path.stem not in {"stored_answers", "endpoints"}
        for name in calls_of(path)
        if name.startswith(("select", "insert", "update", "delete", "call.session.")) and name != "call.session.flush"
    ]
    assert strays == []


def test_every_package_of_services_keeps_its_states_in_states() -> None:
    """A transition table anywhere else would be missing from docs/states.md and from the test that walks them all."""
    strays = [
        place_of(path)
        for path in SOURCES
        if not path.stem.endswith("states") and any(name == "Transitions" for name in calls_of(path))
    ]
    assert strays == []
