"""Patients without a therapist, and therapists who could become theirs, on top of the other factories.

world = make_matching_world(session)                  a world whose programme matches (isha_health)
referred = refer_by_team(session, world)              a patient whom the medical team brought
episode = make_unmatched(session, world)              one who was found eligible and has no therapist
therapist = make_therapist(session, world)            who fits: licence, training, a profile with places
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.eligibility import referrals
from services.eligibility.facts import Diagnosis
from services.matching import matches, profiles
from services.matching.matches import ProposedMatch
from services.matching.profiles import ProfileDetails
from services.people import episodes, practitioners
from services.people.models import Account, Episode, Organisation
from services.people.states import EpisodeState
from tests.factories import BY_PATIENT, PATHS, World, make_account, make_patient_actor, make_world, settle
from tests.factories_screening import approve, make_agreement, make_referral_details, make_screening

PROGRAMME = "isha_health"


def make_matching_world(session: Session, *, programme: str = PROGRAMME) -> World:
    """A world that matches patients with therapists; its medical team has a pharmacy of its own."""
    world = make_world(session, programme=programme)
    world.medical_team.programme = programme
    world.medical_team.partner_pharmacy_id = world.pharmacy.id
    session.flush()
    return world


def refer_by_team(
    session: Session, world: World, *, is_enquiry: bool = False, **details: Any
) -> referrals.CreatedReferral:
    """A patient whom the medical team brought, who may be texted unless ``sms_agreement=None`` is given."""
    details.setdefault("sms_agreement", make_agreement(world.medical_staff.id))
    given = make_referral_details(**details)
    enquiry = referrals.ReferralDetails(
        patient=given.patient,
        diagnosis=given.diagnosis,
        reason=given.reason,
        sms_agreement=given.sms_agreement,
        is_enquiry=is_enquiry,
    )
    made = referrals.refer(session, world.actor("medical_staff"), enquiry)
    settle(session)
    return made


def make_unmatched(session: Session, world: World, **details: Any) -> Episode:
    """A patient without a therapist whom the world's prescriber found eligible (without the screening of it)."""
    episode = refer_by_team(session, world, **details).episode
    for step in PATHS[EpisodeState.ELIGIBLE]:
        actor = make_patient_actor(episode) if step in BY_PATIENT else world.actor("prescriber")
        episodes.advance_episode(session, actor, episode, step)
    settle(session)
    return episode


def make_approved(session: Session, world: World) -> Episode:
    """The same, screened and approved in earnest."""
    episode = refer_by_team(session, world).episode
    make_screening(session, episode)
    approve(session, world.actor("prescriber"), episode.id)
    return episode


def make_licensed(session: Session, account: Account, state: str) -> Account:
    """The account with a licence in ``state`` that lasts for years."""
    expires_on = clock.now().date() + timedelta(days=900)
    practitioners.record_licence(
        session, SYSTEM, account.id, state=state, number=f"LMFT {account.id.int % 10**9}", expires_on=expires_on
    )
    return account


def make_therapist(
    session: Session,
    world: World,
    *,
    state: str = "CA",
    practice: Organisation | None = None,
    capacity: int = 5,
    **details: Any,
) -> Account:
    """A therapist for depression with a licence in ``state`` and places, in the world's practice or another."""
    account = make_account(session, Role.THERAPIST, organisation=practice or world.practice, **details)
    own = ProfileDetails(specialities=[Diagnosis.DEPRESSION], capacity=capacity, taking_patients=True)
    profiles.keep_profile(session, SYSTEM, account.id, own)
    return make_licensed(session, account, state)


def propose(session: Session, world: World, episode: Episode, *therapists: Account) -> ProposedMatch:
    """A list of therapists for a patient, made by the world's medical staff."""
    return matches.propose(session, world.actor("medical_staff"), episode.id, [each.id for each in therapists])
