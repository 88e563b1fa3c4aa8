"""Adverse events: graded, put before the prescriber, closed with a reason."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, Moment, PersonalText, Revealed, page_schema
from coordinator.api.sessions import ReasonIn
from services.core import clock
from services.people.access import Action
from services.sessions import adverse_events
from services.sessions.adverse_event_rules import Effect, Grade
from services.sessions.adverse_events import OpenedEvent, Report
from services.sessions.states import AdverseEventState

blueprint = resource("adverse-events", "Adverse events: graded, reviewed and closed.")


class AdverseEventIn(Schema):
    """What happened. ``effect`` says it in one word, ``description`` in your own.

    ``occurred_at`` is now when left out; ``session_id`` if it was in or after a session.
    """

    effect = Choice(Effect, required=True)
    grade = Choice(Grade, required=True)
    description = PersonalText(4000, required=True)
    occurred_at = Moment()
    session_id = Id()


class AdverseEventOut(Schema):
    """An adverse event. ``expected``: patients are told of this effect.

    ``resolution`` says how a prescriber dealt with it.
    """

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    session_id = fields.UUID(required=True, allow_none=True)
    state = Choice(AdverseEventState, required=True)
    effect = Revealed(Choice(Effect), required=True)
    expected = fields.Boolean(required=True)
    grade = Revealed(Choice(Grade), required=True)
    description = PersonalText(4000, required=True)
    resolution = PersonalText(1000, required=True, allow_none=True)
    occurred_at = fields.AwareDateTime(required=True)
    recorded_by = fields.UUID(required=True)
    recorded_at = fields.AwareDateTime(required=True)
    closed_at = fields.AwareDateTime(required=True, allow_none=True)
    closed_by = fields.UUID(required=True, allow_none=True)
    version = fields.Integer(required=True)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/adverse-events",
    action=Action.RECORD_ADVERSE_EVENT,
    body=AdverseEventIn,
    answer=AdverseEventOut,
    status=201,
    located="/adverse-events/{id}",
)
def record_adverse_event(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Record an adverse event. Unless it is mild and expected the prescriber is asked to look at it.

    A serious one pages the medical team at once.
    """
    report = Report(**{**body, "occurred_at": body.get("occurred_at") or clock.now()})
    return _shown(adverse_events.record_adverse_event(call.session, call.actor, episode_id, report))


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/adverse-events",
    action=Action.READ_ADVERSE_EVENT,
    query=cursors.PageIn,
    answer=page_schema(AdverseEventOut, "AdverseEventPageOut"),
)
def list_adverse_events(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The adverse events of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = adverse_events.list_adverse_events(
        call.session, call.actor, episode_id, after=after and after[1], limit=query["limit"] + 1
    )
    page = cursors.page(found, query["limit"], lambda each: (each.event.recorded_at, each.event.id))
    return {**page, "items": [_shown(each) for each in page["items"]]}


@endpoint(
    blueprint,
    "GET",
    "/adverse-events/<uuid:event_id>",
    action=Action.READ_ADVERSE_EVENT,
    answer=AdverseEventOut,
)
def read_adverse_event(call: Call, event_id: UUID) -> dict[str, Any]:
    """One adverse event."""
    return _shown(adverse_events.read_adverse_event(call.session, call.actor, event_id))


@endpoint(
    blueprint,
    "POST",
    "/adverse-events/<uuid:event_id>/close",
    action=Action.CLOSE_ADVERSE_EVENT,
    body=ReasonIn,
    answer=AdverseEventOut,
)
def close_adverse_event(call: Call, body: dict[str, Any], event_id: UUID) -> dict[str, Any]:
    """You have dealt with it; say how."""
    return _shown(
        adverse_events.close_adverse_event(call.session, call.actor, event_id, body["reason"], version=call.version)
    )


def _shown(opened: OpenedEvent) -> dict[str, Any]:
    sealed = ("effect", "expected", "grade", "description", "resolution")
    row = {name: getattr(opened.event, name) for name in AdverseEventOut().fields if name not in sealed}
    return {**row, **{name: getattr(opened, name) for name in sealed}}
