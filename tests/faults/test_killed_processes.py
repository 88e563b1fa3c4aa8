"""kill -9 of the processes that carry work, at the worst moment and at any: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import text

from coordinator.local import processes
from services.core.database import transaction
from services.core.vocabulary import EventKind, Party
from tests.faults.counts import Count
from tests.faults.stacks import PATIENCE_SECONDS, Service, blocked, is_idle, relays_of, tasks_per

DESK = [(EventKind.SMS_UNCLEAR, Party.OPERATIONS)]
WORKERS = [f"worker-{party}" for party in (Party.THERAPIST, Party.MEDICAL_TEAM, Party.PHARMACY, Party.OPERATIONS)]


def test_a_worker_killed_in_the_middle_of_a_bag(service: Service, counted: Callable[[Count], None]) -> None:
    """It is held where its events are marked handled and their tasks are being written, and killed there."""
    killed = 0
    events = []
    for _ in range(2):
        with transaction() as session:
            session.execute(text("LOCK TABLE tasks IN SHARE MODE"))
            events += service.emit(40, DESK)
            assert processes.wait_until(lambda: blocked("INSERT INTO tasks") > 0, PATIENCE_SECONDS)
            service.kill("worker-operations")
            killed += 1
    service.wait_until_idle()
    counted(Count.of("worker killed in the middle of a bag", tasks_per(events), f"{killed} kills"))


def test_workers_killed_again_and_again(service: Service, counted: Callable[[Count], None]) -> None:
    """At random moments, while all four drain what waits for them."""
    moments, before = random.Random(7), service.restarts(*WORKERS)
    events = service.emit(1200)
    kills = 0
    for _ in range(3):
        for name in WORKERS:
            service.pid(name)
        time.sleep(moments.uniform(0.0, 0.3))  # the moment of the kill is what is random here; nothing is waited for
        assert not is_idle()
        for name in WORKERS:
            service.kill(name)
            kills += 1
    service.wait_until_idle()
    assert service.restarts(*WORKERS) - before >= kills - len(WORKERS)
    counted(Count.of("workers killed at random", tasks_per(events), f"{kills} kills"))


def test_the_relay_killed_between_enqueue_and_mark(service: Service, counted: Callable[[Count], None]) -> None:
    """Bags are in Valkey, PostgreSQL knows nothing of it: the next relay brings them again."""
    repeated = service.repeated()
    events = [*kill_the_relay_before_it_marks(service), *kill_the_relay_before_it_marks(service)]
    again = service.repeated() - repeated
    assert again > 0
    counted(Count.of("relay killed between enqueue and mark", tasks_per(events), f"{again} came twice"))


def kill_the_relay_before_it_marks(service: Service) -> list[UUID]:
    """The desk's worker is halted meanwhile, so that what comes twice is still there to come twice."""
    with service.halted("worker-operations"):
        waiting = service.waiting(Party.OPERATIONS)
        events = service.emit(1000, DESK)
        assert processes.wait_until(lambda: service.waiting(Party.OPERATIONS) > waiting, PATIENCE_SECONDS)
        service.kill("relay")
        pushed = service.waiting(Party.OPERATIONS)
        assert set(relays_of(events)) == {0}
        assert processes.wait_until(lambda: 0 not in relays_of(events), PATIENCE_SECONDS)
        assert service.waiting(Party.OPERATIONS) > pushed
    service.wait_until_idle()
    return events


def test_the_relay_killed_again_and_again(service: Service, counted: Callable[[Count], None]) -> None:
    """At random moments, while a backlog drains."""
    moments, before, repeated = random.Random(11), service.restarts("relay"), service.repeated()
    events = service.emit(1000)
    for _ in range(3):
        service.pid("relay")
        time.sleep(moments.uniform(0.0, 0.2))  # the moment of the kill is what is random here; nothing is waited for
        service.kill("relay")
    service.wait_until_idle()
    proof = f"{service.restarts('relay') - before} restarts, {service.repeated() - repeated} came twice"
    counted(Count.of("relay killed at random", tasks_per(events), proof))
