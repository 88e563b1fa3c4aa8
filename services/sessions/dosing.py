"""What is taken in a dosing session (DOMAIN 4). How the patient fares meanwhile is in ``looks``.

Nothing is taken without passed vitals, confirmed receipt, consent and a chaperone, and nothing beyond the signed
prescription and what is at home.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from services.people.access import Action
from services.people.episodes import advance_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState, EpisodeStep
from services.prescribing.routes import Route, setting_of
from services.prescribing.views import DosingOrder
from services.sessions.afterwards import await_check_in
from services.sessions.dose_rules import (
    CLINIC_ORDER_USED_UP,
    DOSE_OUT_OF_ORDER,
    PRESCRIPTION_CHANGED,
    STOCK_SHORT,
    DosePlan,
    DoseTaken,
    dose_findings,
)
from services.sessions.ledgers import hold_stock, note_used, units_to_take
from services.sessions.lookups import locked_session, refuse, refuse_stops, take
from services.sessions.models import Dose, TherapySession
from services.sessions.monitoring import await_look, now_off_video
from services.sessions.orders import order_in_force
from services.sessions.physician_checks import checked_in_at
from services.sessions.physician_rules import physician_findings
from services.sessions.readiness import readiness_of, starting_findings
from services.sessions.states import SessionStep
from services.sessions.vitals import Phase, latest_reading
from services.sessions.vitals_rules import IN_THE_FUTURE, first_dose_findings, further_dose_findings
from services.vault.boxes import box


def record_dose(
    session: Session,
    actor: Actor,
    session_id: UUID,
    mg: int,
    *,
    is_booster: bool,
    at: datetime | None = None,
    version: int | None = None,
) -> TherapySession:
    """Record a dose, one of its halves, the booster, or the start of an infusion.

    The patient's first dose begins the treatment.

    ``at`` (aware) defaults to now. Raises ``RuleRefused`` with each finding that speaks against it or on ``taken_at``,
    ``InvalidInput`` on ``mg``, ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.DOSE, actor)
    now = clock.now()
    at = now if at is None else at
    if at > now:
        refuse(IN_THE_FUTURE.finding(taken_at=at.isoformat(), now=now.isoformat()), field="taken_at")
    if row.last_dose_at is not None and at < row.last_dose_at:
        told = DOSE_OUT_OF_ORDER.finding(taken_at=at.isoformat(), last_dose_at=row.last_dose_at.isoformat())
        refuse(told, field="taken_at")
    hold_stock(session, episode)
    order = order_in_force(session, actor, row, episode)
    new, programme = DoseTaken(mg=mg, at=at, is_booster=is_booster), programme_of(session, episode)
    findings = [
        *_vitals_findings(session, row, at, programme),
        *now_off_video(session, row),
        *starting_findings(session, actor, row, episode, readiness_of(session, row, episode), order, at),
        *_order_findings(session, row, order, new, programme),
        *(_stock_findings(session, episode, Fraction(mg, order.strength_mg)) if order.is_shipped else ()),
    ]
    refuse_stops(findings, "This may not be taken.")
    _keep_dose(session, actor, row, order, new)
    if row.dosed_at is None:
        emit(session, EventKind.TREATMENT_RECORDED, subject=Subject("episode", episode.id), episode_id=episode.id)
    row.dosed_at = row.dosed_at or at
    row.last_dose_at, row.prescription_id = at, order.prescription_id
    session.flush()
    note_used(session, episode.id)
    if episode.state == EpisodeState.ELIGIBLE:
        advance_episode(session, actor, episode, EpisodeStep.BEGIN_TREATMENT)
    await_check_in(session, episode, row, at)
    await_look(session, episode, row)
    return row


def _vitals_findings(session: Session, row: TherapySession, at: datetime, programme: Programme) -> list[Finding]:
    """The first dose follows the reading that passed, soon. After it the latest must not be one to cancel on."""
    if row.dosed_at is not None:
        return further_dose_findings(latest_reading(session, row), programme)
    passed = latest_reading(session, row, Phase.BEFORE)
    return first_dose_findings(None if passed is None else passed.taken_at, at, programme)


def _order_findings(
    session: Session, row: TherapySession, order: DosingOrder, new: DoseTaken, programme: Programme
) -> list[Finding]:
    """What the prescription says about ``new``."""
    if row.prescription_id not in (None, order.prescription_id):
        return [PRESCRIPTION_CHANGED.finding(prescription_id=str(order.prescription_id))]
    if _is_used_up(session, row, order):
        return [CLINIC_ORDER_USED_UP.finding(sessions_supply=order.sessions_supply)]
    before = [dose for dose in _doses_of_patient(session, row.patient_id) if dose.route is order.route]
    taken = [dose.taken for dose in before if dose.session_id == row.id]
    others = [dose for dose in before if dose.session_id != row.id]
    plan = DosePlan(
        dose_mg=order.dose_mg,
        booster_mg=order.booster_mg,
        first_session_mg=None if others else _first_session_mg(order, programme),
        last_session_mg=_last_session_mg(others),
        route=order.route,
    )
    total_mg = sum(dose.mg for dose in taken) + new.mg
    attended_at = checked_in_at(session, row)
    return [
        *dose_findings(plan, taken, new, programme),
        *physician_findings(total_mg, attended_at, new.at, programme),
    ]


def _is_used_up(session: Session, row: TherapySession, order: DosingOrder) -> bool:
    """Whether other sessions used up what the clinic may give; of what is shipped the stock at home says so."""
    if order.is_shipped:
        return False
    held = select(Dose.session_id).where(Dose.prescription_id == order.prescription_id, Dose.session_id != row.id)
    return len(session.scalars(held.distinct()).all()) >= order.sessions_supply


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A dose on record: in which session, by which route, what."""

    session_id: UUID
    route: Route
    taken: DoseTaken


def _doses_of_patient(session: Session, patient_id: UUID) -> list[_Earlier]:
    own = box(session, patient_id)
    rows = session.scalars(select(Dose).where(Dose.patient_id == patient_id).order_by(Dose.taken_at, Dose.id))
    return [_earlier(row, own.open(row, "content").reveal()) for row in rows]


def _earlier(row: Dose, content: Mapping[str, Any]) -> _Earlier:
    taken = DoseTaken(mg=content["mg"], at=row.taken_at, is_booster=bool(content["is_booster"]))
    return _Earlier(row.session_id, Route(content.get("route", Route.SUBLINGUAL)), taken)


def _first_session_mg(order: DosingOrder, programme: Programme) -> int:
    """What may be taken in a patient's very first session; the programme's limit where the prescription has none."""
    if order.first_session_dose_mg is not None:
        return order.first_session_dose_mg
    part = order.dose_mg * programme.number("prescribing.first_session_part_of_dose")
    return int(min(part, programme.number(setting_of(order.route, "first_session_at_most_mg", programme))))


def _last_session_mg(others: Sequence[_Earlier]) -> int | None:
    if not others:
        return None
    last_id = others[-1].session_id
    return sum(each.taken.mg for each in others if each.session_id == last_id and not each.taken.is_booster)


def _stock_findings(session: Session, episode: Episode, units: Fraction) -> list[Finding]:
    """Nothing is taken that cannot be there: only parcels whose receipt was confirmed count."""
    there = units_to_take(session, episode.id)
    if there >= units:
        return []
    return [STOCK_SHORT.finding(units=float(units), units_there=float(there))]


def _keep_dose(session: Session, actor: Actor, row: TherapySession, order: DosingOrder, new: DoseTaken) -> None:
    dose = Dose(
        id=new_id(),
        session_id=row.id,
        episode_id=row.episode_id,
        patient_id=row.patient_id,
        prescription_id=order.prescription_id,
        taken_at=new.at,
        recorded_by=actor.id,
        recorded_at=clock.now(),
    )
    content = {
        "mg": new.mg,
        "strength_mg": order.strength_mg if order.is_shipped else None,  # what the clinic gives uses up nothing at home
        "is_booster": new.is_booster,
        "route": order.route.value,
        "is_shipped": order.is_shipped,
    }
    box(session, row.patient_id).seal(dose, "content", content)
    session.add(dose)
    session.flush()
    record(session, actor, "dose.record", "dose", dose.id, episode_id=row.episode_id, therapy_session=row.id)
