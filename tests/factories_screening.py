"""Screenings and eligibility decisions, short to call, on top of ``tests/factories.py``.

    referred = make_referral(session, world=world)             a referred client: referral, episode, first screening
    screening = make_screening(session, episode)               completed by a patient in good health
    approved = make_eligible(session, world=world)             an episode whose patient was approved

``answers(part=…)`` gives a whole screening to change a part of.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.findings import Severity
from services.core.personal import Personal
from services.eligibility import decisions, referrals, reviews
from services.eligibility.decisions import Decision, Verdict
from services.eligibility.facts import Diagnosis
from services.people import consents
from services.people.models import Episode
from services.people.programmes import programme_of
from services.screening import screenings
from services.screening.answer_sheets import Part, asked_instruments
from services.screening.consent_texts import current_texts
from services.screening.history import load_questions
from services.screening.models import Screening
from tests.factories import World, make_patient_actor, make_patient_details, make_world, settle

NO_TO_ALL: dict[str, bool] = {"q1": False, "q2": False, "q6_ever": False}


def history(**statuses: str) -> dict[str, str]:
    """Nothing of it present but what is named."""
    return {condition.value: "absent" for condition in load_questions()} | statuses


def answers(**parts: Any) -> dict[Part, Any]:
    """A whole screening of somebody depressed and otherwise well; a part given as None is left out."""
    taken_at = clock.now() - timedelta(hours=2)
    given: dict[str, Any] = {
        "history": history(),
        "medicines": ["Sertraline 50 mg"],
        "phq9": {f"q{number}": 2 for number in range(1, 9)} | {"q9": 0},
        "gad7": {f"q{number}": 1 for number in range(1, 8)},
        "cssrs": NO_TO_ALL,
        "blood_pressures": [
            {"systolic": 122, "diastolic": 78, "taken_at": taken_at},
            {"systolic": 118, "diastolic": 76, "taken_at": taken_at + timedelta(hours=1)},
        ],
        **parts,
    }
    return {Part(name): value for name, value in given.items() if value is not None}


def make_referral_details(*, diagnosis: Diagnosis = Diagnosis.DEPRESSION, **details: Any) -> referrals.ReferralDetails:
    """A client as a therapist refers one; ``sms_agreement`` as given, the rest are the patient's details."""
    agreement = details.pop("sms_agreement", None)
    reason = Personal(details.pop("reason", "Two antidepressants did not help."))
    patient = make_patient_details(**details)
    return referrals.ReferralDetails(
        patient=patient, diagnosis=Personal(diagnosis), reason=reason, sms_agreement=agreement
    )


def make_agreement(taken_by: UUID, **details: Any) -> referrals.SmsAgreement:
    """The agreement to be texted, taken down yesterday."""
    given = {
        "taken_at": clock.now() - timedelta(days=1),
        "text_version": "spoken-1",
        "wording": Personal("You may text me about my care."),
        **details,
    }
    return referrals.SmsAgreement(taken_by=taken_by, **given)


def make_referral(session: Session, *, world: World | None = None, **details: Any) -> referrals.CreatedReferral:
    """A referred client of ``world``, who may be texted unless ``sms_agreement=None`` is given."""
    world = world or make_world(session)
    details.setdefault("sms_agreement", make_agreement(world.therapist.id))
    referred = referrals.refer(session, world.actor("therapist"), make_referral_details(**details))
    settle(session)
    return referred


def agree_to_treatment(session: Session, episode: Episode) -> None:
    """The consent to treatment, given by the patient with the current text."""
    text = current_texts()[consents.ConsentKind.TREATMENT]
    consents.give_consent(
        session,
        make_patient_actor(episode),
        episode,
        consents.ConsentKind.TREATMENT,
        text_version=text.version,
        wording=Personal(text.wording),
        source=consents.ConsentSource.LINK,
    )
    session.flush()


def open_round(session: Session, episode: Episode) -> Screening:
    """The round that the patient can answer; opened for episodes that were made without a referral."""
    query = select(Screening).where(Screening.episode_id == episode.id, Screening.state == "opened")
    return session.scalar(query) or screenings.open_screening(session, make_patient_actor(episode), episode)


def make_screening(session: Session, episode: Episode, **parts: Any) -> Screening:
    """The open round of ``episode``, answered (see ``answers``), agreed to and completed, with its review."""
    patient, screening = make_patient_actor(episode), open_round(session, episode)
    if Part.B_IPF in asked_instruments(programme_of(session, episode)):
        parts = {"b_ipf": {f"q{number}": 3 for number in range(1, 8)}, **parts}
    if not consents.has_consent(session, episode.patient_id, consents.ConsentKind.TREATMENT):
        agree_to_treatment(session, episode)
    screenings.save_answers(session, patient, screening.id, answers(**parts))
    reviews.submit_screening(session, patient, screening.id)
    return screening


def reasons_for(session: Session, actor: Actor, episode_id: UUID) -> Mapping[str, Personal[str]]:
    """A reason for each finding that needs one now."""
    findings = reviews.read_review(session, actor, episode_id).findings or ()
    return {each.rule: Personal("Discussed.") for each in findings if each.severity is Severity.REVIEW}


def approve(session: Session, actor: Actor, episode_id: UUID) -> None:
    """Approve with whatever reasons are needed."""
    verdict = Verdict(decision=Decision.APPROVE, reasons=reasons_for(session, actor, episode_id))
    decisions.decide(session, actor, episode_id, verdict)


def make_eligible(session: Session, *, world: World | None = None, **details: Any) -> Episode:
    """An episode whose patient was referred, screened and approved by the world's prescriber."""
    world = world or make_world(session)
    episode = make_referral(session, world=world, **details).episode
    make_screening(session, episode)
    approve(session, world.actor("prescriber"), episode.id)
    return episode


__all__ = [
    "NO_TO_ALL",
    "agree_to_treatment",
    "answers",
    "approve",
    "history",
    "make_agreement",
    "make_eligible",
    "make_referral",
    "make_referral_details",
    "make_screening",
    "open_round",
    "reasons_for",
]
