"""Circles: planned and held by a host, answered by patients, each of whom sees the own place alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Id, Moment, PersonalText, Whole, page_schema
from coordinator.api.tasks import StepIn
from services.circles import circles, places
from services.circles.circles import CircleDetails, ReadCircle
from services.circles.models import Circle, CirclePlace
from services.circles.states import CircleState, PlaceState
from services.people.access import Action

blueprint = resource("circles", "Integration circles: a group online, and each patient's record by itself.")

ADDRESS = r"^https://[!-~]*$"
MOST_PLACES = 50


class CircleIn(Schema):
    """A circle to plan. ``address`` is where it meets online; the title is read by whoever is invited."""

    title = PersonalText(80, required=True)
    address = PersonalText(300, shortest=10, pattern=ADDRESS, required=True)
    starts_at = Moment(required=True)
    ends_at = Moment(required=True)
    capacity = Whole(1, MOST_PLACES, required=True)


class InvitationIn(Schema):
    """Whom to invite: a patient of yours."""

    episode_id = Id(required=True)


class CircleAnswerIn(Schema):
    """Whether you will come."""

    accepts = Flag(required=True)


class AttendanceIn(Schema):
    """Whether the patient was there, and a note for this patient's record. Write of nobody else in it."""

    attended = Flag(required=True)
    note = PersonalText(4000)


class CircleOut(Schema):
    """A circle, without its content."""

    id = fields.UUID(required=True)
    host_id = fields.UUID(required=True)
    state = Choice(CircleState, required=True)
    starts_at = fields.AwareDateTime(required=True)
    ends_at = fields.AwareDateTime(required=True)
    created_at = fields.AwareDateTime(required=True)
    version = fields.Integer(required=True)


class CirclePlaceOut(Schema):
    """A place: nothing in it tells whose it is."""

    id = fields.UUID(required=True)
    circle_id = fields.UUID(required=True)
    state = Choice(PlaceState, required=True)
    invited_at = fields.AwareDateTime(required=True)
    answered_at = fields.AwareDateTime(required=True, allow_none=True)
    recorded_at = fields.AwareDateTime(required=True, allow_none=True)


class ShownPlaceOut(CirclePlaceOut):
    """A place as a therapist sees it: of an own patient with the episode, and for the host with the first name."""

    episode_id = fields.UUID(required=True, allow_none=True)
    first_name = PersonalText(120, required=True, allow_none=True)


class OpenedCircleOut(CircleOut):
    """A circle as you may see it. ``own`` is a patient's own place, ``places`` and ``capacity`` are for therapists."""

    title = PersonalText(80, required=True)
    host = PersonalText(120, required=True)
    address = PersonalText(300, required=True, allow_none=True)
    capacity = fields.Integer(required=True, allow_none=True)
    own = fields.Nested(CirclePlaceOut, required=True, allow_none=True)
    places = fields.List(fields.Nested(ShownPlaceOut), required=True)


class RecordedPlaceOut(CirclePlaceOut):
    """A place in a patient's record, with the circle's time and the host's note."""

    starts_at = fields.AwareDateTime(required=True)
    host_id = fields.UUID(required=True)
    note = PersonalText(4000, required=True, allow_none=True)


def _row(row: Circle | CirclePlace, schema: type[Schema]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in schema().fields}


@endpoint(
    blueprint,
    "POST",
    "/circles",
    action=Action.HOST_CIRCLE,
    body=CircleIn,
    answer=CircleOut,
    status=201,
    located="/circles/{id}",
)
def plan_circle(call: Call, body: dict[str, Any]) -> Circle:
    """Plan a circle that you host, for patients of the medical team that your practice works with."""
    return circles.plan_circle(call.session, call.actor, CircleDetails(**body))


@endpoint(
    blueprint,
    "GET",
    "/circles",
    action=Action.READ_CIRCLE,
    query=cursors.PageIn,
    answer=page_schema(CircleOut, "CirclePageOut"),
)
def list_circles(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """The circles that you host, may invite to, or were invited to, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = circles.list_circles(call.session, call.actor, after=after[1] if after else None, limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda circle: (circle.created_at, circle.id))


@endpoint(blueprint, "GET", "/circles/<uuid:circle_id>", action=Action.READ_CIRCLE, answer=OpenedCircleOut)
def read_circle(call: Call, circle_id: UUID) -> dict[str, Any]:
    """One circle, as far as it is yours to see; a patient sees nobody else's place, nor how many there are."""
    found: ReadCircle = circles.read_circle(call.session, call.actor, circle_id)
    is_patient = found.own is not None
    return {
        **_row(found.circle, CircleOut),
        "title": found.title,
        "host": found.host,
        "address": found.address,
        "capacity": None if is_patient else found.circle.capacity,
        "own": found.own,
        "places": [
            {**_row(each.place, CirclePlaceOut), "episode_id": each.episode_id, "first_name": each.first_name}
            for each in found.places
        ],
    }


@endpoint(
    blueprint, "POST", "/circles/<uuid:circle_id>/cancel", action=Action.HOST_CIRCLE, body=StepIn, answer=CircleOut
)
def cancel_circle(call: Call, body: dict[str, Any], circle_id: UUID) -> Circle:
    """Cancel a circle of yours; whoever might have come is told."""
    return circles.cancel_circle(call.session, call.actor, circle_id, version=call.version)


@endpoint(
    blueprint,
    "POST",
    "/circles/<uuid:circle_id>/places",
    action=Action.INVITE_TO_CIRCLE,
    body=InvitationIn,
    answer=CirclePlaceOut,
    status=201,
)
def invite(call: Call, body: dict[str, Any], circle_id: UUID) -> CirclePlace:
    """Invite a patient of yours."""
    return places.invite(call.session, call.actor, circle_id, body["episode_id"])


@endpoint(
    blueprint,
    "POST",
    "/circles/<uuid:circle_id>/answer",
    action=Action.ANSWER_CIRCLE,
    body=CircleAnswerIn,
    answer=CirclePlaceOut,
)
def answer_invitation(call: Call, body: dict[str, Any], circle_id: UUID) -> CirclePlace:
    """The patient accepts or declines an invitation."""
    return places.answer_invitation(call.session, call.actor, circle_id, accepts=body["accepts"])


@endpoint(
    blueprint,
    "POST",
    "/circle-places/<uuid:place_id>/withdraw",
    action=Action.INVITE_TO_CIRCLE,
    body=StepIn,
    answer=CirclePlaceOut,
)
def withdraw_invitation(call: Call, body: dict[str, Any], place_id: UUID) -> CirclePlace:
    """Take back an invitation of a patient of yours."""
    return places.withdraw_invitation(call.session, call.actor, place_id)


@endpoint(
    blueprint,
    "POST",
    "/circle-places/<uuid:place_id>/attendance",
    action=Action.HOST_CIRCLE,
    body=AttendanceIn,
    answer=CirclePlaceOut,
)
def record_attendance(call: Call, body: dict[str, Any], place_id: UUID) -> CirclePlace:
    """Record whether a patient was there, with a note for that patient's record alone."""
    return places.record_attendance(
        call.session, call.actor, place_id, attended=body["attended"], note=body.get("note")
    )


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/circle-places",
    action=Action.READ_CIRCLE_PLACE,
    query=cursors.PageIn,
    answer=page_schema(RecordedPlaceOut, "RecordedPlacePageOut"),
)
def list_places(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The circles in one patient's record, with the host's notes, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = [
        {
            **_row(each.place, CirclePlaceOut),
            "starts_at": each.circle.starts_at,
            "host_id": each.circle.host_id,
            "note": each.note,
        }
        for each in places.list_places(
            call.session, call.actor, episode_id, after=after[1] if after else None, limit=query["limit"] + 1
        )
    ]
    return cursors.page(found, query["limit"], lambda each: (each["invited_at"], each["id"]))
