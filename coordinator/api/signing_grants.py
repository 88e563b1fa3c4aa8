"""Access to signing prescriptions: one person nominates, a DEA registrant approves, either takes it away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, SecretText, page_schema
from services.people import signing_grants
from services.people.access import Action
from services.people.attempts import Refused
from services.people.models import SigningGrant
from services.people.signing_grants import EndCode
from services.people.states import GrantState
from services.prescribing import signing_access

blueprint = resource("signing-grants", "Access to signing prescriptions, given by two people (21 CFR 1311.125).")


class SigningGrantOut(Schema):
    """A nomination, and what became of it."""

    id = fields.UUID(required=True)
    account_id = fields.UUID(required=True)
    state = Choice(GrantState, required=True)
    nominated_by = fields.UUID(required=True)
    nominated_at = fields.AwareDateTime(required=True)
    approver_id = fields.UUID(required=True, allow_none=True)
    approved_by = fields.UUID(required=True, allow_none=True)
    approved_at = fields.AwareDateTime(required=True, allow_none=True)
    ended_by = fields.UUID(required=True, allow_none=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    code = Choice(EndCode, required=True, allow_none=True)


class NominationIn(Schema):
    """Who approves, where the nominee's team has no other registrant: a prescriber of another team, who alone may."""

    approver_id = Id()


class FactorsIn(Schema):
    """Both factors at this moment: your password and a fresh code of your authenticator."""

    password = SecretText(256, required=True)
    code = SecretText(6, shortest=6, pattern=r"^[0-9]{6}$", required=True)


class GrantEndIn(Schema):
    """Why access to signing is taken away."""

    code = Choice(EndCode, required=True)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/signing-grants",
    action=Action.NOMINATE_SIGNER,
    body=NominationIn,
    answer=SigningGrantOut,
    status=201,
    located="/signing-grants/{id}",
)
def nominate(call: Call, body: dict[str, Any], account_id: UUID) -> SigningGrant:
    """Nominate a prescriber for signing, whose identity and papers you have seen."""
    return signing_access.nominate(call.session, call.actor, account_id, body.get("approver_id"))


@endpoint(
    blueprint,
    "GET",
    "/signing-grants",
    action=Action.READ_SIGNING_GRANT,
    query=cursors.PageIn,
    answer=page_schema(SigningGrantOut, "SigningGrantPageOut"),
)
def list_grants(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """All nominations and grants, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = signing_grants.list_grants(call.session, call.actor, after=after and after[1], limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda row: (row.nominated_at, row.id))


@endpoint(
    blueprint,
    "GET",
    "/signing-grants/<uuid:grant_id>",
    action=Action.READ_SIGNING_GRANT,
    answer=SigningGrantOut,
)
def read_grant(call: Call, grant_id: UUID) -> SigningGrant:
    """One nomination or grant."""
    return signing_grants.read_grant(call.session, call.actor, grant_id)


@endpoint(
    blueprint,
    "POST",
    "/signing-grants/<uuid:grant_id>/approve",
    action=Action.APPROVE_SIGNER,
    body=FactorsIn,
    answer=SigningGrantOut,
)
def approve(call: Call, body: dict[str, Any], grant_id: UUID) -> SigningGrant | Refused:
    """Approve a nomination as a DEA registrant, with both factors; not your own."""
    return signing_access.approve(call.session, call.actor, grant_id, body["code"], password=body["password"])


@endpoint(
    blueprint,
    "POST",
    "/signing-grants/<uuid:grant_id>/end",
    action=Action.END_SIGNING_GRANT,
    body=GrantEndIn,
    answer=SigningGrantOut,
)
def end(call: Call, body: dict[str, Any], grant_id: UUID) -> SigningGrant:
    """Take access to signing away, at once."""
    return signing_access.end(call.session, call.actor, grant_id, body["code"])
