"""Vital signs of a dosing session: recorded before, during and after, each with the gate's answer (DOMAIN 4).

What a reading does to its session is kept whatever it is: a session may be cancelled by it, or become an emergency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding, Severity
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.messaging.outbox import emit
from services.people.access import Action
from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.limits import PatientLimits
from services.sessions.bookings import end_planned
from services.sessions.emergencies import Advice, begin_emergency, emergency_advice
from services.sessions.lookups import locked_session, refuse, subject_of, take, visible_session
from services.sessions.models import TherapySession, VitalsReading
from services.sessions.monitoring import saw_patient
from services.sessions.orders import limits_of_session
from services.sessions.states import SessionState, SessionStep
from services.sessions.vitals_rules import (
    BEFORE_THE_DOSE,
    IN_THE_FUTURE,
    Gate,
    GateOutcome,
    Reading,
    age_findings,
    check_reading,
    emergency_findings,
    further_dose_findings,
    out_of_range_findings,
    start_gate,
    start_limits,
)
from services.vault.boxes import Box, box


class Phase(StrEnum):
    """When something was measured. Only what is measured before asks the start gate."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Outcome(StrEnum):
    """What a reading led to. ``noted``: measured after the start, and no emergency."""

    PASS = "pass"  # noqa: S105 - a gate is passed, this is no password
    REST_AND_REPEAT = "rest_and_repeat"
    CANCEL = "cancel"
    EMERGENCY = "emergency"
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class Measured:
    """A recorded reading, opened, with what came of it. ``repeat_at`` is the earliest next one when resting.

    ``advice`` is what to show at once, in an emergency.
    """

    vitals: VitalsReading
    reading: Personal[Reading]
    outcome: Outcome
    findings: Sequence[Finding]
    state: SessionState
    repeat_at: datetime | None = None
    readings_left: int | None = None
    advice: Advice | None = None


def record_vitals(
    session: Session, actor: Actor, session_id: UUID, phase: Phase, reading: Reading, *, version: int | None = None
) -> Measured:
    """Record a reading and let the gate decide: go on, rest and repeat, cancel, emergency.

    A cancelled session, and such a pressure after the start, ask the prescriber to look the same day; an emergency
    pages the medical team. Raises ``InvalidInput`` naming the field for what no living patient's cuff shows,
    ``RuleRefused`` on ``taken_at``, ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RECORD_VITALS, session_id, version)
    state_before = row.state
    take(row, SessionStep.TAKE_VITALS if phase is Phase.BEFORE else SessionStep.MONITOR, actor)
    programme = programme_of(session, episode)
    check_reading(reading, programme)
    _check_time(row, phase, reading.taken_at, programme)
    limits = limits_of_session(session, actor, row, episode)
    if phase is Phase.BEFORE:
        # A reading is recorded even when the prescription has just been cancelled; the dose is refused then.
        earlier = [opened for _, opened in _readings(session, row, Phase.BEFORE)]
        gate = start_gate([*earlier, reading], limits, programme)
        outcome = Outcome(gate.outcome)
    else:
        gate, outcome = _look(reading, limits, programme)
        if state_before == SessionState.DISCHARGE_READY and not gate.findings:
            row.state = state_before
    vitals = _keep(session, actor, row, phase, reading, outcome, gate, programme)
    _follow(session, actor, row, episode, reading, outcome)
    if outcome is Outcome.NOTED and gate.same_day_task and row.state != SessionState.EMERGENCY:
        emit(session, EventKind.VITALS_REFUSED, subject=subject_of(row), episode_id=episode.id)
    session.flush()
    if phase is not Phase.BEFORE:
        saw_patient(session, actor, episode, row)
    left = gate.readings_left if outcome is Outcome.REST_AND_REPEAT else None
    state, advice = SessionState(row.state), _advice(outcome, programme)
    return Measured(vitals, Personal(reading), outcome, gate.findings, state, gate.repeat_at, left, advice)


def _advice(outcome: Outcome, programme: Programme) -> Advice | None:
    return emergency_advice(programme) if outcome is Outcome.EMERGENCY else None


def _check_time(row: TherapySession, phase: Phase, taken_at: datetime, programme: Programme) -> None:
    now = clock.now()
    if taken_at > now:
        refuse(IN_THE_FUTURE.finding(taken_at=taken_at.isoformat(), now=now.isoformat()), field="taken_at")
    if phase is not Phase.BEFORE:
        first_at = row.dosed_at or row.created_at
        if taken_at < first_at:
            told = BEFORE_THE_DOSE.finding(taken_at=taken_at.isoformat(), dosed_at=first_at.isoformat())
            refuse(told, field="taken_at")
        return
    for finding in age_findings(taken_at, now, programme):
        refuse(finding, field="taken_at")


def _look(reading: Reading, limits: PatientLimits, programme: Programme) -> tuple[Gate, Outcome]:
    """After the start there is no gate: an emergency is one, and a pressure to cancel on ends the dosing."""
    emergencies = emergency_findings(reading, programme)
    if emergencies:
        return Gate(GateOutcome.EMERGENCY, tuple(emergencies)), Outcome.EMERGENCY
    outside = out_of_range_findings(reading, start_limits(limits, programme), programme)
    told = tuple(replace(each, severity=Severity.INFORM) for each in outside)
    no_more = tuple(further_dose_findings(reading, programme))
    return Gate(GateOutcome.PASS, (*no_more, *told), same_day_task=bool(no_more)), Outcome.NOTED


def _keep(
    session: Session,
    actor: Actor,
    row: TherapySession,
    phase: Phase,
    reading: Reading,
    outcome: Outcome,
    gate: Gate,
    programme: Programme,
) -> VitalsReading:
    vitals = VitalsReading(
        id=new_id(),
        session_id=row.id,
        patient_id=row.patient_id,
        phase=phase,
        taken_at=reading.taken_at,
        recorded_by=actor.id,
        recorded_at=clock.now(),
    )
    own = box(session, row.patient_id)
    content = {
        "systolic": reading.systolic,
        "diastolic": reading.diastolic,
        "heart_rate": reading.heart_rate,
        "oxygen_percent": reading.oxygen_percent,
        "red_flags": sorted(reading.red_flags),
    }
    own.seal(vitals, "reading", content)
    findings = [finding.as_dict() for finding in gate.findings]
    own.seal(vitals, "gate", {"outcome": outcome.value, "findings": findings, "programme": programme.version})
    session.add(vitals)
    session.flush()
    record(
        session,
        actor,
        "vitals.record",
        "vitals",
        vitals.id,
        episode_id=row.episode_id,
        therapy_session=row.id,
        phase=phase.value,
    )
    return vitals


def _follow(
    session: Session, actor: Actor, row: TherapySession, episode: Episode, reading: Reading, outcome: Outcome
) -> None:
    """What a reading does to its session."""
    match outcome:
        case Outcome.PASS:
            take(row, SessionStep.PASS_VITALS, actor)
        case Outcome.CANCEL:
            take(row, SessionStep.CANCEL, actor)
            end_planned(session, actor, row, None)
            record(session, actor, "session.cancel", "session", row.id, episode_id=episode.id, code="vitals_refused")
            emit(session, EventKind.VITALS_REFUSED, subject=subject_of(row), episode_id=episode.id)
        case Outcome.EMERGENCY:
            begin_emergency(session, actor, row, episode, reading.red_flags, None)


def _readings(session: Session, row: TherapySession, *phases: Phase) -> list[tuple[VitalsReading, Reading]]:
    query = select(VitalsReading).where(VitalsReading.session_id == row.id)
    if phases:
        query = query.where(VitalsReading.phase.in_(phases))
    own = box(session, row.patient_id)
    rows = session.scalars(query.order_by(VitalsReading.taken_at, VitalsReading.id))
    return [(vitals, _opened(own, vitals)) for vitals in rows]


def _opened(own: Box, vitals: VitalsReading) -> Reading:
    content: dict[str, Any] = own.open(vitals, "reading").reveal()
    return Reading(**{**content, "red_flags": frozenset(content["red_flags"])}, taken_at=vitals.taken_at)


def latest_reading(session: Session, row: TherapySession, *phases: Phase) -> Reading | None:
    """The newest reading of a session, of the given phases or of any; the caller has settled who may know."""
    found = _readings(session, row, *phases)
    return found[-1][1] if found else None


def list_vitals(
    session: Session,
    actor: Actor,
    session_id: UUID,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> list[Measured]:
    """The readings of a session, oldest first, from behind the position ``after``; an audited read."""
    row, episode = visible_session(session, actor, Action.READ_VITALS, session_id)
    query = select(VitalsReading).where(VitalsReading.session_id == row.id)
    query = page_of(query, VitalsReading.taken_at, VitalsReading.id, after=after, limit=limit, newest_first=False)
    record(session, actor, "vitals.read", "session", row.id, episode_id=episode.id)
    own, programme = box(session, row.patient_id), programme_of(session, episode)
    return [_measured(own, row, vitals, programme) for vitals in session.scalars(query)]


def _measured(own: Box, row: TherapySession, vitals: VitalsReading, programme: Programme) -> Measured:
    gate = own.open(vitals, "gate").reveal()
    findings = [Finding.from_dict(each) for each in gate["findings"]]
    reading, outcome = Personal(_opened(own, vitals)), Outcome(gate["outcome"])
    state = SessionState(row.state)
    return Measured(vitals, reading, outcome, findings, state, advice=_advice(outcome, programme))
