"""EasyPost's events repeated and out of order, over signed webhooks: the parcel goes one way, and each is told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from coordinator.local import processes
from services.core import clock
from services.core.database import transaction
from services.core.vocabulary import EventKind
from services.messaging.deliveries import Hook
from services.messaging.models import Notice, Timer, WebhookDelivery
from services.shipping.models import Shipment, TrackingEvent
from tests.factories_prescribing import make_case, make_shipment
from tests.faults.counts import Count
from tests.faults.stacks import PATIENCE_SECONDS, Service

PARCELS = 3
SCANS = ("in_transit", "out_for_delivery", "delivered")
REPEATS = 3


def make_parcels(service: Service) -> list[UUID]:
    """Parcels under way, each registered at the carrier service."""
    parcels = []
    for _ in range(PARCELS):
        with transaction() as session:
            parcels.append(make_shipment(session, make_case(session, world=service.world_in(session))).id)
    assert processes.wait_until(lambda: all(trackers_of(parcels)), PATIENCE_SECONDS)
    return parcels


def trackers_of(parcels: list[UUID]) -> list[str | None]:
    with transaction() as session:
        return [session.get_one(Shipment, parcel).tracker_id for parcel in parcels]


def scan(service: Service, tracker: str | None, status: str, hours_ago: int, **how: Any) -> None:
    """The carrier scans a parcel; ``how`` says whether its event is repeated or held back."""
    step = {"status": status, "datetime": (clock.now() - timedelta(hours=hours_ago)).isoformat(), **how}
    service.sandbox("POST", f"/trackers/{tracker}/advance", {**step, "signed_by": "P EXAMPLE"})


def received() -> dict[UUID, WebhookDelivery]:
    """The carrier events that were stored."""
    with transaction() as session:
        kept = session.scalars(select(WebhookDelivery).where(WebhookDelivery.provider == Hook.EASYPOST)).all()
    return {row.id: row for row in kept}


def posted(service: Service) -> list[int | None]:
    """The answers to the carrier events that were posted."""
    callbacks = service.sandbox("GET", "/callbacks")["callbacks"]
    return [each["status"] for each in callbacks if each["path"] == "/hooks/easypost"]


def told(parcels: list[UUID]) -> Counter[tuple[UUID | None, str]]:
    """What the therapist was told about each parcel, and how often."""
    query = select(Notice.subject_id, Notice.kind).where(Notice.subject_id.in_(parcels), Notice.channel == "in_app")
    with transaction() as session:
        return Counter((subject_id, kind) for subject_id, kind in session.execute(query))


def test_carrier_events_repeated_and_out_of_order(service: Service, counted: Callable[[Count], None]) -> None:
    known, answered = received(), len(posted(service))
    parcels = make_parcels(service)
    trackers = trackers_of(parcels)
    for place, status in enumerate(SCANS):
        scan(service, trackers[0], status, 3 - place, repeat=REPEATS)  # in order, each several times
        scan(service, trackers[1], status, 3 - place, hold=True)  # all at the end, the last one first
    for place, status in reversed(list(enumerate(SCANS))):
        scan(service, trackers[2], status, 3 - place, repeat=REPEATS)  # the newest first, each several times
    service.sandbox("POST", "/events/release", {"backwards": True})
    posts = PARCELS * (1 + len(SCANS)) + 2 * len(SCANS) * (REPEATS - 1)
    assert processes.wait_until(lambda: len(posted(service)) == answered + posts, PATIENCE_SECONDS)
    assert processes.wait_until(lambda: None not in posted(service)[answered:], PATIENCE_SECONDS)
    service.wait_until_idle()
    assert set(posted(service)[answered:]) == {204}
    kept = [row for delivery_id, row in received().items() if delivery_id not in known]
    assert len(kept) == PARCELS * (1 + len(SCANS))
    assert {row.outcome for row in kept} <= {"applied", "nothing_new"}
    with transaction() as session:
        stages = session.scalars(select(Shipment.state).where(Shipment.id.in_(parcels))).all()
        reads = Counter(session.scalars(select(TrackingEvent.delivery_id)))
        timers = session.scalars(select(Timer.kind).where(Timer.subject_id.in_(parcels), Timer.ended_at.is_(None)))
        timers_left = Counter(timers)
    assert stages == ["delivered"] * PARCELS
    # Whoever has confirmed nothing is reminded and called once, and the silence of a parcel that came is nobody's.
    assert timers_left == {EventKind.RECEIPT_UNCONFIRMED: PARCELS, EventKind.RECEIPT_CALL_DUE: PARCELS}
    news = told(parcels)
    assert set(news.values()) == {1}
    effects = [reads[row.id] for row in kept]
    effects += [news[parcel, EventKind.SHIPMENT_DELIVERED] for parcel in parcels]
    counted(Count.of("carrier events repeated and out of order", effects, f"{posts} webhooks"))
