"""The commands on programmes, as a medical director's assistant types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from coordinator.cli import main
from services.core.actors import Role
from services.people import programmes
from services.people.models import Account
from tests.factories import NAMES, make_account

FILE = f"""[programme]
name = "life_works"
title = "Life Works, our way"
version = "2"
extends = "life_works"
effective_from = 2026-01-01
approved_by = "{NAMES[Role.PRESCRIBER]}"

[vitals.start]
systolic_below = 138
"""


@pytest.fixture
def director(session: Session) -> Account:
    return make_account(session, Role.PRESCRIBER)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ours.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_a_file_is_checked_without_being_stored(session: Session, file: Path) -> None:
    shown = run("check-programme", file)
    assert shown.exit_code == 0, shown.output
    assert "ours.toml: Life Works, our way, version life_works-2-" in shown.stdout
    assert f"Approved by {NAMES[Role.PRESCRIBER]}." in shown.stdout
    assert "  vitals.start.systolic_below: 140 → 138" in shown.stdout
    assert "1 setting(s) differ from what is in force." in shown.stdout
    assert programmes.in_force(session, "life_works").whole("vitals.start.systolic_below") == 140


def test_what_is_wrong_with_a_file_is_said_in_a_sentence_with_its_line(session: Session, file: Path) -> None:
    file.write_text(FILE.replace("systolic_below = 138", "systolic_below = 151"), encoding="utf-8")
    shown = run("check-programme", file)
    assert shown.exit_code == 1
    assert "ours.toml, line 10: 'vitals.start.systolic_below' (151) must not be more than" in shown.stderr


def test_starting_values_can_be_looked_at_but_not_adopted(session: Session, director: Account, file: Path) -> None:
    file.write_text(FILE.replace("extends", "starting_values = true\nextends"), encoding="utf-8")
    assert "Starting values: good for trying out, not to be adopted." in run("check-programme", file).stdout
    refused = run("adopt-programme", file, "--approver", director.id)
    assert refused.exit_code == 1
    assert "take 'starting_values' out of the file" in refused.stderr


def test_an_adopted_file_is_in_force_and_listed(session: Session, director: Account, file: Path) -> None:
    shown = run("adopt-programme", file, "--approver", director.id)
    assert shown.exit_code == 0, shown.output
    version = programmes.in_force(session, "life_works").version
    assert shown.stdout.startswith(f"adopted {version}, in force from 2026-01-01")
    assert "140 → 138" in shown.stdout
    assert version in run("list-programmes").stdout
    again = run("adopt-programme", file, "--approver", director.id)
    assert again.exit_code == 1
    assert "adopted before" in again.stderr


def test_a_programme_of_a_name_of_its_own_is_compared_with_nothing(session: Session, file: Path) -> None:
    file.write_text(FILE.replace('name = "life_works"', 'name = "our_own"'), encoding="utf-8")
    assert "vitals.start.systolic_below: – → 138" in run("check-programme", file).stdout


def test_before_any_adoption_the_list_says_that_it_is_empty(session: Session) -> None:
    assert run("list-programmes").stdout == "0 adoption(s)\n"
