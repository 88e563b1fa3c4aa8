"""The papers of practitioners: KAP training, NPI, licences, DEA registrations. The operations desk records them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Day, PersonalText, Text
from coordinator.api.findings import FindingOut
from coordinator.api.tasks import StepIn
from services.people import practitioners
from services.people.access import Action
from services.people.identifiers import STATES
from services.people.models import DeaRegistration, Licence

blueprint = resource("practitioners", "Papers of practitioners: KAP training, NPI, licences, DEA registrations.")


class TrainingIn(Schema):
    """When a therapist completed the KAP training."""

    trained_on = Day(required=True)


class NpiIn(Schema):
    """A National Provider Identifier."""

    npi = Text(10, shortest=10, pattern=r"^[12][0-9]{9}$", required=True)


class RecordedOut(Schema):
    """Whose papers were changed."""

    account_id = fields.UUID(required=True)


class LicenceIn(Schema):
    """A licence to practise in one state; the same number again renews it. ``expires_on`` is its last valid day."""

    state = fields.String(required=True, validate=validate.OneOf(sorted(STATES)))
    number = Text(40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]*$", required=True)
    expires_on = Day(required=True)


class LicenceOut(Schema):
    """A licence. ``revoked_on`` is the first day on which it does not count."""

    id = fields.UUID(required=True)
    account_id = fields.UUID(required=True)
    state = fields.String(required=True)
    number = fields.String(required=True)
    expires_on = fields.Date(required=True)
    revoked_on = fields.Date(required=True, allow_none=True)


class DeaRegistrationIn(Schema):
    """A DEA registration; it takes the place of the one that state had."""

    state = fields.String(required=True, validate=validate.OneOf(sorted(STATES)))
    number = PersonalText(9, shortest=9, pattern=r"^[A-Z][A-Z9][0-9]{7}$", required=True)
    expires_on = Day(required=True)


class DeaRegistrationOut(Schema):
    """A DEA registration, without its number, and what is odd about it."""

    id = fields.UUID(required=True)
    account_id = fields.UUID(required=True)
    state = fields.String(required=True)
    expires_on = fields.Date(required=True)
    revoked_on = fields.Date(required=True, allow_none=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/kap-training",
    action=Action.MANAGE_ACCOUNTS,
    body=TrainingIn,
    answer=RecordedOut,
)
def record_kap_training(call: Call, body: dict[str, Any], account_id: UUID) -> dict[str, UUID]:
    """Put a therapist's KAP training on record; without it nobody refers a client."""
    practitioners.record_kap_training(call.session, call.actor, account_id, body["trained_on"])
    return {"account_id": account_id}


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/npi",
    action=Action.MANAGE_ACCOUNTS,
    body=NpiIn,
    answer=RecordedOut,
)
def record_npi(call: Call, body: dict[str, Any], account_id: UUID) -> dict[str, UUID]:
    """Put a prescriber's National Provider Identifier on record."""
    practitioners.record_npi(call.session, call.actor, account_id, body["npi"])
    return {"account_id": account_id}


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/licences",
    action=Action.MANAGE_ACCOUNTS,
    body=LicenceIn,
    answer=LicenceOut,
    status=201,
)
def record_licence(call: Call, body: dict[str, Any], account_id: UUID) -> Licence:
    """Put a licence on record, or renew it."""
    return practitioners.record_licence(call.session, call.actor, account_id, **body)


@endpoint(
    blueprint,
    "POST",
    "/licences/<uuid:licence_id>/revoke",
    action=Action.MANAGE_ACCOUNTS,
    body=StepIn,
    answer=LicenceOut,
)
def revoke_licence(call: Call, body: dict[str, Any], licence_id: UUID) -> Licence:
    """End a licence today: it was lost, suspended or withdrawn."""
    return practitioners.revoke_licence(call.session, call.actor, licence_id)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/dea-registrations",
    action=Action.MANAGE_ACCOUNTS,
    body=DeaRegistrationIn,
    answer=DeaRegistrationOut,
    status=201,
)
def record_dea_registration(call: Call, body: dict[str, Any], account_id: UUID) -> dict[str, Any]:
    """Put a DEA registration on record. A number with a wrong check digit is refused."""
    recorded = practitioners.record_dea_registration(call.session, call.actor, account_id, **body)
    return _registration(recorded.registration, [finding.as_dict() for finding in recorded.findings])


@endpoint(
    blueprint,
    "POST",
    "/dea-registrations/<uuid:registration_id>/revoke",
    action=Action.MANAGE_ACCOUNTS,
    body=StepIn,
    answer=DeaRegistrationOut,
)
def revoke_dea_registration(call: Call, body: dict[str, Any], registration_id: UUID) -> dict[str, Any]:
    """End a DEA registration today (21 CFR 1311.125: the same day)."""
    return _registration(practitioners.revoke_dea_registration(call.session, call.actor, registration_id), [])


def _registration(row: DeaRegistration, findings: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("id", "account_id", "state", "expires_on", "revoked_on")
    return {**{name: getattr(row, name) for name in names}, "findings": findings}
