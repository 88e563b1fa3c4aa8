"""Fills: what the pharmacy hands out on a prescription, within its quantity, its six months and its authorizations.

The signature authorizes the first fill. Each refill needs a row of ``fill_authorizations`` that only an approved refill
request makes (``authorize_next_fill``): a declined or undecided request can never be filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import NotFound, RuleRefused
from services.core.findings import Finding, Severity, of_severity
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.programme import Programme
from services.core.vocabulary import EventKind, TaskKind
from services.eligibility.decisions import eligibility_current
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers
from services.people.access import Action, visible_episode
from services.people.attempts import Refused
from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.cases import Case, case_of
from services.prescribing.contents import content_of
from services.prescribing.fill_rules import (
    FILL_NOT_COMPLETE,
    NOT_IN_FORCE,
    REFILL_NOT_AUTHORIZED,
    may_fill,
)
from services.prescribing.follow_ups import follow_up
from services.prescribing.home_stock import home_stock
from services.prescribing.models import Fill, FillAuthorization, Prescription
from services.prescribing.prescriptions import NOT_VISIBLE, check_sees, locked_prescription
from services.prescribing.signing import refuse_altered
from services.prescribing.signing_rules import ELIGIBILITY_NOT_CURRENT
from services.prescribing.states import PRESCRIPTION_TRANSITIONS, VALID, PrescriptionState, PrescriptionStep
from services.prescribing.supplies import Supply, supply_of
from services.vault.boxes import box


@dataclass(frozen=True, slots=True)
class OpenedFill:
    """A fill with its quantity in units; show it to the pharmacy and the medical team only."""

    fill: Fill
    quantity: int

    def __repr__(self) -> str:
        return f"<fill {self.fill.id}>"


def record_fill(
    session: Session,
    actor: Actor,
    prescription_id: UUID,
    quantity: int,
    *,
    is_refill: bool = False,
    version: int | None = None,
) -> OpenedFill | Refused:
    """Record what the episode's pharmacy hands out now: the whole quantity or a part; parts add up.

    ``is_refill`` starts the next refill, which a prescriber must have authorized. The prescription is held meanwhile,
    so that two at once cannot exceed it. Raises ``RuleRefused`` with the findings, ``IllegalTransition``,
    ``StaleVersion``; gives ``Refused`` (commit, then ``require()``) when the signature does not hold.
    """
    row, episode = locked_prescription(session, actor, Action.RECORD_FILL, prescription_id, version)
    after = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), _fill_step(row, is_refill), actor.role)
    altered = refuse_altered(session, actor, row)
    if altered is not None:
        return altered
    case = case_of(session, episode)
    supply = supply_of(session, case.box, row)
    programme = programme_of(session, episode)
    findings = may_fill(supply.prescribed, supply.handed_out, quantity, case.today, is_refill, programme)
    if is_refill and not supply.next_is_authorized:
        unmet: dict[str, Any] = {"fills_started": supply.fills_started, "fills_authorized": supply.fills_authorized}
        findings.insert(0, REFILL_NOT_AUTHORIZED.finding(**unmet))
    # Whoever was declined or is looked at anew after the signature gets nothing more on it.
    if not eligibility_current(session, episode.id, case.today):
        findings.append(ELIGIBILITY_NOT_CURRENT.finding(on=case.today.isoformat(), approved=False))
    findings += home_stock(session, case, row, quantity)
    if of_severity(findings, Severity.STOP):
        raise RuleRefused("This may not be handed out.", findings, field=_field_of(findings))
    row.state = after
    fill = Fill(
        id=new_id(),
        prescription_id=row.id,
        patient_id=row.patient_id,
        episode_id=row.episode_id,
        fill_number=supply.fills_started if is_refill else max(supply.fills_started - 1, 0),
        is_refill=is_refill,
        filled_on=case.today,
        recorded_by=actor.id,
        recorded_at=clock.now(),
    )
    case.box.seal(fill, "quantity", quantity)
    session.add(fill)
    session.flush()
    record(session, actor, "fill.record", "fill", fill.id, episode_id=row.episode_id, prescription=row.id)
    emit(session, EventKind.FILL_RECORDED, subject=Subject("fill", fill.id), episode_id=row.episode_id)
    _close_if_complete(session, actor, row, supply_of(session, case.box, row))
    session.flush()
    return OpenedFill(fill, quantity)


def _fill_step(row: Prescription, is_refill: bool) -> PrescriptionStep:
    """A refill asked for too early is a question for the rules, which name what is missing, not for the states."""
    if is_refill and row.state == PrescriptionState.DISPENSED:
        raise RuleRefused(
            "This may not be handed out.", [REFILL_NOT_AUTHORIZED.finding(state=row.state)], field="is_refill"
        )
    return PrescriptionStep.FILL


def _field_of(findings: Sequence[Finding]) -> str | None:
    by_rule = {"prescribing.fill_over_quantity": "quantity", "prescribing.refill_over_quantity": "quantity"}
    return next((by_rule[finding.rule] for finding in findings if finding.rule in by_rule), None)


def _close_if_complete(session: Session, actor: Actor, row: Prescription, supply: Supply) -> None:
    """Once the fill at hand is complete: settle what asked for it, and stop the clock when nothing more can follow."""
    if supply.left.units_left_in_current_fill > 0 or supply.next_is_authorized:
        return
    row.state = PRESCRIPTION_TRANSITIONS.advance(
        PrescriptionState(row.state), PrescriptionStep.COMPLETE_FILL, actor.role
    )
    for subject in _asked_for_by(session, row):
        settle_tasks(session, actor, subject, {TaskKind.FILL_PRESCRIPTION})
    if supply.left.refills_left == 0:
        cancel_timers(session, Subject("prescription", row.id))


def _asked_for_by(session: Session, row: Prescription) -> list[Subject]:
    requests = select(FillAuthorization.refill_request_id).where(FillAuthorization.prescription_id == row.id)
    by_refill = [Subject("refill_request", request_id) for request_id in session.scalars(requests)]
    return [Subject("prescription", row.id), *by_refill]


def next_fill_findings(session: Session, episode: Episode, prescription_id: UUID) -> list[Finding]:
    """Why the next refill of a prescription cannot be authorized today, so that a new one is needed; empty when it can.

    Raises ``NotFound`` for a prescription of another episode.
    """
    row = session.get(Prescription, prescription_id)
    if row is None or row.episode_id != episode.id:
        raise NotFound(NOT_VISIBLE)
    return _next_fill_findings(session, case_of(session, episode), row)


def _next_fill_findings(session: Session, case: Case, row: Prescription) -> list[Finding]:
    state = PrescriptionState(row.state)
    if state not in VALID:
        return [NOT_IN_FORCE.finding(state=row.state)]
    supply = supply_of(session, case.box, row)
    if state is not PrescriptionState.DISPENSED or supply.next_is_authorized:
        return [FILL_NOT_COMPLETE.finding(units_left=supply.left.units_left_in_current_fill)]
    facts, programme = supply.prescribed, programme_of(session, case.episode)
    return [
        *may_fill(facts, supply.handed_out, facts.quantity_units, case.today, is_refill=True, programme=programme),
        *follow_up(session, case, content_of(case.box, row).route),
        *home_stock(session, case, row, facts.quantity_units),
    ]


def authorize_next_fill(
    session: Session, actor: Actor, prescription_id: UUID, refill_request_id: UUID
) -> FillAuthorization | Refused:
    """Let the pharmacy hand out the next refill, because the actor approved ``refill_request_id``.

    Called by the decision on a refill request and by nothing else. A request authorizes one refill once; asking again
    gives the same row. Raises ``RuleRefused`` with ``next_fill_findings`` when the law or the prescription leaves no
    refill; gives ``Refused`` when the signature does not hold.
    """
    row, episode = locked_prescription(session, actor, Action.DECIDE_REFILL, prescription_id)
    given = session.scalar(select(FillAuthorization).where(FillAuthorization.refill_request_id == refill_request_id))
    if given is not None:
        return given
    case = case_of(session, episode)
    findings = _next_fill_findings(session, case, row)
    if findings:
        raise RuleRefused("No further fill of this prescription can be authorized.", findings)
    altered = refuse_altered(session, actor, row)
    if altered is not None:
        return altered
    row.state = PRESCRIPTION_TRANSITIONS.advance(
        PrescriptionState(row.state), PrescriptionStep.AUTHORIZE_FILL, actor.role
    )
    authorization = FillAuthorization(
        id=new_id(),
        prescription_id=row.id,
        episode_id=row.episode_id,
        fill_number=supply_of(session, case.box, row).fills_started,
        refill_request_id=refill_request_id,
        authorized_by=actor.id,
        authorized_at=clock.now(),
    )
    session.add(authorization)
    session.flush()
    record(
        session,
        actor,
        "prescription.authorize_fill",
        "prescription",
        row.id,
        episode_id=row.episode_id,
        refill_request=refill_request_id,
        fill_number=authorization.fill_number,
    )
    return authorization


def note_transmission(session: Session, prescription_id: UUID, programme: Programme) -> None:
    """A signed prescription has reached the pharmacy, whose worker runs this: that is on record (21 CFR 1311)."""
    row = session.get(Prescription, prescription_id)
    if row is not None:
        record(session, SYSTEM, "prescription.transmit", "prescription", row.id, episode_id=row.episode_id)


def end_prescription(session: Session, prescription_id: UUID, programme: Programme) -> None:
    """A prescription's last day is over: nothing more is filled on it. The pharmacy's worker runs this by timer."""
    row = session.get(Prescription, prescription_id, with_for_update=True, populate_existing=True)
    if row is None or PrescriptionState(row.state) not in VALID:
        return
    row.state = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), PrescriptionStep.EXPIRE, SYSTEM.role)
    row.ended_at = clock.now()
    session.flush()
    record(session, SYSTEM, "prescription.expire", "prescription", row.id, episode_id=row.episode_id)
    for subject in _asked_for_by(session, row):
        settle_tasks(session, SYSTEM, subject, {TaskKind.FILL_PRESCRIPTION}, TaskStep.CANCEL)


def mark_undelivered(session: Session, fill_id: UUID) -> None:
    """A fill's parcel was lost or went back and never reached the patient. Shipping says so; the first time counts."""
    fill = session.get_one(Fill, fill_id, with_for_update=True)
    if fill.undelivered_at is None:
        fill.undelivered_at = clock.now()


def list_fills(
    session: Session, actor: Actor, prescription_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> list[OpenedFill]:
    """The fills of a prescription, oldest first, from behind the id ``after``; an audited read."""
    row = session.get(Prescription, prescription_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.READ_FILL, row.episode_id)
    check_sees(actor, row)
    query = select(Fill).where(Fill.prescription_id == row.id)
    query = page_of(query, Fill.id, after=after, limit=limit, newest_first=False)
    record(session, actor, "fill.list", "prescription", row.id, episode_id=episode.id)
    return [opened_fill(session, fill) for fill in session.scalars(query)]


def read_fill(session: Session, actor: Actor, fill_id: UUID) -> OpenedFill:
    """One fill; an audited read."""
    fill = session.get(Fill, fill_id)
    if fill is None:
        raise NotFound(NOT_VISIBLE)
    visible_episode(session, actor, Action.READ_FILL, fill.episode_id)
    record(session, actor, "fill.read", "fill", fill.id, episode_id=fill.episode_id)
    return opened_fill(session, fill)


def opened_fill(session: Session, fill: Fill) -> OpenedFill:
    """A fill with its quantity; the caller has settled who may see it."""
    return OpenedFill(fill, box(session, fill.patient_id).open(fill, "quantity").reveal())


def dispensed_units(session: Session, episode_id: UUID) -> int:
    """All units handed out in an episode, without those whose parcel was lost or went back (for refills)."""
    query = select(Fill).where(Fill.episode_id == episode_id, Fill.undelivered_at.is_(None))
    return sum(opened_fill(session, fill).quantity for fill in session.scalars(query))
