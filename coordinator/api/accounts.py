"""Accounts: the people who sign in. The operations desk makes, shuts and opens them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Id, PersonalText, SecretText, page_schema
from coordinator.api.patients import EMAIL, PHONE
from coordinator.api.tasks import StepIn
from services.core.actors import Role
from services.people import accounts
from services.people.access import Action
from services.people.accounts import AccountDetails, CreatedAccount, Person

blueprint = resource("accounts", "Accounts: the people who sign in.")

# Accounts are listed by id alone, and a cursor needs a time.
ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
STAFF: Final = sorted(role.value for role in accounts.WORKPLACES)


class AccountIn(Schema):
    """A new account. ``phone`` is where its holder is paged when on call."""

    role = fields.String(required=True, validate=validate.OneOf(STAFF))
    organisation_id = Id(required=True)
    email = PersonalText(254, pattern=EMAIL, required=True)
    full_name = PersonalText(120, required=True)
    phone = PersonalText(32, pattern=PHONE, required=True, allow_none=True)
    on_call = Flag(required=True)
    password = SecretText(256, shortest=12, required=True)


class AccountOut(Schema):
    """An account."""

    id = fields.UUID(required=True, attribute="account_id")
    role = Choice(Role, required=True)
    organisation_id = fields.UUID(required=True)
    full_name = PersonalText(120, required=True)
    email = PersonalText(254, required=True)
    phone = PersonalText(20, required=True, allow_none=True)
    on_call = fields.Boolean(required=True)
    disabled = fields.Boolean(required=True)


class EnrolmentOut(Schema):
    """An account's id and what its holder's authenticator reads (``otpauth://``), shown only here."""

    id = fields.UUID(required=True)
    enrolment = SecretText(500, required=True)


class AccountsIn(cursors.PageIn):
    """Filter of the list."""

    organisation_id = Id()


class OnCallIn(Schema):
    """Whether the holder is paged."""

    on_call = Flag(required=True)


class ResetIn(Schema):
    """The new password, to be changed by its holder."""

    password = SecretText(256, shortest=12, required=True)


@endpoint(
    blueprint, "POST", "/accounts", action=Action.MANAGE_ACCOUNTS, body=AccountIn, answer=EnrolmentOut, status=201
)
def create_account(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Create an account with a second factor to enrol. The organisation must fit the role."""
    password = body.pop("password")
    details = AccountDetails(**{**body, "role": Role(body["role"])})
    return _enrolment(accounts.create_account(call.session, call.actor, details, password))


def _enrolment(created: CreatedAccount) -> dict[str, Any]:
    return {"id": created.account.id, "enrolment": created.enrolment}


@endpoint(
    blueprint,
    "GET",
    "/accounts",
    action=Action.MANAGE_ACCOUNTS,
    query=AccountsIn,
    answer=page_schema(AccountOut, "AccountPageOut"),
)
def list_accounts(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """All accounts, oldest first."""
    after = cursors.decode(query.get("cursor"))
    found = accounts.list_accounts(
        call.session,
        call.actor,
        organisation_id=query.get("organisation_id"),
        after=after[1] if after else None,
        limit=query["limit"] + 1,
    )
    return cursors.page(found, query["limit"], lambda person: (ANY_TIME, person.account_id))


@endpoint(blueprint, "GET", "/accounts/me", action=Action.READ_OWN_ACCOUNT, answer=AccountOut)
def read_own_account(call: Call) -> Person:
    """Your own account."""
    return accounts.read_own_account(call.session, call.actor)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/disable",
    action=Action.MANAGE_ACCOUNTS,
    body=StepIn,
    answer=AccountOut,
)
def disable_account(call: Call, body: dict[str, Any], account_id: UUID) -> Person:
    """Shut an account at once, tokens and all."""
    accounts.disable_account(call.session, call.actor, account_id)
    return accounts.person_of(call.session, account_id)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/enable",
    action=Action.MANAGE_ACCOUNTS,
    body=StepIn,
    answer=AccountOut,
)
def enable_account(call: Call, body: dict[str, Any], account_id: UUID) -> Person:
    """Open a disabled account again; its old tokens stay ended."""
    accounts.enable_account(call.session, call.actor, account_id)
    return accounts.person_of(call.session, account_id)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/on-call",
    action=Action.MANAGE_ACCOUNTS,
    body=OnCallIn,
    answer=AccountOut,
)
def change_on_call(call: Call, body: dict[str, Any], account_id: UUID) -> Person:
    """Put somebody on call or off it; being on call needs a phone."""
    accounts.change_on_call(call.session, call.actor, account_id, body["on_call"])
    return accounts.person_of(call.session, account_id)


@endpoint(
    blueprint,
    "POST",
    "/accounts/<uuid:account_id>/reset",
    action=Action.MANAGE_ACCOUNTS,
    body=ResetIn,
    answer=EnrolmentOut,
)
def reset_account(call: Call, body: dict[str, Any], account_id: UUID) -> dict[str, Any]:
    """Give an account a new password and second factor: its holder lost one. Its tokens end."""
    return _enrolment(accounts.reset_account(call.session, call.actor, account_id, body["password"]))
