"""What every answer carries for browsers, caches and people who report a problem."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from coordinator.security.headers import HEADERS
from tests.api.conftest import Api
from tests.factories import make_account
from tests.own_services import service_with


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def missing(answer: TestResponse) -> set[str]:
    return {name for name, value in HEADERS.items() if answer.headers.get(name) != value}


def test_the_headers_close_what_a_browser_leaves_open() -> None:
    assert HEADERS["Cache-Control"] == "no-store"
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in HEADERS["Content-Security-Policy"]
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert int(HEADERS["Strict-Transport-Security"].removeprefix("max-age=")) >= 31_536_000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/metrics", 200),
        ("GET", "/api/v1/openapi.json", 200),
        ("GET", "/api/v1/tasks", 401),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("DELETE", "/api/v1/tasks", 405),
        ("POST", "/api/v1/sign-in", 415),
        ("POST", "/hooks/easypost", 401),
        ("POST", "/hooks/twilio/inbound", 403),
    ],
)
def test_every_answer_carries_them_whatever_it_is(
    client: FlaskClient, session: Session, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert (answer.status_code, missing(answer)) == (status, set())


def test_an_answer_with_content_carries_them(api: Api, session: Session) -> None:
    answer = api.as_account(make_account(session)).get("/accounts/me")
    assert (answer.status_code, missing(answer)) == (200, set())


def test_an_answer_while_the_database_is_away_carries_them(client: FlaskClient, session: Session) -> None:
    with service_with(DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/nothing"):
        answer = client.get("/api/v1/tasks", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, missing(answer)) == (503, set())


def test_every_answer_names_its_request_and_a_problem_names_it_too(client: FlaskClient, session: Session) -> None:
    answers = [client.get("/api/v1/tasks") for _ in range(2)]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert ids[0] != ids[1]
    assert [answer.get_json()["request_id"] for answer in answers] == ids


def test_a_request_id_that_is_one_is_kept(client: FlaskClient, session: Session) -> None:
    given = "4f9c2a1e-from-the-proxy"
    assert client.get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["short", "x" * 65, "Rosa Diaz 12345", '"}; drop table', "a" * 8 + "é"])
def test_whatever_else_somebody_sends_as_one_is_not_repeated(client: FlaskClient, session: Session, given: str) -> None:
    answer = client.get("/health", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] != given
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-Id"])
