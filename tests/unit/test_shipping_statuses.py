"""EasyPost's words in ours: every status and detail of the domain reference has its stage, strangers are loud."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.core.errors import CoordinationError, InvalidInput
from services.core.vocabulary import EventKind
from services.shipping.statuses import TERMINAL, Scan, Stage, UnknownCarrierStatus, status_map, tracker_facts

STATUSES = {
    "unknown": Stage.UNKNOWN,
    "pre_transit": Stage.PRE_TRANSIT,
    "in_transit": Stage.IN_TRANSIT,
    "out_for_delivery": Stage.OUT_FOR_DELIVERY,
    "delivered": Stage.DELIVERED,
    "available_for_pickup": Stage.AVAILABLE_FOR_PICKUP,
    "return_to_sender": Stage.RETURNED,
    "failure": Stage.FAILED,
    "cancelled": Stage.CANCELLED,
    "error": Stage.FAILED,
}
TELLING_DETAILS = {
    "delayed": Stage.DELAYED,
    "weather_delay": Stage.DELAYED,
    "missorted": Stage.DELAYED,
    "held": Stage.DELAYED,
    "delivery_exception": Stage.DELAYED,
    "transit_exception": Stage.DELAYED,
    "address_correction": Stage.ADDRESS_PROBLEM,
    "awaiting_information": Stage.ADDRESS_PROBLEM,
    "refused": Stage.RETURNED,
    "return": Stage.RETURNED,
    "damaged": Stage.DAMAGED,
    "lost": Stage.LOST,
}
PLAIN_DETAILS = [
    "arrived_at_destination",
    "arrived_at_facility",
    "arrived_at_pickup_location",
    "cancelled",
    "departed_facility",
    "departed_origin_facility",
    "expired",
    "failure",
    "in_transit",
    "label_created",
    "out_for_delivery",
    "received_at_destination_facility",
    "received_at_origin_facility",
    "status_update",
    "transferred_to_destination_carrier",
    "unknown",
]


@pytest.mark.parametrize(("status", "stage"), STATUSES.items())
def test_every_status_has_its_stage(status: str, stage: Stage) -> None:
    assert status_map().stage_of(status, None) is stage
    assert set(status_map().stages) == set(STATUSES)


@pytest.mark.parametrize(("detail", "stage"), TELLING_DETAILS.items())
@pytest.mark.parametrize("status", ["in_transit", "failure", "unknown", "error", "out_for_delivery"])
def test_a_telling_detail_says_more_than_its_status(status: str, detail: str, stage: Stage) -> None:
    assert status_map().stage_of(status, detail) is stage


@pytest.mark.parametrize("detail", TELLING_DETAILS)
@pytest.mark.parametrize("status", ["delivered", "return_to_sender", "cancelled"])
def test_a_carriers_last_word_is_not_changed_by_a_detail(status: str, detail: str) -> None:
    assert status_map().stage_of(status, detail) is STATUSES[status]


@pytest.mark.parametrize("detail", PLAIN_DETAILS)
@pytest.mark.parametrize("status", STATUSES)
def test_a_plain_detail_changes_nothing(status: str, detail: str) -> None:
    assert status_map().stage_of(status, detail) is STATUSES[status]
    assert status_map().knows_detail(detail)


def test_the_28_details_of_the_reference_are_the_ones_known() -> None:
    assert status_map().plain_details | set(status_map().detail_stages) == set(PLAIN_DETAILS) | set(TELLING_DETAILS)
    assert len(PLAIN_DETAILS) + len(TELLING_DETAILS) == 28
    assert not status_map().knows_detail("abducted")


@pytest.mark.parametrize("status", ["teleported", "", "DELIVERED", "Jane Roe's parcel"])
def test_an_unknown_status_is_loud_and_repeats_nothing_odd(status: str) -> None:
    with pytest.raises(UnknownCarrierStatus) as raised:
        status_map().stage_of(status, None)
    assert isinstance(raised.value, CoordinationError)
    assert "Jane" not in raised.value.message
    assert ("teleported" in raised.value.message) is (status == "teleported")


def test_every_stage_is_described_and_what_needs_somebody_has_an_event() -> None:
    callings = status_map().callings
    assert set(callings) == set(Stage)
    silent = {stage for stage, calling in callings.items() if calling.event is None}
    assert silent == {Stage.REGISTERED, Stage.UNKNOWN, Stage.PRE_TRANSIT}
    assert {stage for stage, calling in callings.items() if calling.once} == {Stage.IN_TRANSIT, Stage.OUT_FOR_DELIVERY}
    assert callings[Stage.RETURNED].event is EventKind.SHIPMENT_RETURNED
    assert callings[Stage.CANCELLED].event is EventKind.SHIPMENT_FAILED
    assert {Stage.DELIVERED, Stage.RETURNED, Stage.LOST, Stage.CANCELLED} == TERMINAL


def a_tracker(**changes: Any) -> dict[str, Any]:
    return {
        "id": "trk_1",
        "status": "in_transit",
        "signed_by": None,
        "est_delivery_date": "2026-11-23T00:00:00Z",
        "tracking_details": [
            {"status": "pre_transit", "status_detail": "label_created", "datetime": "2026-11-19T10:00:00Z"},
            {"status": "in_transit", "status_detail": "weather_delay", "datetime": "2026-11-20T12:00:00+02:00"},
        ],
        **changes,
    }


def test_a_tracker_is_read_with_its_history_and_own_status_last() -> None:
    facts = tracker_facts(a_tracker())
    first, second, own = facts.scans
    assert first == Scan("pre_transit", "label_created", datetime(2026, 11, 19, 10, tzinfo=UTC))
    assert second == own == Scan("in_transit", "weather_delay", datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert facts.newest_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert facts.estimated_at == datetime(2026, 11, 23, tzinfo=UTC)
    assert facts.tracker_id == "trk_1"


def test_the_newest_time_counts_wherever_it_stands() -> None:
    tracker = a_tracker()
    tracker["tracking_details"].reverse()
    assert tracker_facts(tracker).newest_at == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(("signed_by", "signed"), [("J. Roe", True), ("  ", False), ("", False), (None, False)])
def test_only_whether_somebody_signed_is_kept(signed_by: str | None, signed: bool) -> None:
    facts = tracker_facts(a_tracker(signed_by=signed_by))
    assert facts.signed is signed
    assert "Roe" not in repr(facts)


def test_a_tracker_without_scans_has_its_status_and_no_time() -> None:
    facts = tracker_facts({"status": "unknown"})
    assert facts.scans == (Scan("unknown", None, None),)
    assert facts.newest_at is None


def test_a_time_without_a_zone_is_utc() -> None:
    details = [{"status": "in_transit", "status_detail": None, "datetime": "2026-11-20T12:00:00"}]
    assert tracker_facts(a_tracker(tracking_details=details)).newest_at == datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": None}, "status"),
        ({"status": 5}, "status"),
        ({"status_detail": ["x"]}, "status_detail"),
        ({"signed_by": 1}, "signed_by"),
        ({"tracking_details": {}}, None),
        ({"tracking_details": "x"}, "tracking_details"),
        ({"tracking_details": [None]}, "tracking_details"),
        ({"tracking_details": [{"status": None}]}, "tracking_details.0.status"),
        ({"tracking_details": [{"status": "in_transit", "datetime": "noon"}]}, "tracking_details.0.datetime"),
        ({"tracking_details": [{"status": "in_transit", "datetime": "0001-01-01T00:00:00+14:00"}]},
         "tracking_details.0.datetime"),
        ({"est_delivery_date": "soon"}, "est_delivery_date"),
    ],
)  # fmt: skip
def test_what_is_not_a_tracker_names_its_field(changes: dict[str, Any], field: str | None) -> None:
    if field is None:
        assert len(tracker_facts(a_tracker(**changes)).scans) == 1
        return
    with pytest.raises(InvalidInput) as refusal:
        tracker_facts(a_tracker(**changes))
    assert refusal.value.field == field
