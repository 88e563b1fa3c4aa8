"""Every rule has an id, a source, a setting or a word on why there is none, and a test that names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from coordinator.local.documents import TESTS_SHOWN, rules_document
from coordinator.local.migrations import ROOT
from coordinator.local.rule_tests import every_rule, naming_tests
from services.core.programme import programme
from services.core.rules import Rule

PLACE = re.compile(r"\{([a-z0-9_]+(?:\.[a-z0-9_]+)+)\}")


@pytest.fixture(scope="module")
def rules() -> Mapping[str, Rule]:
    return every_rule()


def test_every_rule_has_a_source_and_a_setting_or_a_reason_for_none(rules: Mapping[str, Rule]) -> None:
    assert len(rules) > 300
    for rule in rules.values():
        assert re.match(r"DOMAIN \d|\d+ (CFR|USC) \d", rule.source), rule.id
        assert bool(rule.setting) != bool(rule.fixed), rule.id


def test_every_setting_that_a_rule_reads_is_in_the_default_programme(rules: Mapping[str, Rule]) -> None:
    known = programme().settings
    read = {setting: rule.id for rule in rules.values() for setting in [rule.setting, *PLACE.findall(rule.sentence)]}

    assert {setting: rule_id for setting, rule_id in read.items() if setting and setting not in known} == {}


def test_every_rule_is_asserted_by_name_in_a_test(rules: Mapping[str, Rule]) -> None:
    assert [rule_id for rule_id, tests in naming_tests(list(rules)).items() if not tests] == []


def test_a_finding_is_made_by_a_declared_rule_alone() -> None:
    made = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for directory in ("services", "coordinator", "workers")
        for path in sorted((ROOT / directory).rglob("*.py"))
        if path.parent != ROOT / "services" / "core"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    ]

    assert made == []


def test_a_refusal_names_no_rule_that_is_not_declared(rules: Mapping[str, Rule]) -> None:
    """What may follow on which state is declared in the tables of the states, and told by ``docs/states.md``."""
    named = {
        keyword.value.value: f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "services").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "rule" and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    }

    assert {rule_id: where for rule_id, where in named.items() if not rule_id.endswith(".states")} == {}


# What decides about an episode explains itself; what only proposes or shows something says it in its sentence.
GATES = ("eligibility", "people", "prescribing", "refills", "screening", "sessions", "shipping")


def test_every_finding_of_a_gate_tells_what_it_looked_at() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in GATES
        for path in sorted((ROOT / "services" / package).glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"finding", "refused", "conflict", "forbidden"}
        if ast.unparse(node.func.value) != "EARLIEST_DATE"  # the day that it tells is its value
        if not [keyword for keyword in node.keywords if keyword.arg not in ("setting", "says", "field")]
    ]

    assert silent == []


def test_the_document_names_rule_source_setting_and_test(rules: Mapping[str, Rule]) -> None:
    lines = {
        line.split(" | ")[0].strip("| `"): line for line in rules_document().splitlines() if line.startswith("| `")
    }

    assert list(lines) == list(rules)
    row = lines["eligibility.age_under_minimum"]
    assert "| stop | DOMAIN 3.1 | `eligibility.age_minimum` | `unit/test_eligibility" in row
    assert row.count("::test_") == TESTS_SHOWN
    assert "none: a condition, there or not" in lines["eligibility.stroke"]


TESTS = '''
"""Here made.in_docstring is only talked about."""
OTHERS = ["made.in_constant"]
ALL = {"some": OTHERS, "more": "made.in_constant_of_constant"}
UNUSED = "made.in_unused_constant"

def helper():
    return "made.in_helper"

@pytest.mark.parametrize("rule", ["made.in_decorator"])
def test_one(rule):
    # made.in_comment
    """made.in_docstring, that is."""
    assert "made.in_body" in ALL
    assert "not made.in_longer_text" and f"made.in_{rule}"
'''


@pytest.mark.parametrize(
    ("rule_id", "is_named"),
    [
        ("made.in_body", True),
        ("made.in_decorator", True),
        ("made.in_constant", True),
        ("made.in_constant_of_constant", True),
        ("made.in_comment", False),
        ("made.in_docstring", False),
        ("made.in_unused_constant", False),
        ("made.in_helper", False),
        ("made.in_longer_text", False),
    ],
)
def test_only_what_a_test_itself_names_counts(tmp_path: Path, rule_id: str, is_named: bool) -> None:
    directory = tmp_path / "tests"
    directory.mkdir()
    (directory / "test_made.py").write_text(TESTS, encoding="utf-8")

    assert naming_tests([rule_id], directory) == {rule_id: ["tests/test_made.py::test_one"] if is_named else []}
