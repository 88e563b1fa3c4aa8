"""How often anybody may try to come in, and what happens to that while Redis is away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from coordinator.app import create_app
from coordinator.problems import PROBLEM_TYPE
from coordinator.security.rate_limits import ANONYMOUS_LIMIT, ANONYMOUS_PATHS
from services.core.config import config
from tests.api.conftest import Api
from tests.factories import make_account
from tests.operations import document_of, operations_of

LIMIT = int(ANONYMOUS_LIMIT.split()[0])
NOBODY_THERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _no_counters(redis_client: Redis) -> None:
    """Counters of other tests are gone."""


@contextmanager
def set_up_with(**settings: str) -> Iterator[Flask]:
    """An application that was started with other settings; the database stays that of the test."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    config.cache_clear()
    try:
        yield create_app()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        config.cache_clear()


def exchange(api: Api, address: str = "203.0.113.7", **headers: str) -> TestResponse:
    return api.anonymous().post(
        "/links/exchange", {"token": "x" * 43}, environ_overrides={"REMOTE_ADDR": address}, headers=headers
    )


def test_an_address_that_tries_too_often_is_told_to_wait(api: Api) -> None:
    assert {exchange(api).status_code for _ in range(LIMIT)} == {401}
    refused = exchange(api)
    assert (refused.status_code, refused.content_type) == (429, PROBLEM_TYPE)
    assert refused.json["code"] == "too_many_requests"
    assert 0 < int(refused.headers["Retry-After"]) <= 60


def test_another_address_is_not_held_up_by_it(api: Api) -> None:
    for _ in range(LIMIT + 1):
        exchange(api)
    assert exchange(api, "203.0.113.8").status_code == 401


def test_every_route_that_anybody_may_call_is_limited_and_no_other(app: Flask) -> None:
    public = {f"/api/v1{each.path}" for each in operations_of(document_of(app)) if each.is_public}
    assert public == ANONYMOUS_PATHS


def test_the_count_is_shared_by_all_processes(api: Api, app: Flask, session: Session) -> None:
    for _ in range(LIMIT):
        exchange(api)
    assert exchange(Api(create_app(), session)).status_code == 429


def test_signed_in_calls_are_not_counted(api: Api, session: Session) -> None:
    caller = api.as_account(make_account(session))
    assert {caller.get("/accounts/me").status_code for _ in range(LIMIT + 5)} == {200}


def test_while_redis_is_away_everything_is_answered_and_each_process_counts_for_itself(session: Session) -> None:
    with set_up_with(REDIS_URL=NOBODY_THERE) as app:
        api = Api(app, session)
        caller = api.as_account(make_account(session))
        assert {exchange(api).status_code for _ in range(LIMIT)} == {401}
        refused = exchange(api)
        assert (refused.status_code, refused.content_type) == (429, PROBLEM_TYPE)
        assert int(refused.headers["Retry-After"]) > 0
        assert {caller.get("/accounts/me").status_code for _ in range(LIMIT + 5)} == {200}
        assert app.test_client().get("/health").status_code == 200


def test_behind_a_proxy_each_client_is_counted_by_itself(session: Session) -> None:
    with set_up_with(COORDINATOR_PROXIES="1") as app:
        api = Api(app, session)
        for _ in range(LIMIT + 1):
            last = exchange(api, "10.0.0.1", **{"X-Forwarded-For": "198.51.100.1"})
        assert last.status_code == 429
        assert exchange(api, "10.0.0.1", **{"X-Forwarded-For": "198.51.100.2"}).status_code == 401


def test_what_a_client_says_of_its_own_address_is_not_believed(api: Api) -> None:
    answers = [exchange(api, **{"X-Forwarded-For": f"198.51.100.{number}"}) for number in range(LIMIT + 1)]
    assert answers[-1].status_code == 429


def test_a_client_behind_a_proxy_cannot_make_up_addresses_either(session: Session) -> None:
    with set_up_with(COORDINATOR_PROXIES="1") as app:
        api = Api(app, session)
        answers = [
            exchange(api, "10.0.0.1", **{"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.1"})
            for number in range(LIMIT + 1)
        ]
    assert answers[-1].status_code == 429
