"""Workers sending at once, as real processes on a database of their own; nothing twice, nothing past the limits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from coordinator.local.migrations import ROOT
from coordinator.local.sandbox.endpoints import Sandbox
from services.core.vocabulary import NoticeKind
from services.messaging.models import Notice
from services.vault.boxes import forget_boxes
from tests.factories import make_episode, make_world
from tests.factories_messaging import DAYTIME, running_sandbox, tell, texted

WORKERS = 3
PATIENTS = 8
SEND = """
from services.core.programme import programme
from services.messaging.notices import send_due
send_due(programme())
"""


@pytest.fixture
def daytime(tmp_path: Path) -> Iterator[Path]:
    """The service's clock, moved to the day, for this process and those it starts."""
    path = tmp_path / "clock"
    path.write_text(str(DAYTIME.timestamp() - time.time()))
    os.environ["COORDINATOR_CLOCK_FILE"] = str(path)
    yield path
    del os.environ["COORDINATOR_CLOCK_FILE"]


@pytest.fixture
def sessions(own_postgres_url: str, environment: Mapping[str, str]) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(own_postgres_url)
    yield sessionmaker(engine)
    engine.dispose()
    forget_boxes()


@pytest.fixture
def sandbox(environment: Mapping[str, str], daytime: Path) -> Iterator[Sandbox]:
    with running_sandbox(environment) as sandbox:
        yield sandbox


def test_workers_side_by_side_send_each_text_once_and_keep_to_the_limits(
    sessions: sessionmaker[Session], own_postgres_url: str, sandbox: Sandbox
) -> None:
    with sessions.begin() as session:
        world = make_world(session)
        for _ in range(PATIENTS):
            episode = make_episode(session, world=world)
            for kind in (NoticeKind.AFTER_SESSION, NoticeKind.DECISION_MADE, NoticeKind.REFILL_DECIDED):
                tell(session, episode, kind)
    settings = {**os.environ, "DATABASE_URL": own_postgres_url, "TWILIO_API_BASE": sandbox.url}
    workers = [
        subprocess.Popen([sys.executable, "-c", SEND], env=settings, cwd=ROOT, stderr=subprocess.DEVNULL)
        for _ in range(WORKERS)
    ]
    assert [worker.wait(60) for worker in workers] == [0] * WORKERS
    # One safety text, and one of the two about care: the limit leaves room for one a day.
    assert len(texted(sandbox)) == 2 * PATIENTS
    assert max(Counter(texted(sandbox)).values()) == 1
    with sessions() as session:
        states = Counter((notice.purpose, notice.state) for notice in session.scalars(select(Notice)))
    assert states == {("safety", "sent"): PATIENTS, ("care", "sent"): PATIENTS, ("care", "held"): PATIENTS}
