"""THE table from errors to answers: RFC 9457 problems. No exception text leaves; a 500 has a request id only."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import psycopg
import structlog
from flask import Flask, Response, g, json, request
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException

from services.audit.records import record_denial
from services.core import errors
from services.core.actors import Actor

log = structlog.get_logger()

STATUS: Final[Mapping[type[errors.CoordinationError], int]] = {
    errors.InvalidInput: 422,
    errors.NotSignedIn: 401,
    errors.Locked: 429,
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.Conflict: 409,
    errors.StaleVersion: 409,
    errors.IllegalTransition: 409,
    errors.RuleRefused: 409,
    errors.IdempotencyMismatch: 422,
    errors.Unavailable: 503,
    errors.UnreadableSeal: 500,
    errors.InvalidConfiguration: 500,
    errors.CoordinationError: 409,
}

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS: Final = "2"


def status_of(error: errors.CoordinationError) -> int:
    """The status for an error: that of its nearest class in the table."""
    if isinstance(error, errors.StaleVersion) and "If-Match" in request.headers:
        return 412
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    """One problem document. ``code`` is stable and meant for programs, ``detail`` is a sentence for people."""
    document = {
        "type": f"urn:problem:{code.replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": g.get("request_id"),
        **{name: value for name, value in members.items() if value is not None},
    }
    return Response(json.dumps(document), status, content_type=PROBLEM_TYPE)


def register(app: Flask) -> None:
    """Let every error become a problem document."""
    app.register_error_handler(errors.CoordinationError, _coordination_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(StaleDataError, _stale_data)
    app.register_error_handler(IntegrityError, _integrity_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(NoConnectionLeft, _database_error)
    app.register_error_handler(Exception, _unexpected)


def _coordination_error(error: errors.CoordinationError) -> Response:
    status = status_of(error)
    if status == 500:
        return _unexpected(error)
    _audit_denial(error)
    answer = problem(
        status,
        error.code,
        error.message,
        field=error.field,
        rule=error.rule,
        findings=[finding.as_dict() for finding in error.findings] or None,
        errors=[{"field": error.field, "message": error.message}] if status == 422 and error.field else None,
    )
    if isinstance(error, errors.Locked):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unavailable):
        answer.headers["Retry-After"] = RETRY_AFTER_SECONDS
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _audit_denial(error: errors.CoordinationError) -> None:
    actor: Actor | None = g.get("actor")
    if actor is None or not isinstance(error, errors.NotAllowed | errors.NotFound):
        return
    subject_id = next(iter((request.view_args or {}).values()), None)
    record_denial(actor, str(g.get("action", "unknown")), request.endpoint or "unknown", subject_id, error.code)


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(status=status, headers=error.get_headers())
    code = HTTPStatus(status).name.lower()
    messages = getattr(error, "data", {}).get("messages") if isinstance(getattr(error, "data", None), dict) else None
    if messages:
        answer = problem(
            status,
            "invalid_input",
            "Some of the input cannot be accepted; 'errors' names each field, what was wrong and what is allowed.",
            errors=list(_flat_messages(messages)),
        )
    else:
        answer = problem(
            status, code, SENTENCES.get(status, HTTPStatus(status).description or HTTPStatus(status).phrase)
        )
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            answer.headers[name] = value
    return answer


SENTENCES: Final[Mapping[int, str]] = {
    400: "The request could not be read: it is not valid JSON, or a header is malformed.",
    404: "There is nothing at this address.",
    405: "This address does not take this method; the Allow header names those it takes.",
    413: "The request is larger than this service accepts.",
    415: "Send the request body as application/json.",
    429: "Too many requests. Wait for the time that Retry-After names.",
}


def _flat_messages(messages: Mapping[str, Any]) -> list[dict[str, str]]:
    """Webargs groups messages by location, marshmallow by field, possibly nested: one row per field and message."""
    rows: list[dict[str, str]] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, Mapping):
            for name, child in node.items():
                # marshmallow's word for "this object as a whole"
                walk(child, path if name == "_schema" else f"{path}.{name}" if path else str(name))
        elif isinstance(node, list):
            for child in node:
                walk(child, path)
        else:
            rows.append({"field": path or "body", "message": str(node)})

    for fields in messages.values():
        walk(fields, "")
    return rows


def _stale_data(error: StaleDataError) -> Response:
    return _coordination_error(
        errors.StaleVersion("Somebody else changed this record at the same time. Read it again.")
    )


def _integrity_error(error: IntegrityError) -> Response:
    log.warning("integrity_refused", constraint=getattr(getattr(error.orig, "diag", None), "constraint_name", None))
    return problem(409, "conflict", "This contradicts a record that already exists.")


def _database_error(error: DBAPIError | NoConnectionLeft) -> Response:
    """What goes away by itself: no server, no connection left, a deadlock, a lock or a statement that took too long."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if not lost and not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError | NoConnectionLeft):
        return _unexpected(error)
    log.warning("database_away", error=type(cause).__name__)
    return _coordination_error(
        # Where the connection broke during the commit nobody knows what became of it; the key makes trying again safe.
        errors.Unavailable("The database does not answer right now. Try again, with the same Idempotency-Key.")
    )


def _unexpected(error: Exception) -> Response:
    # The class and the place, never the text: it may hold what somebody typed in.
    trace, place = error.__traceback__, "unknown"
    while trace is not None:
        place, trace = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}", trace.tb_next
    log.error("request_failed", error=type(error).__name__, place=place, request=g.get("request_id"))
    return problem(500, "internal_error", "Something went wrong on our side. Name the request id when you report it.")
