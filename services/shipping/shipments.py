"""Shipments: a fill leaves the pharmacy for the patient's home, and what people establish about a parcel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused, StaleVersion
from services.core.findings import Severity, of_severity
from services.core.ids import new_id
from services.core.pages import page_of
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.eligibility.decisions import eligibility_current
from services.messaging.outbox import Subject
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.attempts import Refused
from services.people.models import Episode, Location, Organisation
from services.people.postal import Address
from services.people.programmes import programme_of
from services.prescribing.cases import Case, case_of
from services.prescribing.fills import opened_fill
from services.prescribing.models import Fill, Prescription
from services.prescribing.prescriptions import locked_prescription, reason_text
from services.prescribing.reviews import request_findings
from services.prescribing.routes import is_shipped
from services.prescribing.signing import refuse_altered
from services.prescribing.states import VALID, PrescriptionState
from services.screening import risk
from services.screening.written_texts import heed
from services.shipping.addresses import ship_to_findings
from services.shipping.diversions import Cause, is_under_review, raise_review
from services.shipping.models import Shipment
from services.shipping.parcels import facts_of, follow, subject_of, tell_once, watch_silence
from services.shipping.release_rules import (
    ALREADY_SHIPPED,
    FILL_GONE,
    NOTHING_TO_QUARANTINE,
    RECEIVED_ALREADY,
    TRACKING_CODE_TAKEN,
    ReleaseFacts,
    confirmation_findings,
    day_findings,
    release_findings,
    required_confirmation,
)
from services.shipping.rules import ParcelChange
from services.shipping.states import (
    PERSON_STEPS,
    SHIPMENT_TRANSITIONS,
    ReceiptState,
    ShipmentStep,
    TrackerState,
)
from services.shipping.statuses import Stage, status_map
from services.vault.blind_indexes import blind_index
from services.vault.boxes import box

NOT_VISIBLE: Final = "There is no such record, or it is not yours to see."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What the pharmacist hands to the carrier.

    ``delivery_confirmation`` None means the one this carrier must use. ``address_reason`` says why the patient's home
    is right although a clinic is in the same house; it is needed then only.
    """

    carrier: str
    tracking_code: Personal[str]
    ship_to: Personal[Address]
    delivery_confirmation: str | None = None
    address_reason: Personal[str] | None = None


@dataclass(frozen=True, slots=True)
class ShipmentView:
    """A shipment as one role sees it. What the role may not see is ``None``."""

    shipment: Shipment
    tracking_code: Personal[str] | None = None
    public_url: Personal[str] | None = None
    ship_to: Personal[Mapping[str, Any]] | None = None
    quantity: Personal[int] | None = None
    reason: Personal[str] | None = None


def index_of(tracking_code: Personal[str]) -> bytes:
    """What a parcel is found by: its code without blanks and dashes, in any case."""
    return blind_index("tracking_code", re.sub(r"[\s-]", "", tracking_code.reveal()))


def create_shipment(session: Session, actor: Actor, fill_id: UUID, parcel: Parcel) -> Shipment | Refused:
    """Ship a fill to the patient's home; the tracker is registered by the pharmacy's worker right after.

    Raises ``RuleRefused`` with every finding that speaks against it: another address than the patient's home, a
    workplace, no adult signature, an open suicide risk, no therapist of record, a fill that travels already. Gives
    ``Refused`` (commit, then ``require()``) when the prescription's signature does not hold.
    """
    fill, prescription, episode = _shippable(session, actor, fill_id)
    altered = refuse_altered(session, actor, prescription)
    if altered is not None:
        return altered
    programme = programme_of(session, episode)
    confirmation = parcel.delivery_confirmation or required_confirmation(parcel.carrier, programme)
    case = case_of(session, episode)
    over = day_findings(case.today, prescription.expires_on)
    if over:
        raise RuleRefused(over[0].sentence, over)
    home = case.address.reveal()
    _refuse_unless_released(session, prescription, case, parcel, confirmation, home)
    _refuse_double(session, fill, parcel)
    row = Shipment(
        id=new_id(),
        patient_id=fill.patient_id,
        episode_id=fill.episode_id,
        prescription_id=prescription.id,
        fill_id=fill.id,
        state=Stage.REGISTERED,
        carrier=parcel.carrier.strip(),
        delivery_confirmation=confirmation,
        tracking_index=index_of(parcel.tracking_code),
        tracker_state=TrackerState.PENDING,
        tracker_attempts=0,
        tracker_due_at=clock.now(),
        seen=[],
        told=[],
        signed=False,
        damage_reported=False,
        contradicted=False,
        receipt_state=ReceiptState.AWAITED,
        created_by=actor.id,
        created_at=clock.now(),
    )
    own = box(session, row.patient_id)
    own.seal(row, "tracking_code", parcel.tracking_code.reveal().strip())
    # The address given was found to be the home of record; what goes on the label is how that one is spelled.
    own.seal(row, "ship_to", home.as_dict())
    own.seal(row, "quantity", opened_fill(session, fill).quantity)
    own.seal(row, "address_reason", parcel.address_reason)
    session.add(row)
    session.flush()
    record(session, actor, "shipment.create", "shipment", row.id, episode_id=row.episode_id, fill=fill.id)
    heed(session, actor, episode, parcel.address_reason, subject=subject_of(row))
    tell_once(session, row, EventKind.SHIPMENT_CREATED, programme)
    settle_tasks(session, actor, Subject("fill", fill.id), {TaskKind.SHIP_FILL})
    watch_silence(session, row, episode, programme)
    session.flush()
    return row


def _shippable(session: Session, actor: Actor, fill_id: UUID) -> tuple[Fill, Prescription, Episode]:
    """The fill with its prescription, both held until the commit so that nobody cancels or loses it meanwhile."""
    known = session.get(Fill, fill_id)
    if known is None:
        raise NotFound(NOT_VISIBLE)
    prescription, episode = locked_prescription(session, actor, Action.CREATE_SHIPMENT, known.prescription_id)
    # Only now, and held: it may have been lost in the pharmacy while this waited.
    fill = session.get_one(Fill, fill_id, with_for_update=True, populate_existing=True)
    return fill, prescription, episode


def _refuse_unless_released(
    session: Session,
    prescription: Prescription,
    case: Case,
    parcel: Parcel,
    confirmation: str,
    home: Address,
) -> None:
    episode = case.episode
    blocked = risk.blocking(session, episode.id)
    facts = ReleaseFacts(
        prescription_signed=PrescriptionState(prescription.state) in VALID,
        fill_recorded=True,
        eligible=eligibility_current(session, episode.id, case.today),
        has_therapist=episode.therapist_id is not None,
        risk_signed_off=not (blocked.blocks_shipping or blocked.blocks_treatment),
        refill_undecided=bool(request_findings(session, case, prescription.refill_request_id)),
        given_in_clinic=not is_shipped(prescription),
        diversion_open=is_under_review(session, episode.id),
    )
    address = parcel.ship_to.reveal()
    ship_to = ship_to_findings(address, home, _workplaces(session, address), ())
    confirmations = confirmation_findings(parcel.carrier, confirmation, programme_of(session, episode))
    findings = [*release_findings(facts), *ship_to, *confirmations]
    stops = of_severity(findings, Severity.STOP)
    if stops:
        field = "ship_to" if stops[0] in ship_to else "delivery_confirmation" if stops[0] in confirmations else None
        raise RuleRefused("This parcel may not leave as it stands.", findings, field=field, rule=stops[0].rule)
    reviews = of_severity(findings, Severity.REVIEW)
    if reviews and (parcel.address_reason is None or not parcel.address_reason.reveal().strip()):
        raise RuleRefused("Say why this address is the patient's home.", reviews, field="address_reason")


def _workplaces(session: Session, address: Address) -> list[Address]:
    """The addresses of all practices, teams and pharmacies around there: another ZIP code is another house."""
    found: list[Organisation | Location] = []
    for place in (Organisation, Location):
        nearby = place.postal_code.startswith(address.postal_code[:5], autoescape=True)
        found.extend(session.scalars(select(place).where(nearby)))
    return [
        Address(street=each.street, city=each.city, state=each.state, postal_code=each.postal_code) for each in found
    ]


def _refuse_double(session: Session, fill: Fill, parcel: Parcel) -> None:
    if fill.undelivered_at is not None:
        finding = FILL_GONE.finding(undelivered_at=fill.undelivered_at.isoformat())
        raise RuleRefused(finding.sentence, [finding])
    travels = select(Shipment.id).where(Shipment.fill_id == fill.id, Shipment.state != Stage.CANCELLED)
    if session.scalar(travels.limit(1)) is not None:
        raise ALREADY_SHIPPED.refused(fill_id=str(fill.id))
    same_code = select(Shipment.id).where(Shipment.tracking_index == index_of(parcel.tracking_code))
    if session.scalar(same_code.limit(1)) is not None:
        raise TRACKING_CODE_TAKEN.refused(field="tracking_code", taken=True)


def mark(
    session: Session,
    actor: Actor,
    shipment_id: UUID,
    step: ShipmentStep,
    reason: Personal[str],
    *,
    version: int | None = None,
) -> Shipment:
    """A pharmacist establishes that a parcel was lost or came back, even after the carrier called it delivered.

    Raises ``IllegalTransition`` when it has ended otherwise, ``StaleVersion``.
    """
    row, episode = locked_shipment(session, actor, Action.CHANGE_SHIPMENT, shipment_id, version)
    if row.receipt_state == ReceiptState.CONFIRMED:
        finding = RECEIVED_ALREADY.finding(receipt_state=row.receipt_state)
        raise RuleRefused(finding.sentence, [finding])
    stage = PERSON_STEPS[step]
    SHIPMENT_TRANSITIONS.advance(Stage(row.state), step, actor.role)
    before = facts_of(row)
    after = replace(before, stage=stage, seen=before.seen | {before.stage, stage})
    event = status_map().callings[stage].event
    change = ParcelChange(before, after, () if event is None else (event,))
    box(session, row.patient_id).seal(row, "reason", reason_text(reason))
    heed(session, actor, episode, reason, subject=subject_of(row))
    follow(session, actor, row, episode, change, step, programme_of(session, episode))
    return row


def quarantine(
    session: Session, actor: Actor, shipment_id: UUID, count: int, *, version: int | None = None
) -> Shipment:
    """The pharmacist puts away a parcel that came back, and counts it; nothing of it is dispensed again.

    A count that is not what was sent raises a diversion review. Raises ``RuleRefused`` for a parcel that did not come
    back or is put away already, ``StaleVersion``.
    """
    row, episode = locked_shipment(session, actor, Action.CHANGE_SHIPMENT, shipment_id, version)
    if Stage(row.state) is not Stage.RETURNED or row.quarantined_at is not None:
        finding = NOTHING_TO_QUARANTINE.finding(state=row.state)
        raise RuleRefused(finding.sentence, [finding])
    own = box(session, row.patient_id)
    row.quarantined_at, row.quarantined_by = clock.now(), actor.id
    own.seal(row, "quarantined_units", count)
    session.flush()
    record(session, actor, "shipment.quarantine", "shipment", row.id, episode_id=episode.id)
    settle_tasks(session, actor, subject_of(row), {TaskKind.QUARANTINE_RETURN})
    sent = own.open(row, "quantity").reveal()
    if count != sent:
        facts = {"expected_units": sent, "counted_units": count}
        raise_review(session, actor, episode, Cause.RETURN_COUNT, row.id, facts)
    return row


def locked_shipment(
    session: Session, actor: Actor, action: Action, shipment_id: UUID, version: int | None = None
) -> tuple[Shipment, Episode]:
    """The shipment, held against others until the commit, and its episode, if ``actor`` may do ``action``.

    Raises as ``authorize`` does, and ``StaleVersion``.
    """
    row = session.get(Shipment, shipment_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, action, row.episode_id)
    if version is not None and row.version != version:
        raise StaleVersion("Somebody else changed this shipment since you read it.", field="version")
    return row, episode


def read_shipment(session: Session, actor: Actor, shipment_id: UUID) -> ShipmentView:
    """One shipment as the actor's role sees it; an audited read."""
    row = session.get(Shipment, shipment_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    visible_episode(session, actor, Action.READ_SHIPMENT, row.episode_id)
    record(session, actor, "shipment.read", "shipment", row.id, episode_id=row.episode_id)
    return view_of(session, actor, row)


def view_of(session: Session, actor: Actor, row: Shipment) -> ShipmentView:
    """A shipment as the actor's role sees it; the caller has authorized and audits.

    Where it goes and its code are for the pharmacy and the patient; how much is in it also for the prescriber's team.
    """
    own = box(session, row.patient_id)
    handles = actor.role in (Role.PHARMACIST, Role.PATIENT, Role.SYSTEM)
    counts = handles or actor.role in (Role.PRESCRIBER, Role.MEDICAL_STAFF)
    return ShipmentView(
        row,
        tracking_code=own.open(row, "tracking_code") if handles else None,
        public_url=_or_none(own.open(row, "public_url")) if handles else None,
        ship_to=own.open(row, "ship_to") if handles else None,
        quantity=own.open(row, "quantity") if counts else None,
        reason=_or_none(own.open(row, "reason")) if actor.role is not Role.PATIENT and counts else None,
    )


def _or_none(value: Personal[Any]) -> Personal[Any] | None:
    return None if value.reveal() is None else value


def list_shipments(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[Shipment]:
    """The shipments of an episode, newest first, from behind the id ``after``: states and times, nothing sealed."""
    episode = visible_episode(session, actor, Action.READ_SHIPMENT, episode_id)
    query = select(Shipment).where(Shipment.episode_id == episode.id)
    record(session, actor, "shipment.list", "episode", episode.id, episode_id=episode.id)
    return session.scalars(page_of(query, Shipment.id, after=after, limit=limit)).all()


def shipped_units(session: Session, episode_id: UUID) -> int:
    """All units that went into parcels of an episode, those lost or returned not counted."""
    gone = (Stage.LOST.value, Stage.RETURNED.value, Stage.CANCELLED.value)
    rows = session.scalars(select(Shipment).where(Shipment.episode_id == episode_id, Shipment.state.not_in(gone)))
    return sum(box(session, row.patient_id).open(row, "quantity").reveal() for row in rows)
