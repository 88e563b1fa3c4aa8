"""Is everything there for a dosing session to begin: chaperone, fasting, consent, receipt, prescription (DOMAIN 4).

What the therapist finds is recorded once; what the service knows itself is looked at again before every dose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.personal import Personal
from services.core.programme import Programme
from services.eligibility.decisions import eligibility_current
from services.people.access import Action
from services.people.consents import ConsentKind, has_consent
from services.people.models import Episode
from services.people.phones import e164
from services.people.practitioners import is_kap_trained
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.people.zones import read_zone
from services.prescribing.cases import case_of
from services.prescribing.views import DosingOrder, dosing_order
from services.screening import risk
from services.sessions.booking_rules import preparation_findings, route_findings, site_findings
from services.sessions.ledger_rules import DIVERSION_OPEN
from services.sessions.lookups import locked_session, refuse, refuse_stops, take
from services.sessions.medicine_checks import allowed_unheld, holds_of, reconciled
from services.sessions.medicine_rules import LAST_INTAKE_AHEAD, Intake, hold_findings, reconciliation_findings
from services.sessions.models import TherapySession
from services.sessions.orders import route_of
from services.sessions.physician_checks import call_physician
from services.sessions.physician_rules import is_physician_needed
from services.sessions.places import Place
from services.sessions.readiness_rules import (
    ELIGIBILITY_NOT_CURRENT,
    PRESCRIPTION_MISSING,
    TREATMENT_ENDED,
    ChaperoneFacts,
    ReadinessFacts,
    RemoteFacts,
    readiness_findings,
    recorded_findings,
    window_findings,
)
from services.sessions.reminders import stop_reminder
from services.sessions.rounds import preparation_done, starting_cadence
from services.sessions.states import SessionStep
from services.sessions.transport_rules import is_brought, transport_findings
from services.sessions.transports import carried_to
from services.shipping.diversions import is_under_review
from services.shipping.receipts import receipt_confirmed
from services.vault.boxes import box


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaperone:
    """The adult who stays with the patient. ``phone`` is None while it was not exchanged, ``arrived_at`` is aware."""

    name: Personal[str]
    age_years: int
    phone: Personal[str] | None
    present: bool
    sober_attested: bool
    arrived_at: datetime | None = None

    def facts(self) -> ChaperoneFacts:
        """What the rules look at."""
        return ChaperoneFacts(
            named=bool(self.name.reveal().strip()),
            age_years=self.age_years,
            phone_exchanged=self.phone is not None,
            present=self.present,
            sober_attested=self.sober_attested,
            arrived_at=self.arrived_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the therapist finds before the start. Times are aware, None when they could not be told.

    ``chaperone`` is None while there is none, ``staff_stays`` is asked where the programme needs none; ``remote`` is
    needed when the therapist is not in the room. ``intakes`` are the last intakes of what is held before a session, by
    the eligibility rule of its class; None when nothing of it was taken.
    """

    chaperone: Chaperone | None
    last_food_at: datetime | None
    last_water_at: datetime | None
    staff_stays: bool = False
    intakes: Mapping[str, datetime | None] = field(default_factory=dict)
    remote: RemoteFacts | None = None

    def as_dict(self) -> dict[str, Any]:
        """The readiness as plain JSON types, for sealing."""
        by = self.chaperone
        chaperone = by and {
            "name": by.name.reveal().strip(),
            "age_years": by.age_years,
            "phone": None if by.phone is None else e164(by.phone, field="chaperone.phone").reveal(),
            "present": by.present,
            "sober_attested": by.sober_attested,
            "arrived_at": _text(by.arrived_at),
        }
        return {
            "chaperone": chaperone,
            "last_food_at": _text(self.last_food_at),
            "last_water_at": _text(self.last_water_at),
            "staff_stays": self.staff_stays,
            "intakes": {rule: _text(at) for rule, at in self.intakes.items()},
            "remote": None if self.remote is None else asdict(self.remote),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Readiness:
        """The readiness that ``as_dict`` wrote."""
        by, remote = document["chaperone"], document["remote"]
        return cls(
            chaperone=by
            and Chaperone(
                name=Personal(by["name"]),
                age_years=by["age_years"],
                phone=None if by["phone"] is None else Personal(by["phone"]),
                present=by["present"],
                sober_attested=by["sober_attested"],
                arrived_at=_moment(by.get("arrived_at")),
            ),
            last_food_at=_moment(document["last_food_at"]),
            last_water_at=_moment(document["last_water_at"]),
            staff_stays=document.get("staff_stays", False),
            intakes={rule: _moment(at) for rule, at in document.get("intakes", {}).items()},
            remote=None if remote is None else RemoteFacts(**remote),
        )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def record_readiness(
    session: Session, actor: Actor, session_id: UUID, readiness: Readiness, *, version: int | None = None
) -> TherapySession:
    """Record what is there; the session is ready for vitals when nothing is missing.

    Raises ``RuleRefused`` naming each condition that is not met (nothing is kept then), ``IllegalTransition``,
    ``StaleVersion``, ``InvalidInput`` on ``chaperone.phone``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.READY, actor)
    now = clock.now()
    ahead = [rule for rule, taken_at in readiness.intakes.items() if taken_at is not None and taken_at > now]
    if ahead:
        refuse(LAST_INTAKE_AHEAD.finding(rules_of_classes=ahead), field="intakes")
    document = readiness.as_dict()
    order = dosing_order(session, actor, episode, route_of(session, row))
    found = starting_findings(session, actor, row, episode, readiness, order, clock.now())
    window = window_findings(row.starts_at, clock.now(), programme_of(session, episode))
    findings = [*window, *found]
    refuse_stops(findings, "The session cannot begin yet.")
    box(session, row.patient_id).seal(row, "readiness", document)
    row.ready_at, row.therapist_id = clock.now(), actor.id
    session.flush()
    record(session, actor, "session.ready", "session", row.id, episode_id=episode.id)
    stop_reminder(session, row)
    if order is not None and is_physician_needed(order.dose_mg + order.booster_mg, programme_of(session, episode)):
        call_physician(session, episode, row)
    return row


def starting_findings(
    session: Session,
    actor: Actor,
    row: TherapySession,
    episode: Episode,
    readiness: Readiness,
    order: DosingOrder | None,
    at: datetime,
) -> list[Finding]:
    """Every condition for taking something at ``at`` that is not met, by what was recorded and what is known now."""
    case, programme = case_of(session, episode), programme_of(session, episode)
    place = Place.from_dict(case.box.open(row, "place").reveal())
    remote = readiness.remote
    if remote is None and place.remote:
        remote = RemoteFacts(
            therapist_on_video=False,
            blood_pressure_cuff=False,
            emergency_address_confirmed=False,
            emergency_phone_confirmed=False,
        )
    facts = ReadinessFacts(
        at=at,
        site=place.site,
        receipt_confirmed=(order is not None and not order.is_shipped) or receipt_confirmed(session, episode.id),
        treatment_consent=has_consent(session, row.patient_id, ConsentKind.TREATMENT),
        chaperone=None if readiness.chaperone is None else readiness.chaperone.facts(),
        last_food_at=readiness.last_food_at,
        last_water_at=readiness.last_water_at,
        staff_stays=readiness.staff_stays,
        given_by_clinic=order is not None and not order.is_shipped,
        remote=remote,
        risk_blocked=risk.blocking(session, episode.id).blocks_treatment,
        therapist_trained=is_kap_trained(session, actor.id, case.today),
    )
    findings = readiness_findings(facts, programme)
    if _has_ended(session, episode):
        findings.append(TREATMENT_ENDED.finding(ended=True))
    if not eligibility_current(session, episode.id, case.today):
        findings.append(ELIGIBILITY_NOT_CURRENT.finding(programme, on=case.today.isoformat(), approved=False))
    findings += _medicine_findings(session, row, episode, readiness, at, programme)
    findings += site_findings(place.site, programme)
    findings += preparation_findings(preparation_done(session, episode.id), programme)
    if is_under_review(session, episode.id):
        findings.append(DIVERSION_OPEN.finding(under_review=True))
    if order is None:
        return [*findings, PRESCRIPTION_MISSING.finding(in_force=0)]
    findings += route_findings(place.site, order.is_shipped, programme)
    if is_brought(place.site, order.is_shipped, programme):
        findings += transport_findings(*carried_to(session, row), programme)
    return findings + starting_cadence(session, case, row, order.limits)


def _has_ended(session: Session, episode: Episode) -> bool:
    """Asked of the database: it may have been discontinued since the session was booked or ``episode`` was read."""
    state = session.scalar(select(Episode.state).where(Episode.id == episode.id))
    return state in (EpisodeState.DISCONTINUED, EpisodeState.CLOSED)


def _medicine_findings(
    session: Session, row: TherapySession, episode: Episode, readiness: Readiness, at: datetime, programme: Programme
) -> list[Finding]:
    zone = read_zone(case_of(session, episode).zone)
    intakes = {rule: Intake(last_taken_at=taken_at) for rule, taken_at in readiness.intakes.items()}
    allowed = allowed_unheld(session, row)
    return [
        *hold_findings(holds_of(session, episode), intakes, allowed, at, zone, programme),
        *reconciliation_findings(reconciled(session, row), programme),
    ]


def readiness_of(session: Session, row: TherapySession, episode: Episode) -> Readiness:
    """What was recorded. Raises ``RuleRefused`` when that is missing or too long ago for a start."""
    for finding in recorded_findings(row.ready_at, clock.now(), programme_of(session, episode)):
        refuse(finding)
    return Readiness.from_dict(box(session, row.patient_id).open(row, "readiness").reveal())
