"""Assessments and treatments that do not help, short to call, on top of ``tests/factories_refills.py``.

row = ask(session, episode)                 an assessment that the therapist asks for
answer(session, episode, row, phq9=…)       the patient answers some of it
complete(session, episode, row)             the patient answers all of it, and hands it in
treated(session, world, at=…)               a patient of a cohort, four sessions and two scores
hold(session, episode, 3)                   three dosing sessions were held, a week apart, the last a day ago
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.eligibility.models import Referral
from services.outcomes import assessments
from services.outcomes.assessments import ReadAssessment
from services.outcomes.models import Assessment, ResponseDecision
from services.people.models import Episode
from services.people.states import EpisodeState
from services.sessions.models import AdverseEvent, Check, TherapySession
from services.vault.boxes import box
from tests.factories import World, make_episode, make_patient_actor, therapist_of
from tests.factories_refills import gad7, held_dosing_session, phq9, report

CLEAR = {"q1": False, "q2": False, "q6": False}


def answers(**changes: Any) -> dict[str, Any]:
    """What the cadence asks for, of somebody who is better; an instrument given as None is left out."""
    given = {"phq9": phq9(8), "gad7": gad7(4), "cssrs_since_last_visit": CLEAR, **changes}
    return {name: value for name, value in given.items() if value is not None}


def ask(session: Session, episode: Episode, *instruments: str) -> Assessment:
    """An assessment that the therapist of record asks for; without names that of the cadence."""
    asked = assessments.request_assessment(session, therapist_of(session, episode), episode.id, instruments or None)
    return asked.assessment


def answer(session: Session, episode: Episode, row: Assessment, **given: Any) -> ReadAssessment:
    """The patient answers some of it."""
    return assessments.answer_assessment(session, make_patient_actor(episode), row.id, given)


def complete(session: Session, episode: Episode, row: Assessment, **changes: Any) -> ReadAssessment:
    """The patient answers all of it and hands it in."""
    answer(session, episode, row, **answers(**changes))
    return assessments.complete_assessment(session, make_patient_actor(episode), row.id)


def not_responding(session: Session, episode: Episode) -> ResponseDecision:
    """A decision that is owed: four sessions, and the same score as at the intake, which was before all of them."""
    moment = clock.now()
    for row in hold(session, episode, 4, last_at=moment):
        row.dosed_at = row.last_dose_at = moment
    session.flush()
    with time_machine.travel(moment + timedelta(minutes=1)):
        report(session, episode, phq9=phq9(16))
    return session.scalars(select(ResponseDecision).where(ResponseDecision.episode_id == episode.id)).one()


def hold(session: Session, episode: Episode, number: int, *, last_at: datetime | None = None) -> list[TherapySession]:
    """Dosing sessions that were held a week apart, the last of them a day ago or at ``last_at``."""
    episode.state = EpisodeState.IN_TREATMENT
    last = last_at or clock.now() - timedelta(days=1)
    times = [last - timedelta(weeks=number - index) for index in range(1, number + 1)]
    return [held_dosing_session(session, episode, dosed_at=at, integrated=True) for at in times]


def treated(
    session: Session,
    world: World,
    *,
    before: int = 20,
    after: int | None = 8,
    diagnosis: str = "depression",
    at: datetime,
    nausea: str | None = None,
    dissociation: int | None = None,
    **patient: Any,
) -> Episode:
    """A patient of a cohort, by bare rows: referred 20 days before four weekly sessions from ``at``, two PHQ-9."""
    with time_machine.travel(at - timedelta(days=20), tick=False):
        episode = make_episode(session, world=world, at=EpisodeState.ELIGIBLE, sms_consent=False, **patient)
        own = box(session, episode.patient_id)
        referral = Referral(
            id=new_id(),
            patient_id=episode.patient_id,
            episode_id=episode.id,
            referred_by=world.therapist.id,
            source="therapist",
            created_at=clock.now(),
        )
        own.seal(referral, "diagnosis", diagnosis)
        own.seal(referral, "reason", "Made up.")
        session.add(referral)
        report(session, episode, phq9=phq9(before))
    with time_machine.travel(at + timedelta(days=29), tick=False):
        held = hold(session, episode, 4, last_at=at + timedelta(weeks=3))
        if after is not None:
            report(session, episode, phq9=phq9(after))
        if nausea is not None:
            event = AdverseEvent(
                id=new_id(),
                episode_id=episode.id,
                patient_id=episode.patient_id,
                state="open",
                occurred_at=at,
                recorded_by=world.therapist.id,
                recorded_at=at,
            )
            own.seal(event, "content", {"grade": nausea, "effect": "nausea", "description": "Made up."})
            session.add(event)
        for row in held if dissociation is not None else ():
            for rating in (0, dissociation):
                look = Check(
                    id=new_id(),
                    session_id=row.id,
                    patient_id=episode.patient_id,
                    kind="monitoring",
                    checked_at=at,
                    recorded_by=world.therapist.id,
                    recorded_at=at,
                )
                own.seal(look, "content", {"concern": False, "ratings": {"dissociation": rating}})
                session.add(look)
        session.flush()
    return episode
