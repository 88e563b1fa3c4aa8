"""Reading the audit trail: filters, pages, and the reading is on the trail itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.audit.readings import TrailFilter, read_trail
from services.audit.records import record
from services.core.actors import Actor, Role
from services.core.ids import new_id

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
READER = Actor(new_id(), Role.OPERATIONS, new_id())


@pytest.fixture
def acts(session: Session) -> dict[str, Actor]:
    """Ten acts a minute apart: prescriptions signed and fills recorded in turn."""
    actors = {name: Actor(new_id(), Role.PRESCRIBER) for name in ("first", "second")}
    for minute in range(10):
        with time_machine.travel(NOON + timedelta(minutes=minute), tick=False):
            who = actors["first" if minute < 4 else "second"]
            action = "prescription.sign" if minute % 2 else "fill.record"
            record(session, who, action, "prescription", new_id(), number=minute)
            session.commit()
    return actors


def numbers(session: Session, filters: TrailFilter, **page: object) -> list[int]:
    found = read_trail(session, READER, filters, **page)  # type: ignore[arg-type]  # a page's parts
    return [row.detail["number"] for row in found]


def test_a_trail_is_read_newest_first(session: Session, acts: dict[str, Actor]) -> None:
    assert numbers(session, TrailFilter(actor_id=acts["second"].id)) == [9, 8, 7, 6, 5, 4]


def test_filters_combine(session: Session, acts: dict[str, Actor]) -> None:
    signed = TrailFilter(actor_id=acts["second"].id, action="prescription.sign")
    assert numbers(session, signed) == [9, 7, 5]


def test_since_counts_and_until_does_not(session: Session, acts: dict[str, Actor]) -> None:
    span = TrailFilter(actor_id=acts["first"].id, since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=3))
    assert numbers(session, span) == [2, 1]


def test_an_episode_has_its_own_trail(session: Session) -> None:
    episode_id = new_id()
    record(session, READER, "outcome.report", "outcome", new_id(), episode_id=episode_id, number=1)
    record(session, READER, "outcome.report", "outcome", new_id(), episode_id=new_id(), number=2)
    session.commit()
    assert numbers(session, TrailFilter(episode_id=episode_id)) == [1]


def test_pages_go_on_behind_a_position(session: Session, acts: dict[str, Actor]) -> None:
    mine = TrailFilter(actor_id=acts["second"].id)
    first = read_trail(session, READER, mine, limit=4)
    rest = numbers(session, mine, after=(first[-1].at, first[-1].id), limit=4)
    assert ([row.detail["number"] for row in first], rest) == ([9, 8, 7, 6], [5, 4])


def test_reading_is_audited_with_what_was_asked_for(session: Session, acts: dict[str, Actor]) -> None:
    read_trail(session, READER, TrailFilter(actor_id=acts["first"].id, action="fill.record", since=NOON))
    session.commit()
    latest = read_trail(session, READER, TrailFilter(actor_id=READER.id, action="audit.read"))[0]
    assert latest.detail["of_actor"] == str(acts["first"].id)
    assert latest.detail["of_action"] == "fill.record"
    assert latest.detail["since"] == round(NOON.timestamp() * 1_000_000)
