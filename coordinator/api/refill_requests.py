"""Refill requests: the gate, the therapist's request, the prescriber's decision."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Id, Measure, PersonalText, Revealed, page_schema
from coordinator.api.findings import FindingOut
from coordinator.api.stock import MOST_UNITS
from services.core.personal import Personal
from services.people.access import Action
from services.people.attempts import Refused
from services.refills import decisions, gate, requests
from services.refills.gate import Gate
from services.refills.models import RefillRequest
from services.refills.requests import ReadRequest
from services.refills.rules import Supply
from services.refills.states import RefillState, RefillStep

blueprint = resource(
    "refill-requests", "Refill requests: the gate, the therapist's request, the prescriber's decision."
)

LONGEST_TEXT = 4000


class GateOut(Schema):
    """The gate as it stands now. ``earliest_on`` is the first day on which a request can pass, if what is missing is
    done by then; null while nobody can say. ``facts`` is what the rules read, null before the first supply.
    """

    is_met = fields.Boolean(required=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)
    earliest_on = fields.Date(required=True, allow_none=True)
    facts = Revealed(fields.Dict(keys=fields.String()), required=True, allow_none=True)
    programme_version = fields.String(required=True)


class RequestIn(Schema):
    """A request. ``remaining_units`` was counted at the patient's home; without it the last count on record serves."""

    episode_id = Id(required=True)
    remaining_units = Measure(0, MOST_UNITS, load_default=None, allow_none=True)
    comment = PersonalText(LONGEST_TEXT, load_default=None, allow_none=True)


class ApproveIn(Schema):
    """``changed``: dose, strength or directions shall change, which needs a new prescription."""

    changed = Flag(required=True)
    reason = PersonalText(LONGEST_TEXT, load_default=None, allow_none=True)


class DeclineIn(Schema):
    """Why it is declined; the therapist reads it."""

    reason = PersonalText(LONGEST_TEXT, required=True)


class AskIn(Schema):
    """What the therapist is to answer."""

    question = PersonalText(LONGEST_TEXT, required=True)


class AnswerIn(Schema):
    """The answer to the prescriber's question."""

    answer = PersonalText(LONGEST_TEXT, required=True)


class ForwardRequestIn(Schema):
    """To whom, another prescriber of the team licensed in the patient's state, and why."""

    to = Id(required=True)
    reason = PersonalText(LONGEST_TEXT, required=True)


class RefillRequestOut(Schema):
    """A request without its content. ``owner_id`` is the prescriber it lies with, once it was forwarded or asked about.

    ``supply`` says how an approved request is supplied: by the next fill of ``prescription_id``, or by a new
    prescription that has yet to be drafted.
    """

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    state = Choice(RefillState, required=True)
    requested_by = fields.UUID(required=True)
    requested_at = fields.AwareDateTime(required=True)
    owner_id = fields.UUID(required=True, allow_none=True)
    supply = Choice(Supply, required=True, allow_none=True)
    prescription_id = fields.UUID(required=True, allow_none=True)
    decided_by = fields.UUID(required=True, allow_none=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)
    programme_version = fields.String(required=True)
    version = fields.Integer(required=True)


class ActOut(Schema):
    """One act on a request. ``reason`` is the reason, the question or the answer."""

    step = Choice(RefillStep, required=True, attribute="act.step")
    acted_by = fields.UUID(required=True, attribute="act.acted_by")
    acted_at = fields.AwareDateTime(required=True, attribute="act.acted_at")
    to = fields.UUID(required=True, allow_none=True, attribute="act.to_id")
    reason = PersonalText(LONGEST_TEXT, required=True, allow_none=True)


class OpenedRequestOut(RefillRequestOut):
    """A request with its content: the comment, the facts it was made on, and every act on it in order."""

    comment = PersonalText(LONGEST_TEXT, required=True, allow_none=True)
    facts = Revealed(fields.Dict(keys=fields.String()), required=True)
    acts = fields.List(fields.Nested(ActOut), required=True)


@endpoint(blueprint, "GET", "/episodes/<uuid:episode_id>/refill-gate", action=Action.READ_REFILL, answer=GateOut)
def read_gate(call: Call, episode_id: UUID) -> dict[str, Any]:
    """See what a request would meet now, without making one."""
    found: Gate = gate.read_gate(call.session, call.actor, episode_id)
    return {
        "is_met": found.is_met,
        "findings": [finding.as_dict() for finding in found.findings],
        "earliest_on": found.earliest_on,
        "facts": Personal(found.facts_as_dict()),
        "programme_version": found.programme_version,
    }


@endpoint(
    blueprint,
    "POST",
    "/refill-requests",
    action=Action.REQUEST_REFILL,
    body=RequestIn,
    answer=OpenedRequestOut,
    status=201,
    located="/refill-requests/{id}",
)
def request_refill(call: Call, body: dict[str, Any]) -> dict[str, Any] | Refused:
    """Ask for the next supply. A refusal names every condition that is not met, and the earliest day."""
    units = body["remaining_units"]
    made = requests.request_refill(
        call.session,
        call.actor,
        body["episode_id"],
        remaining_units=None if units is None else Personal(units),
        comment=body["comment"],
    )
    return made if isinstance(made, Refused) else _shown(made)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/refill-requests",
    action=Action.READ_REFILL,
    query=cursors.PageIn,
    answer=page_schema(RefillRequestOut, "RefillRequestPageOut"),
)
def list_requests(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The requests of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = requests.list_requests(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], _position)


def _position(row: RefillRequest) -> cursors.Position:
    return row.requested_at, row.id


@endpoint(blueprint, "GET", "/refill-requests/<uuid:request_id>", action=Action.READ_REFILL, answer=OpenedRequestOut)
def read_request(call: Call, request_id: UUID) -> dict[str, Any]:
    """One request with everything that was said about it."""
    return _shown(requests.read_request(call.session, call.actor, request_id))


@endpoint(
    blueprint,
    "POST",
    "/refill-requests/<uuid:request_id>/approve",
    action=Action.DECIDE_REFILL,
    body=ApproveIn,
    answer=OpenedRequestOut,
)
def approve(call: Call, body: dict[str, Any], request_id: UUID) -> dict[str, Any] | Refused:
    """Approve: the next fill where the law allows one, else a new prescription. The gate is looked at once more."""
    approved = decisions.approve(
        call.session, call.actor, request_id, changed=body["changed"], reason=body["reason"], version=call.version
    )
    return approved if isinstance(approved, Refused) else _shown(approved)


@endpoint(
    blueprint,
    "POST",
    "/refill-requests/<uuid:request_id>/decline",
    action=Action.DECIDE_REFILL,
    body=DeclineIn,
    answer=OpenedRequestOut,
)
def decline(call: Call, body: dict[str, Any], request_id: UUID) -> dict[str, Any]:
    """Decline, with the reason."""
    return _shown(decisions.decline(call.session, call.actor, request_id, body["reason"], version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/refill-requests/<uuid:request_id>/ask",
    action=Action.DECIDE_REFILL,
    body=AskIn,
    answer=OpenedRequestOut,
)
def ask(call: Call, body: dict[str, Any], request_id: UUID) -> dict[str, Any]:
    """Ask the therapist for more before deciding."""
    return _shown(decisions.ask(call.session, call.actor, request_id, body["question"], version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/refill-requests/<uuid:request_id>/answer",
    action=Action.ANSWER_REFILL,
    body=AnswerIn,
    answer=OpenedRequestOut,
)
def answer(call: Call, body: dict[str, Any], request_id: UUID) -> dict[str, Any]:
    """Answer the prescriber's question; the request goes back to whoever asked."""
    return _shown(requests.answer_request(call.session, call.actor, request_id, body["answer"], version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/refill-requests/<uuid:request_id>/forward",
    action=Action.DECIDE_REFILL,
    body=ForwardRequestIn,
    answer=OpenedRequestOut,
)
def forward(call: Call, body: dict[str, Any], request_id: UUID) -> dict[str, Any]:
    """Forward to a colleague, with the reason."""
    return _shown(
        decisions.forward(call.session, call.actor, request_id, body["to"], body["reason"], version=call.version)
    )


_OF_ROW: Final = tuple(RefillRequestOut().fields)


def _shown(read: ReadRequest) -> dict[str, Any]:
    row = {name: getattr(read.request, name) for name in _OF_ROW}
    return {**row, "comment": read.comment, "facts": read.facts, "acts": read.acts}
