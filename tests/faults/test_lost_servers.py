"""Valkey wiped and restarted, PostgreSQL stopped at once: with work under way, nothing is lost and nothing doubled."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import requests
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from coordinator.local import processes
from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import Party
from services.people.models import Episode
from tests.bench.bodies import referral_body
from tests.faults.counts import Count
from tests.faults.stacks import PATIENCE_SECONDS, Service, handled, tasks_per

WORKERS = [f"worker-{party}" for party in (Party.THERAPIST, Party.MEDICAL_TEAM, Party.PHARMACY, Party.OPERATIONS)]
# It stands still until the server is gone, so that there is work left however fast the others are.
SLOW = "worker-operations"
CLIENTS = 3


def test_valkey_wiped_with_work_in_flight(service: Service, counted: Callable[[Count], None]) -> None:
    with service.halted(*WORKERS):
        events = service.emit(200)
        assert processes.wait_until(lambda: service.waiting(*Party) >= 20, PATIENCE_SECONDS)
        gone = service.waiting(*Party)
        service.redis.flushall()
        assert handled(events) < len(events)
    service.wait_until_idle()
    counted(Count.of("Valkey wiped", tasks_per(events), f"{gone} bags gone"))


def test_valkey_restarted_with_work_in_flight(service: Service, counted: Callable[[Count], None]) -> None:
    with service.halted(SLOW):
        events = service.emit(200)
        assert processes.wait_until(lambda: handled(events) > 0 and service.waiting(*Party) > 0, PATIENCE_SECONDS)
        gone = service.waiting(*Party)
        service.stack.valkey.kill()
        left = len(events) - handled(events)
        assert left > 0
        more = service.emit(40)  # what happens while it is away
    service.wait_until_idle()
    counted(Count.of("Valkey restarted", tasks_per([*events, *more]), f"{gone} bags gone, {left} events unhandled"))


class Clients:
    """Clients that refer patients one after the other; each repeats a POST, with its key, until it is answered."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.service.token(service.world.therapist)
        self.made: dict[str, str] = {}
        self.unanswered: Counter[str] = Counter()
        self.refused: list[str] = []
        self._enough = threading.Event()
        self._making = threading.Lock()
        self._threads = [threading.Thread(target=self._refer) for _ in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _refer(self) -> None:
        while not self._enough.is_set():
            with self._making:
                body = referral_body()
            key = new_id().hex
            answer = self._until_answered(body, key)
            if answer.status_code == 201:
                self.made[key] = answer.json()["episode_id"]
            else:
                self.refused.append(answer.text)

    def _until_answered(self, body: object, key: str) -> requests.Response:
        while True:
            try:
                answer = self.service.post(self.service.world.therapist, "/referrals", body, key=key)
            except requests.RequestException as error:
                self.unanswered[type(error).__name__] += 1
                continue
            if answer.status_code < 500:
                return answer
            self.unanswered[str(answer.status_code)] += 1


def test_postgresql_stopped_at_once_under_load(service: Service, counted: Callable[[Count], None]) -> None:
    before = episodes_of(service)
    with Clients(service) as clients:
        assert processes.wait_until(lambda: len(clients.made) >= CLIENTS, PATIENCE_SECONDS)
        with service.halted(SLOW):
            events = service.emit(200)
            assert processes.wait_until(lambda: handled(events) > 0, PATIENCE_SECONDS)
            left = len(events) - handled(events)
            assert left > 0
            service.stop_postgres_at_once()
            # Whoever asks on a connection from before learns of it, however short it was.
            assert processes.wait_until(is_away, PATIENCE_SECONDS)
        assert processes.wait_until(lambda: not is_away(), PATIENCE_SECONDS)
        answered = len(clients.made)
        assert processes.wait_until(lambda: len(clients.made) > answered + CLIENTS, PATIENCE_SECONDS)
    service.wait_until_idle()
    made = Counter(str(episode_id) for episode_id in episodes_of(service) - before)
    effects = [*tasks_per(events), *(made.pop(episode_id, 0) for episode_id in clients.made.values())]
    assert clients.refused == []
    assert made == {}
    assert clients.unanswered
    assert "500" not in clients.unanswered
    proof = ", ".join(f"{number} x {kind}" for kind, number in sorted(clients.unanswered.items()))
    proof = f"{left} events unhandled, unanswered: {proof}"
    counted(Count.of("PostgreSQL stopped at once under load", effects, proof))


def episodes_of(service: Service) -> set[UUID]:
    """The therapist's episodes."""
    with transaction() as session:
        return set(session.scalars(select(Episode.id).where(Episode.therapist_id == service.world.therapist.id)))


def is_away() -> bool:
    try:
        with transaction() as session:
            return session.scalar(select(1)) != 1
    except DBAPIError:
        return True
