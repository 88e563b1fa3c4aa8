"""Through Valkey: what the relay pushes, what can be seen there meanwhile, and RQ's own worker at the other end."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import time_machine
from redis import Redis
from rq import Callback, Queue
from rq.serializers import JSONSerializer
from sqlalchemy.orm import Session

from coordinator.local.stack import KEY_FILES
from services import routing
from services.core.vocabulary import EventKind, Party
from tests.factories import World, make_episode
from tests.workers.bags import DEFAULT, emit_for, emit_unclear, tasks_of, waiting, with_settings
from workers.jobs import HANDLE_BAG, RUN_ERRANDS
from workers.queues import Envelope, depths, push, queue_of, unpacked, worker_of
from workers.relay import relay_once

DESK = Party.OPERATIONS
CANARY = "Canary Nightingale +14155550199"
MOST = DEFAULT.whole("relay.waiting_bags_at_most")


def run_worker(redis: Redis, party: Party) -> None:
    """Let RQ's worker do what waits for ``party``, and stop."""
    worker_of(party, redis).work(burst=True, logging_level="CRITICAL")


def jobs(redis: Redis) -> list[dict[str, str]]:
    """Every job in Valkey, with its call unpacked."""
    found = []
    for key in redis.scan_iter("rq:job:*", _type="hash"):
        fields: dict[bytes, bytes] = cast(Any, redis).hgetall(key)
        fields[b"data"] = zlib.decompress(fields[b"data"])
        found.append({name.decode(): value.decode() for name, value in fields.items()})
    return found


def everything(redis: Redis) -> str:
    """All that anybody with a connection to Valkey can read: keys and values, jobs unpacked."""
    read: dict[bytes, Callable[[bytes], object]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"stream": redis.xrange,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1),
    }
    shown = [f"{key!r} {read[cast(Any, redis).type(key)](key)}" for key in redis.scan_iter()]
    return "\n".join([*shown, *map(str, jobs(redis))])


def test_what_is_in_the_outbox_reaches_the_inbox(session: Session, world: World, redis_client: Redis) -> None:
    events = emit_unclear(session, 5)
    assert relay_once(redis_client, DEFAULT) == 5
    run_worker(redis_client, DESK)
    assert len(tasks_of(session, *events)) == 5
    assert waiting(session, DESK) == []


def test_bags_hold_as_many_envelopes_as_the_programme_says(session: Session, world: World, redis_client: Redis) -> None:
    emit_unclear(session, 7)
    relay_once(redis_client, with_settings(bag_size=3))
    bags = [json.loads(job["data"])[2][1] for job in jobs(redis_client)]
    assert sorted(len(bag) for bag in bags) == [1, 3, 3]


def test_each_party_gets_its_own_events_only(session: Session, world: World, redis_client: Redis) -> None:
    episode = make_episode(session, world=world)
    for party in (Party.THERAPIST, Party.MEDICAL_TEAM, Party.MEDICAL_TEAM):
        emit_for(session, EventKind.TASK_REMINDED, party, episode.id, owner=str(world.therapist.id))
    relay_once(redis_client, DEFAULT)
    bags = [json.loads(job["data"])[2] for job in jobs(redis_client)]
    assert {party: len(bag) for party, bag in bags} == {"therapist": 1, "medical_team": 2}


def test_a_wiped_valkey_loses_nothing(
    session: Session, world: World, redis_client: Redis, clock: time_machine.Traveller
) -> None:
    events = emit_unclear(session, 4)
    relay_once(redis_client, DEFAULT)
    redis_client.flushall()
    run_worker(redis_client, DESK)
    assert tasks_of(session, *events) == []
    clock.shift(timedelta(seconds=DEFAULT.number("relay.acknowledge_within_seconds")))
    assert relay_once(redis_client, DEFAULT) == 4
    run_worker(redis_client, DESK)
    assert len(tasks_of(session, *events)) == 4


def test_what_is_relayed_several_times_is_done_once(
    session: Session, world: World, redis_client: Redis, clock: time_machine.Traveller
) -> None:
    events = emit_unclear(session, 4)
    for _ in range(3):
        relay_once(redis_client, DEFAULT)
        clock.shift(timedelta(minutes=1))
    assert depths(redis_client)[DESK] == 3
    run_worker(redis_client, DESK)
    assert len(tasks_of(session, *events)) == 4
    assert {event.relays for event in events} == {3}


def test_nothing_but_ids_kinds_key_names_and_ciphertext_is_in_valkey(
    session: Session, world: World, redis_client: Redis
) -> None:
    event = emit_for(session, EventKind.SMS_UNCLEAR, DESK, None, why=CANARY)
    relay_once(redis_client, DEFAULT)
    seen = everything(redis_client)
    assert str(event.id) in seen
    assert not [word for word in CANARY.split() if word in seen]
    (job,) = jobs(redis_client)
    assert job["description"] == HANDLE_BAG
    assert (job["result_ttl"], job["failure_ttl"]) == ("0", "60")
    assert json.loads(job.get("meta", "{}")) == {}
    work, instance, (party, bag), named = json.loads(job["data"])
    assert (work, instance, party, named) == (HANDLE_BAG, None, DESK, {})
    assert unpacked(bag[0]) == Envelope(event.id, event.kind, event.key_name, event.envelope)
    assert len(bag[0]) == 4


def test_a_job_that_was_done_leaves_nothing_behind(session: Session, world: World, redis_client: Redis) -> None:
    emit_unclear(session)
    relay_once(redis_client, DEFAULT)
    push(queue_of(DESK, redis_client), RUN_ERRANDS, DESK.value)
    run_worker(redis_client, DESK)
    assert jobs(redis_client) == []
    left = {key.decode() for key in redis_client.scan_iter()}
    assert not [key for key in left if "result" in key or "failed" in key or "finished" in key]


@pytest.mark.parametrize("place", ["call", "success", "failure"])
def test_nothing_but_our_own_work_runs_whatever_a_job_in_valkey_asks_for(
    session: Session, world: World, redis_client: Redis, tmp_path: Path, place: str
) -> None:
    """As somebody with a connection to Valkey would: RQ itself calls any function that a job names."""
    trace, alien = tmp_path / "trace", Queue(DESK.value, connection=redis_client, serializer=JSONSerializer)
    if place == "call":
        alien.enqueue_call("os.mkdir", args=(str(trace),))
    elif place == "success":
        alien.enqueue_call(RUN_ERRANDS, args=(DESK.value,), on_success=Callback("tests.workers.bags.leave_a_trace"))
    else:
        alien.enqueue_call(RUN_ERRANDS, args=("nobody",), on_failure=Callback("tests.workers.bags.leave_a_trace"))
    os.environ["TRACE"] = str(trace)
    events = emit_unclear(session)
    relay_once(redis_client, DEFAULT)
    run_worker(redis_client, DESK)
    assert not trace.exists()
    assert len(tasks_of(session, *events)) == 1


def test_a_party_whose_queue_is_full_waits_and_the_others_do_not(
    session: Session, world: World, redis_client: Redis, clock: time_machine.Traveller
) -> None:
    for _ in range(MOST):
        push(queue_of(DESK, redis_client), RUN_ERRANDS, DESK.value)
    late = emit_unclear(session, 2)
    told = emit_for(session, EventKind.TASK_REMINDED, Party.THERAPIST, None, owner=str(world.therapist.id))
    assert relay_once(redis_client, DEFAULT) == 1
    assert depths(redis_client, [DESK, Party.THERAPIST]) == {DESK: MOST, Party.THERAPIST: 1}
    run_worker(redis_client, DESK)
    assert relay_once(redis_client, DEFAULT) == 2
    run_worker(redis_client, DESK)
    assert len(tasks_of(session, *late)) == 2
    assert told.relays == 1


def test_a_queue_that_nobody_serves_does_not_grow_without_end(
    session: Session, world: World, redis_client: Redis, clock: time_machine.Traveller
) -> None:
    emit_unclear(session, 3)
    for _ in range(3 * MOST):
        relay_once(redis_client, with_settings(bag_size=1))
        clock.shift(timedelta(minutes=1))
    assert depths(redis_client)[DESK] < MOST + 3


def test_every_party_of_the_routing_table_has_a_queue_a_worker_and_its_key() -> None:
    parties = {party for routes in routing.ROUTES.values() for party in routes}
    assert parties == set(Party)
    for party in parties:
        assert f"party-{party}.json" in KEY_FILES[f"worker-{party}"]
        assert not [name for other in set(Party) - {party} for name in KEY_FILES[f"worker-{party}"] if other in name]


@pytest.mark.parametrize("party", Party)
def test_every_party_has_a_queue_of_its_own(environment: Mapping[str, str], redis_client: Redis, party: Party) -> None:
    push(queue_of(party, redis_client), RUN_ERRANDS, party.value)
    assert depths(redis_client) == {each: int(each is party) for each in Party}
    assert redis_client.llen(f"rq:queue:{party}") == 1
