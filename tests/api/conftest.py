"""The API as a client sees it, over Flask's test client, in the test's own transaction that is rolled back."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from coordinator.app import create_app
from services.core.actors import SYSTEM
from services.people import tokens
from services.people.models import Account, Episode

PREFIX = "/api/v1"


class Caller:
    """Calls the API as somebody. Every POST gets a fresh idempotency key unless the test names one."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self.client = client
        self.token = token

    def _headers(self, method: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method == "POST":
            given["Idempotency-Key"] = secrets.token_hex(8)
        return {**given, **(headers or {})}

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> TestResponse:
        return self.client.open(PREFIX + path, method=method, headers=self._headers(method, headers), **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.request("POST", path, json={} if json is None else json, **options)

    def patch(self, path: str, json: Any, **options: Any) -> TestResponse:
        return self.request("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.request("DELETE", path, **options)


class Api:
    """Gives callers: ``api.as_account(account)``, ``api.as_patient(episode)``, ``api.anonymous()``."""

    def __init__(self, app: Flask, session: Session) -> None:
        self.client = app.test_client()
        # Whoever has no token is counted by address: one test's attempts must not be the next one's refusals.
        self.client.environ_base["REMOTE_ADDR"] = ".".join(["10", *map(str, secrets.token_bytes(3))])
        self.session = session

    def anonymous(self) -> Caller:
        return Caller(self.client, None)

    def with_token(self, token: str) -> Caller:
        return Caller(self.client, token)

    def as_account(self, account: Account) -> Caller:
        issued = tokens.issue_token(self.session, SYSTEM, account)
        self.session.commit()
        return Caller(self.client, issued.token.reveal())

    def as_patient(self, episode: Episode) -> Caller:
        issued = tokens.issue_patient_token(self.session, episode.patient_id, episode.id)
        self.session.commit()
        return Caller(self.client, issued.token.reveal())


@pytest.fixture(scope="session")
def app(environment: Mapping[str, str]) -> Flask:
    """The application, built once per test process."""
    return create_app()


@pytest.fixture
def api(app: Flask, session: Session) -> Api:
    """Callers of the API. Both the test and the application work in the same outer transaction."""
    return Api(app, session)
