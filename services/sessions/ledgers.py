"""The dose ledger of an episode: gathered from what the others put on record, counted, and corrected by entries.

The reckoning itself is in ``ledger_rules.py``. Units are whole lozenges or tablets and their parts. What a clinic gives
(nasal, IM, IV) was never at anybody's home and does not touch it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CompoundSelect, Uuid, bindparam, cast, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.findings import Finding
from services.core.ids import new_id
from services.core.personal import Personal
from services.messaging.outbox import Subject
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.prescribing.doses import Amounts, note_dose
from services.prescribing.models import Fill, Prescription, StockEntry
from services.prescribing.routes import Supplied
from services.screening.written_texts import heed
from services.sessions.ledger_rules import (
    ATTESTATION_NEEDED,
    RECEIPT_FIRST,
    WASTE_OVER_STOCK,
    Balance,
    Entry,
    Movement,
    balance,
    count_findings,
    part,
)
from services.sessions.lookups import refuse
from services.sessions.models import Dose, StockCount, TherapySession, Waste
from services.shipping.diversions import Cause, raise_review
from services.shipping.models import Receipt, Shipment
from services.shipping.states import ReceiptState
from services.shipping.statuses import Stage
from services.vault.boxes import Box, box


class Occasion(StrEnum):
    """When somebody counted."""

    HOME = "home"
    SESSION = "session"
    TRANSPORT = "transport"
    REFILL = "refill"
    LEFTOVER = "leftover"


class Disposal(StrEnum):
    """How leftovers were disposed of. A patient cannot give dispensed drug back to the pharmacy (DOMAIN 5)."""

    TAKE_BACK_SITE = "take_back_site"
    MAIL_BACK_ENVELOPE = "mail_back_envelope"
    DESTROYED_AT_HOME = "destroyed_at_home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """That units were disposed of: how, before which witness, and that it is attested."""

    method: Disposal
    witness: Personal[str]
    attested: bool
    reason: Personal[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Something taken in a session: milligrams, and the units that it used up."""

    session_id: UUID
    prescription_id: UUID
    mg: int
    units: float
    is_booster: bool
    at: datetime

    def __repr__(self) -> str:
        return f"<taken in {self.session_id}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All units of an episode: the ``entries`` and the ``balance`` they add up to.

    ``counted`` is what was last counted at home, None when nobody counted since anything changed there.
    """

    entries: Sequence[Entry]
    balance: Balance
    counted: Fraction | None
    counted_at: datetime | None

    @property
    def remaining_expected(self) -> float:
        """What must be left by the records, in transit or at home."""
        return float(self.balance.remaining)

    @property
    def remaining_reported(self) -> float | None:
        """What is left by the last count, with what is in transit; None when nobody counted since a change."""
        return None if self.counted is None else float(self.counted + self.balance.in_transit)

    @property
    def count_findings(self) -> list[Finding]:
        """What the last count says about the ledger."""
        return [] if self.counted is None else count_findings(self.balance.in_the_house, self.counted)

    def __repr__(self) -> str:
        return "<ledger>"


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A row as a box sees it, read without its model: three years of doses are read for every gate."""

    __tablename__: str
    id: UUID


def ledger(session: Session, episode_id: UUID, own: Box | None = None) -> Ledger:
    """The ledger of an episode, for rules. The caller has settled who may know."""
    own = own or box(session, session.get_one(Episode, episode_id).patient_id)
    parcels = session.execute(_PARCELS, {"episode": episode_id}).all()
    gone = {row.shipment_id for row in parcels if row.undelivered_at is not None}
    movements = list(_movements(session, own, episode_id, gone))
    entries = [*_parcel_entries(session, own, parcels), *(entry for entry, _ in movements)]
    entries.sort(key=lambda entry: entry.at)
    answered = (row.answered_at for row in parcels if row.answered_at is not None)
    changed_at = max((*answered, *(noted_at for _, noted_at in movements)), default=None)
    count = session.execute(_LATEST_COUNT, {"episode": episode_id}).one_or_none()
    if count is not None and changed_at is not None and changed_at > count.counted_at:
        count = None
    counted = None if count is None else part(_open(own, "stock_counts", count.id, "units", count.units))
    counted_at = None if count is None else count.counted_at
    return Ledger(entries=tuple(entries), balance=balance(entries), counted=counted, counted_at=counted_at)


_LATEST_COUNT: Final = (
    select(StockCount.id, StockCount.units, StockCount.counted_at)
    .where(StockCount.episode_id == bindparam("episode"))
    .order_by(StockCount.id.desc())
    .limit(1)
)
_PARCELS: Final = (
    select(
        Fill.id,
        Fill.quantity,
        Fill.recorded_at,
        Fill.undelivered_at,
        Shipment.id.label("shipment_id"),
        Shipment.state,
        Shipment.receipt_state,
        Shipment.damage_reported,
        # What arrived, or turned out to have arrived, was in no count before that was said.
        select(func.max(Receipt.given_at))
        .where(Receipt.shipment_id == Shipment.id)
        .scalar_subquery()
        .label("answered_at"),
    )
    .outerjoin(Shipment, (Shipment.fill_id == Fill.id) & (Shipment.state != Stage.CANCELLED.value))
    .where(Fill.episode_id == bindparam("episode"))
)


def _parcel_entries(session: Session, own: Box, parcels: Iterable[Any]) -> Iterator[Entry]:
    """What was handed out, and where the parcels with it are."""
    for row in parcels:
        units = part(_open(own, "fills", row.id, "quantity", row.quantity))
        yield Entry(Movement.DISPENSED, units, row.recorded_at)
        if row.undelivered_at is not None:
            is_back = row.state == Stage.RETURNED
            movement = Movement.RETURNED if is_back else Movement.LOST_ON_THE_WAY
            yield Entry(movement, units, row.undelivered_at)
        elif row.receipt_state == ReceiptState.CONFIRMED:
            movement = Movement.RECEIVED_HELD if row.damage_reported else Movement.RECEIVED
            yield Entry(movement, units, row.recorded_at)
        elif row.receipt_state == ReceiptState.DISPUTED:
            arrived = disputed_count(session, own, row.shipment_id)
            if arrived is not None:
                yield Entry(Movement.RECEIVED_HELD, min(Fraction(arrived), units), row.recorded_at)


def disputed_count(session: Session, own: Box, shipment_id: UUID) -> int | None:
    """How many units came in a parcel whose receipt is disputed; None when it did not come at all."""
    query = select(Receipt).where(Receipt.shipment_id == shipment_id).order_by(Receipt.id.desc()).limit(1)
    answer = own.open(session.scalars(query).one(), "answer").reveal()
    return answer["count"] if answer["received"] else None


_MOVED: Final[CompoundSelect[Any]] = union_all(
    select(
        literal(Dose.__tablename__).label("source"),
        literal(Movement.TAKEN.value).label("movement"),
        Dose.id,
        Dose.content,
        Dose.taken_at.label("at"),
        Dose.recorded_at.label("noted_at"),
        cast(null(), Uuid).label("about_id"),
    )
    .join(Prescription, Prescription.id == Dose.prescription_id)
    .where(Dose.episode_id == bindparam("episode"), Prescription.supplied == Supplied.SHIPPED.value),
    select(
        literal(Waste.__tablename__),
        literal(Movement.WASTED.value),
        Waste.id,
        Waste.content,
        Waste.recorded_at,
        Waste.recorded_at,
        cast(null(), Uuid),
    ).where(Waste.episode_id == bindparam("episode")),
    select(
        literal(StockEntry.__tablename__),
        StockEntry.kind,
        StockEntry.id,
        StockEntry.content,
        StockEntry.entered_at,
        StockEntry.entered_at,
        StockEntry.about_id,
    ).where(StockEntry.episode_id == bindparam("episode")),
)


# What was booked of a parcel that was then lost or went back as a whole is part of that.
_OF_PARCEL: Final = frozenset({Movement.LOST_ON_THE_WAY, Movement.FOUND_HELD})


def _movements(session: Session, own: Box, episode_id: UUID, gone: set[UUID]) -> Iterator[tuple[Entry, datetime]]:
    """What was taken, wasted, lost, found and disposed of, with when it was put on record."""
    for row in session.execute(_MOVED, {"episode": episode_id}):
        if row.movement in _OF_PARCEL and row.about_id in gone:
            continue
        content = _open(own, row.source, row.id, "content", row.content)
        if row.source == Dose.__tablename__:
            if not content.get("is_shipped", True):
                continue  # what the clinic gives is never at home
            units = part(Fraction(content["mg"], content["strength_mg"]))
        else:
            units = part(content["units"])
        yield Entry(Movement(row.movement), units, row.at), row.noted_at


def _open(own: Box, table: str, row_id: UUID, column: str, stored: bytes) -> Any:
    return json.loads(own.open_bytes(_Sealed(table, row_id), column, stored))


def doses_taken(session: Session, episode_id: UUID) -> list[Taken]:
    """Everything taken in an episode, oldest first. The caller has settled who may know."""
    query = select(Dose).where(Dose.episode_id == episode_id).order_by(Dose.taken_at, Dose.id)
    return [taken_in(box(session, dose.patient_id), dose) for dose in session.scalars(query)]


def taken_in(own: Box, dose: Dose) -> Taken:
    """One dose, opened."""
    content = own.open(dose, "content").reveal()
    return Taken(
        session_id=dose.session_id,
        prescription_id=dose.prescription_id,
        mg=content["mg"],
        # What the clinic gives is never at home.
        units=float(Fraction(content["mg"], content["strength_mg"])) if content.get("is_shipped", True) else 0.0,
        is_booster=content["is_booster"],
        at=dose.taken_at,
    )


def units_to_take(session: Session, episode_id: UUID) -> Fraction:
    """What is at home and may be taken: of parcels whose receipt was confirmed and that nobody calls damaged."""
    return ledger(session, episode_id).balance.at_home


def read_ledger(session: Session, actor: Actor, episode_id: UUID) -> Ledger:
    """The ledger of an episode, for therapist, medical team and patient; an audited read."""
    episode = visible_episode(session, actor, Action.READ_STOCK, episode_id)
    record(session, actor, "stock.read", "episode", episode.id, episode_id=episode.id)
    return ledger(session, episode.id)


def record_waste(session: Session, actor: Actor, episode_id: UUID, units: float, reason: Personal[str]) -> Ledger:
    """Put units on record that nobody will take: spat out, broken. Gives the ledger after it.

    Raises ``RuleRefused`` on ``units`` when no so many are left.
    """
    episode = held_episode(session, actor, episode_id)
    _check_left(ledger(session, episode.id), units)
    row = Waste(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        session_id=_latest_dosed(session, episode.id),
        recorded_by=actor.id,
        recorded_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "content", {"units": units, "reason": reason.reveal().strip()})
    session.add(row)
    session.flush()
    note_used(session, episode.id)
    record(session, actor, "stock.waste", "waste", row.id, episode_id=episode.id)
    heed(session, actor, episode, reason, subject=Subject("waste", row.id))
    return ledger(session, episode.id)


def _check_left(before: Ledger, units: float) -> None:
    # What is still on its way may yet be lost or come back, whole.
    left = before.balance.in_the_house
    if part(units) > left:
        refuse(WASTE_OVER_STOCK.finding(units=units, units_left=float(left)), field="units")


def record_disposal(session: Session, actor: Actor, episode_id: UUID, units: float, how: Attestation) -> Ledger:
    """Put on record that leftovers were disposed of, attested and witnessed. Gives the ledger after it.

    Raises ``RuleRefused`` on ``units`` when no so many are left, on ``attested`` or ``witness`` when either is missing.
    """
    episode = held_episode(session, actor, episode_id)
    witness = how.witness.reveal().strip()
    if not how.attested or not witness:
        finding = ATTESTATION_NEEDED.finding(attested=how.attested, witness_named=bool(witness))
        refuse(finding, field="witness" if how.attested else "attested")
    _check_left(ledger(session, episode.id), units)
    more = {"method": how.method.value, "witness": witness, "reason": how.reason.reveal().strip()}
    row = enter(session, actor, episode, Movement.DISPOSED, part(units), None, more)
    record(session, actor, "stock.dispose", "stock_entry", row.id, episode_id=episode.id)
    heed(session, actor, episode, how.reason, subject=Subject("stock_entry", row.id))
    return ledger(session, episode.id)


def enter(
    session: Session,
    actor: Actor,
    episode: Episode,
    movement: Movement,
    units: Fraction,
    about_id: UUID | None,
    more: Mapping[str, Any],
) -> StockEntry:
    """Write an entry of the ledger; the caller has authorized, holds the stock and audits."""
    latest = select(Fill.prescription_id).where(Fill.episode_id == episode.id).order_by(Fill.id.desc()).limit(1)
    row = StockEntry(
        id=new_id(),
        patient_id=episode.patient_id,
        episode_id=episode.id,
        prescription_id=session.scalar(latest),
        kind=movement,
        about_id=about_id,
        entered_by=actor.id,
        entered_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "content", {"units": float(units), **more})
    session.add(row)
    session.flush()
    return row


def record_count(
    session: Session, actor: Actor, episode_id: UUID, units: float, occasion: Occasion = Occasion.HOME
) -> Ledger:
    """Put on record how many units were counted, and gives the ledger with it.

    A number that is not what must be there is kept too, and raises a diversion review. Raises ``RuleRefused`` while the
    receipt of a delivered parcel is awaited: nobody could tell whether it was counted in.
    """
    episode = held_episode(session, actor, episode_id)
    delivered = select(Shipment.id).where(
        Shipment.episode_id == episode.id,
        Shipment.state == Stage.DELIVERED,
        Shipment.receipt_state == ReceiptState.AWAITED,
    )
    if session.scalar(delivered.limit(1)) is not None:
        refuse(RECEIPT_FIRST.finding(receipt_state=ReceiptState.AWAITED.value))
    row = StockCount(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        occasion=occasion,
        counted_by=actor.id,
        counted_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "units", units)
    session.add(row)
    session.flush()
    record(session, actor, "stock.count", "stock_count", row.id, episode_id=episode.id, occasion=occasion)
    counted = ledger(session, episode.id)
    for finding in counted.count_findings:
        raise_review(session, actor, episode, Cause.STOCK_COUNT, row.id, {"occasion": occasion, **finding.inputs})
    return counted


def held_episode(session: Session, actor: Actor, episode_id: UUID) -> Episode:
    """The episode, its row held: two people who record at once must see each other's numbers."""
    episode = visible_episode(session, actor, Action.RECORD_STOCK, episode_id)
    hold_stock(session, episode)
    return episode


def hold_stock(session: Session, episode: Episode) -> None:
    """Hold an episode's stock until the commit, letting rows that merely point at the episode be written meanwhile."""
    session.execute(select(Episode.id).where(Episode.id == episode.id).with_for_update(key_share=True))


def _latest_dosed(session: Session, episode_id: UUID) -> UUID | None:
    query = select(TherapySession.id).where(
        TherapySession.episode_id == episode_id, TherapySession.dosed_at.is_not(None)
    )
    return session.scalar(query.order_by(TherapySession.dosed_at.desc()).limit(1))


def _wastes(session: Session, episode_id: UUID) -> list[tuple[Waste, Fraction]]:
    rows = session.scalars(select(Waste).where(Waste.episode_id == episode_id).order_by(Waste.id))
    return [(row, part(box(session, row.patient_id).open(row, "content").reveal()["units"])) for row in rows]


def note_used(session: Session, episode_id: UUID) -> None:
    """Let prescribing know what each session used up, so that drafts are judged by what is left at home.

    Prescribing counts whole units. Each session is given the whole units that were completed in it, so that the sums
    are right although single numbers are not. What was wasted before the first dose counts with the first session.
    """
    query = select(TherapySession).where(TherapySession.episode_id == episode_id, TherapySession.dosed_at.is_not(None))
    rows = session.scalars(query.order_by(TherapySession.dosed_at, TherapySession.id)).all()
    doses, wastes = doses_taken(session, episode_id), _wastes(session, episode_id)
    used_before = wasted_before = Fraction()
    for number, row in enumerate(rows):
        own_doses = [dose for dose in doses if dose.session_id == row.id]
        counted_with = {row.id, None} if number == 0 else {row.id}
        used = used_before + sum(part(dose.units) for dose in own_doses)
        wasted = wasted_before + sum(units for waste, units in wastes if waste.session_id in counted_with)
        if own_doses:
            _note(session, row, own_doses, floor(used) - floor(used_before), floor(wasted) - floor(wasted_before))
        used_before, wasted_before = used, wasted


def _note(session: Session, row: TherapySession, doses: Sequence[Taken], used: int, wasted: int) -> None:
    amounts = Amounts(
        dose_mg=sum(dose.mg for dose in doses if not dose.is_booster),
        booster_mg=sum(dose.mg for dose in doses if dose.is_booster),
        used_units=used,
        wasted_units=wasted,
    )
    note_dose(
        session,
        prescription_id=doses[0].prescription_id,
        session_id=row.id,
        amounts=amounts,
        taken_at=doses[0].at,
    )
