"""How a patient comes in: a personal link, or a one-time code by SMS."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Day, PersonalText, SecretText
from coordinator.api.patients import PHONE
from coordinator.api.sign_in import IssuedTokenOut, shown_token
from coordinator.api.tasks import StepIn
from services.core.config import config
from services.core.personal import Personal, Secret
from services.messaging.sign_in_codes import ask_sign_in_code
from services.people import links
from services.people.access import Action, visible_episode
from services.people.attempts import Refused
from services.people.links import LinkKind

blueprint = resource("links", "How a patient comes in: a personal link, or a one-time code by SMS.")


class LinkExchangeIn(Schema):
    """What follows ``/l/`` in a personal link."""

    token = SecretText(64, shortest=8, pattern=r"^[A-Za-z0-9_-]*$", required=True)


class CodeAskIn(Schema):
    """The mobile number on the patient's record."""

    mobile = PersonalText(32, pattern=PHONE, required=True)


class CodeAskedOut(Schema):
    """The same answer for every number."""

    message = fields.String(required=True)


class CodeExchangeIn(Schema):
    """The number and the code that was texted to it; the birth date where several patients share the number."""

    mobile = PersonalText(32, pattern=PHONE, required=True)
    code = SecretText(6, shortest=6, pattern=r"^[0-9]{6}$", required=True)
    birth_date = Day(load_default=None, allow_none=True)


class LinkOut(Schema):
    """A fresh personal link to hand over, shown only here."""

    link = fields.String(required=True)


def address_of(token: Secret[str]) -> str:
    """The whole address of a personal link."""
    return config().public_base_url + links.path_of(token)


@endpoint(blueprint, "POST", "/links/exchange", action=None, body=LinkExchangeIn, answer=IssuedTokenOut)
def exchange_link(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Exchange a personal link, which works once, for a token that acts for the patient in one episode."""
    return shown_token(links.exchange_link(call.session, body["token"]))


@endpoint(blueprint, "POST", "/codes", action=None, body=CodeAskIn, answer=CodeAskedOut, status=202)
def ask_code(call: Call, body: dict[str, Any]) -> dict[str, str]:
    """Have a one-time code texted. The answer does not tell whether the number is known."""
    ask_sign_in_code(call.session, body["mobile"])
    return {"message": "If this number is on a patient's record, a code is on its way."}


@endpoint(blueprint, "POST", "/codes/exchange", action=None, body=CodeExchangeIn, answer=IssuedTokenOut)
def exchange_code(call: Call, body: dict[str, Any]) -> dict[str, Any] | Refused:
    """Exchange a one-time code for a token that acts for the patient. Wrong codes are counted."""
    birth_date = None if body["birth_date"] is None else Personal(body["birth_date"])
    attempt = links.exchange_code(call.session, body["mobile"], body["code"], birth_date=birth_date)
    return attempt if isinstance(attempt, Refused) else shown_token(attempt.issued)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/links",
    action=Action.ISSUE_LINK,
    body=StepIn,
    answer=LinkOut,
    status=201,
)
def issue_link(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, str]:
    """A fresh link to hand to a patient who is not texted or whose link ran out; earlier unused ones end."""
    episode = visible_episode(call.session, call.actor, Action.ISSUE_LINK, episode_id)
    return {"link": address_of(links.issue_link(call.session, call.actor, episode, LinkKind.FORMS))}
