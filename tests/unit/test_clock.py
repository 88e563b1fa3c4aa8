"""The service's clock: the present, moved by a file outside production."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from services.core import clock

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The clock file that this process reads."""
    before = os.environ.get("COORDINATOR_CLOCK_FILE")
    os.environ["COORDINATOR_CLOCK_FILE"] = str(tmp_path / "clock")
    yield tmp_path / "clock"
    del os.environ["COORDINATOR_CLOCK_FILE"]
    if before is not None:
        os.environ["COORDINATOR_CLOCK_FILE"] = before


def test_without_a_file_it_is_the_present_aware_and_in_utc() -> None:
    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC


def test_a_file_moves_time_by_its_seconds(file: Path) -> None:
    file.write_text("86400\n")
    assert clock.now() == NOON + timedelta(days=1)
    file.write_text("0.25")
    assert clock.now() == NOON + timedelta(milliseconds=250)
    file.write_text("-60")
    assert clock.now() == NOON - timedelta(minutes=1)


def test_a_file_that_is_not_there_or_empty_moves_nothing(file: Path) -> None:
    assert clock.now() == NOON
    file.write_text("\n")
    assert clock.now() == NOON


def test_a_file_that_is_put_in_anothers_place_is_noticed(file: Path) -> None:
    file.write_text("60")
    assert clock.now() == NOON + timedelta(minutes=1)
    draft = file.with_suffix(".new")
    draft.write_text("7200")
    draft.replace(file)
    assert clock.now() == NOON + timedelta(hours=2)
    file.unlink()
    assert clock.now() == NOON


def test_a_file_seen_while_it_is_written_is_read_again_within_the_same_tick(file: Path) -> None:
    """Writing cuts a file off first; both can happen within one tick of the file system's clock."""
    file.write_text("")
    os.utime(file, ns=(0, 0))
    assert clock.now() == NOON
    file.write_text("3600")
    os.utime(file, ns=(0, 0))
    assert clock.now() == NOON + timedelta(hours=1)


def test_time_goes_on_behind_a_moved_clock(file: Path) -> None:
    file.write_text("3600")
    first = clock.now()
    with time_machine.travel(NOON + timedelta(seconds=5), tick=False):
        assert clock.now() - first == timedelta(seconds=5)
