"""Sealed events from commit to the task in the inbox: how many per second, and how soon."""

from __future__ import annotations

import time
from uuid import UUID

from sqlalchemy import func, select

from coordinator.local import processes
from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject, emit
from tests.bench.world import Bench

# One event each for the four parties that have inboxes; each opens one task.
KINDS = (
    (EventKind.PRESCRIPTION_DRAFTED, Party.MEDICAL_TEAM),
    (EventKind.FILL_RECORDED, Party.PHARMACY),
    (EventKind.SESSION_RESCHEDULE_ASKED, Party.THERAPIST),
    (EventKind.SMS_UNCLEAR, Party.OPERATIONS),
)
AT_ONCE = 100


def _emit(bench: Bench, number: int) -> list[UUID]:
    """Emit ``number`` events in one transaction."""
    prescriber_id = bench.world.prescriber.id
    with transaction() as session:
        ids = []
        for index in range(number):
            kind, party = KINDS[index % len(KINDS)]
            episode_id = bench.episodes[index % len(bench.episodes)]
            about = Subject("bench", new_id())
            ids += emit(session, kind, subject=about, episode_id=episode_id, to=[party], owner=str(prescriber_id))
    return ids


def is_idle() -> bool:
    """Whether every event has been handled."""
    with transaction() as session:
        return session.scalar(select(Event.id).where(Event.acknowledged_at.is_(None)).limit(1)) is None


def wait_until_idle() -> None:
    """Let the workers finish what one part left behind, so that the next one is measured alone."""
    assert processes.wait_until(is_idle, 120)


def events_per_s(bench: Bench, events: int) -> float:
    """Sustained rate: producing and handling at the same time, until the last task is visible."""
    with transaction() as session:
        before = session.scalar(select(func.count()).select_from(Task)) or 0
    began = time.perf_counter()
    for _ in range(events // AT_ONCE):
        _emit(bench, AT_ONCE)
    wanted = before + events // AT_ONCE * AT_ONCE
    wait_until_idle()
    seconds = time.perf_counter() - began
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Task)) == wanted
    return events / seconds


def p95_ms(bench: Bench, events: int, per_second: float) -> float:
    """Latency at a steady ``per_second``: from the commit until the task can be read."""
    committed: dict[UUID, float] = {}
    seen: list[float] = []
    due = time.perf_counter()
    sent = 0
    while sent < events or committed:
        now = time.perf_counter()
        if sent < events and now >= due:
            (event_id,) = _emit(bench, 1)
            committed[event_id] = time.perf_counter()
            due += 1 / per_second
            sent += 1
        with transaction() as session:
            visible = session.scalars(select(Task.event_id).where(Task.event_id.in_(committed))).all()
        moment = time.perf_counter()
        seen.extend((moment - committed.pop(event_id)) * 1000 for event_id in visible if event_id)
        time.sleep(0.002)
    return sorted(seen)[int(len(seen) * 0.95)]
