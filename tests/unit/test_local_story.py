"""The parts of the demo's story that need no stack: its clock, its voice, its connection."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordinator.local.story import Narrator, Story, Unmet
from coordinator.local.story.client import Client
from coordinator.local.story.scripts import ZONE
from coordinator.local.story.times import NAME, MovableClock, following
from services.core import clock
from services.core.errors import InvalidConfiguration


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where the story would play, if anybody served there."""
    file = tmp_path / "clock"
    file.write_text("0\n", encoding="ascii")
    nowhere = "http://127.0.0.1:1"
    return {
        NAME: str(file),
        "PUBLIC_BASE_URL": nowhere,
        "TWILIO_API_BASE": nowhere,
        "EASYPOST_API_BASE": f"{nowhere}/v2",
    }


def test_time_moves_to_the_hour_and_day_of_the_story(environment: dict[str, str]) -> None:
    with following(environment):
        moved = MovableClock(environment, ZONE)
        moved.begin_at(10)
        assert (moved.now().hour, moved.now().minute, moved.day) == (10, 0, 1)
        moved.move_to(moved.on_day(3, "06:30"))
        assert (moved.now().hour, moved.now().minute, moved.day) == (6, 30, 3)


def test_time_never_goes_back(environment: dict[str, str]) -> None:
    with following(environment):
        moved = MovableClock(environment, ZONE)
        before = clock.now()
        assert moved.move_to(moved.now() - timedelta(hours=1)) == timedelta(0)
        with pytest.raises(ValueError, match="does not go back"):
            moved.move_by(timedelta(seconds=-1))
        assert clock.now() >= before


def test_the_clock_of_this_process_is_left_as_it_was(environment: dict[str, str]) -> None:
    with following(environment):
        MovableClock(environment, ZONE).move_by(timedelta(days=30))
        assert clock.now() - datetime.now(UTC) > timedelta(days=29)
    assert clock.now() - datetime.now(UTC) < timedelta(minutes=1)


class Terminal(io.StringIO):
    """A stream that says it is one."""

    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_colors_are_for_terminals_only_and_unknown_signs_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        Narrator(stream).heading("Step 1: a test")
    assert "\x1b[1;36m?? Step 1: a test" in terminal.getvalue()
    assert "\x1b" not in file.getvalue()


def test_without_the_sandbox_the_story_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidConfiguration, match="sandbox"):
        Story({**environment, "TWILIO_API_BASE": ""})


def test_a_service_that_does_not_answer_is_a_sentence() -> None:
    with pytest.raises(Unmet, match=r"127\.0\.0\.1:1 does not answer: ConnectionRefusedError"):
        Client("http://127.0.0.1:1").call("GET", "/api/v1/tasks")
