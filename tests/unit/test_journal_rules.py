"""When a journal entry may be written, and which prompts a programme may give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.core.findings import Severity
from services.core.programme import DEFAULT_FILE, programme, shipped
from services.journals.prompts import prompt_problems, prompts_of
from services.journals.rules import EntryFacts, entry_findings
from tests.factories_programmes import changed

ISHA = programme(shipped()["isha_health"])
FACTS = EntryFacts(ended=False, prompt=1, prompts=3)


@pytest.mark.parametrize(
    ("facts", "name", "rules"),
    [
        (FACTS, "isha_health", []),
        (FACTS, "default", ["journals.not_offered"]),
        (FACTS, "journey_clinical", ["journals.not_offered"]),  # which has things to do, and no journal
        (replace(FACTS, ended=True), "isha_health", ["journals.episode_ended"]),
        (replace(FACTS, prompt=None, prompts=0), "isha_health", []),
        (replace(FACTS, prompt=3), "isha_health", []),
        (replace(FACTS, prompt=4), "isha_health", ["journals.prompt_unknown"]),
        (replace(FACTS, prompt=0), "isha_health", ["journals.prompt_unknown"]),
    ],
)
def test_when_an_entry_may_be_written(facts: EntryFacts, name: str, rules: list[str]) -> None:
    findings = entry_findings(facts, programme(shipped()[name]))
    assert [(finding.rule, finding.severity) for finding in findings] == [(rule, Severity.STOP) for rule in rules]


@pytest.mark.parametrize("path", sorted(DEFAULT_FILE.parent.glob("*.toml")), ids=lambda path: path.stem)
def test_the_prompts_that_are_shipped_are_fit_to_be_read(path: Path) -> None:
    assert prompt_problems(programme(path)) == {}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("journal.offered", "yes"),
        ("journal.before_session", "one"),
        ("journal.before_session", [" "]),
        ("journal.after_session", ["x" * 301]),
        ("journal.after_session", ["a\nb"]),
        ("journal.to_do_before_session", ["x"] * 21),
        ("journal.afterwards", ["x"]),
    ],
)
def test_prompts_that_are_not_fit_are_named(setting: str, value: Any) -> None:
    assert list(prompt_problems(changed({setting: value}, ISHA))) == [setting]


def test_things_to_do_need_no_journal() -> None:
    quiet = prompts_of(programme(shipped()["journey_clinical"]))
    assert (len(quiet.to_do_before_session), quiet.before_session, quiet.after_session) == (1, (), ())
    assert prompts_of(programme()).to_do_before_session == ()
