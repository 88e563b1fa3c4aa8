"""Signing in and out, and one's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, SecretText, Text, Whole
from coordinator.api.tasks import StepIn
from services.core.actors import Role
from services.people import sign_in, tokens
from services.people.access import Action
from services.people.accounts import account_of
from services.people.attempts import Proven, Refused
from services.people.models import Token
from services.people.tokens import IssuedToken, Scope

blueprint = resource("sign-in", "Signing in and out, and your own tokens.")


class SignInIn(Schema):
    """E-mail address, password and the code that your authenticator shows now."""

    email = PersonalText(254, required=True)
    password = SecretText(256, required=True)
    code = SecretText(6, shortest=6, pattern=r"^[0-9]{6}$", required=True)


class IssuedTokenOut(Schema):
    """A bearer token, shown only here, and whom it acts for."""

    token = SecretText(100, required=True)
    id = fields.UUID(required=True)
    role = Choice(Role, required=True)
    actor_id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True, allow_none=True)
    episode_id = fields.UUID(required=True, allow_none=True)
    scopes = fields.List(fields.String(), required=True)
    expires_at = fields.AwareDateTime(required=True)


class TokenIn(Schema):
    """A token for a program that acts for you."""

    scopes = fields.List(Choice(Scope), required=True, validate=validate.Length(1, 2))
    label = Text(60, required=True)
    days = Whole(1, 365, required=True)


class TokenOut(Schema):
    """A token, without the token."""

    id = fields.UUID(required=True)
    label = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True)
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)


class TokensOut(Schema):
    """Your tokens that still work, oldest first."""

    items = fields.List(fields.Nested(TokenOut), required=True)


class PasswordIn(Schema):
    """The present password and the new one."""

    current_password = SecretText(256, required=True)
    new_password = SecretText(256, required=True)


class PasswordChangedOut(Schema):
    """When the password changed; all your other tokens ended then."""

    changed_at = fields.AwareDateTime(required=True)


def shown_token(issued: IssuedToken) -> dict[str, Any]:
    """A fresh token as ``IssuedTokenOut`` shows it."""
    return {
        "token": issued.token,
        "id": issued.id,
        "role": issued.actor.role,
        "actor_id": issued.actor.id,
        "organisation_id": issued.actor.organisation_id,
        "episode_id": issued.actor.episode_id,
        "scopes": list(issued.scopes),
        "expires_at": issued.expires_at,
    }


@endpoint(blueprint, "POST", "/sign-in", action=None, body=SignInIn, answer=IssuedTokenOut)
def sign_in_with_password(call: Call, body: dict[str, Any]) -> dict[str, Any] | Refused:
    """Sign in with password and authenticator code. Failures are counted; too many lock the account for a while."""
    attempt = sign_in.attempt_sign_in(call.session, body["email"], body["password"], body["code"])
    return attempt if isinstance(attempt, Refused) else shown_token(attempt.issued)


@endpoint(blueprint, "POST", "/sign-out", action=Action.SIGN_OUT, body=StepIn, answer=TokenOut)
def sign_out(call: Call, body: dict[str, Any]) -> Token:
    """End the token that this request carries."""
    assert call.token_id is not None  # noqa: S101 - a route with an action has a token
    return tokens.revoke_token(call.session, call.actor, call.token_id)


@endpoint(blueprint, "GET", "/tokens", action=Action.MANAGE_OWN_TOKENS, answer=TokensOut)
def list_tokens(call: Call) -> dict[str, Sequence[Token]]:
    """Your tokens that still work."""
    return {"items": tokens.list_tokens(call.session, call.actor)}


@endpoint(
    blueprint, "POST", "/tokens", action=Action.MANAGE_OWN_TOKENS, body=TokenIn, answer=IssuedTokenOut, status=201
)
def issue_token(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Issue a token for a program that acts for you; it can do no more than you can."""
    account = account_of(call.session, call.actor.id)
    lifetime = timedelta(days=body["days"])
    scopes, label = body["scopes"], body["label"]
    return shown_token(
        tokens.issue_token(call.session, call.actor, account, scopes=scopes, label=label, lifetime=lifetime)
    )


@endpoint(blueprint, "DELETE", "/tokens/<uuid:token_id>", action=Action.MANAGE_OWN_TOKENS, answer=TokenOut)
def revoke_token(call: Call, token_id: UUID) -> Token:
    """End one of your tokens, at once."""
    return tokens.revoke_token(call.session, call.actor, token_id)


@endpoint(
    blueprint,
    "POST",
    "/accounts/me/password",
    action=Action.READ_OWN_ACCOUNT,
    body=PasswordIn,
    answer=PasswordChangedOut,
)
def change_password(call: Call, body: dict[str, Any]) -> dict[str, Any] | Refused:
    """Change your password by giving the present one. A wrong one counts like a failed sign-in."""
    attempt: Proven | Refused = sign_in.change_password(
        call.session, call.actor, body["current_password"], body["new_password"], token_id=call.token_id
    )
    return attempt if isinstance(attempt, Refused) else {"changed_at": attempt.proven_at}
