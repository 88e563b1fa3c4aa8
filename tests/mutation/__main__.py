"""``make mutants``: changes every module of rules in every small way and asks whether some test notices.

    make mutants                            all modules; results are kept in var/mutation until something changes
    make mutants ONLY=services/refills      modules whose path contains that
    make mutants SHOW=1                     list the survivors that are explained too

Ends with 1 when a mutant survives that ``explained.toml`` does not explain, or that file holds what is not so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.mutation.explained import read_explained, stale
from tests.mutation.modules import ROOT, to_be_mutated, unit_tests_for
from tests.mutation.running import Fate, Outcome, TestsFail, run

KEPT: Final = ROOT / "var" / "mutation"


def main() -> int:
    """Run, show, and tell by the exit code."""
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("only", nargs="*", help="modules whose path contains one of these")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="ask for no result of an earlier run")
    parser.add_argument("--show", action="store_true", help="list explained survivors too")
    given = parser.parse_args()
    modules = [each for each in to_be_mutated() if not given.only or any(part in each for part in given.only)]
    explained = read_explained()
    table, faults = [], []
    for module in modules:
        began = time.monotonic()
        try:
            outcomes = _outcomes(module, given.workers, again=given.again)
        except TestsFail as failure:
            faults.append(f"{module}: {failure}")
            continue
        survivors = [each for each in outcomes if each.fate is Fate.SURVIVED]
        reasons = {each.name: each.reason for each in explained if each.module == module}
        unexplained = [each for each in survivors if each.name not in reasons]
        table.append(_row(module, outcomes, len(unexplained), time.monotonic() - began))
        faults += [f"{module}:{each.line}: survived: {each.name}" for each in unexplained]
        faults += [f"explained.toml: {module}: {why}" for why in stale(reasons, outcomes)]
        if given.show:
            _list_explained(module, survivors, reasons)
    _show(table)
    print("\n".join(faults) or f"Every mutant is noticed by a test or explained ({len(explained)} explained).")
    return 1 if faults else 0


def _outcomes(module: str, workers: int, *, again: bool) -> list[Outcome]:
    tests = unit_tests_for(module)
    key = _key(module, tests)
    kept = KEPT / f"{module.replace('/', '.')}.json"
    if not again and kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["key"] == key:
            return [Outcome(**{**each, "fate": Fate(each["fate"])}) for each in found["outcomes"]]
    outcomes = run(module, tests, workers, lambda done, of: _bar(module, done, of))
    KEPT.mkdir(parents=True, exist_ok=True)
    document = {"key": key, "outcomes": [vars(each) for each in outcomes]}
    kept.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return outcomes


def _key(module: str, tests: list[Path]) -> str:
    """Changes when anything does that the result may depend on: all services, the tests, this tool."""
    digest = hashlib.sha256(module.encode())
    ours = [file for kind in ("*.py", "*.toml") for file in (ROOT / "services").rglob(kind)]
    tool = [file for file in Path(__file__).parent.glob("*.py") if not file.name.startswith("test_")]
    for file in sorted([*ours, *tests, *tool, *(ROOT / "tests").glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _bar(module: str, done: int, of: int) -> None:
    if sys.stderr.isatty():
        filled = 30 * done // max(of, 1)
        print(f"\r{module:<42} [{'#' * filled}{'.' * (30 - filled)}] {done}/{of}", end="", file=sys.stderr, flush=True)
    elif done == of:
        print(f"{module}: {of} mutants", file=sys.stderr, flush=True)


def _row(module: str, outcomes: list[Outcome], unexplained: int, seconds: float) -> tuple[Any, ...]:
    survived = sum(each.fate is Fate.SURVIVED for each in outcomes)
    killed = len(outcomes) - survived
    return module, len(outcomes), killed, survived - unexplained, unexplained, f"{seconds:.0f}"


def _show(table: list[tuple[Any, ...]]) -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    total = tuple(sum(row[column] for row in table) for column in range(1, 5))
    heading = ("module", "mutants", "killed", "explained", "survived", "s")
    for row in (heading, *table, ("all", *total, "")):
        print(f"{row[0]:<42}" + "".join(f"{cell!s:>11}" for cell in row[1:]))


def _list_explained(module: str, survivors: list[Outcome], reasons: dict[str, str]) -> None:
    for each in survivors:
        if each.name in reasons:
            print(f"{module}:{each.line}: {each.name}\n    {reasons[each.name]}")


if __name__ == "__main__":
    sys.exit(main())
