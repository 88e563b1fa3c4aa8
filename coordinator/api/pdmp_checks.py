"""Checks of the prescription drug monitoring programme (PDMP), as the medical team puts them on record."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Moment, page_schema
from services.people.access import Action
from services.people.identifiers import STATES
from services.prescribing import pdmp_checks
from services.prescribing.pdmp_checks import Check, PdmpFinding

blueprint = resource("pdmp-checks", "Checks of the prescription drug monitoring programme: when, which states, what.")


class PdmpCheckIn(Schema):
    """A check you made: which states were asked and what it came to. Leave the report itself where it is."""

    states = fields.List(
        fields.String(validate=validate.OneOf(sorted(STATES))),
        required=True,
        validate=validate.Length(min=1, max=len(STATES)),
    )
    finding = Choice(PdmpFinding, required=True)
    checked_at = Moment()


class PdmpCheckOut(Schema):
    """A check of the prescription drug monitoring programme."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    checked_by = fields.UUID(required=True)
    checked_at = fields.AwareDateTime(required=True)
    states = fields.List(fields.String(), required=True)
    finding = Choice(PdmpFinding, required=True)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/pdmp-checks",
    action=Action.RECORD_PDMP_CHECK,
    body=PdmpCheckIn,
    answer=PdmpCheckOut,
    status=201,
)
def record_check(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Put a check of the prescription drug monitoring programme on record."""
    return _check(pdmp_checks.record_check(call.session, call.actor, episode_id, **body))


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/pdmp-checks",
    action=Action.RECORD_PDMP_CHECK,
    query=cursors.PageIn,
    answer=page_schema(PdmpCheckOut, "PdmpCheckPageOut"),
)
def list_checks(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The checks made for an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = pdmp_checks.list_checks(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    page = cursors.page(found, query["limit"], lambda check: (check.checked_at, check.id))
    return {**page, "items": [_check(check) for check in page["items"]]}


def _check(check: Check) -> dict[str, Any]:
    names = ("id", "episode_id", "checked_by", "checked_at", "finding")
    return {**{name: getattr(check, name) for name in names}, "states": sorted(check.states)}
