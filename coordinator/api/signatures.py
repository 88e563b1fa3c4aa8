"""Signatures on prescriptions: ours with two factors, and those given in a certified system elsewhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Day, Id, Revealed, SecretText, Text
from coordinator.api.findings import FindingOut
from coordinator.api.prescriptions import PaperOut, PrescriptionOut, shown
from coordinator.api.signing_grants import FactorsIn
from services.people.access import Action
from services.people.attempts import Refused
from services.prescribing import outside, signing

blueprint = resource("signatures", "Signing prescriptions with two factors, or recording that it was done elsewhere.")


class SigningDisplayOut(Schema):
    """What is shown before signing (21 CFR 1311.140(a)(3)). Any stop among ``findings`` keeps it from being signed."""

    prescription_id = fields.UUID(required=True)
    fields_shown = Revealed(fields.Nested(PaperOut), required=True)
    statement = fields.String(required=True)
    statement_source = fields.String(required=True)
    not_certified = fields.String(required=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)
    version = fields.Integer(required=True)


class SignIn(Schema):
    """Both factors at this moment: your password and a fresh code of your authenticator; for one patient only."""

    prescription_ids = fields.List(Id(), required=True, validate=validate.Length(min=1, max=signing.AT_ONCE_AT_MOST))
    password = SecretText(256, required=True)
    code = SecretText(6, shortest=6, pattern=r"^[0-9]{6}$", required=True)


class SignedOut(Schema):
    """What was signed."""

    prescriptions = fields.List(fields.Nested(PrescriptionOut), required=True)


class OutsideSignatureIn(Schema):
    """Where and when it was signed: the certified system, its reference there, and the date of issue."""

    system = Text(80, required=True)
    reference = Text(80, required=True)
    issued_on = Day(required=True)


@endpoint(
    blueprint,
    "GET",
    "/prescriptions/<uuid:prescription_id>/signing-display",
    action=Action.SIGN_PRESCRIPTION,
    answer=SigningDisplayOut,
)
def read_signing_display(call: Call, prescription_id: UUID) -> dict[str, Any]:
    """What you must read before you sign, with the statement that signing makes yours."""
    display = signing.signing_display(call.session, call.actor, prescription_id)
    return {
        "prescription_id": display.prescription.id,
        "fields_shown": display.fields,
        "statement": display.statement,
        "statement_source": display.statement_source,
        "not_certified": display.not_certified,
        "findings": [finding.as_dict() for finding in display.findings],
        "version": display.prescription.version,
    }


@endpoint(blueprint, "POST", "/prescriptions/sign", action=Action.SIGN_PRESCRIPTION, body=SignIn, answer=SignedOut)
def sign(call: Call, body: dict[str, Any]) -> dict[str, Any] | Refused:
    """Sign ready prescriptions of one patient. EPCS-style, not certified. A code works once; failures are counted."""
    signed = signing.sign(call.session, call.actor, body["prescription_ids"], body["code"], password=body["password"])
    if isinstance(signed, Refused):
        return signed
    return {"prescriptions": [shown(call, row) for row in signed.prescriptions]}


@endpoint(
    blueprint,
    "POST",
    "/prescriptions/<uuid:prescription_id>/outside-signature",
    action=Action.REPORT_PRESCRIPTION,
    body=OutsideSignatureIn,
    answer=PrescriptionOut,
)
def report_signed(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any]:
    """Record that a ready prescription was signed in a certified system elsewhere; its prescriber has to confirm it."""
    signature = outside.OutsideSignature(**body)
    return shown(call, outside.report(call.session, call.actor, prescription_id, signature, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/prescriptions/<uuid:prescription_id>/outside-signature/confirm",
    action=Action.CONFIRM_PRESCRIPTION,
    body=FactorsIn,
    answer=PrescriptionOut,
)
def confirm_signed(call: Call, body: dict[str, Any], prescription_id: UUID) -> dict[str, Any] | Refused:
    """Confirm, as the named prescriber and with both factors, that you signed it elsewhere: it is then in force."""
    confirmed = outside.confirm(
        call.session, call.actor, prescription_id, body["code"], password=body["password"], version=call.version
    )
    return confirmed if isinstance(confirmed, Refused) else shown(call, confirmed)
