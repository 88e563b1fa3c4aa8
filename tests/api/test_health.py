"""Whether the service is well: /health, /ready, /metrics, and what is answered while a part is away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from coordinator.health import RELAY_LAG_LIMIT_SECONDS
from coordinator.problems import PROBLEM_TYPE
from services.core import clock
from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import EventKind, NoticeKind, Party, TaskKind
from services.messaging import outbox
from services.messaging.models import Event
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import open_task
from tests.api.conftest import Api
from tests.factories import World, make_episode, make_world
from tests.factories_messaging import tell
from tests.own_services import service_with

NOBODY_THERE = "redis://127.0.0.1:1/0"
NO_DATABASE = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def emit_something(session: Session) -> Event:
    (event_id,) = emit(session, EventKind.SMS_UNCLEAR, subject=Subject("message", new_id()))
    session.commit()
    return session.get_one(Event, event_id)


Sample = tuple[str, tuple[tuple[str, str], ...]]


def gauges(client: FlaskClient) -> dict[Sample, float]:
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of_party(name: str, party: Party) -> Sample:
    return f"coordinator_{name}", (("party", party.value),)


def test_a_process_that_answers_is_healthy_whatever_else_is_away(client: FlaskClient, session: Session) -> None:
    assert client.get("/health").get_json() == {"status": "ok"}
    with service_with(DATABASE_URL=NO_DATABASE, REDIS_URL=NOBODY_THERE):
        assert client.get("/health").status_code == 200


def test_a_service_with_all_its_parts_is_ready(client: FlaskClient, session: Session) -> None:
    answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ready")
    assert answer.get_json() == {
        "status": "ready",
        "database": "ok",
        "redis": "ok",
        "relay": "ok",
        "relay_lag_seconds": 0.0,
    }


def test_without_redis_it_is_not_ready_and_says_so(client: FlaskClient, session: Session) -> None:
    with service_with(REDIS_URL=NOBODY_THERE):
        answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()["redis"], answer.get_json()["database"]) == (
        503,
        "unreachable",
        "ok",
    )


def test_without_postgresql_it_is_not_ready_and_says_so(client: FlaskClient, session: Session) -> None:
    with service_with(DATABASE_URL=NO_DATABASE):
        answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()["database"], answer.get_json()["redis"]) == (
        503,
        "unreachable",
        "ok",
    )


def test_a_relay_that_does_not_keep_up_makes_it_not_ready(client: FlaskClient, session: Session) -> None:
    event = emit_something(session)
    event.created_at = clock.now() - timedelta(seconds=RELAY_LAG_LIMIT_SECONDS + 5)
    session.commit()
    answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()["relay"]) == (503, "behind")
    assert answer.get_json()["relay_lag_seconds"] >= RELAY_LAG_LIMIT_SECONDS
    event.relays = 1
    session.commit()
    assert client.get("/ready").status_code == 200


def test_the_metrics_name_what_the_operations_manual_alerts_on(
    client: FlaskClient, session: Session, world: World, redis_client: Redis
) -> None:
    event = emit_something(session)
    event.created_at = clock.now() - timedelta(seconds=90)
    subject = Subject("fill", new_id())
    for hours in (-1, 1):
        open_task(
            session,
            TaskKind.SHIP_FILL,
            party=Party.PHARMACY,
            owner_id=world.pharmacy.id,
            subject=subject,
            due_at=clock.now() + timedelta(hours=hours),
        )
    tell(session, make_episode(session, world=world), NoticeKind.MORE_INFORMATION)
    outbox.bury(session, emit_something(session), "unreadable")
    session.commit()
    redis_client.rpush(f"rq:queue:{Party.PATIENT}", "a bag", "another")
    shown = gauges(client)
    assert shown[of_party("open_tasks", Party.PHARMACY)] == 2
    assert shown[of_party("overdue_tasks", Party.PHARMACY)] == 1
    assert shown[of_party("oldest_open_task_seconds", Party.PHARMACY)] >= 0
    assert shown[of_party("queue_depth", Party.PATIENT)] == 2
    assert shown[of_party("queue_depth", Party.PHARMACY)] == 0
    assert shown["coordinator_relay_lag_seconds", ()] >= 90
    assert shown["coordinator_oldest_unacknowledged_seconds", ()] >= 90
    assert shown["coordinator_dead_letters", ()] == 1
    assert sum(value for (name, _), value in shown.items() if name == "coordinator_notices") == 1
    assert shown["coordinator_up", (("part", "database"),)] == 1
    assert shown["coordinator_up", (("part", "redis"),)] == 1


def test_the_metrics_go_on_without_redis(client: FlaskClient, session: Session) -> None:
    with service_with(REDIS_URL=NOBODY_THERE):
        shown = gauges(client)
    assert shown["coordinator_up", (("part", "redis"),)] == 0
    assert shown["coordinator_up", (("part", "database"),)] == 1
    assert ("coordinator_dead_letters", ()) in shown
    assert not any(name == "coordinator_queue_depth" for name, _ in shown)


def test_the_metrics_go_on_without_postgresql(client: FlaskClient, session: Session, redis_client: Redis) -> None:
    with service_with(DATABASE_URL=NO_DATABASE):
        shown = gauges(client)
    assert shown["coordinator_up", (("part", "database"),)] == 0
    assert shown["coordinator_up", (("part", "redis"),)] == 1
    assert of_party("queue_depth", Party.PATIENT) in shown
    assert ("coordinator_dead_letters", ()) not in shown


# Requests while PostgreSQL does not do its part


def is_unavailable(answer: object) -> bool:
    status, kind = getattr(answer, "status_code", 0), getattr(answer, "content_type", "")
    return bool(
        (status, kind, answer.get_json()["code"]) == (503, PROBLEM_TYPE, "unavailable")  # type: ignore[attr-defined]
        and int(answer.headers["Retry-After"]) > 0  # type: ignore[attr-defined]
    )


def test_a_request_while_postgresql_is_away_is_503_and_never_500(api: Api, world: World) -> None:
    caller = api.as_account(world.therapist)
    with service_with(DATABASE_URL=NO_DATABASE):
        assert is_unavailable(caller.get("/tasks"))
        assert is_unavailable(caller.post(f"/tasks/{new_id()}/accept"))
        assert is_unavailable(api.anonymous().post("/links/exchange", {"token": "x" * 43}))
    assert caller.get("/tasks").status_code == 200


def test_a_request_whose_connection_the_server_ends_is_503_and_the_next_one_succeeds(
    app: Flask, environment: Mapping[str, str], own_postgres_url: str
) -> None:
    with service_with(DATABASE_URL=own_postgres_url):
        with transaction() as session:
            session.execute(text("SELECT 1"))
        other = create_engine(own_postgres_url)
        with other.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database()"
                )
            )
        other.dispose()
        answers = [Api(app, session).anonymous().post("/links/exchange", {"token": "x" * 43}) for _ in range(2)]
    assert is_unavailable(answers[0])
    assert answers[1].status_code == 401
