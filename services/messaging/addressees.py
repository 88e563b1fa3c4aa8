"""Whom a text goes to and in whose name: the number, the hours that hold there, the clinic that writes."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.personal import Personal
from services.core.vocabulary import NoticeKind
from services.messaging.models import Notice
from services.messaging.sms import shown_number
from services.people import consents, patients
from services.people.consents import ConsentKind
from services.people.models import Account, Consent, Episode, Organisation, Patient
from services.people.organisations import organisation_of
from services.people.zones import default_zone


@dataclass(frozen=True, slots=True)
class Reach:
    """How a person is reached. ``zone`` is None when the patient never gave one: then all zones of ``state`` count."""

    number: Personal[str]
    zone: str | None
    state: str
    shown_zone: str


@dataclass(frozen=True, slots=True)
class Sender:
    """In whose name a text goes: the short name of the clinic and the phone to call, as people read it."""

    name: str
    phone: str


def reach_of(session: Session, patient_id: UUID) -> Reach:
    """How to text a patient today. Raises ``NotFound``."""
    details = patients.details_of(session, patient_id)
    state = details.address.reveal().state
    given = None if details.zone is None else details.zone.reveal()
    return Reach(details.mobile, given, state, given or default_zone(state))


def sender_of(session: Session, organisation_id: UUID) -> Sender:
    """The clinic (or the operations desk) as a text names it. Raises ``NotFound``."""
    organisation = organisation_of(session, organisation_id)
    return Sender(organisation.short_name, shown_number(organisation.phone))


def clinic_of(episode: Episode) -> UUID:
    """The organisation that a patient knows as their clinic: the practice, and while there is none the medical team."""
    return episode.practice_id or episode.medical_team_id


def staff_zone(session: Session, recipient_id: UUID) -> str | None:
    """The zone where an account or organisation works; None when it is neither."""
    account = session.get(Account, recipient_id)
    organisation = session.get(Organisation, recipient_id if account is None else account.organisation_id)
    return None if organisation is None else organisation.zone


def opted_out(session: Session, patient: Patient) -> bool:
    """Whether the patient asked to get no more texts on this number; not having agreed yet is something else."""
    if consents.may_be_texted(session, patient.id):
        return False
    withdrawn = select(Consent.id).where(
        Consent.patient_id == patient.id,
        Consent.kind == ConsentKind.SMS,
        Consent.number_index == patient.mobile_index,
        Consent.withdrawn_at.is_not(None),
    )
    # Somebody who never agreed has nothing to withdraw, but their STOP counts all the same.
    confirmed = select(Notice.id).where(Notice.recipient_id == patient.id, Notice.kind == NoticeKind.OPT_OUT_CONFIRMED)
    return any(session.scalar(query.limit(1)) is not None for query in (withdrawn, confirmed))
