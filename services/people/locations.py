"""The places where a practice with several of them treats. Their addresses are public; nothing is shipped to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import InvalidInput
from services.core.ids import new_id
from services.people.access import Action, authorize, visible_episode
from services.people.identifiers import state_code
from services.people.models import Location, OrganisationKind
from services.people.organisations import organisation_of, public_text
from services.people.postal import Address, postal_code


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationDetails:
    """What is known of a location. ``state`` is a USPS code."""

    practice_id: UUID
    name: str
    street: str
    city: str
    state: str
    postal_code: str


def create_location(session: Session, actor: Actor, details: LocationDetails) -> Location:
    """Add a location to a practice. Raises ``InvalidInput`` naming the field, ``NotAllowed`` but for operations."""
    authorize(actor, Action.MANAGE_ACCOUNTS)
    practice = organisation_of(session, details.practice_id)
    if practice.kind != OrganisationKind.PRACTICE:
        raise InvalidInput("Only a practice has locations.", field="practice_id")
    location = Location(
        id=new_id(),
        practice_id=practice.id,
        **{field: public_text(field, getattr(details, field)) for field in ("name", "street", "city")},
        state=state_code(details.state),
        postal_code=postal_code(details.postal_code),
        created_at=clock.now(),
    )
    session.add(location)
    session.flush()
    record(session, actor, "location.create", "location", location.id, practice=practice.id)
    return location


def list_locations(session: Session, actor: Actor, episode_id: UUID) -> Sequence[Location]:
    """Where the practice of an episode treats, oldest first; empty when it has no place but its own address."""
    episode = visible_episode(session, actor, Action.READ_EPISODE, episode_id)
    return locations_of(session, episode.practice_id)


def locations_of(session: Session, practice_id: UUID | None) -> Sequence[Location]:
    """The locations of a practice, oldest first."""
    query = select(Location).where(Location.practice_id == practice_id).order_by(Location.id)
    return session.scalars(query).all()


def address_of(location: Location) -> Address:
    """Where it is."""
    return Address(street=location.street, city=location.city, state=location.state, postal_code=location.postal_code)
