"""Referrals: patient, care team, episode and first screening appear together.

A therapist brings a client. Where the programme lets them, a medical team brings a patient who has no therapist yet, or
takes down the enquiry of one who asks by themselves (DOMAIN 1: isha_health); ``services/matching`` finds the therapist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal, Secret
from services.core.programme import Programme
from services.core.vocabulary import EventKind, Party
from services.eligibility.facts import Diagnosis
from services.eligibility.models import Referral
from services.eligibility.referral_rules import (
    AGREEMENT_BY_OTHERS,
    AGREEMENT_OLD,
    NOT_TWICE,
    Referrer,
    ReferrerFacts,
    Source,
    referrer_findings,
)
from services.messaging.outbox import Subject, emit
from services.people.access import Action, authorize, visible_episode
from services.people.consents import ConsentKind, ConsentSource, give_consent
from services.people.episodes import open_episode
from services.people.links import LinkKind, issue_link, path_of
from services.people.models import Account, Episode, Organisation, Patient
from services.people.patients import PatientDetails, birth_date_of, mobile_index, patients_with_mobile, register_patient
from services.people.phones import e164
from services.people.practitioners import is_kap_trained
from services.people.programmes import programme_for
from services.people.settings import settings
from services.people.states import EpisodeState
from services.routing import parties_of
from services.screening.screenings import open_screening
from services.screening.written_texts import heed
from services.vault.boxes import box

ENDED = frozenset({EpisodeState.DECLINED, EpisodeState.CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsAgreement:
    """The patient's agreement to be texted as somebody of the practice took it down (DOMAIN 7: documented consent)."""

    taken_by: UUID
    taken_at: datetime
    text_version: str
    wording: Personal[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralDetails:
    """Who is referred, with which diagnosis and why; ``sms_agreement`` None means that the patient is not texted.

    ``is_enquiry``: the patient asked the medical team, which only takes it down.
    """

    patient: PatientDetails
    diagnosis: Personal[Diagnosis]
    reason: Personal[str]
    sms_agreement: SmsAgreement | None = None
    is_enquiry: bool = False


@dataclass(frozen=True, slots=True)
class CreatedReferral:
    """What a referral made. ``link`` is for whoever referred to hand over; None when the patient gets it by SMS."""

    referral: Referral
    episode: Episode
    screening_id: UUID
    link: Secret[str] | None


@dataclass(frozen=True, slots=True, repr=False)
class ReadReferral:
    """A referral with its sealed content opened."""

    referral: Referral
    diagnosis: Personal[str]
    reason: Personal[str]


def refer(session: Session, actor: Actor, details: ReferralDetails) -> CreatedReferral:
    """Refer a patient: patient, episode with its care team, first screening, and the link to the forms.

    With an agreement to be texted the link exists only inside the sealed event for the patient's queue; without one it
    is given to the caller, once. Raises ``RuleRefused`` naming what is missing (training, partners) or that this
    programme takes no referrals from them, ``Conflict`` when the organisation already treats this person,
    ``InvalidInput`` naming the field.
    """
    authorize(actor, Action.REFER_CLIENT)
    _check_referrer(session, actor, details)
    _check_agreement(session, actor, details.sms_agreement)
    _check_not_known(session, actor, details.patient)
    patient = register_patient(session, actor, details.patient)
    episode = open_episode(session, actor, patient.id)
    referral = _store(session, actor, episode, details)
    screening = open_screening(session, actor, episode)
    if details.sms_agreement is not None:
        _record_agreement(session, actor, episode, details.sms_agreement)
    link = issue_link(session, actor, episode, LinkKind.FORMS)
    _tell(session, referral, link if details.sms_agreement is not None else None)
    return CreatedReferral(referral, episode, screening.id, link if details.sms_agreement is None else None)


def _check_referrer(session: Session, actor: Actor, details: ReferralDetails) -> None:
    own = session.get(Organisation, actor.organisation_id) if actor.organisation_id else None
    facts = ReferrerFacts(
        by=referrer_of(actor),
        is_enquiry=details.is_enquiry,
        kap_trained=is_kap_trained(session, actor.id, clock.now().date()),
        has_medical_team=own is not None and own.partner_medical_team_id is not None,
        has_pharmacy=own is not None and own.partner_pharmacy_id is not None,
    )
    findings = referrer_findings(facts, _programme_of_referrer(session, actor, own))
    if findings:
        raise RuleRefused("This referral cannot be made.", findings)


def _programme_of_referrer(session: Session, actor: Actor, own: Organisation | None) -> Programme:
    """The programme that the episode would be opened under."""
    if own is None or actor.role is not Role.THERAPIST:
        return settings() if own is None else programme_for(session, None, own.id)
    team_id = own.partner_medical_team_id
    return settings() if team_id is None else programme_for(session, own.id, team_id)


def referrer_of(actor: Actor) -> Referrer:
    """As what the actor refers."""
    return Referrer.THERAPIST if actor.role is Role.THERAPIST else Referrer.MEDICAL_TEAM


def _check_agreement(session: Session, actor: Actor, agreement: SmsAgreement | None) -> None:
    """Somebody of the same organisation took the agreement down, not long ago and not in the future."""
    if agreement is None:
        return
    taker = session.get(Account, agreement.taken_by)
    if taker is None or taker.organisation_id != actor.organisation_id:
        raise AGREEMENT_BY_OTHERS.refused(field="sms_agreement.taken_by", taken_by=str(agreement.taken_by))
    programme, now = settings(), clock.now()
    days = programme.whole("screening.sms_agreement_valid_days")
    if not now - timedelta(days=days) <= agreement.taken_at <= now:
        taken_at = agreement.taken_at.isoformat()
        raise AGREEMENT_OLD.refused(programme, field="sms_agreement.taken_at", taken_at=taken_at, now=now.isoformat())


def _check_not_known(session: Session, actor: Actor, details: PatientDetails) -> None:
    """One open episode per person and practice or team. Whether others treat the person is not looked at."""
    number = e164(details.mobile, field="mobile")
    # Two referrals of the same client at once: the second waits here until the first has committed.
    place = hashlib.sha256(str(actor.organisation_id).encode() + mobile_index(number)).digest()
    session.execute(select(func.pg_advisory_xact_lock(int.from_bytes(place[:8], "big", signed=True))))
    for patient in patients_with_mobile(session, number):
        if _is_treated_here(session, actor, patient) and birth_date_of(session, patient) == details.birth_date:
            raise NOT_TWICE.conflict(is_treated=True)


def _is_treated_here(session: Session, actor: Actor, patient: Patient) -> bool:
    query = select(Episode.id).where(
        Episode.patient_id == patient.id,
        or_(Episode.practice_id == actor.organisation_id, Episode.medical_team_id == actor.organisation_id),
        Episode.state.not_in(sorted(ENDED)),
    )
    return session.scalar(query.limit(1)) is not None


def _store(session: Session, actor: Actor, episode: Episode, details: ReferralDetails) -> Referral:
    referral = Referral(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        referred_by=actor.id,
        source=Source.ENQUIRY if details.is_enquiry else Source(referrer_of(actor).value),
        created_at=clock.now(),
    )
    own = box(session, episode.patient_id)
    own.seal(referral, "diagnosis", details.diagnosis.reveal().value)
    own.seal(referral, "reason", details.reason)
    session.add(referral)
    session.flush()
    record(session, actor, "referral.create", "referral", referral.id, episode_id=episode.id)
    heed(session, actor, episode, details.reason, subject=Subject("referral", referral.id))
    return referral


def _record_agreement(session: Session, actor: Actor, episode: Episode, agreement: SmsAgreement) -> None:
    consent = give_consent(
        session,
        actor,
        episode,
        ConsentKind.SMS,
        text_version=agreement.text_version,
        wording=agreement.wording,
        source=ConsentSource.REFERRAL,
    )
    # Who took it down and when, not who typed it in and when.
    consent.taken_by, consent.given_at = agreement.taken_by, agreement.taken_at


def _tell(session: Session, referral: Referral, link: Secret[str] | None) -> None:
    """The medical team hears of every referral; the link travels only in the envelope for the patient's queue."""
    subject, episode_id = Subject("referral", referral.id), referral.episode_id
    others = [party for party in parties_of(EventKind.REFERRAL_CREATED) if party is not Party.PATIENT]
    emit(session, EventKind.REFERRAL_CREATED, subject=subject, episode_id=episode_id, to=others)
    if link is not None:
        data = {"link": path_of(link)}
        emit(session, EventKind.REFERRAL_CREATED, subject=subject, episode_id=episode_id, to=[Party.PATIENT], **data)


def read_referral(session: Session, actor: Actor, referral_id: UUID) -> ReadReferral:
    """One referral, opened; an audited read. Raises as ``authorize`` does."""
    referral = session.get(Referral, referral_id)
    if referral is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    episode = visible_episode(session, actor, Action.READ_REFERRAL, referral.episode_id)
    record(session, actor, "referral.read", "referral", referral.id, episode_id=episode.id)
    own = box(session, referral.patient_id)
    return ReadReferral(referral, own.open(referral, "diagnosis"), own.open(referral, "reason"))


def list_referrals(session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 20) -> Sequence[Referral]:
    """The referrals that the actor can see, newest first, from behind the id ``after``; content stays sealed."""
    authorize(actor, Action.READ_REFERRAL)
    is_therapist = actor.role is Role.THERAPIST
    visible = Episode.therapist_id == actor.id if is_therapist else Episode.medical_team_id == actor.organisation_id
    query = select(Referral).join(Episode, Episode.id == Referral.episode_id).where(visible)
    return session.scalars(page_of(query, Referral.id, after=after, limit=limit)).all()


def diagnosis_of(session: Session, episode_id: UUID) -> str | None:
    """The diagnosis an episode was referred with, for the rules; None when there was no referral."""
    referral = session.scalar(select(Referral).where(Referral.episode_id == episode_id))
    if referral is None:
        return None
    diagnosis: str = box(session, referral.patient_id).open(referral, "diagnosis").reveal()
    return diagnosis
