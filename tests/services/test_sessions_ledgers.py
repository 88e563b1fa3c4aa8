"""The ledger of units: dispensed = taken + wasted + what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotAllowed, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.prescribing.doses import Amounts, doses_taken, history_of
from services.prescribing.models import StockEntry
from services.sessions import ledgers
from services.sessions.ledgers import Attestation, Disposal, Ledger, Occasion
from services.sessions.states import SessionState
from services.shipping import diversions
from services.shipping.models import Shipment
from services.shipping.shipments import mark
from services.shipping.states import ShipmentStep
from services.vault.boxes import box
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, answer, make_case, make_fill, make_shipment, make_signed, report
from tests.factories_sessions import drive, give, integrate, make_supplied, stopped_clock, therapist

WHY = Personal("Fell on the floor.")


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """Four units of 100 mg at home."""
    return make_supplied(session)


def waste(session: Session, case: Case, units: float, actor: Actor | None = None) -> Ledger:
    return ledgers.record_waste(session, actor or case.patient, case.episode.id, units, WHY)


def test_it_begins_with_what_was_dispensed(session: Session, case: Case) -> None:
    book = ledgers.ledger(session, case.episode.id)
    assert (book.balance.dispensed, book.balance.at_home, book.remaining_expected) == (4, 4, 4)
    assert [(each.movement, each.units) for each in book.entries] == [("dispensed", 4), ("received", 4)]
    assert (book.remaining_reported, book.counted_at, repr(book)) == (None, None, "<ledger>")


def test_halves_are_counted(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.DOSED, moment, mg=50)
    book = waste(session, case, 0.5, therapist(case))
    assert (book.balance.taken, book.balance.wasted, book.remaining_expected) == (0.5, 0.5, 3)
    (taken,) = ledgers.doses_taken(session, case.episode.id)
    assert (taken.session_id, taken.mg, taken.units, taken.is_booster) == (row.id, 50, 0.5, False)


def test_no_more_is_wasted_than_is_left(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    drive(session, case, SessionState.DOSED, moment, mg=50)
    with pytest.raises(RuleRefused) as refusal:
        waste(session, case, 3.75)
    assert (refusal.value.field, refusal.value.rule) == ("units", "sessions.waste_over_stock")
    assert waste(session, case, 3.5).remaining_expected == 0


def test_what_is_still_on_its_way_is_neither_wasted_nor_disposed_of(session: Session) -> None:
    case = make_case(session)
    make_fill(session, case, make_signed(session, case))
    book = ledgers.ledger(session, case.episode.id)
    assert (book.balance.at_home, book.balance.in_transit) == (0, 4)
    acts: tuple[Callable[[], object], ...] = (
        lambda: waste(session, case, 1),
        lambda: ledgers.record_disposal(session, case.patient, case.episode.id, 1, HOW),
    )
    for act in acts:
        with pytest.raises(RuleRefused) as refusal:
            act()
        assert refusal.value.rule == "sessions.waste_over_stock"


def test_a_count_stands_until_something_is_taken_or_wasted(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    counted = ledgers.record_count(session, case.patient, case.episode.id, 4)
    assert (counted.remaining_reported, counted.counted_at, counted.remaining_expected) == (4, clock.now(), 4)
    moment.shift(1)
    assert waste(session, case, 1).remaining_reported is None
    moment.shift(1)
    assert ledgers.record_count(session, therapist(case), case.episode.id, 3).remaining_reported == 3
    drive(session, case, SessionState.DOSED, moment)
    assert ledgers.ledger(session, case.episode.id).remaining_reported is None


def test_a_count_from_before_a_parcel_was_received_stands_no_more(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    ledgers.record_count(session, case.patient, case.episode.id, 4)
    moment.shift(1)
    parcel = make_shipment(session, case)
    assert ledgers.ledger(session, case.episode.id).remaining_reported == 8  # four of them are on their way
    report(session, parcel, "delivered")
    moment.shift(1)
    answer(session, case, parcel)
    book = ledgers.ledger(session, case.episode.id)
    assert (book.counted, book.count_findings, book.balance.in_the_house) == (None, [], 8)


def test_counts_and_reasons_are_sealed_and_audited(session: Session, case: Case) -> None:
    waste(session, case, 1)
    ledgers.record_count(session, case.patient, case.episode.id, 3)
    ledgers.read_ledger(session, case.actor("medical_staff"), case.episode.id)
    assert {"stock.waste", "stock.count", "stock.read"} <= set(audited(session))
    with pytest.raises(NotAllowed):
        ledgers.read_ledger(session, case.actor("pharmacist"), case.episode.id)
    with pytest.raises(NotAllowed):
        waste(session, case, 1, case.prescriber)


def test_prescribing_hears_of_whole_units_whose_sum_is_right(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    waste(session, case, 0.5)
    first = drive(session, case, SessionState.INTEGRATION_DUE, moment, mg=50)
    assert doses_taken(session, case.episode.id) == [Amounts(dose_mg=50, used_units=0, wasted_units=0)]
    integrate(session, case, first, moment)
    moment.move_to(first.starts_at + timedelta(days=7))
    second = drive(session, case, SessionState.VITALS_PASSED, moment)
    give(session, case, second, 150)
    waste(session, case, 0.5)
    assert doses_taken(session, case.episode.id) == [
        Amounts(dose_mg=50, used_units=0, wasted_units=0),
        Amounts(dose_mg=150, used_units=2, wasted_units=1),
    ]
    assert ledgers.ledger(session, case.episode.id).remaining_expected == 1


def place_of(session: Session, case: Case) -> dict[str, float]:
    """The places that hold anything."""
    found = ledgers.ledger(session, case.episode.id).balance
    names = ("in_transit", "at_home", "held", "taken", "wasted", "returned", "lost", "overdrawn")
    return {name: float(getattr(found, name)) for name in names if getattr(found, name)}


def test_a_parcel_is_in_transit_until_its_receipt_is_confirmed(
    session: Session, moment: time_machine.Traveller
) -> None:
    case = make_supplied(session, confirmed=False)
    assert place_of(session, case) == {"in_transit": 4}
    with pytest.raises(RuleRefused) as refusal:
        ledgers.record_count(session, case.patient, case.episode.id, 4)
    assert refusal.value.rule == "sessions.receipt_first"
    (parcel,) = session.scalars(select(Shipment))
    answer(session, case, parcel)
    assert place_of(session, case) == {"at_home": 4}


@pytest.mark.parametrize(
    ("count", "seal", "received", "places"),
    [
        (3, True, True, {"in_transit": 1, "held": 3}),
        (5, True, True, {"held": 4}),
        (4, False, True, {"held": 4}),
        (0, False, False, {"in_transit": 4}),
    ],
)
def test_nothing_of_a_disputed_parcel_may_be_taken(
    session: Session,
    moment: time_machine.Traveller,
    count: int,
    seal: bool,
    received: bool,
    places: dict[str, float],
) -> None:
    case = make_supplied(session, confirmed=False)
    (parcel,) = session.scalars(select(Shipment))
    answer(session, case, parcel, count, seal=seal, received=received)
    assert place_of(session, case) == places
    assert ledgers.units_to_take(session, case.episode.id) == 0


def test_damage_that_comes_to_light_later_holds_the_rest_back(session: Session, case: Case) -> None:
    (parcel,) = session.scalars(select(Shipment))
    waste(session, case, 1)
    parcel.damage_reported = True
    session.flush()
    assert place_of(session, case) == {"held": 3, "wasted": 1}


def test_a_parcel_that_is_lost_or_goes_back_counts_there(session: Session, moment: time_machine.Traveller) -> None:
    for step, place in ((ShipmentStep.MARK_LOST, "lost"), (ShipmentStep.MARK_RETURNED, "returned")):
        case = make_supplied(session, confirmed=False)
        (parcel,) = session.scalars(select(Shipment).where(Shipment.episode_id == case.episode.id))
        mark(session, case.actor("pharmacist"), parcel.id, step, WHY)
        assert place_of(session, case) == {place: 4}


def test_a_parcel_that_was_confirmed_is_not_lost_on_the_way(session: Session, case: Case) -> None:
    (parcel,) = session.scalars(select(Shipment))
    with pytest.raises(RuleRefused) as refusal:
        mark(session, case.actor("pharmacist"), parcel.id, ShipmentStep.MARK_LOST, WHY)
    assert refusal.value.rule == "shipping.received_already"


HOW = Attestation(
    method=Disposal.TAKE_BACK_SITE, witness=Personal("Wilma Witness"), attested=True, reason=Personal("Stopping.")
)


def test_leftovers_are_disposed_of_before_a_witness(session: Session, case: Case) -> None:
    missing: dict[str, dict[str, Any]] = {"attested": {"attested": False}, "witness": {"witness": Personal(" ")}}
    for field, changes in missing.items():
        with pytest.raises(RuleRefused) as refusal:
            ledgers.record_disposal(session, case.patient, case.episode.id, 4, replace(HOW, **changes))
        assert (refusal.value.rule, refusal.value.field) == ("sessions.attestation_needed", field)
    with pytest.raises(RuleRefused) as refusal:
        ledgers.record_disposal(session, case.patient, case.episode.id, 4.5, HOW)
    assert refusal.value.rule == "sessions.waste_over_stock"
    book = ledgers.record_disposal(session, case.patient, case.episode.id, 4, HOW)
    assert (book.remaining_expected, book.balance.wasted) == (0, 4)
    (entry,) = session.scalars(select(StockEntry))
    content = box(session, entry.patient_id).open(entry, "content").reveal()
    assert (content["method"], content["witness"], entry.kind) == ("take_back_site", "Wilma Witness", "disposed")
    assert "stock.dispose" in audited(session)


def test_prescribing_hears_of_what_is_gone_without_a_session(session: Session, case: Case) -> None:
    own = box(session, case.episode.patient_id)
    assert history_of(session, case.episode.id, own).home_mg == 400
    ledgers.record_disposal(session, case.patient, case.episode.id, 1.5, HOW)
    assert history_of(session, case.episode.id, own).home_mg == 250


def test_a_count_that_is_off_stops_the_next_dose(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    assert ledgers.record_count(session, case.patient, case.episode.id, 4).count_findings == []
    assert not diversions.is_under_review(session, case.episode.id)
    row = drive(session, case, SessionState.VITALS_PASSED, moment)
    counted = ledgers.record_count(session, therapist(case), case.episode.id, 3.5, Occasion.SESSION)
    assert [finding.rule for finding in counted.count_findings] == ["sessions.count_off"]
    assert {each["party"] for each in emitted(session, EventKind.DIVERSION_SUSPECTED)} == {
        Party.MEDICAL_TEAM,
        Party.THERAPIST,
    }
    with pytest.raises(RuleRefused) as refusal:
        give(session, case, row, 100)
    assert [finding.rule for finding in refusal.value.findings] == ["sessions.diversion_review_open"]
