"""The tool of ``make mutants`` itself: what it changes, that it sees survivors, and that it covers every rule."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.core.findings import Severity
from tests.mutation.explained import BadExplanation, read_explained, stale
from tests.mutation.modules import ROOT, to_be_mutated, unit_tests_for
from tests.mutation.operators import mutants_of
from tests.mutation.running import Fate, Outcome

RUN_SAMPLE = """
import json
from tests.mutation.modules import ROOT
from tests.mutation.running import run
outcomes = run("tests/mutation/sample.py", [ROOT / "tests/mutation/checks_of_sample.py"], 2, lambda *_: None, seconds=6)
print(json.dumps({each.name: each.fate for each in outcomes}))
"""


def changes(source: str) -> list[str]:
    settings = ["vitals.discharge.systolic", "vitals.start.systolic"]
    return [each.change for each in mutants_of(source, {"Severity": Severity}, settings)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a): return a < 3", {"a < 3 → a <= 3", "a < 3 → a >= 3", "a < 3 → a < 4", "a < 3 → a < 2"}),
        ("def f(a): return a == b", {"a == b → a != b", "return a == b → return True", "return a == b → return False"}),
        ("def f(a, b): return g(a and b)", {"a and b → a or b", "a and b → a", "a and b → b"}),
        ("def f(a): return g(not a)", {"not a → a", "return g(not a) → return None"}),
        ("def f(a):\n if a: g()", {"if a: g() → if not a: g()", "g() → pass"}),
        ("def f(a): return [x for x in a if x]", {"return [x for x in a if x] → return []"}),
        ("def f(a, b): return max(a - b)", {"max(a - b) → min(a - b)", "a - b → a + b"}),
        ("T = (1, 2)", {"(1, 2) → (2,)", "(1, 2) → (1,)", "(1, 2) → (2, 2)", "(1, 2) → (0, 2)"}),
        ("T = {'a': b}", {"{'a': b} → {}", "{'a': b} → {'a_other': b}"}),
        ("R = declare('p.r', Severity.STOP, 'DOMAIN 3', 'A sentence.', setting='vitals.start.systolic')",
         {"setting='vitals.start.systolic' → setting='vitals.discharge.systolic'"}),
        ("def f(): raise E", {"raise E → pass"}),
        ("def f(a, b=True): ...", {"a, b=True → a, b=False"}),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_made(source: str, expected: set[str]) -> None:
    assert expected <= set(changes(source))


def test_the_severity_and_the_id_of_a_declared_rule_are_changed() -> None:
    found = changes("R = declare('p.r', Severity.STOP, 'DOMAIN 3', 'A sentence.')")
    assert any("Severity.STOP" in each and "Severity.REVIEW" in each for each in found)
    assert any("'p.r_other'" in each for each in found)
    assert not any("A sentence" in each.split(" → ")[1] and "A sentence" not in each for each in found)


@pytest.mark.parametrize("source", ['"""Words."""', "from a import b", "A = Mapping[str, int]", "def f(a: int): ..."])
def test_what_no_rule_depends_on_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_every_change_gives_another_module_and_leaves_the_tree_as_it_was() -> None:
    source = (ROOT / "services/prescribing/fill_rules.py").read_text(encoding="utf-8")
    mutants = mutants_of(source, {}, [])
    before = ast.dump(ast.parse(source))
    assert before not in {ast.dump(each.mutated()) for each in mutants[::20]}
    assert ast.dump(mutants[0].tree) == before
    assert len({each.name for each in mutants}) == len(mutants)


def test_survivors_are_found_and_nothing_else_survives() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", RUN_SAMPLE], capture_output=True, text=True, check=True, cwd=ROOT, timeout=300
    )
    fates = json.loads(answer.stdout)
    survived = {name for name, fate in fates.items() if fate == Fate.SURVIVED}
    assert survived == {
        "is_old: age >= LIMITS['old'] → age > LIMITS['old']",
        "LIMITS: {'adult': 18, 'old': 65} → {'adult': 18, 'old': 66}",
        "LIMITS: {'adult': 18, 'old': 65} → {'adult': 18, 'old': 64}",
    }
    assert fates["GRAVE: {Grade.SEVERE} → set()"] == Fate.KILLED
    assert set(fates.values()) == set(Fate), "a loop without end is ended"


@pytest.mark.parametrize("module", to_be_mutated())
def test_every_module_of_rules_has_fast_tests_that_use_it(module: str) -> None:
    assert unit_tests_for(module), f"no file in tests/unit imports {module}"


def test_rules_are_found_wherever_they_stand() -> None:
    found = to_be_mutated()
    assert {"services/refills/rules.py", "services/screening/scoring.py", "services/eligibility/predicates.py"} < {
        *found
    }
    names = [file.name for file in unit_tests_for("services/prescribing/fill_rules.py")]
    assert "test_prescribing_rules_fills.py" in names


def test_the_explanations_can_be_read_and_name_modules_that_are_mutated() -> None:
    assert {each.module for each in read_explained()} <= set(to_be_mutated())


@pytest.mark.parametrize(
    "entries",
    [
        '[[explained]]\nmodule = "a"\nmutant = "b"',
        '[[explained]]\nmodule = "a"\nmutant = "b"\nreason = "because"',
        2 * '[[explained]]\nmodule = "a"\nmutant = "b"\nreason = "It means just the same."\n',
    ],
)
def test_an_explanation_without_a_reason_or_given_twice_is_refused(tmp_path: Path, entries: str) -> None:
    file = tmp_path / "explained.toml"
    file.write_text(entries, encoding="utf-8")
    with pytest.raises(BadExplanation):
        read_explained(file)


def test_an_explanation_that_is_not_so_any_more_is_stale() -> None:
    outcomes = [Outcome("f", "a → b", 1, Fate.KILLED), Outcome("g", "a → b", 1, Fate.SURVIVED)]
    found = list(stale({"f: a → b": "", "g: a → b": "", "h: a → b": ""}, outcomes))
    assert found == ["it does not survive: f: a → b", "there is no such mutant any more: h: a → b"]
