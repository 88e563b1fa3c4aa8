"""When the ledger and what is there differ: a prescriber ends the review and the difference is booked (DOMAIN 4 and 8).

Also losses at home, which the patient or the therapist reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import emit
from services.messaging.tasks import settle_tasks
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.prescribing.models import StockEntry
from services.prescribing.prescriptions import reason_text
from services.screening.written_texts import heed
from services.sessions.ledger_rules import LOSS_OVER_STOCK, RESOLUTION_DOES_NOT_FIT, Movement, part
from services.sessions.ledgers import Ledger, disputed_count, enter, hold_stock, ledger
from services.sessions.lookups import refuse
from services.shipping import losses
from services.shipping.diversions import Cause, ReadReview, locked_review, opened, subject_of
from services.shipping.losses import Discovery, ReadLoss, Whereabouts, check_discovery, open_loss
from services.shipping.models import DiversionReview, Shipment
from services.shipping.states import DIVERSION_TRANSITIONS, DiversionState, DiversionStep, ReceiptState
from services.shipping.statuses import Stage
from services.vault.boxes import Box, box


class Outcome(StrEnum):
    """What a prescriber finds. ``explained``: nothing is missing or too many any more, such as after a right count."""

    LOST = "lost"
    WASTED = "wasted"
    FOUND = "found"
    EXPLAINED = "explained"


@dataclass(frozen=True, slots=True)
class Difference:
    """Units that are missing (more than 0) or too many, and where: at home, in a parcel, in one that came back."""

    units: Fraction
    whereabouts: Whereabouts
    is_return: bool = False
    about_id: UUID | None = None

    def __repr__(self) -> str:
        return f"<difference {self.whereabouts.value}>"


def resolve_review(
    session: Session,
    actor: Actor,
    review_id: UUID,
    outcome: Outcome,
    reason: Personal[str],
    *,
    version: int | None = None,
) -> ReadReview:
    """A prescriber ends a diversion review with a reason, and every difference there is gets booked.

    Units booked as lost are a loss, with both timers. Raises ``RuleRefused`` when the outcome does not fit what was
    counted, ``IllegalTransition`` for a review that was ended before, ``StaleVersion``.
    """
    row, episode = locked_review(session, actor, Action.RESOLVE_DIVERSION, review_id, version)
    after = DIVERSION_TRANSITIONS.advance(DiversionState(row.state), DiversionStep.RESOLVE, actor.role)
    text = reason_text(reason)
    hold_stock(session, episode)
    stock = ledger(session, episode.id)
    found = differences(session, episode, stock)
    if not _fits(row, outcome, found, stock):
        units_off = float(sum((each.units for each in found), Fraction()))
        refuse(RESOLUTION_DOES_NOT_FIT.finding(outcome=outcome.value, units_off=units_off), field="outcome")
    # The review is over before its difference is booked: a loss that it turns out to be may raise the next one.
    row.state, row.outcome = after, outcome
    row.resolved_by, row.resolved_at = actor.id, clock.now()
    units = float(sum((each.units for each in found), Fraction()))
    box(session, row.patient_id).seal(row, "resolution", {"reason": text, "units": units})
    session.flush()
    record(
        session, actor, "diversion_review.resolve", "diversion_review", row.id, episode_id=episode.id, result=outcome
    )
    heed(session, actor, episode, text, subject=subject_of(row))
    for each in found:
        _book(session, actor, episode, row, outcome, each, text)
    settle_tasks(session, actor, subject_of(row), {TaskKind.REVIEW_DIVERSION})
    emit(session, EventKind.DIVERSION_RESOLVED, subject=subject_of(row), episode_id=episode.id)
    return opened(session, row)


def _fits(row: DiversionReview, outcome: Outcome, found: Sequence[Difference], stock: Ledger) -> bool:
    """Whether an outcome says what the counts say. A count that is out of date says nothing: it must be repeated."""
    if row.cause == Cause.STOCK_COUNT and stock.counted is None:
        return False
    match outcome:
        case Outcome.EXPLAINED:
            return not found
        case Outcome.LOST:
            return bool(found) and all(each.units > 0 for each in found)
        case Outcome.WASTED:
            at_home = all(each.whereabouts is Whereabouts.AT_HOME for each in found)
            return bool(found) and at_home and all(each.units > 0 for each in found)
        case Outcome.FOUND:
            return bool(found) and all(each.units < 0 for each in found)


_LOST: Final = {Whereabouts.AT_HOME: Movement.LOST_AT_HOME, Whereabouts.ON_THE_WAY: Movement.LOST_ON_THE_WAY}
_FOUND: Final = {Whereabouts.AT_HOME: Movement.FOUND, Whereabouts.ON_THE_WAY: Movement.FOUND_HELD}


def _book(
    session: Session,
    actor: Actor,
    episode: Episode,
    row: DiversionReview,
    outcome: Outcome,
    each: Difference,
    reason: str,
) -> None:
    if outcome is Outcome.FOUND:
        movement = Movement.FOUND_OF_RETURN if each.is_return else _FOUND[each.whereabouts]
    elif outcome is Outcome.WASTED:
        movement = Movement.WASTED
    else:
        movement = Movement.LOST_OF_RETURN if each.is_return else _LOST[each.whereabouts]
    more = {"reason": reason, "review": str(row.id)}
    entry = enter(session, actor, episode, movement, abs(each.units), each.about_id, more)
    record(session, actor, "stock.book", "stock_entry", entry.id, episode_id=episode.id, movement=movement)
    if outcome is Outcome.LOST:
        what = Discovery(units=float(each.units), what_happened=Personal(reason), discovered_at=row.raised_at)
        open_loss(session, actor, episode, each.whereabouts, what)


def differences(session: Session, episode: Episode, stock: Ledger) -> list[Difference]:
    """Everything that was counted and is not what it must be, less what was booked of it."""
    found = []
    if stock.counted is not None and stock.counted != stock.balance.in_the_house:
        found.append(Difference(stock.balance.in_the_house - stock.counted, Whereabouts.AT_HOME))
    own = box(session, episode.patient_id)
    booked = _booked_about(session, own, episode.id)
    counted = select(Shipment).where(
        Shipment.episode_id == episode.id,
        (Shipment.receipt_state == ReceiptState.DISPUTED) | Shipment.quarantined_at.is_not(None),
        Shipment.state.not_in([Stage.LOST, Stage.CANCELLED]),
    )
    for shipment in session.scalars(counted.order_by(Shipment.id)):
        is_return = shipment.quarantined_at is not None
        number = (
            own.open(shipment, "quarantined_units").reveal()
            if is_return
            else None
            if shipment.state == Stage.RETURNED
            else disputed_count(session, own, shipment.id)
        )
        if number is None:
            continue  # it did not come, or is on its way back: a loss, or still to be counted
        missing = part(own.open(shipment, "quantity").reveal()) - number - booked.get(shipment.id, Fraction())
        if missing:
            found.append(Difference(missing, Whereabouts.ON_THE_WAY, is_return, shipment.id))
    return found


_IS_FOUND: Final = frozenset({Movement.FOUND, Movement.FOUND_HELD, Movement.FOUND_OF_RETURN})


def _booked_about(session: Session, own: Box, episode_id: UUID) -> dict[UUID, Fraction]:
    """What was booked about each parcel: missing units count up, surplus ones down."""
    booked: dict[UUID, Fraction] = {}
    about = select(StockEntry).where(StockEntry.episode_id == episode_id, StockEntry.about_id.is_not(None))
    for row in session.scalars(about):
        if row.about_id is not None:
            units = part(own.open(row, "content").reveal()["units"])
            sign = -1 if row.kind in _IS_FOUND else 1
            booked[row.about_id] = booked.get(row.about_id, Fraction()) + sign * units
    return booked


def report_home_loss(session: Session, actor: Actor, episode_id: UUID, what: Discovery) -> ReadLoss:
    """The patient or the therapist reports that units were lost at home, or stolen; both timers begin.

    Raises as ``authorize`` does, ``RuleRefused`` on ``units`` when no so many are there, or on ``discovered_at``.
    """
    episode = visible_episode(session, actor, Action.REPORT_LOSS, episode_id)
    check_discovery(episode, what.discovered_at)
    hold_stock(session, episode)
    units = part(what.units)
    left = ledger(session, episode.id).balance.in_the_house
    if units > left:
        refuse(LOSS_OVER_STOCK.finding(units=float(units), units_left=float(left)), field="units")
    row = open_loss(session, actor, episode, Whereabouts.AT_HOME, what)
    entry = enter(session, actor, episode, Movement.LOST_AT_HOME, units, row.id, {"reason": None})
    record(session, actor, "stock.lose", "stock_entry", entry.id, episode_id=episode.id)
    heed(session, actor, episode, what.what_happened, subject=losses.subject_of(row))
    return losses.opened(session, actor, row)
