"""Therapists' profiles: what they treat, how many clients they take, and whether they take new ones."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Choices, Flag, Whole
from services.eligibility.facts import Diagnosis
from services.matching import profiles
from services.matching.models import TherapistProfile
from services.matching.profiles import ProfileDetails
from services.people.access import Action

blueprint = resource("therapist-profiles", "Therapists' profiles: specialities, capacity, new patients.")

MOST_CLIENTS = 500


class ProfileIn(Schema):
    """A profile. ``capacity`` is how many clients at most are in care through the service at one time."""

    specialities = Choices(Diagnosis, required=True)
    capacity = Whole(0, MOST_CLIENTS, required=True)
    taking_patients = Flag(required=True)


class ProfileOut(Schema):
    """A profile as it stands."""

    therapist_id = fields.UUID(required=True, attribute="account_id")
    specialities = fields.List(Choice(Diagnosis), required=True)
    capacity = fields.Integer(required=True)
    taking_patients = fields.Boolean(required=True)
    changed_at = fields.AwareDateTime(required=True)
    version = fields.Integer(required=True)


@endpoint(
    blueprint,
    "GET",
    "/therapist-profiles/<uuid:therapist_id>",
    action=Action.READ_THERAPIST_PROFILE,
    answer=ProfileOut,
)
def read_profile(call: Call, therapist_id: UUID) -> TherapistProfile:
    """A therapist's profile: your own, or one of your medical team's therapists."""
    return profiles.read_profile(call.session, call.actor, therapist_id)


@endpoint(
    blueprint,
    "PUT",
    "/therapist-profiles/<uuid:therapist_id>",
    action=Action.CHANGE_THERAPIST_PROFILE,
    body=ProfileIn,
    answer=ProfileOut,
)
def keep_profile(call: Call, body: dict[str, Any], therapist_id: UUID) -> TherapistProfile:
    """Write a profile, your own or as the operations desk; patients in care stay where they are."""
    return profiles.keep_profile(call.session, call.actor, therapist_id, ProfileDetails(**body), version=call.version)
