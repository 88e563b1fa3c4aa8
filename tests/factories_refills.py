"""Outcome reports, dosing sessions that were held and refill requests, short to call.

read = report(session, episode, phq9=phq9(9), summary="Better.")   the therapist of record reports
with make_supplied(session) as supplied:                           a patient who used up a first supply, ten days later
    made = ask(session, supplied)                                  the therapist asks; nothing stands in the way
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.outcomes import reports
from services.outcomes.reports import ReadReport, Report
from services.people.attempts import Refused
from services.people.models import Account, Episode
from services.people.states import EpisodeState
from services.prescribing.fills import opened_fill
from services.prescribing.models import Fill, FillAuthorization, Prescription
from services.refills import decisions, requests
from services.refills.requests import ReadRequest
from services.screening.instruments import load_instruments
from services.sessions import ledgers
from services.sessions.models import Dose, TherapySession, VitalsReading
from services.sessions.states import SessionKind, SessionState
from services.vault.boxes import box
from services.vault.envelopes import open_envelope
from tests.factories import make_account, therapist_of
from tests.factories_prescribing import (
    Case,
    answer,
    check_pdmp,
    follow_up,
    make_case,
    make_fill,
    make_shipment,
    make_signed,
)
from tests.factories_prescribing import report as report_parcel

NOW: Any = object()
CLEAR = {"q1": False, "q2": False, "q6": False}
# A Monday, 10:00 in California: the day of the approval, the signature and the first fill.
FIRST_DAY = datetime(2026, 11, 2, 18, 0, tzinfo=UTC)
ASKED_AT = FIRST_DAY + timedelta(days=10)


def phq9(total: int) -> dict[str, int]:
    """PHQ-9 answers that add up to ``total``, item 9 as low as they allow."""
    return _spread(total, 9)


def gad7(total: int) -> dict[str, int]:
    """GAD-7 answers that add up to ``total``."""
    return _spread(total, 7)


def _spread(total: int, items: int) -> dict[str, int]:
    return {f"q{number}": max(0, min(3, total - 3 * (number - 1))) for number in range(1, items + 1)}


def report(session: Session, episode: Episode, **given: Any) -> ReadReport:
    """A report by the therapist of record: answers by scale (``phq9=…``), ``summary`` and the rest of ``Report``."""
    answers = {name: given.pop(name) for name in tuple(given) if name in load_instruments()}
    summary = given.pop("summary", None)
    content = Report(answers=answers, summary=None if summary is None else Personal(summary), **given)
    return reports.report_outcome(session, therapist_of(session, episode), episode.id, content)


def report_all_scales(session: Session, episode: Episode, **given: Any) -> ReadReport:
    """A report with every scale that a refill asks for, of somebody who is better."""
    return report(session, episode, **{"phq9": phq9(8), "gad7": gad7(4), "cssrs_since_last_visit": CLEAR, **given})


def held_dosing_session(
    session: Session, episode: Episode, *, dosed_at: datetime | None = NOW, integrated: bool = False
) -> TherapySession:
    """The bare row of a dosing session, dosed a moment ago, without what was measured and taken in it."""
    at = clock.now() - timedelta(microseconds=1) if dosed_at is NOW else dosed_at
    starts_at = at or clock.now() + timedelta(days=30)
    after = SessionState.CLOSED if integrated else SessionState.INTEGRATION_DUE
    row = TherapySession(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        therapist_id=episode.therapist_id,
        kind=SessionKind.DOSING,
        state=SessionState.SCHEDULED if at is None else after,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=3),
        dosed_at=at,
        last_dose_at=at,
        created_at=clock.now(),
    )
    box(session, episode.patient_id).seal(row, "place", {"site": "office"})
    session.add(row)
    session.flush()
    return row


def held_with(
    session: Session,
    episode: Episode,
    prescription: Prescription,
    mg: int,
    dosed_at: datetime,
    *,
    vitals: bool = True,
    integrated: bool = True,
) -> TherapySession:
    """A dosing session in which ``mg`` of a prescription was taken, measured before and after, and talked over."""
    row = held_dosing_session(session, episode, dosed_at=dosed_at, integrated=integrated)
    own = box(session, episode.patient_id)
    dose = Dose(
        id=new_id(),
        session_id=row.id,
        episode_id=episode.id,
        patient_id=episode.patient_id,
        prescription_id=prescription.id,
        taken_at=dosed_at,
        recorded_by=row.therapist_id,
        recorded_at=dosed_at,
    )
    own.seal(dose, "content", {"mg": mg, "strength_mg": 100, "is_booster": False})
    session.add(dose)
    for phase, minutes in (("before", -10), ("after", 130)) if vitals else ():
        reading = VitalsReading(
            id=new_id(),
            session_id=row.id,
            patient_id=episode.patient_id,
            phase=phase,
            taken_at=dosed_at + timedelta(minutes=minutes),
            recorded_by=row.therapist_id,
            recorded_at=dosed_at + timedelta(minutes=minutes),
        )
        own.seal(reading, "reading", {"systolic": 120, "diastolic": 80, "heart_rate": 70})
        own.seal(reading, "gate", {"outcome": "pass", "findings": []})
        session.add(reading)
    session.flush()
    ledgers.note_used(session, episode.id)
    return row


def receive(session: Session, case: Case, fill: Fill) -> None:
    """A fill that reached the patient, who confirmed it."""
    parcel = make_shipment(session, case, fill)
    report_parcel(session, parcel, "delivered")
    answer(session, case, parcel, opened_fill(session, fill).quantity)


@dataclass(frozen=True)
class Supplied:
    """A patient who got four units on ``prescription`` and took three of them in two ``sessions``."""

    case: Case
    prescription: Prescription
    sessions: tuple[TherapySession, TherapySession]

    @property
    def episode(self) -> Episode:
        return self.case.episode

    @property
    def therapist(self) -> Actor:
        return self.case.actor("therapist")

    @property
    def prescriber(self) -> Actor:
        return self.case.prescriber


@contextmanager
def make_supplied(
    session: Session, *, refills: int = 2, vitals: bool = True, integrated: bool = True, **case: Any
) -> Iterator[Supplied]:
    """Somebody for whom a refill can be asked for; the time is ``ASKED_AT`` meanwhile.

    ``vitals`` and ``integrated`` tell of the first of the two sessions; the second is never integrated.
    """
    with time_machine.travel(FIRST_DAY) as moment:
        known = make_case(session, **case)
        prescription = make_signed(session, known, refills=refills)
        receive(session, known, make_fill(session, known, prescription))
        moment.move_to(ASKED_AT)
        first = held_with(
            session,
            known.episode,
            prescription,
            100,
            FIRST_DAY + timedelta(days=1),
            vitals=vitals,
            integrated=integrated,
        )
        second = held_with(session, known.episode, prescription, 200, FIRST_DAY + timedelta(days=8), integrated=False)
        known.episode.state = EpisodeState.IN_TREATMENT
        follow_up(session, known, FIRST_DAY + timedelta(days=8, hours=5))
        report_all_scales(session, known.episode)
        check_pdmp(session, known)
        session.flush()
        yield Supplied(known, prescription, (first, second))


def ask(session: Session, supplied: Supplied, remaining: float | None = 1, **details: Any) -> ReadRequest:
    """The therapist counts one unit and asks."""
    units = None if remaining is None else Personal(remaining)
    made = requests.request_refill(session, supplied.therapist, supplied.episode.id, remaining_units=units, **details)
    if isinstance(made, Refused):
        made.require()
    return made


def colleague(session: Session, supplied: Supplied, **details: Any) -> Account:
    """Another prescriber of the same team, with papers in California."""
    return make_account(session, Role.PRESCRIBER, organisation=supplied.case.world.medical_team, **details)


def approve(session: Session, supplied: Supplied, request_id: UUID, **details: Any) -> ReadRequest:
    """An approval by the world's prescriber."""
    approved = decisions.approve(session, supplied.prescriber, request_id, **{"changed": False, **details})
    assert not isinstance(approved, Refused)
    return approved


def told(session: Session, kind: EventKind) -> dict[str, tuple[str, dict[str, Any]]]:
    """Who hears of an event, about what, with which data."""
    found = {}
    for event in session.scalars(select(Event).where(Event.kind == kind)):
        payload = open_envelope(Party(event.party), event.kind, event.id, event.key_name, event.envelope)
        found[event.party] = (payload["subject"][0], payload["data"])
    return found


def authorizations(session: Session) -> list[FillAuthorization]:
    """Every fill that was authorized."""
    return list(session.scalars(select(FillAuthorization)))


def open_refill_task(session: Session, request_id: UUID, owner: Actor, kind: TaskKind = TaskKind.DECIDE_REFILL) -> Task:
    """The task that the request brought about."""
    made = open_task(
        session,
        kind,
        party=Party.MEDICAL_TEAM,
        owner_id=owner.id,
        subject=Subject("refill_request", request_id),
        due_at=clock.now() + timedelta(days=1),
    )
    session.flush()
    return made
