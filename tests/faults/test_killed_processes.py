"""kill -9 of the processes that carry work, at the worst moment and at any: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import text

from coordinator.local import processes
from services.core.database import transaction
from services.core.vocabulary import EventKind, Party
from tests.faults.counts import Count
from tests.faults.stacks import PATIENCE_SECONDS, Service, blocked, handled, is_idle, relays_of, tasks_per

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
    """All four at once, each time after as many events as chance has it."""
    chance, kills = random.Random(7), 0
    events = service.emit(400)
    for left in (320, 160):
        wait_until_handled(events, len(events) - left + chance.randrange(50))
        for name in WORKERS:
            service.kill(name)
            kills += 1
        assert not is_idle()
    service.wait_until_idle()
    counted(Count.of("workers killed at random", tasks_per(events), f"{kills} kills"))


def wait_until_handled(events: Sequence[UUID], number: int) -> None:
    """Wait until so many of some events were handled."""
    assert processes.wait_until(lambda: handled(events) >= number, PATIENCE_SECONDS)


def test_the_relay_killed_between_enqueue_and_mark(service: Service, counted: Callable[[Count], None]) -> None:
    """Bags are in Valkey, PostgreSQL knows nothing of it: the next relay brings them again.

    The desk's worker is halted meanwhile, so that what comes twice is still there to come twice.
    """
    repeated, events, in_between = service.repeated(), [], 0
    for _ in range(5):
        with service.halted("worker-operations"):
            batch = service.emit(250, DESK)
            wait_until_waiting(service, 1)
            service.kill("relay")
            in_between += set(relays_of(batch)) == {0}
            wait_until_relayed(batch)
        service.wait_until_idle()
        events += batch
        if in_between:
            break
    again = service.repeated() - repeated
    assert in_between > 0, "the relay was too fast to be killed in between"
    assert again > 0
    counted(Count.of("relay killed between enqueue and mark", tasks_per(events), f"{again} came twice"))


def wait_until_waiting(service: Service, bags: int) -> None:
    """Wait until so many bags lie in the desk's queue."""
    assert processes.wait_until(lambda: service.waiting(Party.OPERATIONS) >= bags, PATIENCE_SECONDS)


def wait_until_relayed(events: Sequence[UUID]) -> None:
    """Wait until a relay has marked all of some events."""
    assert processes.wait_until(lambda: 0 not in relays_of(events), PATIENCE_SECONDS)


def test_the_relay_killed_again_and_again(service: Service, counted: Callable[[Count], None]) -> None:
    """Each time after as many events as chance has it, while the workers drain what it brings."""
    chance, repeated, events = random.Random(11), service.repeated(), []
    for _ in range(2):
        batch = service.emit(100)
        wait_until_handled(batch, chance.randrange(50))
        service.kill("relay")
        events += batch
    service.wait_until_idle()
    proof = f"2 kills, {service.repeated() - repeated} came twice"
    counted(Count.of("relay killed at random", tasks_per(events), proof))
