"""Prescriptions before and after their signature: drafted, changed, marked ready, agreed to, cancelled, read."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api import cursors
from coordinator.api.eligibility import FindingReasonIn
from coordinator.api.endpoints import Call, IfMatch, endpoint, resource
from coordinator.api.fields import (
    Choice,
    Day,
    Id,
    Measure,
    PersonalText,
    Revealed,
    Text,
    Whole,
    page_schema,
)
from coordinator.api.findings import FindingOut
from coordinator.api.tasks import StepIn
from services.people.access import Action
from services.prescribing import prescriptions, views
from services.prescribing.contents import LONGEST_DIRECTIONS, Content
from services.prescribing.limits import PatientLimits
from services.prescribing.models import Prescription
from services.prescribing.routes import Route, Supplied
from services.prescribing.states import PrescriptionState
from services.prescribing.views import PrescriptionView

blueprint = resource("prescriptions", "Prescriptions: drafted, changed, marked ready, cancelled.")


class PatientLimitsIn(Schema):
    """One patient's own limits; null or left out keeps the programme's. mmHg, beats per minute, per cent, days."""

    systolic_below = Whole(60, 260, allow_none=True)
    diastolic_below = Whole(30, 160, allow_none=True)
    heart_rate_least = Whole(25, 220, allow_none=True)
    heart_rate_most = Whole(25, 220, allow_none=True)
    oxygen_least_percent = Whole(50, 100, allow_none=True)
    interval_days = Whole(1, 90, allow_none=True)


def _content_fields(*, required: bool) -> dict[str, Any]:
    return {
        "drug": Text(80, required=required),
        "route": Choice(Route),
        "strength_mg": Whole(1, 1000, required=required),
        "form": Text(40, required=required),
        "quantity_units": Whole(1, 1000, required=required),
        "sessions_supply": Whole(1, 60, required=required),
        "dose_mg": Whole(1, 5000, required=required),
        "booster_mg": Whole(0, 5000),
        "first_session_dose_mg": Whole(1, 5000, allow_none=True),
        "directions": Text(LONGEST_DIRECTIONS, required=required),
        "refills": Whole(0, 99),
        "limits": fields.Nested(PatientLimitsIn),
        "weight_kg": Measure(20, 500, allow_none=True),
        "in_person_evaluated_on": Day(allow_none=True),
        "telemedicine_exception": Text(60, pattern=r"^[a-z_]+$", allow_none=True),
    }


DraftIn = Schema.from_dict(
    {
        "episode_id": Id(required=True),
        "prescriber_id": Id(),
        "replaces_id": Id(),
        "refill_request_id": Id(),
        **_content_fields(required=True),
    },
    name="PrescriptionDraftIn",
)
ChangesIn = Schema.from_dict({"prescriber_id": Id(), **_content_fields(required=False)}, name="PrescriptionChangesIn")


class PatientLimitsOut(Schema):
    """One patient's own limits; null where the programme's hold."""

    systolic_below = fields.Integer(required=True, allow_none=True)
    diastolic_below = fields.Integer(required=True, allow_none=True)
    heart_rate_least = fields.Integer(required=True, allow_none=True)
    heart_rate_most = fields.Integer(required=True, allow_none=True)
    oxygen_least_percent = fields.Integer(required=True, allow_none=True)
    interval_days = fields.Integer(required=True, allow_none=True)


class PrescriptionContentOut(Schema):
    """What is prescribed; refills, weight and telemedicine grounds for the medical team only."""

    drug = fields.String(required=True)
    route = Choice(Route, required=True)
    strength_mg = fields.Integer(required=True)
    form = fields.String(required=True)
    quantity_units = fields.Integer(required=True)
    sessions_supply = fields.Integer(required=True)
    dose_mg = fields.Integer(required=True)
    booster_mg = fields.Integer(required=True)
    first_session_dose_mg = fields.Integer(required=True, allow_none=True)
    directions = fields.String(required=True)
    refills = fields.Integer()
    limits = fields.Nested(PatientLimitsOut)
    weight_kg = fields.Float(allow_none=True)
    in_person_evaluated_on = fields.String(allow_none=True)
    telemedicine_exception = fields.String(allow_none=True)


class PaperOut(Schema):
    """What a prescription must carry (21 CFR 1306.05)."""

    issued_on = fields.String(required=True)
    patient_name = fields.String(required=True)
    patient_address = fields.String()
    drug = fields.String(required=True)
    strength = fields.String(required=True)
    form = fields.String(required=True)
    route = Choice(Route)
    quantity = fields.Integer(required=True)
    directions = fields.String(required=True)
    refills = fields.Integer(required=True)
    practitioner_name = fields.String(required=True)
    practitioner_address = fields.String(required=True)
    dea_number = fields.String(required=True, allow_none=True)


class SupplyOut(Schema):
    """What may still be handed out. ``next_refill_authorized``: an approved request lets the next refill begin."""

    units_left_in_current_fill = fields.Integer(required=True)
    refills_left = fields.Integer(required=True)
    expires_on = fields.Date(required=True)
    next_refill_authorized = fields.Boolean(required=True)


class GivenReasonOut(Schema):
    """Why a finding for review does not stand in the way, and who said so when."""

    rule = fields.String(required=True)
    text = fields.String(required=True)
    by = fields.String(required=True)
    at = fields.String(required=True)


class PrescriptionReviewOut(Schema):
    """What the rules found when last asked, and the prescriber's reasons."""

    findings = fields.List(fields.Nested(FindingOut), required=True)
    reasons = fields.List(fields.Nested(GivenReasonOut), required=True)
    programme = fields.String(required=True)


class PrescriptionSummaryOut(Schema):
    """A prescription without its content.

    ``supplied``: shipped by the pharmacy, or given in the clinic. ``signed_outside``: in a certified system elsewhere,
    not by us.
    """

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    prescriber_id = fields.UUID(required=True)
    replaces_id = fields.UUID(required=True, allow_none=True)
    state = Choice(PrescriptionState, required=True)
    supplied = Choice(Supplied, required=True)
    signed_outside = fields.Boolean(required=True)
    drafted_at = fields.AwareDateTime(required=True)
    signed_at = fields.AwareDateTime(required=True, allow_none=True)
    issued_on = fields.Date(required=True, allow_none=True)
    expires_on = fields.Date(required=True, allow_none=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class OutsideSignatureOut(Schema):
    """Where and when it was signed, and who reported it."""

    system = fields.String(required=True)
    reference = fields.String(required=True)
    issued_on = fields.String(required=True)
    reported_by = fields.String(required=True)
    reported_at = fields.String(required=True)


class PrescriptionOut(PrescriptionSummaryOut):
    """A prescription as your role sees it; what it does not see is null.

    ``signature_valid`` false: it was altered after it was signed, and does not count.
    """

    content = Revealed(fields.Nested(PrescriptionContentOut), required=True, allow_none=True)
    paper = Revealed(fields.Nested(PaperOut), required=True, allow_none=True)
    supply = fields.Nested(SupplyOut, required=True, allow_none=True)
    review = fields.Nested(PrescriptionReviewOut, required=True, allow_none=True)
    outside = Revealed(fields.Nested(OutsideSignatureOut), required=True, allow_none=True)
    agreed_by = fields.UUID(required=True, allow_none=True)
    end_reason = PersonalText(2000, required=True, allow_none=True)
    signature_valid = fields.Boolean(required=True, allow_none=True)


class ReadyIn(Schema):
    """The named prescriber's reasons, one for each finding that asks for review."""

    reasons = fields.List(fields.Nested(FindingReasonIn), load_default=list, validate=validate.Length(max=50))


class CancelIn(Schema):
    """Why a prescription is cancelled."""

    reason = PersonalText(2000, required=True)


@endpoint(
    blueprint,
    "POST",
    "/prescriptions",
    action=Action.DRAFT_PRESCRIPTION,
    body=DraftIn,
    answer=PrescriptionOut,
    status=201,
    located="/prescriptions/{id}",
)
def draft(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Draft a prescription for the named prescriber to sign (default: the episode's)."""
    named = {name: body.pop(name, None) for name in ("prescriber_id", "replaces_id", "refill_request_id")}
    episode_id = body.pop("episode_id")
    row = prescriptions.draft(call.session, call.actor, episode_id, Content(**_with_limits(body)), **named)
    return shown(call, row)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/prescriptions",
    action=Action.READ_PRESCRIPTION,
    query=cursors.PageIn,
    answer=page_schema(PrescriptionSummaryOut, "PrescriptionPageOut"),
)
def list_prescriptions(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The prescriptions of an episode, newest first. Only the medical team sees those that are not signed."""
    after = cursors.decode(query.get("cursor"))
    found = views.list_prescriptions(
        call.session, call.actor, episode_id, after=after and after[1], limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda row: (row.drafted_at, row.id))


@endpoint(
    blueprint,
    "GET",
    "/prescriptions/<uuid:prescription_id>",
    action=Action.READ_PRESCRIPTION,
    answer=PrescriptionOut,
)
def read_prescription(call: Call, prescription_id: UUID) -> dict[str, Any]:
    """One prescription as your role sees it."""
    return _document(views.read_prescription(call.session, call.actor, prescription_id))


@endpoint(
    blueprint,
    "PATCH",
    "/prescriptions/<uuid:prescription_id>",
    action=Action.CHANGE_PRESCRIPTION,
    body=ChangesIn,
    answer=PrescriptionOut,
    if_match=IfMatch.NEEDED,
)
def change(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any]:
    """Change one that is not signed yet; it is a draft again. ``If-Match`` is needed. Cancel a signed one instead."""
    row = prescriptions.change(call.session, call.actor, prescription_id, _with_limits(body), version=call.version)
    return shown(call, row)


@endpoint(
    blueprint,
    "POST",
    "/prescriptions/<uuid:prescription_id>/ready",
    action=Action.READY_PRESCRIPTION,
    body=ReadyIn,
    answer=PrescriptionOut,
)
def mark_ready(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any]:
    """Mark a prescription ready to sign; for the named prescriber, with a reason for each finding for review."""
    reasons = {given["rule"]: given["reason"] for given in body["reasons"]}
    return shown(
        call, prescriptions.mark_ready(call.session, call.actor, prescription_id, reasons, version=call.version)
    )


@endpoint(
    blueprint,
    "POST",
    "/prescriptions/<uuid:prescription_id>/agreement",
    action=Action.AGREE_PRESCRIPTION,
    body=StepIn,
    answer=PrescriptionOut,
)
def agree(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any]:
    """Agree, as a second prescriber, to a very high dose."""
    return shown(call, prescriptions.agree(call.session, call.actor, prescription_id, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/prescriptions/<uuid:prescription_id>/cancel",
    action=Action.CANCEL_PRESCRIPTION,
    body=CancelIn,
    answer=PrescriptionOut,
)
def cancel(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any]:
    """Cancel a prescription, with the reason. The pharmacy hears at once if it could have filled it."""
    return shown(
        call, prescriptions.cancel(call.session, call.actor, prescription_id, body["reason"], version=call.version)
    )


_SUMMARY: Final = tuple(PrescriptionSummaryOut().fields)


def _with_limits(body: dict[str, Any]) -> dict[str, Any]:
    limits = body.get("limits")
    return body if limits is None else {**body, "limits": PatientLimits(**limits)}


def shown(call: Call, row: Prescription) -> dict[str, Any]:
    """A prescription as the caller's role sees it after what was just done to it."""
    call.session.flush()
    return _document(views.view_of(call.session, call.actor, row))


def _document(view: PrescriptionView) -> dict[str, Any]:
    review = None if view.review is None else view.review.reveal()
    supply = view.supply
    return {
        **{name: getattr(view.prescription, name) for name in _SUMMARY},
        "content": view.content,
        "paper": view.paper,
        "supply": None
        if supply is None
        else {
            "units_left_in_current_fill": supply.left.units_left_in_current_fill,
            "refills_left": supply.left.refills_left,
            "expires_on": supply.left.expires_on,
            "next_refill_authorized": supply.fills_started > 0 and supply.next_is_authorized,
        },
        "review": None
        if review is None
        else {
            "findings": review.findings,
            "reasons": [{"rule": rule, **reason} for rule, reason in review.reasons.items()],
            "programme": review.programme,
        },
        "agreed_by": None if review is None else view.prescription.agreed_by,
        "outside": view.outside,
        "end_reason": view.end_reason,
        "signature_valid": view.signature_valid,
    }
