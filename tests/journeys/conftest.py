"""One journey for all tests here, whichever test process comes first: the demo's story with marked data, watched."""

from __future__ import annotations

import fcntl
import io
from pathlib import Path

import pytest

from coordinator.local.stack import Stack
from coordinator.local.story import Narrator, Script, Story
from tests.journeys.canaries import Canaries
from tests.journeys.evidence import Evidence, begun, clean_environment, collect
from tests.journeys.watching import watching


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory, worker: str) -> Evidence:
    """What a journey left behind. A step that is not as it must be fails every test here, with the story's sentence."""
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker == "main" else base.parent) / "evidence"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # others wait here until the journey was made
        if (directory / "failure").exists():
            pytest.fail((directory / "failure").read_text(encoding="utf-8"))
        if (directory / "evidence.json").exists():
            return Evidence.kept(directory)
        try:
            return made(directory, tmp_path_factory.mktemp("stacks"))
        except BaseException as failure:
            (directory / "failure").write_text(f"{type(failure).__name__}: {failure}", encoding="utf-8")
            raise


def made(directory: Path, stacks: Path) -> Evidence:
    """Make the journey on a stack of its own, while the demo's command makes one of its own beside it."""
    canaries, told = Canaries(), io.StringIO()
    with (
        begun("coordinator.local", "--port", "0", "--directory", str(stacks / "demo"), "demo", "--once") as demo,
        Stack(stacks / "journey", clean_environment(), port=0, durable=False) as stack,
    ):
        story = Story(stack.environment, script=Script(canaries.mark), narrator=Narrator(told))
        with watching(stack) as watch:
            story.perform()
        evidence = collect(directory, stack, story, canaries, told.getvalue(), watch)
        evidence.demo = demo.communicate()[0]
        evidence.demo_exit_code = demo.returncode
    evidence.keep()
    return evidence
