"""The patient brings the medicine to the office: transport noted, units counted; a wrong count blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core.errors import NotAllowed, RuleRefused
from services.core.personal import Personal
from services.sessions import histories, ledgers
from services.sessions.models import TherapySession
from services.sessions.transports import Transport, count_arrival, record_transport
from tests.factories import audited
from tests.factories_prescribing import Case, make_shipment
from tests.factories_programmes import run_under
from tests.factories_sessions import MORNING, book, give, make_ready, make_supplied, measure, therapist


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    # What is noted later counts, so here the clock goes on.
    with time_machine.travel(MORNING) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """Four units at home; patients bring them to the office."""
    case = make_supplied(session)
    run_under(session, case.episode, {"sessions.transport_sites": ["office"]})
    return case


@pytest.fixture
def row(session: Session, case: Case) -> TherapySession:
    return book(session, case)


def brings(session: Session, case: Case, row: TherapySession, **changes: Any) -> None:
    given = {"carried_by": Personal("Pat"), "sealed": True, "units": 4.0, "left_at_home": 0.0, **changes}
    record_transport(session, case.patient, row.id, Transport(**given))


def missing(session: Session, case: Case, row: TherapySession) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        make_ready(session, case, row)
    session.refresh(row)
    return [finding.rule for finding in refusal.value.findings]


def test_nothing_is_taken_before_the_transport_is_noted_and_the_units_counted(
    session: Session, case: Case, row: TherapySession
) -> None:
    assert missing(session, case, row) == ["sessions.transport_missing"]
    brings(session, case, row, units=1.0, left_at_home=3.0)
    assert missing(session, case, row) == ["sessions.arrival_uncounted"]
    count_arrival(session, therapist(case), row.id, 1)
    make_ready(session, case, row)
    measure(session, case, row)
    give(session, case, row, 50)
    assert give(session, case, row, 50).state == "dosed"  # what was taken since the count does not make it wrong
    assert ledgers.ledger(session, case.episode.id).remaining_expected == 3
    checks = histories.read_session(session, therapist(case), row.id).checks
    assert checks is not None
    assert [each.check.kind for each in checks] == ["transport", "arrival_count"]
    assert {"session.transport", "session.count_arrival", "stock.count"} <= set(audited(session))


def test_an_open_container_stops(session: Session, case: Case, row: TherapySession) -> None:
    brings(session, case, row, sealed=False)
    count_arrival(session, therapist(case), row.id, 4)
    assert missing(session, case, row) == ["sessions.transport_unsealed"]


def test_a_count_that_differs_blocks_until_it_is_counted_right(
    session: Session, case: Case, row: TherapySession
) -> None:
    brings(session, case, row)
    count_arrival(session, therapist(case), row.id, 3)
    blocked = {"sessions.arrival_count_differs", "sessions.diversion_review_open"}
    assert set(missing(session, case, row)) == blocked
    assert ledgers.ledger(session, case.episode.id).remaining_reported == 3
    count_arrival(session, therapist(case), row.id, 4)
    assert missing(session, case, row) == ["sessions.diversion_review_open"]  # until the medical team has looked


def test_a_parcel_on_its_way_is_not_expected_to_be_brought(session: Session, case: Case, row: TherapySession) -> None:
    make_shipment(session, case)
    brings(session, case, row)
    count_arrival(session, therapist(case), row.id, 4)
    assert make_ready(session, case, row).state == "ready"


def test_where_nobody_brings_it_nothing_is_asked(session: Session, moment: time_machine.Traveller) -> None:
    case = make_supplied(session)
    assert make_ready(session, case, book(session, case)).state == "ready"


def test_patient_or_therapist_note_the_transport_and_only_the_therapist_counts(
    session: Session, case: Case, row: TherapySession
) -> None:
    transport = Transport(carried_by=Personal("Pat"), sealed=True, units=4, left_at_home=0)
    assert record_transport(session, therapist(case), row.id, transport)
    for actor in (case.prescriber, case.actor("pharmacist")):
        with pytest.raises(NotAllowed):
            record_transport(session, actor, row.id, transport)
    for actor in (case.patient, case.prescriber):
        with pytest.raises(NotAllowed):
            count_arrival(session, actor, row.id, 4)
