"""Therapists' profiles: what they treat, how many clients they take, and whether they take new ones.

The therapist keeps it, or the operations desk for them. A therapist without a profile is proposed to nobody.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, StaleVersion
from services.eligibility.facts import Diagnosis
from services.matching.models import TherapistProfile
from services.people.access import Action, authorize
from services.people.models import Account, Organisation

NOT_YOURS = "There is no such profile, or it is not yours to see."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileDetails:
    """What a therapist says of themselves. ``capacity`` counts all clients in care through the service at one time."""

    specialities: Collection[Diagnosis]
    capacity: int
    taking_patients: bool


def keep_profile(
    session: Session, actor: Actor, therapist_id: UUID, details: ProfileDetails, *, version: int | None = None
) -> TherapistProfile:
    """Write a therapist's profile, the first or a changed one.

    Whoever is in care stays, even above a lowered capacity. Raises ``NotFound`` for anybody but the therapist and the
    operations desk, ``StaleVersion``.
    """
    authorize(actor, Action.CHANGE_THERAPIST_PROFILE)
    # Of two who write the first one at once, the second finds it there.
    session.get(Account, therapist_id, with_for_update=True, populate_existing=True)
    _therapist(session, actor, therapist_id)
    profile = locked_profile(session, therapist_id)
    if version is not None and (profile is None or profile.version != version):
        raise StaleVersion("Somebody else changed this profile since you read it.", field="version")
    if profile is None:
        profile = TherapistProfile(account_id=therapist_id)
        session.add(profile)
    profile.specialities = sorted({each.value for each in details.specialities})
    profile.capacity, profile.taking_patients = details.capacity, details.taking_patients
    profile.changed_at = clock.now()
    session.flush()
    record(session, actor, "therapist_profile.change", "account", therapist_id, capacity=details.capacity)
    return profile


def read_profile(session: Session, actor: Actor, therapist_id: UUID) -> TherapistProfile:
    """A therapist's profile, for the therapist, their medical team and the operations desk. Raises ``NotFound``."""
    authorize(actor, Action.READ_THERAPIST_PROFILE)
    _therapist(session, actor, therapist_id)
    profile = session.get(TherapistProfile, therapist_id)
    if profile is None:
        raise NotFound(NOT_YOURS)
    return profile


def _therapist(session: Session, actor: Actor, therapist_id: UUID) -> None:
    """Let the therapist, the medical team their practice works with, and the operations desk pass."""
    account = session.get(Account, therapist_id)
    if account is None or account.role != Role.THERAPIST:
        raise NotFound(NOT_YOURS)
    practice = session.get_one(Organisation, account.organisation_id)
    is_of_team = (
        practice.partner_medical_team_id is not None and practice.partner_medical_team_id == actor.organisation_id
    )
    if actor.role not in (Role.OPERATIONS, Role.SYSTEM) and actor.id != therapist_id and not is_of_team:
        raise NotFound(NOT_YOURS)


def locked_profile(session: Session, therapist_id: UUID) -> TherapistProfile | None:
    """A profile, held until the commit: whoever counts places waits for whoever is just taking one."""
    return session.get(TherapistProfile, therapist_id, with_for_update=True, populate_existing=True)
