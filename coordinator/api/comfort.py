"""Comfort preferences: written by the patient, read by the therapist, shown with each session."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Text
from coordinator.api.screenings import CrisisResourceOut
from services.people.access import Action
from services.sessions import comfort
from services.sessions.comfort import Preferred, Resting, Talking

blueprint = resource("comfort", "Comfort preferences of patients for their sessions.")


class ComfortIn(Schema):
    """What you would like; what is left out stays, null takes it back. ``music`` and ``more`` are your own words."""

    music = Text(200, allow_none=True)
    talking = Choice(Talking, allow_none=True)
    resting = Choice(Resting, allow_none=True)
    aromatherapy = Flag(allow_none=True)
    eye_mask = Flag(allow_none=True)
    more = Text(500, allow_none=True)


class ComfortOut(Schema):
    """What a patient would like; null where nothing was said."""

    music = fields.String(required=True, allow_none=True)
    talking = Choice(Talking, required=True, allow_none=True)
    resting = Choice(Resting, required=True, allow_none=True)
    aromatherapy = fields.Boolean(required=True, allow_none=True)
    eye_mask = fields.Boolean(required=True, allow_none=True)
    more = fields.String(required=True, allow_none=True)


class PreferencesOut(ComfortOut):
    """What a patient would like, and since when. ``version`` is 0 while nothing was said.

    Whenever ``crisis_resources`` is not empty, show it at once and before everything else.
    """

    patient_id = fields.UUID(required=True)
    changed_at = fields.AwareDateTime(required=True, allow_none=True)
    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)
    version = fields.Integer(required=True)


@endpoint(
    blueprint,
    "GET",
    "/patients/<uuid:patient_id>/comfort-preferences",
    action=Action.READ_COMFORT,
    answer=PreferencesOut,
)
def read_comfort(call: Call, patient_id: UUID) -> dict[str, Any]:
    """What makes a session comfortable for this patient."""
    return _shown(comfort.read_comfort(call.session, call.actor, patient_id))


@endpoint(
    blueprint,
    "PATCH",
    "/patients/<uuid:patient_id>/comfort-preferences",
    action=Action.CHANGE_COMFORT,
    body=ComfortIn,
    answer=PreferencesOut,
)
def change_comfort(call: Call, body: dict[str, Any], patient_id: UUID) -> dict[str, Any]:
    """Say what you would like in your sessions."""
    return _shown(comfort.change_comfort(call.session, call.actor, patient_id, body, version=call.version))


def _shown(found: Preferred) -> dict[str, Any]:
    more = {name: getattr(found, name) for name in ("patient_id", "changed_at", "crisis_resources", "version")}
    return {**found.comfort.reveal().as_dict(), **more}
