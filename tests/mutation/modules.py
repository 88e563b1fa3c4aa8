"""Which modules are mutated, and which fast tests answer for each: found by what imports what, so that a new module of
rules needs no entry here, only a test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
UNIT_TESTS: Final = ROOT / "tests" / "unit"
DECLARED: Final = UNIT_TESTS / "test_declared_rules.py"
PATTERNS: Final = ("*rules.py", "predicates.py", "scoring.py")


def to_be_mutated() -> list[str]:
    """Every module that holds rules or scoring, as a path from the root."""
    files = {file for pattern in PATTERNS for file in (ROOT / "services").rglob(pattern)}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def module_name(module: str) -> str:
    """``services/refills/rules.py`` as Python imports it."""
    return module.removesuffix(".py").replace("/", ".")


def unit_tests_for(module: str) -> list[Path]:
    """The test files that import a module, or a module of rules of its package that is built on it.

    What a module declares is also held against docs/rules.md.
    """
    name = module_name(module)
    package = name.rpartition(".")[0]
    names = {name}
    for other in to_be_mutated():
        if module_name(other).rpartition(".")[0] == package and name in imported_by(ROOT / other):
            names.add(module_name(other))
    found = [file for file in sorted(UNIT_TESTS.glob("test_*.py")) if names & imported_by(file)]
    if "services.core.rules.declare" in imported_by(ROOT / module) and DECLARED not in found:
        found.append(DECLARED)
    return found


@cache
def imported_by(file: Path) -> frozenset[str]:
    """The modules that a file imports, or imports something from."""
    return frozenset(_imports(ast.parse(file.read_text(encoding="utf-8"))))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
