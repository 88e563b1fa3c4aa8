"""Fills: what the pharmacy hands out on a signed prescription."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, IfMatch, endpoint, resource
from coordinator.api.fields import Flag, Whole, page_schema
from services.people.access import Action
from services.people.attempts import Refused
from services.prescribing import fills
from services.prescribing.fills import OpenedFill

blueprint = resource("fills", "Fills: what the pharmacy hands out on a signed prescription.")


class FillIn(Schema):
    """What is handed out now, whole or part. ``is_refill`` starts the next refill; the rest of a fill does not."""

    quantity = Whole(1, 1000, required=True)
    is_refill = Flag(required=True)


class FillOut(Schema):
    """One hand-out. ``fill_number`` 0 is the first fill, n the n-th refill; parts of it carry the same number."""

    id = fields.UUID(required=True)
    prescription_id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    fill_number = fields.Integer(required=True)
    is_refill = fields.Boolean(required=True)
    quantity = fields.Integer(required=True)
    filled_on = fields.Date(required=True)
    recorded_by = fields.UUID(required=True)
    recorded_at = fields.AwareDateTime(required=True)
    undelivered_at = fields.AwareDateTime(required=True, allow_none=True)


@endpoint(
    blueprint,
    "POST",
    "/prescriptions/<uuid:prescription_id>/fills",
    action=Action.RECORD_FILL,
    body=FillIn,
    answer=FillOut,
    status=201,
    located="/fills/{id}",
    if_match=IfMatch.TAKEN,  # of the prescription
)
def record_fill(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any] | Refused:
    """Record a hand-out. Parts add up; never above what was prescribed, after six months, or without approval."""
    filled = fills.record_fill(
        call.session,
        call.actor,
        prescription_id,
        body["quantity"],
        is_refill=body["is_refill"],
        version=call.version,
    )
    return filled if isinstance(filled, Refused) else _shown(filled)


@endpoint(
    blueprint,
    "GET",
    "/prescriptions/<uuid:prescription_id>/fills",
    action=Action.READ_FILL,
    query=cursors.PageIn,
    answer=page_schema(FillOut, "FillPageOut"),
)
def list_fills(call: Call, query: dict[str, Any], prescription_id: UUID) -> dict[str, Any]:
    """The hand-outs on a prescription, oldest first."""
    after = cursors.decode(query.get("cursor"))
    found = fills.list_fills(
        call.session, call.actor, prescription_id, after=after and after[1], limit=query["limit"] + 1
    )
    page = cursors.page(found, query["limit"], lambda each: (each.fill.recorded_at, each.fill.id))
    return {**page, "items": [_shown(each) for each in page["items"]]}


@endpoint(blueprint, "GET", "/fills/<uuid:fill_id>", action=Action.READ_FILL, answer=FillOut)
def read_fill(call: Call, fill_id: UUID) -> dict[str, Any]:
    """One hand-out."""
    return _shown(fills.read_fill(call.session, call.actor, fill_id))


def _shown(opened: OpenedFill) -> dict[str, Any]:
    names = [name for name in FillOut().fields if name != "quantity"]
    return {**{name: getattr(opened.fill, name) for name in names}, "quantity": opened.quantity}
