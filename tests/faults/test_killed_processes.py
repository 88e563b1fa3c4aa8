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
from tests.faults.stacks import (
    PATIENCE_SECONDS,
    SHORT_TIMES,
    Service,
    blocked,
    end_backend,
    handled,
    relays_of,
    tasks_per,
)

DESK = [(EventKind.SMS_UNCLEAR, Party.OPERATIONS)]
BAG_SIZE = SHORT_TIMES["relay"]["bag_size"]
WORKERS = [f"worker-{party}" for party in (Party.THERAPIST, Party.MEDICAL_TEAM, Party.PHARMACY, Party.OPERATIONS)]


def test_a_worker_killed_in_the_middle_of_a_bag(service: Service, counted: Callable[[Count], None]) -> None:
    """It is held where its events are marked handled and their tasks are being written, and killed there."""
    killed, before = 0, service.restarts("worker-operations")
    events = []
    for _ in range(2):
        with transaction() as session:
            session.execute(text("LOCK TABLE tasks IN SHARE MODE"))
            batch = service.emit(40, DESK)
            assert processes.wait_until(lambda: blocked("INSERT INTO tasks") > 0, PATIENCE_SECONDS)
            service.kill("worker-operations")
            killed += 1
            assert handled(batch) == 0  # what the bag had marked went with it
        events += batch
    service.wait_until_idle()
    assert service.restarts("worker-operations") == before + killed
    again = sum(relays > 1 for relays in relays_of(events))
    assert again > 0
    proof = f"{killed} kills, {again} events brought again"
    counted(Count.of("worker killed in the middle of a bag", tasks_per(events), proof))


def test_workers_killed_again_and_again(service: Service, counted: Callable[[Count], None]) -> None:
    """All four at once, each time after as many events as chance has it.

    One of them stands still before it is killed, so that there is work left however fast the others are.
    """
    chance, kills = random.Random(7), 0
    events = service.emit(400)
    for number, slow in ((80, "worker-operations"), (160, "worker-therapist")):
        with service.halted(slow):
            wait_until_handled(events, number + chance.randrange(50))
            for name in WORKERS:
                service.kill(name)
                kills += 1
            left = len(events) - handled(events)
        assert left > 0
    service.wait_until_idle()
    counted(Count.of("workers killed at random", tasks_per(events), f"{kills} kills, {left} events left at the last"))


def wait_until_handled(events: Sequence[UUID], number: int) -> None:
    """Wait until so many of some events were handled."""
    assert processes.wait_until(lambda: handled(events) >= number, PATIENCE_SECONDS)


def test_the_relay_killed_between_enqueue_and_mark(service: Service, counted: Callable[[Count], None]) -> None:
    """Bags are in Valkey, PostgreSQL knows nothing of it: the next relay brings them again.

    The desk's worker is halted meanwhile, so that what comes twice is still there to come twice.
    """
    repeated = service.repeated()
    with service.halted("worker-operations"):
        with service.marks_held() as committing:
            events = service.emit(250, DESK)
            assert processes.wait_until(lambda: committing() is not None, PATIENCE_SECONDS)
            backend = committing()
            assert backend is not None
            # The halted worker may have been given one already.
            assert service.waiting(Party.OPERATIONS) >= len(events) / BAG_SIZE - 1
            service.kill("relay")
            # It died before its COMMIT, which has reached PostgreSQL here only to be held.
            end_backend(backend)
            assert set(relays_of(events)) == {0}
        wait_until_relayed(events)
    service.wait_until_idle()
    again = service.repeated() - repeated
    # A bag that the halted worker had been given already may have gone with its connection: that one came once.
    assert again >= len(events) - BAG_SIZE
    counted(Count.of("relay killed between enqueue and mark", tasks_per(events), f"1 kill, {again} came twice"))


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
