"""Carrier events as stored webhooks: repeated, out of order, unknown; once per stage; silence; timers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import CoordinationError, InvalidInput, NotFound
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.deliveries import Hook, keep_delivery
from services.messaging.models import WebhookDelivery
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.messaging.timers import fire_due
from services.shipping import tracking
from services.shipping.models import Shipment, TrackingEvent
from services.shipping.statuses import UnknownCarrierStatus
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    DEFAULT,
    Case,
    answer,
    carrier_event,
    make_case,
    make_shipment,
    report,
    timers_of,
)

MONDAY = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def row(session: Session, case: Case) -> Shipment:
    return make_shipment(session, case)


def parties(session: Session, kind: EventKind) -> list[str]:
    return sorted(each["party"] for each in emitted(session, kind))


@pytest.mark.parametrize(
    ("status", "detail", "state", "event", "told"),
    [
        ("in_transit", None, "in_transit", EventKind.SHIPMENT_IN_TRANSIT, ["patient", "therapist"]),
        ("out_for_delivery", None, "out_for_delivery", EventKind.SHIPMENT_OUT_FOR_DELIVERY, ["patient", "therapist"]),
        ("delivered", None, "delivered", EventKind.SHIPMENT_DELIVERED, ["patient", "therapist"]),
        ("in_transit", "weather_delay", "delayed", EventKind.SHIPMENT_DELAYED, ["patient", "therapist"]),
        ("in_transit", "address_correction", "address_problem", EventKind.SHIPMENT_ADDRESS_PROBLEM,
         ["patient", "pharmacy"]),
        ("available_for_pickup", None, "available_for_pickup", EventKind.SHIPMENT_AWAITING_PICKUP,
         ["patient", "pharmacy"]),
        ("return_to_sender", None, "returned", EventKind.SHIPMENT_RETURNED,
         ["medical_team", "patient", "pharmacy", "therapist"]),
        ("failure", "lost", "lost", EventKind.SHIPMENT_LOST, ["medical_team", "patient", "pharmacy", "therapist"]),
        ("failure", "damaged", "damaged", EventKind.SHIPMENT_DAMAGED, ["medical_team", "patient", "pharmacy"]),
        ("error", None, "failed", EventKind.SHIPMENT_FAILED, ["pharmacy"]),
        ("cancelled", None, "cancelled", EventKind.SHIPMENT_FAILED, ["pharmacy"]),
    ],
)  # fmt: skip
def test_each_stage_moves_the_parcel_and_tells_whom_it_concerns(
    session: Session, row: Shipment, status: str, detail: str | None, state: str, event: EventKind, told: list[str]
) -> None:
    report(session, row, status, detail=detail)
    assert row.state == state
    assert parties(session, event) == told


def test_a_repeated_event_is_stored_once_and_does_nothing_again(session: Session, row: Shipment) -> None:
    first = carrier_event(session, row, "in_transit", event_id="evt_same")
    assert first is not None
    tracking.read_carrier_event(session, first, DEFAULT)
    assert carrier_event(session, row, "in_transit", event_id="evt_same") is None
    tracking.read_carrier_event(session, first, DEFAULT)  # the sealed event delivered twice
    assert session.query(TrackingEvent).count() == 1
    assert len(emitted(session, EventKind.SHIPMENT_IN_TRANSIT)) == 2
    assert session.get_one(WebhookDelivery, first).outcome == "applied"


def test_the_same_news_under_another_id_tells_nobody_again(session: Session, row: Shipment) -> None:
    for _ in range(3):
        report(session, row, "in_transit")
    assert len(emitted(session, EventKind.SHIPMENT_IN_TRANSIT)) == 2
    assert session.query(TrackingEvent).count() == 3


def test_a_stage_that_comes_back_is_told_once(session: Session, row: Shipment) -> None:
    news = [("in_transit", "held"), ("in_transit", "arrived_at_facility"), ("out_for_delivery", None)] * 2
    for hour, (status, detail) in enumerate(news):
        report(session, row, status, detail=detail, at=MONDAY + timedelta(hours=hour))
        session.expire_all()
    assert row.state == "out_for_delivery"
    for kind in (EventKind.SHIPMENT_DELAYED, EventKind.SHIPMENT_IN_TRANSIT, EventKind.SHIPMENT_OUT_FOR_DELIVERY):
        assert parties(session, kind) == ["patient", "therapist"]


def test_events_out_of_order_end_where_the_newest_scan_says(session: Session, row: Shipment) -> None:
    report(session, row, "out_for_delivery", at=MONDAY + timedelta(hours=9))
    report(session, row, "in_transit", at=MONDAY + timedelta(hours=3))
    assert row.state == "out_for_delivery"
    report(session, row, "delivered", at=MONDAY + timedelta(hours=10))
    report(session, row, "out_for_delivery", at=MONDAY + timedelta(hours=11))
    assert (row.state, row.signed) == ("delivered", True)


def test_a_delivered_parcel_is_not_moved_by_the_carrier_and_a_person_looks(session: Session, row: Shipment) -> None:
    report(session, row, "delivered")
    report(session, row, "return_to_sender", at=MONDAY + timedelta(days=1))
    assert (row.state, row.contradicted) == ("delivered", True)
    assert parties(session, EventKind.SHIPMENT_FAILED) == [Party.PHARMACY]


def test_a_delivery_that_nobody_signed_for_is_reviewed(session: Session, row: Shipment) -> None:
    report(session, row, "delivered", signed_by=None)
    assert parties(session, EventKind.SHIPMENT_UNSIGNED) == [Party.PHARMACY]


def test_an_unknown_status_is_loud_and_leaves_the_parcel_where_it_was(session: Session, row: Shipment) -> None:
    report(session, row, "in_transit")
    delivery_id = carrier_event(session, row, "beamed_up")
    assert delivery_id is not None
    with pytest.raises(UnknownCarrierStatus):
        tracking.read_carrier_event(session, delivery_id, DEFAULT)
    assert row.state == "in_transit"
    assert session.get_one(WebhookDelivery, delivery_id).read_at is None
    assert session.query(TrackingEvent).count() == 1


def test_an_event_about_no_parcel_of_ours_is_loud(session: Session, row: Shipment) -> None:
    delivery_id = carrier_event(session, row, "in_transit", id="trk_foreign", tracking_code="NOTOURS1")
    assert delivery_id is not None
    with pytest.raises(NotFound):
        tracking.read_carrier_event(session, delivery_id, DEFAULT)


def test_a_parcel_is_found_by_its_tracker_when_the_carrier_spells_the_code_differently(
    session: Session, row: Shipment
) -> None:
    row.tracker_id = "trk_known"
    session.flush()
    report(session, row, "in_transit", id="trk_known", tracking_code="SPELT-OTHERWISE")
    assert row.state == "in_transit"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"\xff\xfe", InvalidInput),
        (b"[]", InvalidInput),
        (b'{"description": "tracker.updated"}', InvalidInput),
        (b'{"id": 1, "description": "tracker.updated"}', InvalidInput),
        (b'{"id": "evt_1", "description": "tracker.updated", "result": []}', InvalidInput),
        (b'{"id": "evt_1", "description": 5, "result": {}}', InvalidInput),
        (b'{"id": "evt_1", "description": "tracker.updated", "result": {"status": 7}}', InvalidInput),
        (b'{"id": "evt_1", "description": "tracker.updated", "result": {"status": "in_transit"}}', NotFound),
    ],
)
def test_what_is_no_event_is_refused_by_name_and_never_by_accident(
    session: Session, case: Case, body: bytes, error: type[CoordinationError]
) -> None:
    delivery_id = keep_delivery(session, Hook.EASYPOST, body, None)
    assert delivery_id is not None
    with pytest.raises(error):
        tracking.read_carrier_event(session, delivery_id, DEFAULT)


def test_an_event_about_something_else_is_set_aside(session: Session, case: Case) -> None:
    body = json.dumps({"id": "evt_2", "description": "batch.updated", "result": {"object": "Batch"}}).encode()
    delivery_id = keep_delivery(session, Hook.EASYPOST, body, "evt_2")
    assert delivery_id is not None
    tracking.read_carrier_event(session, delivery_id, DEFAULT)
    assert session.get_one(WebhookDelivery, delivery_id).outcome == "not_a_tracker"


def test_a_pick_up_is_told_with_its_deadline(session: Session, row: Shipment) -> None:
    report(session, row, "available_for_pickup")
    data = emitted(session, EventKind.SHIPMENT_AWAITING_PICKUP)[0]["data"]
    assert datetime.fromisoformat(data["at"]) == MONDAY + timedelta(days=5)


def test_a_delivery_ends_the_search_and_starts_the_receipts_clock(session: Session, row: Shipment) -> None:
    asked = open_task(
        session,
        TaskKind.TRACE_SHIPMENT,
        party=Party.PHARMACY,
        owner_id=row.episode_id,
        subject=Subject("shipment", row.id),
        due_at=clock.now(),
    )
    report(session, row, "delivered")
    assert asked.state == "cancelled"
    assert row.delivered_at == MONDAY
    assert timers_of(session, row.id) == {
        "receipt.unconfirmed": MONDAY + timedelta(hours=24),
        "receipt.call_due": MONDAY + timedelta(hours=48),
    }


def test_an_unconfirmed_receipt_is_reminded_of_and_then_called_about(
    session: Session, row: Shipment, moment: time_machine.Traveller
) -> None:
    report(session, row, "delivered")
    moment.shift(timedelta(hours=24))
    fire_due(session)
    assert parties(session, EventKind.RECEIPT_UNCONFIRMED) == [Party.PATIENT]
    moment.shift(timedelta(hours=24))
    fire_due(session)
    assert parties(session, EventKind.RECEIPT_CALL_DUE) == [Party.PHARMACY]


def test_a_receipt_that_came_before_the_carriers_word_starts_no_clock(
    session: Session, case: Case, row: Shipment
) -> None:
    report(session, row, "out_for_delivery")
    answer(session, case, row)
    report(session, row, "delivered", at=MONDAY + timedelta(hours=1))
    assert timers_of(session, row.id) == {}


def watch(session: Session, row: Shipment, moment: time_machine.Traveller, days: int) -> None:
    """Let days pass; the timer comes back each day until the parcel has ended."""
    for _ in range(days):
        moment.shift(timedelta(days=1))
        for _ in range(fire_due(session)):
            tracking.check_silence(session, row.id, DEFAULT)
        session.flush()


def test_a_label_without_a_scan_is_the_pharmacys_after_two_business_days(
    session: Session, row: Shipment, moment: time_machine.Traveller
) -> None:
    watch(session, row, moment, 2)
    assert emitted(session, EventKind.SHIPMENT_UNSCANNED) == []
    watch(session, row, moment, 2)
    assert parties(session, EventKind.SHIPMENT_UNSCANNED) == [Party.PHARMACY]
    assert row.state == "registered"
    report(session, row, "pre_transit")
    watch(session, row, moment, 5)
    assert (row.state, len(emitted(session, EventKind.SHIPMENT_UNSCANNED))) == ("pre_transit", 1)


def test_three_business_days_of_silence_are_a_delay_and_seven_days_a_loss(
    session: Session, row: Shipment, moment: time_machine.Traveller
) -> None:
    report(session, row, "in_transit")
    watch(session, row, moment, 2)
    assert row.state == "in_transit"
    watch(session, row, moment, 1)
    assert row.state == "delayed"
    assert parties(session, EventKind.SHIPMENT_DELAYED) == ["patient", "therapist"]
    watch(session, row, moment, 3)
    assert row.state == "delayed"
    watch(session, row, moment, 1)
    assert row.state == "lost"
    assert timers_of(session, row.id) == {}
    tracking.check_silence(session, row.id, DEFAULT)  # delivered again
    assert len(emitted(session, EventKind.SHIPMENT_LOST)) == 4


def test_a_scan_breaks_the_silence(session: Session, row: Shipment, moment: time_machine.Traveller) -> None:
    report(session, row, "in_transit")
    watch(session, row, moment, 3)
    report(session, row, "in_transit", detail="arrived_at_facility")
    assert row.state == "in_transit"
    watch(session, row, moment, 2)
    assert row.state == "in_transit"
