"""The whole service as real processes, with short times, and the ways to break it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import requests
from redis import Redis
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from coordinator.local import processes
from coordinator.local.stack import Stack
from services.audit.verification import verify
from services.core.actors import SYSTEM
from services.core.database import transaction
from services.core.ids import new_id
from services.core.programme import DEFAULT_FILE
from services.core.vocabulary import EventKind, Party
from services.messaging.models import DeadLetter, Event, Task
from services.messaging.outbox import Subject, emit
from services.people import tokens
from services.people.models import Account
from tests.factories import World
from tests.factories_messaging import DAYTIME

PATIENCE_SECONDS = 90
BARE = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}

# What takes seconds or minutes in earnest takes as long as a test can wait.
SHORT_TIMES: dict[str, dict[str, float]] = {
    "relay": {"bag_size": 10, "acknowledge_within_seconds": 2, "retry_first_seconds": 0.2},
    "sms.gateway": {"timeout_seconds": 0.6},
    "sms.unknown": {"look_after_seconds": 0.5, "person_after_seconds": 2},
    "sms.sending": {"stuck_after_seconds": 2, "look_again_seconds": 0.5, "retry_first_seconds": 0.2},
    "shipping.gateway": {"timeout_seconds": 1},
    "shipping.tracking": {"retry_first_seconds": 0.2, "stuck_after_seconds": 2},
}

# An event for each of the four parties that have inboxes; each opens one task there.
ONE_TASK_EACH = (
    (EventKind.PRESCRIPTION_SIGNED, Party.PHARMACY),
    (EventKind.SESSION_RESCHEDULE_ASKED, Party.THERAPIST),
    (EventKind.OUTCOME_DETERIORATED, Party.MEDICAL_TEAM),
    (EventKind.SMS_UNCLEAR, Party.OPERATIONS),
)


def write_programme(path: Path) -> None:
    """A copy of the default programme with ``SHORT_TIMES``. Fails when a setting is not where it is looked for."""
    content = DEFAULT_FILE.read_text(encoding="utf-8")
    for section, settings in SHORT_TIMES.items():
        head, heading, rest = content.partition(f"\n[{section}]\n")
        assert heading, section
        body, following, tail = rest.partition("\n[")
        for name, value in settings.items():
            body, found = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", body)
            assert found == 1, f"{section}.{name}"
        content = head + heading + body + following + tail
    path.write_text(content, encoding="utf-8")


def prepare(directory: Path) -> Stack:
    """A stack that is not started: short times, and the middle of a working day."""
    directory.mkdir(parents=True, exist_ok=True)
    write_programme(directory / "programme.toml")
    (directory / "clock").write_text(f"{DAYTIME.timestamp() - time.time()}\n", encoding="ascii")
    light = {"COORDINATOR_LIGHT_PASSWORDS": "1"}
    environ = {**BARE, **light, "COORDINATOR_PROGRAMME": str(directory / "programme.toml")}
    return Stack(directory, environ, port=0, durable=True)


@dataclass
class Service:
    """The running service. This process works on the same database and keys meanwhile."""

    stack: Stack
    world: World
    episode_id: UUID
    tokens: dict[UUID, str] = field(default_factory=dict)
    is_sound: bool = True

    def world_in(self, session: Session) -> World:
        """Everybody, as rows of ``session``."""
        rows = {name: getattr(self.world, name) for name in (each.name for each in fields(World))}
        return World(**{name: session.get_one(type(row), row.id) for name, row in rows.items()})

    # Looking

    @property
    def redis(self) -> Redis:
        return Redis.from_url(self.stack.environment["REDIS_URL"])

    def pid(self, name: str) -> int:
        """The process of a program, once it is there."""
        assert self.stack.supervisor is not None
        supervisor = self.stack.supervisor
        assert processes.wait_until(lambda: supervisor.pid(name) is not None, PATIENCE_SECONDS), name
        found = supervisor.pid(name)
        assert found is not None
        return found

    def restarts(self, *names: str) -> int:
        """How often some programs had to be started again."""
        assert self.stack.supervisor is not None
        return sum(self.stack.supervisor.restarts()[name] for name in names)

    def waiting(self, *parties: Party) -> int:
        """How many bags wait in the queues of parties."""
        return sum(self.redis.llen(f"rq:queue:{party}") for party in parties)

    def repeated(self) -> int:
        """How many envelopes came to a worker that had handled them before, by the workers' own account."""
        return sum(entry["repeated"] for entry in self.log("worker-*") if entry.get("event") == "bag_handled")

    def log(self, pattern: str) -> Iterator[dict[str, Any]]:
        """What some programs logged."""
        for file in (self.stack.directory / "log").glob(f"{pattern}.log"):
            for line in file.read_text(errors="replace").splitlines():
                if line.startswith("{"):
                    try:
                        yield json.loads(line)
                    except ValueError:
                        continue  # a process was killed in the middle of it

    def wait_until_idle(self) -> None:
        """Wait until every event was handled or buried, and the copies that were relayed meanwhile are gone too."""
        assert processes.wait_until(is_idle, PATIENCE_SECONDS), unhandled()
        assert processes.wait_until(lambda: self.waiting(*Party) == 0, PATIENCE_SECONDS)

    def wait_until_ready(self) -> None:
        """Wait until all programs are up and the web answers."""
        for name in (*(f"worker-{party}" for party in Party), "relay", "ticker", "web"):
            self.pid(name)
        assert processes.wait_until(self._answers, PATIENCE_SECONDS)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.stack.url}/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    # Doing

    def emit(self, number: int, kinds: Sequence[tuple[EventKind, Party]] = ONE_TASK_EACH) -> list[UUID]:
        """``number`` committed events, in turn of the given kinds, each of which opens one task."""
        with transaction() as session:
            return [
                emit(session, kind, subject=Subject("thing", new_id()), episode_id=self.episode_id, to=[party])[0]
                for kind, party in (kinds[index % len(kinds)] for index in range(number))
            ]

    def kill(self, name: str) -> None:
        """kill -9, which no process can prepare for."""
        os.kill(self.pid(name), signal.SIGKILL)

    @contextmanager
    def halted(self, *names: str) -> Iterator[None]:
        """Programs that stand still meanwhile, in the middle of whatever they do."""
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):  # killed meanwhile
                    os.kill(pid, signal.SIGCONT)

    @contextmanager
    def marks_held(self) -> Iterator[Callable[[], int | None]]:
        """The relay cannot commit that it relayed anything; call what this gives for the backend that it waits in.

        Bags are in Valkey by then: it pushes before it commits.
        """
        address = self.stack.environment["DATABASE_URL"].replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(4242)")
            holder.execute(
                "CREATE FUNCTION hold_mark() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_advisory_xact_lock_shared(4242); RETURN NULL; END'"
            )
            holder.execute(
                "CREATE CONSTRAINT TRIGGER hold_mark AFTER UPDATE OF relays ON events "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_mark()"
            )
            try:
                yield lambda: waiting_to_commit(holder)
            finally:
                holder.execute("SELECT pg_advisory_unlock(4242)")
                holder.execute("DROP FUNCTION hold_mark CASCADE")

    def stop_postgres_at_once(self) -> None:
        """What ``pg_ctl stop -m immediate`` does: every session is dropped and nothing is written down in order."""
        pid_file = self.stack.postgres.cluster / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)

    def token(self, account: Account) -> str:
        """A bearer token of somebody."""
        if account.id not in self.tokens:
            with transaction() as session:
                row = session.get_one(Account, account.id)
                self.tokens[account.id] = tokens.issue_token(session, SYSTEM, row).token.reveal()
        return self.tokens[account.id]

    def post(self, account: Account, path: str, body: Any, *, key: str | None = None) -> requests.Response:
        """A POST as somebody, with a fresh idempotency key unless one is given."""
        headers = {"Authorization": f"Bearer {self.token(account)}", "Idempotency-Key": key or new_id().hex}
        return requests.post(f"{self.stack.url}/api/v1{path}", json=body, headers=headers, timeout=20)

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the providers' sandbox something."""
        answer = requests.request(method, f"{self.stack.sandbox_url}/sandbox{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()


def is_idle() -> bool:
    """Whether every event was handled; False while PostgreSQL is away."""
    try:
        with transaction() as session:
            return session.scalar(select(Event.id).where(Event.acknowledged_at.is_(None)).limit(1)) is None
    except DBAPIError:
        return False


def unhandled() -> list[tuple[Any, ...]]:
    """What waits, for the message of an assertion that fails."""
    with transaction() as session:
        waiting = select(Event.party, Event.kind, Event.relays, Event.failures, Event.last_failure)
        return [tuple(row) for row in session.execute(waiting.where(Event.acknowledged_at.is_(None)).limit(20))]


def tasks_per(event_ids: Sequence[UUID]) -> list[int]:
    """How many tasks each event opened."""
    with transaction() as session:
        found = Counter(session.scalars(select(Task.event_id).where(Task.event_id.in_(event_ids))))
    return [found[event_id] for event_id in event_ids]


def handled(event_ids: Sequence[UUID]) -> int:
    """How many of some events were handled."""
    with transaction() as session:
        done = select(func.count()).where(Event.id.in_(event_ids), Event.acknowledged_at.is_not(None))
        return session.scalar(done) or 0


def relays_of(event_ids: Iterable[UUID]) -> list[int]:
    """How often each event was relayed, as far as PostgreSQL knows."""
    with transaction() as session:
        return list(session.scalars(select(Event.relays).where(Event.id.in_(list(event_ids)))))


def waiting_to_commit(connection: psycopg.Connection[Any]) -> int | None:
    """The backend that waits for a lock in its COMMIT, if there is one."""
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = 'COMMIT'"
    ).fetchone()
    return None if found is None else int(found[0])


def end_backend(pid: int) -> None:
    """End a session of PostgreSQL as when its client is gone: nothing of its transaction stays."""
    with transaction() as session:
        assert session.scalar(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})


def blocked(query: str) -> int:
    """How many sessions wait for a lock in a statement that begins so."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :query || '%'")
    with transaction() as session:
        return session.scalar(waiting, {"query": query}) or 0


def letters() -> int:
    """How many dead letters there are."""
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(DeadLetter)) or 0


def damage_to_the_audit_trail() -> list[Any]:
    """What is wrong with the audit trail."""
    with transaction() as session:
        return list(verify(session))
