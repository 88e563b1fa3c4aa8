"""Organisations: practices, medical teams, pharmacies and the operations desk. Their addresses are public."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import InvalidInput, NotFound
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import shipped
from services.people.access import Action, authorize
from services.people.identifiers import state_code
from services.people.models import Account, Organisation, OrganisationKind
from services.people.phones import e164
from services.people.postal import postal_code
from services.people.programmes import is_known
from services.people.zones import default_zone, read_zone

MAY_NAME: Final = {
    OrganisationKind.MEDICAL_TEAM: {OrganisationKind.PRACTICE},
    OrganisationKind.PHARMACY: {OrganisationKind.PRACTICE, OrganisationKind.MEDICAL_TEAM},
}
LENGTHS = {"name": 120, "short_name": 24, "street": 120, "city": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationDetails:
    """What is known of an organisation. ``state`` is a USPS code, ``zone`` an IANA name (default: its state's).

    ``states_of_operation`` says where a medical team may treat; a practice names its partner team and pharmacy, which
    its patients are referred to, and a medical team the pharmacy of patients whom it brings itself. ``programme`` is
    the name of the programme that a practice, or a medical team for patients without a practice, works by; left out, it
    is the configured one.
    """

    kind: OrganisationKind
    name: str
    short_name: str
    phone: str
    street: str
    city: str
    state: str
    postal_code: str
    zone: str | None = None
    states_of_operation: Sequence[str] = ()
    partner_medical_team_id: UUID | None = None
    partner_pharmacy_id: UUID | None = None
    programme: str | None = None


def create_organisation(session: Session, actor: Actor, details: OrganisationDetails) -> Organisation:
    """Add an organisation. Raises ``InvalidInput`` naming the field, ``NotAllowed`` for anybody but operations."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    texts = {field: public_text(field, getattr(details, field)) for field in LENGTHS}
    state = state_code(details.state)
    zone = details.zone or default_zone(state)
    read_zone(zone)
    organisation = Organisation(
        id=new_id(),
        kind=details.kind,
        **texts,
        phone=e164(Personal(details.phone)).reveal(),
        state=state,
        postal_code=postal_code(details.postal_code),
        zone=zone,
        states_of_operation=sorted(
            {state_code(each, field="states_of_operation") for each in details.states_of_operation}
        ),
        programme=_programme(session, details),
        created_at=clock.now(),
    )
    _set_partners(session, organisation, details.partner_medical_team_id, details.partner_pharmacy_id)
    session.add(organisation)
    session.flush()
    record(session, actor, "organisation.create", "organisation", organisation.id, kind=details.kind.value)
    return organisation


def change_partners(
    session: Session, actor: Actor, practice_id: UUID, *, medical_team_id: UUID, pharmacy_id: UUID
) -> Organisation:
    """Name the medical team and the pharmacy that a practice works with; open episodes keep theirs."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    practice = organisation_of(session, practice_id)
    _set_partners(session, practice, medical_team_id, pharmacy_id)
    record(session, actor, "organisation.change_partners", "organisation", practice.id)
    return practice


def _set_partners(session: Session, practice: Organisation, team_id: UUID | None, pharmacy_id: UUID | None) -> None:
    partners = {
        "partner_medical_team_id": (team_id, OrganisationKind.MEDICAL_TEAM),
        "partner_pharmacy_id": (pharmacy_id, OrganisationKind.PHARMACY),
    }
    for field, (partner_id, kind) in partners.items():
        if partner_id is None:
            continue
        if practice.kind not in MAY_NAME[kind]:
            raise InvalidInput(f"An organisation of this kind names no {kind.replace('_', ' ')}.", field=field)
        partner = session.get(Organisation, partner_id)
        if partner is None or partner.kind != kind:
            raise InvalidInput(f"This must be the id of a {kind.value.replace('_', ' ')}.", field=field)
        setattr(practice, field, partner_id)


def _programme(session: Session, details: OrganisationDetails) -> str | None:
    if details.programme is None:
        return None
    if details.kind not in (OrganisationKind.PRACTICE, OrganisationKind.MEDICAL_TEAM):
        raise InvalidInput("Only a practice or a medical team works by a programme.", field="programme")
    if not is_known(session, details.programme):
        raise InvalidInput(f"There is no such programme. Shipped: {', '.join(shipped())}.", field="programme")
    return details.programme


def public_text(field: str, value: str) -> str:
    """A name or part of an address as it is published. Raises ``InvalidInput`` on ``field``."""
    text = " ".join(value.split())
    if not text or len(text) > LENGTHS[field] or not text.isprintable():
        raise InvalidInput(f"Give 1 to {LENGTHS[field]} printable characters.", field=field)
    return text


def organisation_of(session: Session, organisation_id: UUID) -> Organisation:
    """One organisation. Raises ``NotFound``."""
    organisation = session.get(Organisation, organisation_id)
    if organisation is None:
        raise NotFound("There is no such organisation.")
    return organisation


def zone_of(session: Session, owner_id: UUID) -> ZoneInfo:
    """The time zone that the owner of a task works in: an organisation's own, or that of a person's."""
    account = session.get(Account, owner_id)
    return read_zone(organisation_of(session, owner_id if account is None else account.organisation_id).zone)


def list_organisations(
    session: Session, actor: Actor, *, kind: OrganisationKind | None = None, after: UUID | None = None, limit: int = 20
) -> Sequence[Organisation]:
    """Organisations for the operations desk, oldest first, from behind the id ``after``; at most 100."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    query = select(Organisation).order_by(Organisation.id).limit(min(limit, 100))
    if kind is not None:
        query = query.where(Organisation.kind == kind)
    if after is not None:
        query = query.where(Organisation.id > after)
    return session.scalars(query).all()


def operations_desk(session: Session) -> UUID:
    """The id of the operations desk, which owns what belongs to nobody else. Raises ``NotFound`` when there is none."""
    query = select(Organisation.id).where(Organisation.kind == OrganisationKind.OPERATIONS)
    desk = session.scalar(query.order_by(Organisation.id).limit(1))
    if desk is None:
        raise NotFound("There is no operations desk yet; create an organisation of that kind.")
    return desk
