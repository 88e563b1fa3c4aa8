"""Registering trackers at the sandbox over real sockets: row first, the answer lost, the process cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from coordinator.local.sandbox.endpoints import Sandbox
from services.core.config import config
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.shipping import tracking
from services.shipping.models import Shipment
from tests.factories_messaging import emitted
from tests.factories_prescribing import DEFAULT, Case, make_case, make_fill, make_shipment, make_signed

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
IMPATIENT = Programme(DEFAULT.name, DEFAULT.version, {**DEFAULT.settings, "shipping.gateway.timeout_seconds": 0.3})


@pytest.fixture
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON) as traveller:
        yield traveller


@pytest.fixture
def sandbox(environment: Mapping[str, str]) -> Iterator[Sandbox]:
    """EasyPost on loopback; this process's configuration points there meanwhile."""
    running = Sandbox(environment)
    running.start()
    before = os.environ["EASYPOST_API_BASE"]
    os.environ["EASYPOST_API_BASE"] = f"{running.url}/v2"
    config.cache_clear()
    try:
        yield running
    finally:
        os.environ["EASYPOST_API_BASE"] = before
        config.cache_clear()
        running.stop()


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_case(session)


@pytest.fixture
def row(session: Session, case: Case, sandbox: Sandbox) -> Shipment:
    shipment = make_shipment(session, case)
    session.commit()
    return shipment


def register(session: Session, row: Shipment) -> Shipment:
    """Run the errand, and read the row as it is in the database then."""
    session.commit()
    tracking.register_due(IMPATIENT)
    session.expire_all()
    return row


def trackers(sandbox: Sandbox) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = sandbox.trackers.page({})["trackers"]
    return listed


def test_a_tracker_is_registered_and_its_first_word_is_taken(session: Session, row: Shipment, sandbox: Sandbox) -> None:
    register(session, row)
    (tracker,) = trackers(sandbox)
    assert (row.tracker_state, row.tracker_id, row.tracker_attempts) == ("registered", tracker["id"], 1)
    assert row.state == "pre_transit"
    register(session, row)
    assert (len(trackers(sandbox)), row.tracker_attempts) == (1, 1)


def test_all_that_are_due_are_registered_in_one_go(
    session: Session, case: Case, row: Shipment, sandbox: Sandbox
) -> None:
    second = make_shipment(session, case, make_fill(session, case, make_signed(session, case)))
    register(session, row)
    assert (row.tracker_state, second.tracker_state) == ("registered", "registered")
    assert len(trackers(sandbox)) == 2


@pytest.mark.parametrize("kind", ["accept_then_reset", "accept_then_hang", "accept_then_500"])
def test_a_request_of_unknown_fate_is_looked_for_before_it_is_repeated(
    session: Session, row: Shipment, sandbox: Sandbox, moment: time_machine.Traveller, kind: str
) -> None:
    sandbox.faults.order({"provider": "easypost", "kind": kind})
    register(session, row)
    assert (row.tracker_state, row.tracker_id) == ("unknown", None)
    register(session, row)
    assert row.tracker_attempts == 1  # not before the pause is over
    moment.shift(timedelta(seconds=31))
    register(session, row)
    (tracker,) = trackers(sandbox)
    assert (row.tracker_state, row.tracker_id) == ("registered", tracker["id"])


@pytest.mark.parametrize("kind", ["reset", "500", "429"])
def test_what_never_arrived_is_asked_for_again_later(
    session: Session, row: Shipment, sandbox: Sandbox, moment: time_machine.Traveller, kind: str
) -> None:
    sandbox.faults.order({"provider": "easypost", "kind": kind})
    register(session, row)
    assert row.tracker_state == ("pending" if kind == "429" else "unknown")
    assert trackers(sandbox) == []
    moment.shift(timedelta(seconds=31))
    register(session, row)
    assert (row.tracker_state, len(trackers(sandbox))) == ("registered", 1)


def test_a_refused_code_is_a_persons_at_once(session: Session, row: Shipment, sandbox: Sandbox) -> None:
    sandbox.faults.order({"provider": "easypost", "kind": "refuse"})
    register(session, row)
    assert (row.tracker_state, row.state) == ("refused", "registered")
    assert len(emitted(session, EventKind.SHIPMENT_FAILED)) == 1


def test_after_several_failures_a_person_is_told_once_and_trying_goes_on(
    session: Session, row: Shipment, sandbox: Sandbox, moment: time_machine.Traveller
) -> None:
    sandbox.faults.order({"provider": "easypost", "kind": "429", "count": 7})
    for attempt in range(1, 8):
        register(session, row)
        assert len(emitted(session, EventKind.SHIPMENT_FAILED)) == int(attempt >= 5)
        moment.shift(timedelta(minutes=16))
    register(session, row)
    assert row.tracker_state == "registered"


def test_a_process_cut_off_between_the_row_and_the_result_leaves_no_second_tracker(
    session: Session, row: Shipment, sandbox: Sandbox, moment: time_machine.Traveller
) -> None:
    wanted = tracking._claim(IMPATIENT)
    assert wanted is not None
    sandbox.trackers.create({"tracking_code": wanted.tracking_code.reveal(), "carrier": wanted.carrier})
    register(session, row)
    assert row.tracker_state == "asking"
    moment.shift(timedelta(seconds=121))
    register(session, row)
    (tracker,) = trackers(sandbox)
    assert (row.tracker_state, row.tracker_id, row.tracker_attempts) == ("registered", tracker["id"], 2)
