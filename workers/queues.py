"""One RQ queue per party, and the bags that travel through them.

A bag is one RQ job with up to N sealed envelopes, so that throughput does not die on RQ's cost per job. The job's
arguments are what they look like in Redis: party, event ids, kinds, key names and ciphertext; nothing personal. Jobs
leave no result, no description and no failure behind: what became of an event stands in PostgreSQL.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from services.core.ids import new_id
from services.core.vocabulary import Party
from workers.jobs import HANDLE_BAG, OwnJob

JOB_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed event on its way."""

    id: UUID
    kind: str
    key_name: str
    sealed: bytes

    def packed(self) -> list[str]:
        """As JSON types, for the queue."""
        return [str(self.id), self.kind, self.key_name, base64.b64encode(self.sealed).decode("ascii")]


def unpacked(fields: Any) -> Envelope:
    """An envelope from the queue. Raises ``ValueError`` when the fields are not one."""
    if not isinstance(fields, list) or not all(isinstance(field, str) and field.isprintable() for field in fields):
        raise ValueError("An envelope is a list of printable texts.")
    event_id, kind, key_name, sealed = fields
    return Envelope(UUID(event_id), kind, key_name, base64.b64decode(sealed, validate=True))


def spoilt(fields: Any) -> Envelope:
    """What stands in a bag and is no envelope, as one that does not open, under its id if that can be read."""
    try:
        event_id = UUID(fields[0])
    except (TypeError, ValueError, AttributeError, LookupError):
        event_id = new_id()
    return Envelope(event_id, "unreadable", "unreadable", json.dumps(fields).encode())


def queue_of(party: Party, redis: Redis) -> Queue:
    """The queue of a party."""
    return Queue(
        party.value,
        connection=redis,
        serializer=JSONSerializer,
        job_class=OwnJob,
        default_timeout=JOB_TIMEOUT_SECONDS,
    )


def worker_of(party: Party, redis: Redis) -> SimpleWorker:
    """A worker for the party's queue that runs jobs in this process."""
    return SimpleWorker(
        [queue_of(party, redis)],
        connection=redis,
        serializer=JSONSerializer,
        job_class=OwnJob,
        log_job_description=False,
    )


def push_bags(redis: Redis, party: Party, envelopes: Sequence[Envelope], bag_size: int) -> int:
    """Put envelopes into the party's queue, ``bag_size`` to a job; gives the number of jobs."""
    queue = queue_of(party, redis)
    bags = [envelopes[start : start + bag_size] for start in range(0, len(envelopes), bag_size)]
    for bag in bags:
        push(queue, HANDLE_BAG, party.value, [envelope.packed() for envelope in bag])
    return len(bags)


def push(queue: Queue, work: str, *arguments: Any) -> None:
    """Enqueue a job that leaves nothing behind."""
    queue.enqueue_call(work, args=arguments, result_ttl=0, failure_ttl=60, description=work)


def depths(redis: Redis, parties: Iterable[Party] = Party) -> dict[Party, int]:
    """How many jobs wait in each party's queue, asked for in one go."""
    asked = list(parties)
    pipeline = redis.pipeline(transaction=False)
    for party in asked:
        pipeline.llen(queue_of(party, redis).key)
    return dict(zip(asked, pipeline.execute(), strict=True))
