"""Patients: who they are and how to reach them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields, post_load, validate

from coordinator.api.endpoints import Call, IfMatch, endpoint, resource
from coordinator.api.fields import PersonalText, Revealed, Text
from services.core.personal import Personal
from services.people import patients
from services.people.access import Action
from services.people.episodes import episode_of_patient
from services.people.identifiers import STATES
from services.people.patients import Contact, PatientChanges
from services.people.postal import Address

blueprint = resource("patients", "Patients: who they are and how to reach them.")

EMAIL: Final = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
PHONE: Final = r"^\+?[0-9(][0-9 ().-]{8,30}$"
ZONE: Final = r"^[A-Za-z_]{1,14}(/[A-Za-z0-9_+-]{1,14}){0,2}$"


class AddressIn(Schema):
    """A postal address in the United States."""

    street = Text(120, required=True)
    unit = Text(40, shortest=0, load_default="")
    city = Text(60, required=True)
    state = fields.String(required=True, validate=validate.OneOf(sorted(STATES)))
    postal_code = Text(10, shortest=5, pattern=r"^[0-9]{5}(-[0-9]{4})?$", required=True)

    @post_load
    def wrap(self, data: dict[str, str], **_: Any) -> Personal[Address]:
        """The address, redacted from here on."""
        return Personal(Address(**data))


class AddressOut(Schema):
    """A postal address."""

    street = fields.String(required=True)
    unit = fields.String(required=True)
    city = fields.String(required=True)
    state = fields.String(required=True)
    postal_code = fields.String(required=True)


class PatientOut(Schema):
    """A patient."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    full_name = PersonalText(120, required=True)
    birth_date = Revealed(fields.Date(), required=True)
    address = Revealed(fields.Nested(AddressOut), required=True)
    mobile = PersonalText(20, required=True)
    email = PersonalText(254, allow_none=True, required=True)
    zone = PersonalText(40, allow_none=True, required=True)
    version = fields.Integer(required=True)


class ContactOut(Schema):
    """How to reach a patient. ``zone`` is the IANA zone to show times in."""

    patient_id = fields.UUID(required=True)
    full_name = PersonalText(120, required=True)
    address = Revealed(fields.Nested(AddressOut), required=True)
    mobile = PersonalText(20, required=True)
    email = PersonalText(254, allow_none=True, required=True)
    zone = fields.String(required=True)


class PatientChangesIn(Schema):
    """What to change; what is left out stays. A new mobile number needs a new agreement to be texted."""

    address = fields.Nested(AddressIn)
    mobile = PersonalText(32, pattern=PHONE)
    email = PersonalText(254, pattern=EMAIL)
    zone = PersonalText(40, pattern=ZONE)


def _shown(call: Call, episode_id: UUID) -> dict[str, Any]:
    patient, details = patients.read_patient(call.session, call.actor, episode_id)
    names = ("full_name", "birth_date", "address", "mobile", "email", "zone")
    content = {name: getattr(details, name) for name in names}
    return {"id": patient.id, "episode_id": episode_id, "version": patient.version, **content}


@endpoint(blueprint, "GET", "/patients/<uuid:patient_id>", action=Action.READ_PATIENT, answer=PatientOut)
def read_patient(call: Call, patient_id: UUID) -> dict[str, Any]:
    """One patient of yours, or yourself."""
    return _shown(call, episode_of_patient(call.session, call.actor, Action.READ_PATIENT, patient_id).id)


@endpoint(
    blueprint,
    "GET",
    "/patients/<uuid:patient_id>/contact",
    action=Action.READ_PATIENT_CONTACT,
    answer=ContactOut,
)
def read_contact(call: Call, patient_id: UUID) -> Contact:
    """How to reach a patient; all that a pharmacy needs."""
    episode = episode_of_patient(call.session, call.actor, Action.READ_PATIENT_CONTACT, patient_id)
    return patients.contact_of(call.session, call.actor, episode)


@endpoint(
    blueprint,
    "PATCH",
    "/patients/<uuid:patient_id>",
    action=Action.CHANGE_PATIENT,
    body=PatientChangesIn,
    answer=PatientOut,
    if_match=IfMatch.NEEDED,
)
def change_patient(call: Call, body: dict[str, Any], patient_id: UUID) -> dict[str, Any]:
    """Change how a patient is reached. ``If-Match`` is needed: an address decides where a parcel goes."""
    episode = episode_of_patient(call.session, call.actor, Action.CHANGE_PATIENT, patient_id)
    patients.change_patient(call.session, call.actor, episode.id, PatientChanges(**body), version=call.version)
    return _shown(call, episode.id)
