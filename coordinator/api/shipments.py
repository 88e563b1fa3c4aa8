"""Shipments: parcels to patients' homes, what carriers report, and the patient's receipt."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, PersonalText, Revealed, Text, Whole, page_schema
from coordinator.api.findings import FindingOut
from coordinator.api.patients import AddressIn, AddressOut
from services.people.access import Action
from services.people.attempts import Refused
from services.shipping import receipts, shipments
from services.shipping.models import Shipment
from services.shipping.receipts import ReceiptResult
from services.shipping.shipments import Parcel, ShipmentView
from services.shipping.states import ReceiptState, ShipmentStep, TrackerState
from services.shipping.statuses import Stage

blueprint = resource("shipments", "Shipments: parcels to patients' homes, and their receipt.")

CODE: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9 -]{2,58})[A-Za-z0-9]$"


class ShipmentIn(Schema):
    """A parcel as handed to the carrier. It goes to the patient's home of record, and an adult signs for it."""

    carrier = Text(40, pattern=r"^[A-Za-z][A-Za-z0-9]{1,39}$", required=True)
    tracking_code = PersonalText(60, shortest=4, pattern=CODE, required=True)
    ship_to = fields.Nested(AddressIn, required=True)
    delivery_confirmation = Text(40, pattern=r"^[A-Z_]{3,40}$")
    address_reason = PersonalText(1000)


class ShipmentSummaryOut(Schema):
    """A parcel without its content."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    prescription_id = fields.UUID(required=True)
    fill_id = fields.UUID(required=True)
    state = Choice(Stage, required=True)
    receipt_state = Choice(ReceiptState, required=True)
    tracker_state = Choice(TrackerState, required=True)
    carrier = fields.String(required=True)
    delivery_confirmation = fields.String(required=True)
    last_scan_at = fields.AwareDateTime(required=True, allow_none=True)
    estimated_at = fields.AwareDateTime(required=True, allow_none=True)
    delivered_at = fields.AwareDateTime(required=True, allow_none=True)
    quarantined_at = fields.AwareDateTime(required=True, allow_none=True)
    signed = fields.Boolean(required=True)
    damage_reported = fields.Boolean(required=True)
    created_at = fields.AwareDateTime(required=True)
    version = fields.Integer(required=True)


class ShipmentOut(ShipmentSummaryOut):
    """A parcel as your role sees it; what it does not see is null."""

    tracking_code = PersonalText(60, required=True, allow_none=True)
    public_url = PersonalText(400, required=True, allow_none=True)
    ship_to = Revealed(fields.Nested(AddressOut), required=True, allow_none=True)
    quantity = Revealed(fields.Integer(), required=True, allow_none=True)
    reason = PersonalText(1000, required=True, allow_none=True)


class ReceiptIn(Schema):
    """What came: units counted and whether the seal was intact. Not ``received``: the other two do not count."""

    received = Flag(required=True)
    count = Whole(0, 1000, required=True)
    seal_intact = Flag(required=True)


class ResolutionIn(Schema):
    """The right answer, found out with the patient, and why the first one was wrong."""

    count = Whole(0, 1000, required=True)
    seal_intact = Flag(required=True)
    reason = PersonalText(1000, required=True)


class ReceiptOut(ShipmentSummaryOut):
    """The parcel after an answer. With any stop among ``findings``: do not take what is in it."""

    findings = fields.List(fields.Nested(FindingOut), required=True)


class QuarantineIn(Schema):
    """How many units came back."""

    count = Whole(0, 1000, required=True)


class EstablishedIn(Schema):
    """What a pharmacist found out, and how."""

    reason = PersonalText(1000, required=True)


@endpoint(
    blueprint,
    "POST",
    "/fills/<uuid:fill_id>/shipments",
    action=Action.CREATE_SHIPMENT,
    body=ShipmentIn,
    answer=ShipmentOut,
    status=201,
    located="/shipments/{id}",
)
def create_shipment(call: Call, body: dict[str, Any], fill_id: UUID) -> dict[str, Any] | Refused:
    """Ship a fill to the patient's home. Its tracker is registered right after; any workplace's address is refused."""
    created = shipments.create_shipment(call.session, call.actor, fill_id, Parcel(**body))
    return created if isinstance(created, Refused) else _view(call, created)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/shipments",
    action=Action.READ_SHIPMENT,
    query=cursors.PageIn,
    answer=page_schema(ShipmentSummaryOut, "ShipmentPageOut"),
)
def list_shipments(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The parcels of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = shipments.list_shipments(
        call.session, call.actor, episode_id, after=after and after[1], limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda row: (row.created_at, row.id))


@endpoint(blueprint, "GET", "/shipments/<uuid:shipment_id>", action=Action.READ_SHIPMENT, answer=ShipmentOut)
def read_shipment(call: Call, shipment_id: UUID) -> dict[str, Any]:
    """One parcel as your role sees it."""
    return _shown(shipments.read_shipment(call.session, call.actor, shipment_id))


@endpoint(
    blueprint,
    "POST",
    "/shipments/<uuid:shipment_id>/receipt",
    action=Action.CONFIRM_RECEIPT,
    body=ReceiptIn,
    answer=ReceiptOut,
)
def confirm_receipt(call: Call, body: dict[str, Any], shipment_id: UUID) -> dict[str, Any]:
    """Say what came. No dosing session begins before a receipt is confirmed; a disputed parcel is not to be used."""
    return _settled(
        receipts.confirm_receipt(
            call.session,
            call.actor,
            shipment_id,
            body["count"],
            body["seal_intact"],
            body["received"],
            version=call.version,
        )
    )


@endpoint(
    blueprint,
    "POST",
    "/shipments/<uuid:shipment_id>/receipt/resolution",
    action=Action.CHANGE_SHIPMENT,
    body=ResolutionIn,
    answer=ReceiptOut,
)
def resolve_receipt(call: Call, body: dict[str, Any], shipment_id: UUID) -> dict[str, Any]:
    """Clear up a disputed receipt with the patient: a miscount, a mistyped text. What is wrong stays disputed."""
    return _settled(
        receipts.resolve_receipt(
            call.session,
            call.actor,
            shipment_id,
            body["count"],
            body["seal_intact"],
            body["reason"],
            version=call.version,
        )
    )


@endpoint(
    blueprint,
    "POST",
    "/shipments/<uuid:shipment_id>/lost",
    action=Action.CHANGE_SHIPMENT,
    body=EstablishedIn,
    answer=ShipmentOut,
)
def mark_lost(call: Call, body: dict[str, Any], shipment_id: UUID) -> dict[str, Any]:
    """Establish that a parcel was lost or stolen; both loss timers begin."""
    return _marked(call, shipment_id, ShipmentStep.MARK_LOST, body)


@endpoint(
    blueprint,
    "POST",
    "/shipments/<uuid:shipment_id>/returned",
    action=Action.CHANGE_SHIPMENT,
    body=EstablishedIn,
    answer=ShipmentOut,
)
def mark_returned(call: Call, body: dict[str, Any], shipment_id: UUID) -> dict[str, Any]:
    """Establish that a parcel came back; it goes to quarantine and nothing is resent by itself."""
    return _marked(call, shipment_id, ShipmentStep.MARK_RETURNED, body)


@endpoint(
    blueprint,
    "POST",
    "/shipments/<uuid:shipment_id>/quarantine",
    action=Action.CHANGE_SHIPMENT,
    body=QuarantineIn,
    answer=ShipmentOut,
)
def quarantine(call: Call, body: dict[str, Any], shipment_id: UUID) -> dict[str, Any]:
    """Put away a parcel that came back, counted. Another number than was sent raises a diversion review."""
    row = shipments.quarantine(call.session, call.actor, shipment_id, body["count"], version=call.version)
    return _view(call, row)


def _marked(call: Call, shipment_id: UUID, step: ShipmentStep, body: dict[str, Any]) -> dict[str, Any]:
    row = shipments.mark(call.session, call.actor, shipment_id, step, body["reason"], version=call.version)
    return _view(call, row)


_SUMMARY: Final = tuple(ShipmentSummaryOut().fields)


def _summary(row: Shipment) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _SUMMARY}


def _settled(result: ReceiptResult) -> dict[str, Any]:
    return {**_summary(result.shipment), "findings": [finding.as_dict() for finding in result.findings]}


def _view(call: Call, row: Shipment) -> dict[str, Any]:
    call.session.flush()
    return _shown(shipments.view_of(call.session, call.actor, row))


def _shown(view: ShipmentView) -> dict[str, Any]:
    names = ("tracking_code", "public_url", "ship_to", "quantity", "reason")
    return {**_summary(view.shipment), **{name: getattr(view, name) for name in names}}
