"""The relay: moves sealed events from the outbox into the parties' queues. It cannot read them.

It pushes first and commits the mark afterwards: killed in between, it relays an event twice and the worker notices.
Only one relay is active; others wait for the database lock and take over when it goes.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from services.core.database import transaction
from services.core.programme import Programme
from services.core.redis_connections import connect
from services.core.vocabulary import Party
from services.messaging.outbox import is_anything_due, take_due
from workers.queues import Envelope, depths, push_bags
from workers.standby import Standby, Stop

log = structlog.get_logger()

BATCH = 1000
# A bag costs the relay, RQ and the worker more than what is in it. After each batch a pause lets the next one gather,
# the longer the more came in: what comes now and then goes at once, and what comes in floods goes in full bags.
PAUSE_PER_EVENT_SECONDS = 0.005
SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.1
TROUBLE_PAUSE_SECONDS = 0.5


def relay_once(redis: Redis, programme: Programme) -> int:
    """Relay one batch of due events; gives how many. Raises what PostgreSQL or Redis raise, leaving all events due.

    A party whose queue is full has to wait: without that limit, a worker that is down would have its events relayed
    again and again until Redis is full and nobody gets anything.
    """
    with transaction() as session:
        if not is_anything_due(session):
            return 0
    most = programme.whole("relay.waiting_bags_at_most")
    parties = [party for party, waiting in depths(redis).items() if waiting < most]
    acknowledge_within = timedelta(seconds=programme.number("relay.acknowledge_within_seconds"))
    bag_size = programme.whole("relay.bag_size")
    with transaction() as session:
        due = take_due(session, BATCH, acknowledge_within, parties)
        by_party: dict[Party, list[Envelope]] = defaultdict(list)
        for row in due:
            by_party[Party(row.party)].append(Envelope(row.id, row.kind, row.key_name, row.envelope))
        for party, envelopes in by_party.items():
            push_bags(redis, party, envelopes, bag_size)
    if due:
        again = sum(1 for row in due if row.relays)
        log.info("events_relayed", count=len(due), again=again)
    return len(due)


def pause_after(relayed: int) -> float:
    """Seconds to let the next batch gather, after one of ``relayed`` events."""
    return min(max(SHORTEST_PAUSE_SECONDS, relayed * PAUSE_PER_EVENT_SECONDS), LONGEST_PAUSE_SECONDS)


def run(programme: Programme, stop: Stop) -> None:
    """Relay until told to stop, whatever PostgreSQL and Redis do meanwhile."""
    redis = connect()
    standby = Standby("relay")
    while not stop.is_set():
        try:
            if not standby.is_active():
                stop.wait(TROUBLE_PAUSE_SECONDS)
                continue
            relayed = relay_once(redis, programme)
            stop.wait(pause_after(relayed))
        except (SQLAlchemyError, RedisError) as error:
            # Names only: the text of a database error may hold values.
            log.warning("relay_interrupted", error=type(error).__name__)
            standby.release()
            stop.wait(TROUBLE_PAUSE_SECONDS)
    standby.release()
