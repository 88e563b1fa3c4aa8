"""docs/rules.md is what a medical director reads: each rule has there the weight, the source and the setting it has."""

from __future__ import annotations

import importlib
import re

from services.core.rules import Rule, declared
from tests.mutation.modules import ROOT, module_name, to_be_mutated

ROW = re.compile(r"\| `(?P<id>[^`]+)` \| (?P<weight>\w+) \| (?P<source>[^|]+) \| (?P<setting>[^|]+) \|")

for _module in to_be_mutated():
    importlib.import_module(module_name(_module))

RULES = sorted(declared().values(), key=lambda rule: rule.id)
ROWS = {row["id"]: row for row in ROW.finditer((ROOT / "docs" / "rules.md").read_text(encoding="utf-8"))}


def test_each_rule_is_listed_as_it_is_declared() -> None:
    assert [rule.id for rule in RULES if not _is_listed(rule)] == []


def _is_listed(rule: Rule) -> bool:
    row = ROWS.get(rule.id)
    setting = f"`{rule.setting}`" if rule.setting else f"none: {rule.fixed}"
    return (
        row is not None
        and (row["weight"], row["source"]) == (rule.severity.value, rule.source)
        and row["setting"].split("<br>")[0] == setting
    )
