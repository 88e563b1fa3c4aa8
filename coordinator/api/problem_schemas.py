"""The problem document as the OpenAPI document describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import Schema, fields

from coordinator.api.findings import FindingOut

ERRORS: Final[Mapping[int, str]] = {
    400: "The request could not be read (malformed JSON, missing or malformed header).",
    401: "No valid bearer token, link or code.",
    403: "You can see this, but your role may not do it.",
    404: "It does not exist, or it is not yours to see.",
    409: "A rule or the present state refuses; `code`, `rule` and `findings` say which and why.",
    412: "The record changed since you read it (`If-Match`).",
    413: "The body is too large.",
    415: "The body must be application/json.",
    422: "The input does not fit this document, or an idempotency key was reused for another request.",
    429: "Too many attempts; `Retry-After` says when to come back.",
    503: "A part of the service does not answer right now; try again, with the same Idempotency-Key.",
}


_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 0}}
}
ERROR_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "How to sign in.", "required": True, "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


class FieldErrorOut(Schema):
    """One field and what was wrong with it."""

    field = fields.String(required=True)
    message = fields.String(required=True)


class ProblemOut(Schema):
    """RFC 9457."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String(required=True)
    detail = fields.String(required=True)
    request_id = fields.String(required=True, allow_none=True)
    field = fields.String()
    rule = fields.String()
    errors = fields.List(fields.Nested(FieldErrorOut))
    findings = fields.List(fields.Nested(FindingOut))
