"""Monthly logs of what a practitioner signed, for that practitioner alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Revealed, page_schema
from services.people.access import Action
from services.prescribing import signing_logs
from services.prescribing.states import PrescriptionState

blueprint = resource("signing-logs", "Monthly logs of what you signed.")


class SigningLogSummaryOut(Schema):
    """A log of one month; ``month`` is its first day."""

    id = fields.UUID(required=True)
    month = fields.Date(required=True)
    kept_at = fields.AwareDateTime(required=True)


class SigningLogLineOut(Schema):
    """One prescription as it was signed; null where it was altered afterwards (``signature_valid`` false)."""

    prescription_id = fields.String(required=True)
    signed_at = fields.String(required=True)
    signed_outside = fields.Boolean(required=True)
    signature_valid = fields.Boolean(required=True)
    state = Choice(PrescriptionState, required=True)
    issued_on = fields.String(required=True, allow_none=True)
    patient_name = fields.String(required=True, allow_none=True)
    drug = fields.String(required=True, allow_none=True)
    strength = fields.String(required=True, allow_none=True)
    form = fields.String(required=True, allow_none=True)
    quantity = fields.Integer(required=True, allow_none=True)
    refills = fields.Integer(required=True, allow_none=True)


class SigningLogOut(SigningLogSummaryOut):
    """A log with its lines, oldest first."""

    lines = Revealed(fields.List(fields.Nested(SigningLogLineOut)), required=True)


@endpoint(
    blueprint,
    "GET",
    "/signing-logs",
    action=Action.READ_SIGNING_LOG,
    query=cursors.PageIn,
    answer=page_schema(SigningLogSummaryOut, "SigningLogPageOut"),
)
def list_logs(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """Your logs, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = signing_logs.list_logs(call.session, call.actor, after=after and after[1], limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda log: (log.kept_at, log.id))


@endpoint(
    blueprint,
    "GET",
    "/signing-logs/<uuid:log_id>",
    action=Action.READ_SIGNING_LOG,
    answer=SigningLogOut,
)
def read_log(call: Call, log_id: UUID) -> dict[str, Any]:
    """One of your logs. Tell the operations desk at once of anything that you did not sign."""
    log, lines = signing_logs.read_log(call.session, call.actor, log_id)
    return {"id": log.id, "month": log.month, "kept_at": log.kept_at, "lines": lines}
