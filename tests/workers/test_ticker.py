"""The ticker: what happens because time passes, each step on its own beat, and none held up by another."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from services.audit.models import AuditHead
from services.core import clock as service_clock
from services.core.config import config
from services.core.models import StoredAnswer
from services.core.programme import Programme
from services.core.vocabulary import Party
from tests.factories import World
from tests.workers.bags import DEFAULT, count
from workers import ticker
from workers.errands import ERRANDS
from workers.jobs import RUN_ERRANDS
from workers.queues import depths, push, queue_of
from workers.ticker import Step, beat


def raising(error: Exception) -> Callable[[Programme], None]:
    def fail(programme: Programme) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT 1", {}, Exception("gone")),
        RedisAway("gone"),
        StaleDataError("somebody else was faster"),
        ValueError("a timer of a kind that is no more"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_step_that_fails_does_not_stop_the_rest_and_is_tried_again(error: Exception) -> None:
    done: list[str] = []
    steps = [Step("bad", raising(error), 0.0), Step("good", lambda _: done.append("good"), 0.0)]
    for _ in range(2):
        beat(steps, DEFAULT)
    assert done == ["good", "good"]


def test_a_step_runs_as_often_as_it_says() -> None:
    step = Step("each minute", lambda _: None, 60.0)
    step.last = 1000.0
    assert [step.is_due(moment) for moment in (1000.0, 1059.9, 1060.0)] == [False, False, True]


def test_every_step_has_a_name_of_its_own_and_a_beat() -> None:
    steps = ticker.steps()
    assert len({step.name for step in steps}) == len(steps)
    assert min(step.every_seconds for step in steps) >= ticker.BEAT_SECONDS


def test_errands_are_asked_for_where_nothing_waits(world: World, redis_client: Redis) -> None:
    push(queue_of(Party.PHARMACY, redis_client), RUN_ERRANDS, Party.PHARMACY.value)
    for _ in range(3):
        ticker.ask_for_errands(DEFAULT)
    assert depths(redis_client) == {party: int(party in ERRANDS) for party in Party}


def test_the_ends_of_the_audit_trail_are_signed_inside_and_outside_the_database(session: Session, world: World) -> None:
    session.commit()
    outside: Path = config().audit_heads_file
    before = len(outside.read_text().splitlines()) if outside.exists() else 0
    ticker.sign_audit_heads(DEFAULT)
    assert count(session, AuditHead) == 1
    lines = outside.read_text().splitlines()
    assert len(lines) == before + 1
    assert json.loads(lines[-1])["heads"]


def test_stored_answers_are_forgotten_after_their_time(session: Session, clock: time_machine.Traveller) -> None:
    for name, hours in (("old", 1), ("new", 3)):
        session.add(
            StoredAnswer(
                key_hash=name.encode(),
                request_hash=b"",
                status=200,
                headers={},
                answer=b"",
                expires_at=service_clock.now() + timedelta(hours=hours),
            )
        )
    session.commit()
    clock.shift(timedelta(hours=2))
    ticker.forget_answers(DEFAULT)
    assert session.scalars(text("SELECT key_hash FROM stored_answers")).all() == [b"new"]
