"""``make demo ONCE=1`` as a shell runs it."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.evidence import clean_environment, command


def test_the_demo_tells_its_story_and_exits_with_0(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--directory", str(tmp_path / "demo"), "demo", "--once")
    done = command("coordinator.local", *arguments, environment=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All steps went as they must" in done.stdout
    assert "14 of 14" in done.stdout
