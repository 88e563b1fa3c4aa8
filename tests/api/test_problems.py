"""From errors to answers: which status, and nothing of what somebody typed in."""

from __future__ import annotations

import logging

import psycopg
import pytest
from flask import Flask
from psycopg import errors as postgres
from sqlalchemy import exc
from sqlalchemy.orm.exc import StaleDataError

from coordinator import problems
from services.core import errors

CANARY = "Rosa Diaz, +14155550142"


def away(error: psycopg.Error, kind: type[exc.DBAPIError] = exc.OperationalError) -> exc.DBAPIError:
    """A driver's error as SQLAlchemy hands it on, with the statement's values in its text."""
    return kind("SELECT 1", {"name": CANARY}, error)


def answer_to(error: Exception, **headers: str) -> tuple[int, dict[str, object], dict[str, str]]:
    """What is answered when ``error`` is raised inside a view."""
    app = Flask(__name__)
    problems.register(app)

    @app.get("/")
    def fail() -> str:
        raise error

    answer = app.test_client().get("/", headers=headers)
    assert answer.content_type == problems.PROBLEM_TYPE
    assert CANARY not in answer.text
    return answer.status_code, answer.get_json(), dict(answer.headers)


@pytest.mark.parametrize(
    "error",
    [
        away(psycopg.OperationalError("connection refused")),
        away(postgres.CannotConnectNow("starting up")),
        away(postgres.TooManyConnections()),
        away(postgres.AdminShutdown()),
        away(postgres.DeadlockDetected()),
        away(postgres.LockNotAvailable()),
        away(postgres.QueryCanceled()),
        away(postgres.DiskFull()),
        away(psycopg.InterfaceError("the connection is closed"), exc.InterfaceError),
        exc.TimeoutError("QueuePool limit reached"),
        errors.Unavailable("Not now."),
    ],
    ids=lambda error: type(getattr(error, "orig", None) or error).__name__,
)
def test_what_goes_away_by_itself_is_503_and_says_when_to_come_back(error: Exception) -> None:
    status, problem, headers = answer_to(error)
    assert (status, problem["code"]) == (503, "unavailable")
    assert int(headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        away(postgres.InvalidTextRepresentation(CANARY), exc.DataError),
        away(postgres.UndefinedTable(CANARY), exc.ProgrammingError),
        errors.UnreadableSeal("A sealed value was altered."),
        errors.InvalidConfiguration("The keyring lacks vault.json."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_our_own_mistakes_are_500_and_say_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        status, problem, _ = answer_to(error)
    assert (status, problem["code"]) == (500, "internal_error")
    assert "keyring" not in str(problem)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("error", "headers", "status", "code"),
    [
        (errors.InvalidInput("Give a date.", field="on"), {}, 422, "invalid_input"),
        (errors.NotSignedIn("Sign in."), {}, 401, "not_signed_in"),
        (errors.NotAllowed("Not you."), {}, 403, "not_allowed"),
        (errors.NotFound("Not here."), {}, 404, "not_found"),
        (errors.Conflict("Not twice."), {}, 409, "conflict"),
        (errors.StaleVersion("Too late."), {}, 409, "stale_version"),
        (errors.StaleVersion("Too late."), {"If-Match": '"1"'}, 412, "stale_version"),
        (StaleDataError(CANARY), {}, 409, "stale_version"),
        (StaleDataError(CANARY), {"If-Match": '"1"'}, 412, "stale_version"),
        (errors.Locked("Wait.", retry_after_seconds=7), {}, 429, "locked"),
        (errors.IdempotencyMismatch("Another request."), {}, 422, "idempotency_key_reused"),
        (away(postgres.UniqueViolation(CANARY), exc.IntegrityError), {}, 409, "conflict"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_refusal_has_its_status(error: Exception, headers: dict[str, str], status: int, code: str) -> None:
    answered, problem, sent = answer_to(error, **headers)
    assert (answered, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:problem:{code.replace('_', '-')}"
    assert sent.get("Retry-After") == ("7" if status == 429 else None)
    assert sent.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


def test_every_error_of_ours_has_a_status() -> None:
    def walk(kind: type[errors.CoordinationError]) -> list[type[errors.CoordinationError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in walk(child))]

    ours = [kind for kind in walk(errors.CoordinationError) if kind.__module__ == errors.__name__]
    assert [kind for kind in ours if kind not in problems.STATUS] == []
