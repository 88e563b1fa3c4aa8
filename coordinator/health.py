"""``/health`` (the process answers), ``/ready`` (the parts it needs answer), ``/metrics`` (Prometheus).

All three are free of personal data and need no token; let only your monitoring reach ``/metrics``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from flask import Blueprint, Response, jsonify
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.orm import Session

from services.core import clock
from services.core.database import transaction
from services.core.redis_connections import connect
from services.core.vocabulary import Party
from services.messaging.models import DeadLetter, Event, Notice, Task
from services.messaging.states import OPEN_STATES

blueprint = Blueprint("health", __name__)

RELAY_LAG_LIMIT_SECONDS: Final = 30.0
DATABASE_AWAY: Final = (DBAPIError, NoConnectionLeft)


@lru_cache(maxsize=1)
def _redis() -> Redis:
    return connect()


@blueprint.get("/health")
def health() -> Response:
    """Whether this process answers at all."""
    return jsonify({"status": "ok"})


@blueprint.get("/ready")
def ready() -> tuple[Response, int]:
    """Whether the database and Redis answer and the relay keeps up: 200, or 503 naming what does not."""
    checks: dict[str, Any] = {"database": "ok", "redis": "ok", "relay": "ok"}
    try:
        with transaction() as session:
            lag = _age_seconds(session, Event.relays == 0)
        checks["relay_lag_seconds"] = round(lag, 1)
        if lag > RELAY_LAG_LIMIT_SECONDS:
            checks["relay"] = "behind"
    except DATABASE_AWAY:
        checks["database"] = checks["relay"] = "unreachable"
    try:
        _redis().ping()
    except RedisError:
        checks["redis"] = "unreachable"
    is_ready = all(checks[name] == "ok" for name in ("database", "redis", "relay"))
    return jsonify({"status": "ready" if is_ready else "not ready", **checks}), 200 if is_ready else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Gauges read from PostgreSQL and Redis at the moment of asking, the same from every web process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Gauges:
    """Collects everything in one transaction; what cannot be reached is left out and ``coordinator_up`` says so."""

    def collect(self) -> Iterator[Metric]:
        try:
            with transaction() as session:
                yield from _database_gauges(session)
            database_up = 1
        except DATABASE_AWAY:
            database_up = 0
        try:
            depth = GaugeMetricFamily("coordinator_queue_depth", "Bags waiting in a party's queue", labels=["party"])
            for party in Party:
                depth.add_metric([party], _redis().llen(f"rq:queue:{party}"))
            yield depth
            redis_up = 1
        except RedisError:
            redis_up = 0
        up = GaugeMetricFamily("coordinator_up", "Whether a part answers", labels=["part"])
        up.add_metric(["database"], database_up)
        up.add_metric(["redis"], redis_up)
        yield up


def _database_gauges(session: Session) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "coordinator_relay_lag_seconds",
        "Age of the oldest event never relayed",
        value=_age_seconds(session, Event.relays == 0),
    )
    yield GaugeMetricFamily(
        "coordinator_oldest_unacknowledged_seconds",
        "Age of the oldest event not yet handled by its party",
        value=_age_seconds(session),
    )
    open_tasks = GaugeMetricFamily("coordinator_open_tasks", "Open tasks", labels=["party"])
    oldest = GaugeMetricFamily("coordinator_oldest_open_task_seconds", "Age of the oldest open task", labels=["party"])
    overdue = GaugeMetricFamily("coordinator_overdue_tasks", "Open tasks past their due time", labels=["party"])
    now = clock.now()
    rows = session.execute(
        select(Task.party, func.count(), func.min(Task.created_at), func.count().filter(Task.due_at < now))
        .where(Task.state.in_(sorted(OPEN_STATES)))
        .group_by(Task.party)
    )
    for party, count, first, late in rows:
        open_tasks.add_metric([party], count)
        oldest.add_metric([party], max(0.0, (now - first).total_seconds()))
        overdue.add_metric([party], late)
    yield from (open_tasks, oldest, overdue)
    sends = GaugeMetricFamily("coordinator_notices", "Text messages by result", labels=["state"])
    for state, count in session.execute(
        select(Notice.state, func.count()).where(Notice.channel == "sms").group_by(Notice.state)
    ):
        sends.add_metric([state], count)
    yield sends
    dead = select(func.count()).select_from(DeadLetter).where(DeadLetter.replayed_at.is_(None))
    yield GaugeMetricFamily("coordinator_dead_letters", "Dead letters not replayed", value=session.scalar(dead) or 0)


def _age_seconds(session: Session, *conditions: Any) -> float:
    oldest = session.scalar(select(func.min(Event.created_at)).where(Event.acknowledged_at.is_(None), *conditions))
    return 0.0 if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())
