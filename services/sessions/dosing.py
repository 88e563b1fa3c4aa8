"""What is taken in a dosing session, and how the patient fares meanwhile (DOMAIN 4).

Nothing is taken without passed vitals, confirmed receipt, consent and a chaperone, and nothing beyond the signed
prescription and what is at home.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import Programme
from services.people.access import Action
from services.people.episodes import advance_episode
from services.people.models import Episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState, EpisodeStep
from services.prescribing.views import DosingOrder
from services.sessions.afterwards import await_check_in
from services.sessions.dose_rules import (
    CHECK_OUT_OF_TIME,
    DOSE_OUT_OF_ORDER,
    PRESCRIPTION_CHANGED,
    STOCK_SHORT,
    DosePlan,
    DoseTaken,
    dose_findings,
)
from services.sessions.emergencies import begin_emergency, check_red_flags
from services.sessions.ledgers import hold_stock, note_used, taken_units, wasted_units
from services.sessions.lookups import locked_session, refuse, refuse_stops, take
from services.sessions.models import Check, Dose, TherapySession
from services.sessions.orders import order_in_force
from services.sessions.readiness import readiness_of, starting_findings
from services.sessions.states import SessionState, SessionStep
from services.sessions.vitals import Phase, latest_reading
from services.sessions.vitals_rules import IN_THE_FUTURE, first_dose_findings
from services.shipping.receipts import received_units
from services.vault.boxes import box


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at the patient shows. ``concern``: something is not as it should be; ``ratings`` from 0 to 10 each.

    ``red_flags`` are names of ``vitals.emergency.symptoms``; any of them is an emergency.
    """

    concern: bool
    ratings: Mapping[str, int] | None = None
    red_flags: Collection[str] = ()
    note: Personal[str] | None = None
    at: datetime | None = None


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
    """Record a dose, one of its halves, or the booster. The patient's first dose begins the treatment.

    ``at`` (aware) defaults to now. Raises ``RuleRefused`` with each finding that speaks against it or on ``taken_at``,
    ``InvalidInput`` on ``mg``, ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.DOSE, actor)
    now = clock.now()
    at = now if at is None else at
    if at > now:
        refuse(IN_THE_FUTURE.finding(), field="taken_at")
    if row.last_dose_at is not None and at < row.last_dose_at:
        refuse(DOSE_OUT_OF_ORDER.finding(), field="taken_at")
    hold_stock(session, episode)
    order = order_in_force(session, actor, episode)
    new, programme = DoseTaken(mg=mg, at=at, is_booster=is_booster), programme_of(session, episode)
    findings = [
        *_vitals_findings(session, row, at, programme),
        *starting_findings(session, actor, row, episode, readiness_of(session, row, episode), order, at),
        *_order_findings(session, row, order, new, programme),
        *_stock_findings(session, episode, Fraction(mg, order.strength_mg)),
    ]
    refuse_stops(findings, "This may not be taken.")
    _keep_dose(session, actor, row, order, new)
    row.dosed_at = row.dosed_at or at
    row.last_dose_at, row.prescription_id = at, order.prescription_id
    session.flush()
    note_used(session, episode.id)
    if episode.state == EpisodeState.ELIGIBLE:
        advance_episode(session, actor, episode, EpisodeStep.BEGIN_TREATMENT)
    await_check_in(session, episode, row, at)
    return row


def _vitals_findings(session: Session, row: TherapySession, at: datetime, programme: Programme) -> list[Finding]:
    """The first dose follows the reading that passed, soon. What follows it is under the eyes of the therapist."""
    if row.dosed_at is not None:
        return []
    passed = latest_reading(session, row, Phase.BEFORE)
    return first_dose_findings(None if passed is None else passed.taken_at, at, programme)


def _order_findings(
    session: Session, row: TherapySession, order: DosingOrder, new: DoseTaken, programme: Programme
) -> list[Finding]:
    """What the prescription says about ``new``."""
    if row.prescription_id not in (None, order.prescription_id):
        return [PRESCRIPTION_CHANGED.finding()]
    before = _doses_of_patient(session, row.patient_id)
    taken = [dose for session_id, dose in before if session_id == row.id]
    others = [(session_id, dose) for session_id, dose in before if session_id != row.id]
    plan = DosePlan(
        dose_mg=order.dose_mg,
        booster_mg=order.booster_mg,
        first_session_mg=None if others else _first_session_mg(order, programme),
        last_session_mg=_last_session_mg(others),
    )
    return dose_findings(plan, taken, new, programme)


def _doses_of_patient(session: Session, patient_id: UUID) -> list[tuple[UUID, DoseTaken]]:
    own = box(session, patient_id)
    rows = session.scalars(select(Dose).where(Dose.patient_id == patient_id).order_by(Dose.taken_at, Dose.id))
    return [(row.session_id, _dose(own.open(row, "content").reveal(), row.taken_at)) for row in rows]


def _dose(content: Mapping[str, int], at: datetime) -> DoseTaken:
    return DoseTaken(mg=content["mg"], at=at, is_booster=bool(content["is_booster"]))


def _first_session_mg(order: DosingOrder, programme: Programme) -> int:
    """What may be taken in a patient's very first session; the programme's limit where the prescription has none."""
    if order.first_session_dose_mg is not None:
        return order.first_session_dose_mg
    part = order.dose_mg * programme.number("prescribing.first_session_part_of_dose")
    return int(min(part, programme.number("prescribing.first_session_at_most_mg")))


def _last_session_mg(others: Sequence[tuple[UUID, DoseTaken]]) -> int | None:
    if not others:
        return None
    last_id = others[-1][0]
    return sum(dose.mg for session_id, dose in others if session_id == last_id and not dose.is_booster)


def _stock_findings(session: Session, episode: Episode, units: Fraction) -> list[Finding]:
    """Nothing is taken that cannot be there: only parcels whose receipt was confirmed count."""
    gone = taken_units(session, episode.id) + wasted_units(session, episode.id)
    if received_units(session, episode.id) - gone >= units:
        return []
    return [STOCK_SHORT.finding()]


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
    content = {"mg": new.mg, "strength_mg": order.strength_mg, "is_booster": new.is_booster}
    box(session, row.patient_id).seal(dose, "content", content)
    session.add(dose)
    session.flush()
    record(session, actor, "dose.record", "dose", dose.id, episode_id=row.episode_id, therapy_session=row.id)


def record_check(
    session: Session, actor: Actor, session_id: UUID, look: Look, *, version: int | None = None
) -> TherapySession:
    """Record a look at the patient. A red flag is an emergency; a concern takes a passed discharge gate back.

    Raises ``InvalidInput`` on ``red_flags``, ``RuleRefused`` on ``checked_at``, ``IllegalTransition``,
    ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    check_red_flags(look.red_flags, programme_of(session, episode))
    state_before = row.state
    take(row, SessionStep.MONITOR, actor)
    now = clock.now()
    at = look.at or now
    if at > now or at < (row.dosed_at or row.created_at):
        refuse(CHECK_OUT_OF_TIME.finding(), field="checked_at")
    check = Check(
        id=new_id(),
        session_id=row.id,
        patient_id=row.patient_id,
        kind="monitoring",
        checked_at=at,
        recorded_by=actor.id,
        recorded_at=now,
    )
    content = {
        "concern": look.concern,
        "ratings": None if look.ratings is None else dict(look.ratings),
        "red_flags": sorted(look.red_flags),
        "note": None if look.note is None else look.note.reveal().strip(),
    }
    box(session, row.patient_id).seal(check, "content", content)
    session.add(check)
    session.flush()
    record(session, actor, "session.check", "session", row.id, episode_id=episode.id)
    if look.red_flags:
        begin_emergency(session, actor, row, episode, look.red_flags, None)
    elif state_before == SessionState.DISCHARGE_READY and not look.concern:
        row.state = state_before
    session.flush()
    return row
