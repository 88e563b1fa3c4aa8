"""What follows when a parcel changes, whoever or whatever said so: its state, the events sent on, timers, tasks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.programme import Programme
from services.core.vocabulary import EventKind, TaskKind
from services.messaging.outbox import Subject, emit
from services.messaging.states import TaskStep
from services.messaging.tasks import settle_tasks
from services.messaging.timers import cancel_timers, set_timer
from services.people.models import Episode
from services.prescribing.fills import mark_undelivered
from services.shipping.losses import lose_parcel
from services.shipping.models import Shipment
from services.shipping.release_rules import receipt_times
from services.shipping.rules import ParcelChange, ParcelFacts
from services.shipping.states import SHIPMENT_TRANSITIONS, ReceiptState, ShipmentStep
from services.shipping.statuses import Stage

# A label waits for its first scan in more than one stage; the pharmacy is asked about it once.
_ONCE_EVER: Final = frozenset({EventKind.SHIPMENT_UNSCANNED})
_RECEIPT_TIMERS: Final = frozenset({EventKind.RECEIPT_UNCONFIRMED, EventKind.RECEIPT_CALL_DUE})


def subject_of(shipment: Shipment) -> Subject:
    """How events, tasks and timers name a shipment."""
    return Subject("shipment", shipment.id)


def facts_of(shipment: Shipment) -> ParcelFacts:
    """What the rules know of a parcel."""
    return ParcelFacts(
        stage=Stage(shipment.state),
        last_scan_at=shipment.last_scan_at,
        seen=frozenset(Stage(stage) for stage in shipment.seen),
        signed=shipment.signed,
        damage_reported=shipment.damage_reported,
        contradicted=shipment.contradicted,
    )


def follow(
    session: Session,
    actor: Actor,
    shipment: Shipment,
    episode: Episode,
    change: ParcelChange,
    step: ShipmentStep | None,
    programme: Programme,
) -> None:
    """Make a change of a locked parcel true. ``step`` is the move, None when the stage stays.

    An event goes out once for a parcel and stage, however often the carrier comes back to it.
    """
    after = change.after
    if step is not None:
        shipment.state = SHIPMENT_TRANSITIONS.advance(Stage(shipment.state), step, actor.role)
        record(session, actor, f"shipment.{step}", "shipment", shipment.id, episode_id=shipment.episode_id)
    shipment.last_scan_at = after.last_scan_at
    shipment.seen = sorted(stage.value for stage in after.seen)
    shipment.signed, shipment.damage_reported = after.signed, after.damage_reported
    shipment.contradicted = after.contradicted
    session.flush()
    for kind in change.events:
        tell_once(session, shipment, kind, programme)
    if step is not None:
        _enter(session, actor, shipment, episode, after.stage, programme)
    session.flush()


def tell_once(session: Session, shipment: Shipment, kind: EventKind, programme: Programme, cause: str = "") -> None:
    """Send an event on, unless this parcel's ``kind`` went out before in this stage (or for this ``cause``)."""
    key = f"{kind}:{cause or ('ever' if kind in _ONCE_EVER else shipment.state)}"
    if key in shipment.told:
        return
    shipment.told = [*shipment.told, key]
    data: dict[str, Any] = {}
    if kind is EventKind.SHIPMENT_AWAITING_PICKUP:
        kept = timedelta(days=programme.number("shipping.tracking.pickup_kept_days"))
        data["at"] = (clock.now() + kept).isoformat()
    emit(session, kind, subject=subject_of(shipment), episode_id=shipment.episode_id, **data)


def watch_silence(session: Session, shipment: Shipment, episode: Episode, programme: Programme) -> None:
    """Look at the parcel again after a while, in case the carrier says nothing."""
    set_timer(
        session,
        EventKind.SHIPMENT_SILENCE_DUE,
        episode,
        subject_of(shipment),
        clock.now() + timedelta(hours=programme.number("shipping.tracking.silence_check_hours")),
    )


def _enter(
    session: Session, actor: Actor, shipment: Shipment, episode: Episode, stage: Stage, programme: Programme
) -> None:
    match stage:
        case Stage.DELIVERED:
            _delivered(session, shipment, episode, programme)
        case Stage.RETURNED | Stage.LOST:
            cancel_timers(session, subject_of(shipment))
            mark_undelivered(session, shipment.fill_id)
            if stage is Stage.LOST:
                lose_parcel(session, actor, shipment, episode)
        case Stage.CANCELLED:
            cancel_timers(session, subject_of(shipment))


def _delivered(session: Session, shipment: Shipment, episode: Episode, programme: Programme) -> None:
    now: datetime = clock.now()
    shipment.delivered_at = now
    cancel_timers(session, subject_of(shipment), {EventKind.SHIPMENT_SILENCE_DUE})
    if not shipment.damage_reported:
        found = {TaskKind.TRACE_SHIPMENT, TaskKind.VERIFY_ADDRESS}
        settle_tasks(session, SYSTEM, subject_of(shipment), found, TaskStep.CANCEL)
    if shipment.receipt_state == ReceiptState.AWAITED:
        # From when we know, not from when the carrier says it was: nobody is reminded of what they just heard.
        times = receipt_times(now, programme)
        set_timer(session, EventKind.RECEIPT_UNCONFIRMED, episode, subject_of(shipment), times.remind_at)
        set_timer(session, EventKind.RECEIPT_CALL_DUE, episode, subject_of(shipment), times.call_at)


def stop_receipt_timers(session: Session, shipment: Shipment) -> None:
    """The patient answered: nobody need be reminded or call."""
    cancel_timers(session, subject_of(shipment), _RECEIPT_TIMERS)
