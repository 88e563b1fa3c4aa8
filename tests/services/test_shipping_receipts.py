"""Receipts: by the API and by text, right, wrong, twice, too early; and what they let a session do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.keywords import read
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.prescribing import doses
from services.shipping import receipts
from services.shipping.models import Receipt, Shipment
from services.shipping.shipments import mark
from services.shipping.states import ReceiptState, ShipmentStep
from services.vault.boxes import box
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    Case,
    answer,
    make_case,
    make_fill,
    make_shipment,
    make_signed,
    report,
    timers_of,
)

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def row(session: Session, case: Case) -> Shipment:
    shipment = make_shipment(session, case)
    report(session, shipment, "delivered")
    return shipment


def test_the_right_count_and_an_intact_seal_confirm(session: Session, case: Case, row: Shipment) -> None:
    call = open_task(
        session,
        TaskKind.CALL_ABOUT_RECEIPT,
        party=Party.PHARMACY,
        owner_id=case.world.pharmacy.id,
        subject=Subject("shipment", row.id),
        due_at=clock.now(),
    )
    assert not receipts.receipt_confirmed(session, case.episode.id)
    result = answer(session, case, row)
    assert (result.receipt_state, list(result.findings)) == (ReceiptState.CONFIRMED, [])
    assert receipts.receipt_confirmed(session, case.episode.id)
    assert (call.state, timers_of(session, row.id)) == ("completed", {})
    assert [each["party"] for each in emitted(session, EventKind.RECEIPT_CONFIRMED)] == [Party.THERAPIST]
    assert "receipt.answer" in audited(session)


@pytest.mark.parametrize(
    ("count", "seal", "received", "rule"),
    [
        (3, True, True, "shipping.count_short"),
        (5, True, True, "shipping.count_over"),
        (4, False, True, "shipping.seal_broken"),
        (0, True, True, "shipping.count_short"),
        (0, False, False, "shipping.not_received"),
    ],
)
def test_anything_else_is_disputed_and_nothing_may_be_taken(
    session: Session, case: Case, row: Shipment, count: int, seal: bool, received: bool, rule: str
) -> None:
    result = answer(session, case, row, count, seal=seal, received=received)
    assert result.receipt_state is ReceiptState.DISPUTED
    assert [finding.rule for finding in result.findings] == [rule]
    assert not receipts.receipt_confirmed(session, case.episode.id)
    assert {each["party"] for each in emitted(session, EventKind.RECEIPT_DISPUTED)} == {
        Party.PHARMACY,
        Party.MEDICAL_TEAM,
        Party.THERAPIST,
    }
    assert timers_of(session, row.id) == {}


def test_what_was_counted_stands_sealed(session: Session, case: Case, row: Shipment) -> None:
    answer(session, case, row, 3)
    kept = session.query(Receipt).one()
    assert box(session, kept.patient_id).open(kept, "answer").reveal() == {
        "received": True,
        "count": 3,
        "seal_intact": True,
        "reason": None,
    }


def test_a_receipt_is_settled_once(session: Session, case: Case, row: Shipment) -> None:
    answer(session, case, row)
    with pytest.raises(IllegalTransition):
        answer(session, case, row, 3)
    assert len(emitted(session, EventKind.RECEIPT_CONFIRMED)) == 1


def test_what_has_not_left_or_is_gone_cannot_be_received(session: Session, case: Case) -> None:
    shipment = make_shipment(session, case)
    for status, rule in (
        (None, "shipping.not_handed_over"),
        ("pre_transit", "shipping.not_handed_over"),
        ("failure", "shipping.parcel_gone"),
    ):
        if status is not None:
            report(session, shipment, status, detail="lost" if status == "failure" else None)
        with pytest.raises(RuleRefused) as refusal:
            answer(session, case, shipment)
        assert refusal.value.rule == rule


def test_a_parcel_in_hand_counts_before_the_carriers_word_and_a_missing_one_does_not(
    session: Session, case: Case
) -> None:
    shipment = make_shipment(session, case)
    report(session, shipment, "out_for_delivery")
    with pytest.raises(RuleRefused) as refusal:
        answer(session, case, shipment, received=False)
    assert refusal.value.rule == "shipping.not_delivered_yet"
    assert answer(session, case, shipment).receipt_state is ReceiptState.CONFIRMED


def test_damage_that_the_carrier_reported_disputes_even_a_good_count(session: Session, case: Case) -> None:
    shipment = make_shipment(session, case)
    report(session, shipment, "in_transit", detail="damaged")
    result = answer(session, case, shipment)
    assert [finding.rule for finding in result.findings] == ["shipping.damage_on_the_way"]


def test_damage_reported_late_takes_the_confirmation_away(session: Session, case: Case) -> None:
    shipment = make_shipment(session, case)
    report(session, shipment, "out_for_delivery")
    answer(session, case, shipment)
    report(session, shipment, "in_transit", detail="damaged")
    assert not receipts.receipt_confirmed(session, case.episode.id)


@pytest.mark.parametrize("who", ["therapist", "pharmacist", "prescriber"])
def test_only_the_patient_says_what_came(session: Session, case: Case, row: Shipment, who: str) -> None:
    with pytest.raises(NotAllowed):
        receipts.confirm_receipt(session, case.actor(who), row.id, 4, True, True)


def test_another_patient_sees_no_parcel(session: Session, case: Case, row: Shipment) -> None:
    other = make_case(session, world=case.world)
    with pytest.raises(NotFound):
        receipts.confirm_receipt(session, other.patient, row.id, 4, True, True)


def test_the_pharmacy_clears_up_a_miscount_and_not_a_broken_seal(session: Session, case: Case, row: Shipment) -> None:
    answer(session, case, row, 3)
    tracing = open_task(
        session,
        TaskKind.TRACE_SHIPMENT,
        party=Party.PHARMACY,
        owner_id=case.world.pharmacy.id,
        subject=Subject("shipment", row.id),
        due_at=clock.now(),
    )
    pharmacist, reason = case.actor("pharmacist"), Personal("Counted again together.")
    with pytest.raises(NotAllowed):
        receipts.resolve_receipt(session, case.patient, row.id, 4, True, reason)
    for count, seal in ((4, False), (3, True)):
        with pytest.raises(RuleRefused):
            receipts.resolve_receipt(session, pharmacist, row.id, count, seal, reason)
    result = receipts.resolve_receipt(session, pharmacist, row.id, 4, True, reason)
    assert result.receipt_state is ReceiptState.CONFIRMED
    assert receipts.receipt_confirmed(session, case.episode.id)
    assert tracing.state == "cancelled"


def test_what_was_lost_cannot_be_cleared_up(session: Session, case: Case, row: Shipment) -> None:
    answer(session, case, row, received=False)
    pharmacist = case.actor("pharmacist")
    mark(session, pharmacist, row.id, ShipmentStep.MARK_LOST, Personal("Not received."))
    with pytest.raises(RuleRefused):
        receipts.resolve_receipt(session, pharmacist, row.id, 4, True, Personal("Found."))


def text_in(session: Session, case: Case, text: str) -> bool:
    return receipts.confirm_by_sms(session, case.patient, case.episode, read(text))


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Received 4 sealed", "confirmed"),
        ("RECEIVED 4 BROKEN", "disputed"),
        ("received 3 sealed", "disputed"),
        ("Not received", "disputed"),
    ],
)
def test_a_text_settles_the_receipt(session: Session, case: Case, row: Shipment, text: str, state: str) -> None:
    assert text_in(session, case, text)
    assert row.receipt_state == state
    assert session.query(Receipt).one().way == "sms"


def test_the_same_text_again_is_taken_as_given_and_another_goes_to_a_person(
    session: Session, case: Case, row: Shipment
) -> None:
    assert text_in(session, case, "RECEIVED 4 SEALED")
    assert text_in(session, case, "RECEIVED 4 SEALED")
    assert not text_in(session, case, "RECEIVED 3 SEALED")
    assert session.query(Receipt).count() == 1


@pytest.mark.parametrize("text", ["received", "hello", "confirm"])
def test_a_text_that_does_not_say_all_goes_to_a_person(session: Session, case: Case, row: Shipment, text: str) -> None:
    assert not text_in(session, case, text)
    assert row.receipt_state == "awaited"


def test_a_text_that_may_be_about_either_of_two_parcels_goes_to_a_person(
    session: Session, case: Case, row: Shipment
) -> None:
    second = make_shipment(session, case, make_fill(session, case, make_signed(session, case)))
    report(session, second, "in_transit")
    assert text_in(session, case, "RECEIVED 4 SEALED")  # only one has been delivered
    assert (row.receipt_state, second.receipt_state) == ("confirmed", "awaited")
    third = make_shipment(session, case, make_fill(session, case, make_signed(session, case)))
    for shipment in (second, third):
        report(session, shipment, "delivered")
    assert not text_in(session, case, "RECEIVED 4 SEALED")


def test_without_a_parcel_a_text_goes_to_a_person(session: Session, case: Case) -> None:
    assert not text_in(session, case, "NOT RECEIVED")


def test_once_all_is_used_the_next_parcel_must_be_confirmed_first(session: Session, case: Case, row: Shipment) -> None:
    answer(session, case, row)
    assert receipts.received_units(session, case.episode.id) == 4
    amounts = doses.Amounts(dose_mg=200, used_units=3, wasted_units=1)
    doses.note_dose(
        session,
        prescription_id=row.prescription_id,
        session_id=new_id(),
        amounts=amounts,
        taken_at=clock.now(),
    )
    assert not receipts.receipt_confirmed(session, case.episode.id)
    second = make_shipment(
        session, case, make_fill(session, case, make_signed(session, case, first_session_dose_mg=None))
    )
    report(session, second, "delivered")
    assert not receipts.receipt_confirmed(session, case.episode.id)
    answer(session, case, second)
    assert receipts.receipt_confirmed(session, case.episode.id)
