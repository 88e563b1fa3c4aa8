"""Patients: who they are and how to reach them. Everything that identifies a person is sealed and travels redacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import InvalidInput, NotFound, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.people.access import Action, authorize, visible_episode
from services.people.accounts import checked_email, checked_name
from services.people.models import Episode, Patient, PersonalLink
from services.people.phones import e164
from services.people.postal import Address
from services.people.zones import default_zone, read_zone
from services.vault.blind_indexes import blind_index
from services.vault.boxes import Box, box, first_box

OLDEST_BIRTH_DATE = date(1900, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientDetails:
    """A patient as referred. ``mobile`` is read as written in the US and kept in E.164.

    ``zone`` is an IANA name the patient gave; without one, times are shown in the zone most people of the state live in
    and quiet hours keep to all zones of the state.
    """

    full_name: Personal[str]
    birth_date: Personal[date]
    address: Personal[Address]
    mobile: Personal[str]
    email: Personal[str] | None = None
    zone: Personal[str] | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach a patient. ``zone`` is for showing times; ``given_zone`` is None when the patient never gave one."""

    patient_id: UUID
    full_name: Personal[str]
    address: Personal[Address]
    mobile: Personal[str]
    email: Personal[str] | None
    zone: str
    given_zone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientChanges:
    """What to change of a patient; None leaves a value as it is."""

    address: Personal[Address] | None = None
    mobile: Personal[str] | None = None
    email: Personal[str] | None = None
    zone: Personal[str] | None = None


def mobile_index(number: Personal[str]) -> bytes:
    """What a mobile number (E.164) is found by."""
    return blind_index("mobile", number)


def register_patient(session: Session, actor: Actor, details: PatientDetails) -> Patient:
    """Add a patient with a data key of their own. Raises ``InvalidInput`` naming the field."""
    authorize(actor, Action.REFER_CLIENT)
    name = checked_name(details.full_name)
    birth_date = _checked_birth_date(details.birth_date)
    address = details.address.reveal().checked()
    patient = Patient(id=new_id(), created_at=clock.now())
    own = first_box(session, patient.id)
    own.seal(patient, "full_name", name)
    own.seal(patient, "birth_date", birth_date.isoformat())
    own.seal(patient, "address", address.as_dict())
    _seal_mobile(own, patient, details.mobile)
    if details.email is not None:
        _seal_email(own, patient, details.email)
    if details.zone is not None:
        own.seal(patient, "zone", _checked_zone(details.zone))
    session.add(patient)
    session.flush()
    record(session, actor, "patient.register", "patient", patient.id)
    return patient


def _checked_birth_date(birth_date: Personal[date]) -> date:
    day = birth_date.reveal()
    if not OLDEST_BIRTH_DATE <= day <= clock.now().date():
        raise InvalidInput("The birth date must lie between 1900 and today.", field="birth_date")
    return day


def _checked_zone(zone: Personal[str]) -> str:
    read_zone(zone.reveal())
    return zone.reveal()


def _seal_mobile(own: Box, patient: Patient, mobile: Personal[str]) -> None:
    number = e164(mobile, field="mobile")
    own.seal(patient, "mobile", number)
    patient.mobile_index = mobile_index(number)


def _seal_email(own: Box, patient: Patient, email: Personal[str]) -> None:
    address = checked_email(email)
    own.seal(patient, "email", address)
    patient.email_index = blind_index("email", address)


def patient_of(session: Session, patient_id: UUID) -> Patient:
    """One patient's row, for use cases. Raises ``NotFound``."""
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise NotFound("There is no such patient, or it is not yours to see.")
    return patient


def patients_with_mobile(session: Session, number: Personal[str]) -> Sequence[Patient]:
    """Everybody who gave this number (E.164), oldest first: a phone may be a family's."""
    query = select(Patient).where(Patient.mobile_index == mobile_index(number))
    return session.scalars(query.order_by(Patient.id)).all()


def details_of(session: Session, patient_id: UUID) -> PatientDetails:
    """All that is known of a patient, for rules and for texts. The caller has settled who may see it."""
    patient = patient_of(session, patient_id)
    own = box(session, patient.id)
    email: Personal[str] = own.open(patient, "email")
    zone: Personal[str] = own.open(patient, "zone")
    return PatientDetails(
        full_name=own.open(patient, "full_name"),
        birth_date=birth_date_of(session, patient),
        address=Personal(Address(**own.open(patient, "address").reveal())),
        mobile=own.open(patient, "mobile"),
        email=None if email.reveal() is None else email,
        zone=None if zone.reveal() is None else zone,
    )


def birth_date_of(session: Session, patient: Patient) -> Personal[date]:
    """When a patient was born."""
    return Personal(date.fromisoformat(box(session, patient.id).open(patient, "birth_date").reveal()))


def state_of(session: Session, patient_id: UUID) -> str:
    """The state a patient lives in (USPS code): where the prescriber must be licensed."""
    patient = patient_of(session, patient_id)
    state: str = box(session, patient.id).open(patient, "address").reveal()["state"]
    return state


def read_patient(session: Session, actor: Actor, episode_id: UUID) -> tuple[Patient, PatientDetails]:
    """The patient of an episode, opened; an audited read. Raises as ``authorize`` does."""
    episode = visible_episode(session, actor, Action.READ_PATIENT, episode_id)
    record(session, actor, "patient.read", "patient", episode.patient_id, episode_id=episode.id)
    return patient_of(session, episode.patient_id), details_of(session, episode.patient_id)


def contact_of(session: Session, actor: Actor, episode: Episode) -> Contact:
    """How to reach the patient of an episode; an audited read. Raises as ``authorize`` does."""
    authorize(actor, Action.READ_PATIENT_CONTACT, episode)
    record(session, actor, "patient.read_contact", "patient", episode.patient_id, episode_id=episode.id)
    details = details_of(session, episode.patient_id)
    given = None if details.zone is None else details.zone.reveal()
    return Contact(
        patient_id=episode.patient_id,
        full_name=details.full_name,
        address=details.address,
        mobile=details.mobile,
        email=details.email,
        zone=given or default_zone(details.address.reveal().state),
        given_zone=given,
    )


def change_patient(
    session: Session, actor: Actor, episode_id: UUID, changes: PatientChanges, *, version: int
) -> Patient:
    """Change how a patient is reached.

    A new mobile needs a new consent to be texted, and links sent to the old one stop working. Raises ``StaleVersion``
    when somebody else changed the patient since ``version`` was read, ``InvalidInput`` naming the field.
    """
    episode = visible_episode(session, actor, Action.CHANGE_PATIENT, episode_id)
    patient = patient_of(session, episode.patient_id)
    if patient.version != version:
        raise StaleVersion("Somebody else changed this patient since you read it.", field="version")
    own = box(session, patient.id)
    changed = [field for field in ("address", "mobile", "email", "zone") if getattr(changes, field) is not None]
    if not changed:
        raise InvalidInput("Give at least one of address, mobile, email and zone.")
    if changes.address is not None:
        own.seal(patient, "address", changes.address.reveal().checked().as_dict())
    if changes.mobile is not None:
        _seal_mobile(own, patient, changes.mobile)
        _cancel_links(session, patient.id)
    if changes.email is not None:
        _seal_email(own, patient, changes.email)
    if changes.zone is not None:
        own.seal(patient, "zone", _checked_zone(changes.zone))
    session.flush()
    record(session, actor, "patient.change", "patient", patient.id, episode_id=episode.id, changed=changed)
    return patient


def _cancel_links(session: Session, patient_id: UUID) -> None:
    unused = (PersonalLink.patient_id == patient_id, PersonalLink.used_at.is_(None))
    session.execute(update(PersonalLink).where(*unused).values(used_at=clock.now()))
