"""Following parcels: trackers registered from stored rows, carrier events read from stored deliveries, silence noticed.

register_due()         the errand: row first, then the call with no transaction open, then the result
read_carrier_event()   one stored webhook; a repeated or stale one changes nothing
check_silence()        run by a timer while a parcel is under way
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.business_days import known_state
from services.core.config import config
from services.core.database import transaction
from services.core.errors import InvalidInput, NotFound, Unavailable
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.messaging.deliveries import Hook, open_delivery
from services.people.models import Episode
from services.people.organisations import organisation_of
from services.people.zones import read_zone
from services.shipping.gateways import EasyPostGateway, TrackerOutcome, TrackerResult
from services.shipping.models import TRACKER_WANTED, Shipment, TrackingEvent
from services.shipping.parcels import facts_of, follow, tell_once, watch_silence
from services.shipping.rules import ParcelChange, apply, silence
from services.shipping.shipments import index_of
from services.shipping.states import REPORTS, TRACKER_TRANSITIONS, TrackerState, TrackerStep
from services.shipping.statuses import TERMINAL, Stage, TrackerFacts, tracker_facts
from services.vault.boxes import box

log = structlog.get_logger()

EVENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
EVENT_KINDS: Final = frozenset({"tracker.created", "tracker.updated"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tracker to ask for. ``look_first``: an earlier request may have arrived, so it is looked for before asking."""

    shipment_id: UUID
    attempt: int
    tracking_code: Personal[str]
    carrier: str
    look_first: bool


@lru_cache(maxsize=1)
def _gateway(api_base: str | None, timeout_seconds: float) -> EasyPostGateway:
    return EasyPostGateway(config().easypost_api_key, api_base, timeout_seconds)


def register_due(programme: Programme) -> None:
    """Register the trackers that are due, beginning none after ``shipping.tracking.errand_seconds``.

    Several workers may do so at once; each row is taken by one of them. A process killed between the row and the result
    leaves it ``asking``; it falls due again and is then looked for first.
    """
    gateway = _gateway(config().easypost_api_base, programme.number("shipping.gateway.timeout_seconds"))
    end = time.monotonic() + programme.number("shipping.tracking.errand_seconds")
    while time.monotonic() < end:
        wanted = _claim(programme)
        if wanted is None:
            return
        result = _ask(gateway, wanted)
        with transaction() as session:
            _record_result(session, wanted, result, programme)


def _claim(programme: Programme) -> Wanted | None:
    query = select(Shipment).where(TRACKER_WANTED, Shipment.tracker_due_at <= clock.now())
    query = query.order_by(Shipment.tracker_due_at, Shipment.id).limit(1).with_for_update(skip_locked=True)
    with transaction() as session:
        row = session.scalar(query)
        if row is None:
            return None
        look_first = row.tracker_state != TrackerState.PENDING
        _move_tracker(row, TrackerStep.ASK)
        row.tracker_attempts += 1
        row.tracker_due_at = clock.now() + timedelta(seconds=programme.number("shipping.tracking.stuck_after_seconds"))
        code = box(session, row.patient_id).open(row, "tracking_code")
        return Wanted(row.id, row.tracker_attempts, code, row.carrier, look_first)


def _ask(gateway: EasyPostGateway, wanted: Wanted) -> TrackerResult:
    """Ask for the tracker, with no transaction open."""
    if wanted.look_first:
        try:
            found = gateway.find(wanted.tracking_code, wanted.carrier)
        except Unavailable:
            return TrackerResult(TrackerOutcome.UNKNOWN)
        if found is not None:
            return found
    return gateway.create_tracker(wanted.tracking_code, wanted.carrier)


def _record_result(session: Session, wanted: Wanted, result: TrackerResult, programme: Programme) -> None:
    row = session.get_one(Shipment, wanted.shipment_id, with_for_update=True, populate_existing=True)
    log.info("tracker_asked", shipment=str(row.id), outcome=result.outcome.value, attempt=wanted.attempt)
    if row.tracker_state != TrackerState.ASKING or row.tracker_attempts != wanted.attempt:
        return  # cut off and asked again meanwhile; that attempt settles it
    row.tracker_error = result.error_code
    match result.outcome:
        case TrackerOutcome.CREATED:
            _registered(session, row, result, programme)
        case TrackerOutcome.REFUSED:
            _move_tracker(row, TrackerStep.REFUSE)
            record(
                session,
                SYSTEM,
                "shipment.register_tracker",
                "shipment",
                row.id,
                episode_id=row.episode_id,
                outcome="failed",
                code=result.error_code,
                http_status=result.http_status,
            )
            tell_once(session, row, EventKind.SHIPMENT_FAILED, programme, "tracker_refused")
        case TrackerOutcome.RETRY:
            _move_tracker(row, TrackerStep.POSTPONE)
            _come_back(session, row, programme)
        case TrackerOutcome.UNKNOWN:
            _move_tracker(row, TrackerStep.LOSE)
            _come_back(session, row, programme)


def _registered(session: Session, row: Shipment, result: TrackerResult, programme: Programme) -> None:
    _move_tracker(row, TrackerStep.REGISTER)
    row.tracker_id = result.tracker_id
    box(session, row.patient_id).seal(row, "public_url", result.public_url)
    record(session, SYSTEM, "shipment.register_tracker", "shipment", row.id, episode_id=row.episode_id)
    if result.facts is not None:
        take_report(session, row, result.facts, programme)


def _move_tracker(row: Shipment, step: TrackerStep) -> None:
    row.tracker_state = TRACKER_TRANSITIONS.advance(TrackerState(row.tracker_state), step, SYSTEM.role)


def _come_back(session: Session, row: Shipment, programme: Programme) -> None:
    pause = programme.number("shipping.tracking.retry_first_seconds") * 2 ** min(row.tracker_attempts - 1, 30)
    pause = min(pause, programme.number("shipping.tracking.retry_longest_seconds"))
    row.tracker_due_at = clock.now() + timedelta(seconds=pause)
    if row.tracker_attempts >= programme.whole("shipping.tracking.attempts_before_person"):
        tell_once(session, row, EventKind.SHIPMENT_FAILED, programme, "tracker_not_registered")


def read_carrier_event(session: Session, delivery_id: UUID, programme: Programme) -> None:
    """Read one stored EasyPost event and let the parcel follow it. A delivery or event that was read is left alone.

    Raises ``UnknownCarrierStatus`` for a word that we do not know, ``InvalidInput`` for what is no event, ``NotFound``
    for a parcel that is not ours: tried again, then kept as a dead letter that a person looks at.
    """
    delivery = open_delivery(session, delivery_id, Hook.EASYPOST)
    if delivery.row.read_at is not None:
        return
    event_id, kind, tracker = _event(delivery.body)
    if kind not in EVENT_KINDS:
        delivery.close("not_a_tracker")
        return
    if session.scalar(select(TrackingEvent.id).where(TrackingEvent.provider_event_id == event_id)) is not None:
        delivery.close("repeated")
        return
    facts = tracker_facts(tracker)
    row = _parcel_of(session, tracker)
    before = row.state
    moved = take_report(session, row, facts, programme)
    newest = facts.scans[-1]
    session.add(
        TrackingEvent(
            id=new_id(),
            provider_event_id=event_id,
            patient_id=row.patient_id,
            shipment_id=row.id,
            delivery_id=delivery.row.id,
            status=newest.status[:40],
            status_detail=None if newest.detail is None else newest.detail[:60],
            occurred_at=facts.newest_at,
            received_at=delivery.row.received_at,
            stage_before=before,
            stage_after=row.state,
        )
    )
    delivery.close("applied" if moved else "nothing_new")
    outcome = delivery.row.outcome
    record(session, SYSTEM, "shipment.read_event", "shipment", row.id, episode_id=row.episode_id, result=outcome)


def _event(body: Personal[bytes]) -> tuple[str, str, Mapping[str, Any]]:
    try:
        event = json.loads(body.reveal())
    except ValueError:
        event = None
    if not isinstance(event, Mapping) or not isinstance(event.get("id"), str) or not EVENT_ID.fullmatch(event["id"]):
        raise InvalidInput("A carrier event is a JSON object with an id.", field="id")
    kind, result = event.get("description"), event.get("result")
    if not isinstance(kind, str) or (kind in EVENT_KINDS and not isinstance(result, Mapping)):
        raise InvalidInput("A carrier event says what happened and has a tracker as its result.", field="result")
    return event["id"], kind, result if isinstance(result, Mapping) else {}


def _parcel_of(session: Session, tracker: Mapping[str, Any]) -> Shipment:
    """The parcel of a tracker, held until the commit: by its code, which we know before EasyPost does, or by its id."""
    code, tracker_id = tracker.get("tracking_code"), tracker.get("id")
    row: Shipment | None = None
    if isinstance(code, str) and code:
        row = session.scalar(_held().where(Shipment.tracking_index == index_of(Personal(code))))
    if row is None and isinstance(tracker_id, str) and tracker_id:
        row = session.scalar(_held().where(Shipment.tracker_id == tracker_id))
    if row is None:
        raise NotFound("This carrier event is about no parcel of ours.")
    return row


def _held() -> Any:
    return select(Shipment).with_for_update().execution_options(populate_existing=True)


def take_report(session: Session, row: Shipment, facts: TrackerFacts, programme: Programme) -> bool:
    """Let a locked parcel follow what the carrier reports; whether anything changed.

    Raises ``UnknownCarrierStatus``.
    """
    if facts.estimated_at is not None and Stage(row.state) not in TERMINAL:
        row.estimated_at = facts.estimated_at
    change = apply(facts_of(row), facts, programme)
    if change is None:
        return False
    _follow(session, row, change, programme)
    return True


def check_silence(session: Session, shipment_id: UUID, programme: Programme) -> None:
    """Ask what it means that the carrier said nothing, and look again later while the parcel is under way."""
    row = session.get_one(Shipment, shipment_id, with_for_update=True, populate_existing=True)
    if Stage(row.state) in TERMINAL:
        return
    episode = session.get_one(Episode, row.episode_id)
    pharmacy = organisation_of(session, episode.pharmacy_id)
    zone, state = read_zone(pharmacy.zone), known_state(pharmacy.state)
    change = silence(facts_of(row), row.created_at, clock.now(), zone, programme, state)
    if change is not None:
        _follow(session, row, change, programme)
    if Stage(row.state) not in TERMINAL:
        watch_silence(session, row, episode, programme)


def _follow(session: Session, row: Shipment, change: ParcelChange, programme: Programme) -> None:
    step = REPORTS[change.after.stage] if change.stage_changed else None
    follow(session, SYSTEM, row, session.get_one(Episode, row.episode_id), change, step, programme)
