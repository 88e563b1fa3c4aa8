"""Receipts: the patient says whether the parcel came, how many units were in it and whether the seal held (DOMAIN 8).

No dosing session begins before a receipt is confirmed. Anything but an intact seal and the very number that was shipped
is disputed: nothing of it is taken until pharmacy and prescriber have decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import RuleRefused
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.keywords import Command, Reading, Seal
from services.messaging.outbox import emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.people.access import Action
from services.people.models import Episode
from services.prescribing.doses import doses_taken
from services.prescribing.prescriptions import reason_text
from services.screening.written_texts import heed
from services.shipping.diversions import Cause, raise_review
from services.shipping.losses import lose_parcel, withdraw_loss
from services.shipping.models import Receipt, Shipment
from services.shipping.parcels import stop_receipt_timers, subject_of
from services.shipping.release_rules import (
    CARRIER_HAS_IT_NOT,
    COUNT_OVER,
    COUNT_SHORT,
    NOT_DELIVERED_YET,
    PARCEL_GONE,
    receipt_findings,
)
from services.shipping.rules import DAMAGE_ON_THE_WAY
from services.shipping.shipments import locked_shipment
from services.shipping.states import RECEIPT_TRANSITIONS, ReceiptState, ReceiptStep
from services.shipping.statuses import Stage
from services.vault.boxes import box

NOT_HANDED_OVER: Final = frozenset({Stage.REGISTERED, Stage.UNKNOWN, Stage.PRE_TRANSIT})
GONE: Final = frozenset({Stage.RETURNED, Stage.LOST, Stage.CANCELLED})


class Way(StrEnum):
    """How an answer came."""

    API = "api"
    SMS = "sms"
    PHARMACY = "pharmacy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the patient says. Without ``received`` the other two do not count."""

    received: bool
    count: int = 0
    seal_intact: bool = False

    def __repr__(self) -> str:
        return "<answer about a parcel>"


@dataclass(frozen=True, slots=True)
class ReceiptResult:
    """The shipment with its receipt settled, and what the answer means; any stop: do not take what is in the parcel."""

    shipment: Shipment
    findings: Sequence[Finding]

    @property
    def receipt_state(self) -> ReceiptState:
        """Whether the receipt is confirmed or disputed now."""
        return ReceiptState(self.shipment.receipt_state)


def confirm_receipt(
    session: Session,
    actor: Actor,
    shipment_id: UUID,
    count: int,
    seal_intact: bool,
    received: bool,
    *,
    way: Way = Way.API,
    version: int | None = None,
) -> ReceiptResult:
    """Settle a receipt by the patient's answer: confirmed when all is right, disputed otherwise.

    Raises ``RuleRefused`` for a parcel that has not left or has ended otherwise, ``IllegalTransition`` for one that was
    answered already, ``InvalidInput`` on ``count``, ``StaleVersion``.
    """
    row, episode = locked_shipment(session, actor, Action.CONFIRM_RECEIPT, shipment_id, version)
    answer = Answer(received=received, count=count, seal_intact=seal_intact)
    _refuse_out_of_time(row, answer)
    findings = _findings(session, row, answer)
    step = ReceiptStep.DISPUTE if findings else ReceiptStep.CONFIRM
    row.receipt_state = RECEIPT_TRANSITIONS.advance(ReceiptState(row.receipt_state), step, actor.role)
    _keep(session, actor, row, answer, way)
    stop_receipt_timers(session, row)
    settle_tasks(session, actor, subject_of(row), {TaskKind.CALL_ABOUT_RECEIPT})
    kind = EventKind.RECEIPT_DISPUTED if findings else EventKind.RECEIPT_CONFIRMED
    emit(session, kind, subject=subject_of(row), episode_id=row.episode_id)
    _suspect(session, actor, row, episode, answer, findings)
    return ReceiptResult(row, findings)


def _suspect(
    session: Session, actor: Actor, row: Shipment, episode: Episode, answer: Answer, findings: Sequence[Finding]
) -> None:
    """What did not come is a loss from the moment it is said; a wrong number is reviewed for diversion."""
    if not answer.received:
        lose_parcel(session, actor, row, episode)
        return
    if any(finding.rule in (COUNT_SHORT.id, COUNT_OVER.id) for finding in findings):
        shipped = box(session, row.patient_id).open(row, "quantity").reveal()
        facts = {"expected_units": shipped, "counted_units": answer.count}
        raise_review(session, actor, episode, Cause.RECEIPT_COUNT, row.id, facts)


def resolve_receipt(
    session: Session,
    actor: Actor,
    shipment_id: UUID,
    count: int,
    seal_intact: bool,
    reason: Personal[str],
    *,
    version: int | None = None,
) -> ReceiptResult:
    """The pharmacist clears up a disputed receipt with the patient: a miscount, a mistyped text.

    What is really wrong stays disputed: raises ``RuleRefused`` unless seal and number are right.
    """
    row, episode = locked_shipment(session, actor, Action.CHANGE_SHIPMENT, shipment_id, version)
    after = RECEIPT_TRANSITIONS.advance(ReceiptState(row.receipt_state), ReceiptStep.RESOLVE, actor.role)
    if Stage(row.state) in GONE:
        raise PARCEL_GONE.refused(state=row.state)
    answer = Answer(received=True, count=count, seal_intact=seal_intact)
    findings = _findings(session, row, answer)
    if findings:
        raise RuleRefused("This receipt stays disputed: nothing of the parcel may be taken.", findings)
    row.receipt_state = after
    _keep(session, actor, row, answer, Way.PHARMACY, reason)
    heed(session, actor, episode, reason, subject=subject_of(row))
    withdraw_loss(session, actor, row.id)
    fell_away = {TaskKind.TRACE_SHIPMENT, TaskKind.DECIDE_REPLACEMENT, TaskKind.RECHECK_SESSION_DATE}
    settle_tasks(session, actor, subject_of(row), fell_away, TaskStep.CANCEL)
    emit(session, EventKind.RECEIPT_CONFIRMED, subject=subject_of(row), episode_id=row.episode_id)
    return ReceiptResult(row, ())


def _refuse_out_of_time(row: Shipment, answer: Answer) -> None:
    stage = Stage(row.state)
    if stage in GONE:
        raise PARCEL_GONE.refused(state=row.state)
    if stage in NOT_HANDED_OVER:
        raise CARRIER_HAS_IT_NOT.refused(state=row.state)
    if not answer.received and stage is not Stage.DELIVERED:
        raise NOT_DELIVERED_YET.refused(field="received", state=row.state)


def _findings(session: Session, row: Shipment, answer: Answer) -> list[Finding]:
    """Everything about an answer that keeps the parcel from being used; a wrong number in either direction."""
    shipped = box(session, row.patient_id).open(row, "quantity").reveal()
    findings = receipt_findings(
        received=answer.received,
        seal_intact=answer.seal_intact,
        counted_units=answer.count,
        shipped_units=shipped,
    )
    if row.damage_reported:
        findings.append(DAMAGE_ON_THE_WAY.finding(damage_reported=True))
    return findings


def _keep(
    session: Session, actor: Actor, row: Shipment, answer: Answer, way: Way, reason: Personal[str] | None = None
) -> None:
    receipt = Receipt(
        id=new_id(),
        patient_id=row.patient_id,
        episode_id=row.episode_id,
        shipment_id=row.id,
        outcome=row.receipt_state,
        way=way,
        given_by=actor.id,
        given_at=clock.now(),
    )
    content = {
        "received": answer.received,
        "count": answer.count,
        "seal_intact": answer.seal_intact,
        "reason": None if reason is None else reason_text(reason),
    }
    box(session, row.patient_id).seal(receipt, "answer", content)
    session.add(receipt)
    session.flush()
    action = "receipt.resolve" if way is Way.PHARMACY else "receipt.answer"
    record(
        session,
        actor,
        action,
        "shipment",
        row.id,
        episode_id=row.episode_id,
        result=row.receipt_state,
        way=way.value,
    )


def confirm_by_sms(session: Session, actor: Actor, episode: Episode, reading: Reading) -> bool:
    """Settle the receipt that a text answers (``RECEIVED 8 SEALED``, ``NOT RECEIVED``).

    False, so that a person reads the text, when no parcel or more than one waits for an answer, or the text does not
    say all. The same answer again is taken as given. Raises what ``confirm_receipt`` does.
    """
    if reading.command is Command.NOT_RECEIVED:
        answer = Answer(received=False)
    elif reading.command is Command.RECEIVED and reading.count is not None and reading.seal is not None:
        answer = Answer(received=True, count=reading.count, seal_intact=reading.seal is Seal.SEALED)
    else:
        return False
    waiting = _waiting(session, episode)
    if not waiting:
        return _said_before(session, episode, answer)
    if len(waiting) > 1:
        return False
    confirm_receipt(session, actor, waiting[0], answer.count, answer.seal_intact, answer.received, way=Way.SMS)
    return True


def _waiting(session: Session, episode: Episode) -> list[UUID]:
    """The parcels that a text can be about: those delivered, or else those on their way."""
    query = select(Shipment.id, Shipment.state).where(
        Shipment.episode_id == episode.id, Shipment.receipt_state == ReceiptState.AWAITED
    )
    found = [(row.id, Stage(row.state)) for row in session.execute(query.order_by(Shipment.id))]
    delivered = [shipment_id for shipment_id, stage in found if stage is Stage.DELIVERED]
    return delivered or [each for each, stage in found if stage not in GONE | NOT_HANDED_OVER]


def _said_before(session: Session, episode: Episode, answer: Answer) -> bool:
    query = (
        select(Receipt)
        .where(Receipt.episode_id == episode.id)
        .order_by(Receipt.given_at.desc(), Receipt.id.desc())
        .limit(1)
    )
    last = session.scalar(query)
    if last is None:
        return False
    said = box(session, last.patient_id).open(last, "answer").reveal()
    return Answer(**{name: said[name] for name in ("received", "count", "seal_intact")}) == answer


def receipt_confirmed(session: Session, episode_id: UUID) -> bool:
    """Whether the patient has something at home whose receipt is confirmed: no dosing session begins without."""
    used = sum(each.used_units + each.wasted_units for each in doses_taken(session, episode_id))
    return received_units(session, episode_id) > used


def received_units(session: Session, episode_id: UUID) -> int:
    """All units of parcels whose receipt is confirmed, used or not; without those the carrier calls damaged."""
    confirmed = select(Shipment).where(
        Shipment.episode_id == episode_id,
        Shipment.receipt_state == ReceiptState.CONFIRMED,
        Shipment.damage_reported.is_(False),
        Shipment.state.not_in(sorted(GONE)),
    )
    return sum(box(session, row.patient_id).open(row, "quantity").reveal() for row in session.scalars(confirmed))
