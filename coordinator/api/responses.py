"""Treatments that do not help: what was noted, and what the prescriber decides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, Revealed
from coordinator.api.problem_schemas import FindingOut
from services.outcomes import responses
from services.outcomes.responses import Course, ReadDecision
from services.outcomes.states import ResponseState
from services.people.access import Action

blueprint = resource("responses", "Treatments that do not help: what was noted, and what the prescriber decides.")


class ResponseDecisionIn(Schema):
    """How it goes on, and why."""

    course = Choice(Course, required=True)
    reason = PersonalText(4000, required=True)


class ResponseDecisionOut(Schema):
    """A treatment that does not help: the ``finding``, and what was decided. ``open``: no refill before a decision."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    state = Choice(ResponseState, required=True)
    finding = fields.Nested(FindingOut, required=True)
    course = Revealed(fields.String(), required=True, allow_none=True)
    reason = PersonalText(4000, required=True, allow_none=True)
    programme_version = fields.String(required=True)
    noted_at = fields.AwareDateTime(required=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    decided_by = fields.UUID(required=True, allow_none=True)
    version = fields.Integer(required=True)


class ResponseDecisionsOut(Schema):
    """All of an episode, newest first."""

    items = fields.List(fields.Nested(ResponseDecisionOut), required=True)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/response-decisions",
    action=Action.READ_OUTCOME,
    answer=ResponseDecisionsOut,
)
def list_decisions(call: Call, episode_id: UUID) -> dict[str, Any]:
    """What was noted and decided about how the treatment helps."""
    return {"items": [_shown(read) for read in responses.list_decisions(call.session, call.actor, episode_id)]}


@endpoint(
    blueprint,
    "GET",
    "/response-decisions/<uuid:decision_id>",
    action=Action.READ_OUTCOME,
    answer=ResponseDecisionOut,
)
def read_decision(call: Call, decision_id: UUID) -> dict[str, Any]:
    """One of them."""
    return _shown(responses.read_decision(call.session, call.actor, decision_id))


@endpoint(
    blueprint,
    "POST",
    "/response-decisions/<uuid:decision_id>/decide",
    action=Action.DECIDE_RESPONSE,
    body=ResponseDecisionIn,
    answer=ResponseDecisionOut,
)
def decide_response(call: Call, body: dict[str, Any], decision_id: UUID) -> dict[str, Any]:
    """Go on with a reason, choose another course, or discontinue."""
    decided = responses.decide_response(
        call.session, call.actor, decision_id, body["course"], body["reason"], version=call.version
    )
    return _shown(decided)


def _shown(read: ReadDecision) -> dict[str, Any]:
    row = {
        name: getattr(read.row, name)
        for name in ResponseDecisionOut().fields
        if name not in ("finding", "course", "reason")
    }
    return {**row, "finding": read.finding, "course": read.course, "reason": read.reason}
