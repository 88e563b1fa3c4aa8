"""Locations: where a practice with several places treats."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from services.people import locations
from services.people.access import Action

blueprint = resource("locations", "Locations: where a practice with several places treats.")


class LocationOut(Schema):
    """A location; its address is public."""

    id = fields.UUID(required=True)
    practice_id = fields.UUID(required=True)
    name = fields.String(required=True)
    street = fields.String(required=True)
    city = fields.String(required=True)
    state = fields.String(required=True)
    postal_code = fields.String(required=True)


class LocationsOut(Schema):
    """All locations of a practice; none where it has only its own address."""

    items = fields.List(fields.Nested(LocationOut), required=True)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/locations",
    action=Action.READ_EPISODE,
    answer=LocationsOut,
)
def list_locations(call: Call, episode_id: UUID) -> dict[str, Any]:
    """Where the practice of an episode treats."""
    return {"items": locations.list_locations(call.session, call.actor, episode_id)}
