"""Which test asserts which rule by name: read from the tests as they stand, never run.

A rule counts as tested where its id stands as a whole string in a test function, in what its decorators give it, or in
a constant of the module that either of them names. What a comment or a docstring says does not count.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from coordinator.local.migrations import ROOT
from services.core.rules import Rule, declared


def every_rule() -> Mapping[str, Rule]:
    """All rules of the services, by id in order, with every module that may declare one imported."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    return dict(sorted(declared().items()))


def naming_tests(rule_ids: Sequence[str], directory: Path = ROOT / "tests") -> dict[str, list[str]]:
    """For each rule the tests that name it, as ``file::function``; those that hold the name themselves first.

    The tests of the documents and of the rules as such do not count.
    """
    wanted, found = set(rule_ids), defaultdict[str, list[tuple[bool, str]]](list)
    for path in sorted(directory.rglob("test_*.py")):
        if path.parent.name == "architecture":
            continue
        text = path.read_text(encoding="utf-8")
        if not any(rule_id in text for rule_id in wanted):
            continue
        module = ast.parse(text)
        constants = _constants(module)
        for function in _tests(module):
            named, own = f"{path.relative_to(directory.parent)}::{function.name}", _strings(function, {})
            for rule_id in wanted & _strings(function, constants):
                found[rule_id].append((rule_id not in own, named))
    return {rule_id: [named for _, named in sorted(found.get(rule_id, []))] for rule_id in rule_ids}


def _tests(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    """What the module's names stand for."""
    constants: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign):
            names = [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            constants.update(dict.fromkeys(names, node.value))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            constants[node.target.id] = node.value
    return constants


def _strings(function: ast.AST, constants: Mapping[str, ast.expr]) -> set[str]:
    """Every whole string in a test and in the constants it names, those they name in turn included."""
    strings: set[str] = set()
    followed: set[str] = set()
    waiting = [function]
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
            elif isinstance(node, ast.Name) and node.id in constants and node.id not in followed:
                followed.add(node.id)
                waiting.append(constants[node.id])
    return strings
