"""Parcels leaving the pharmacy: where to, how, under which conditions; what people establish later; who sees what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility.decisions import screen_again
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people import episodes
from services.people.attempts import Refused
from services.people.locations import LocationDetails, create_location
from services.people.models import OrganisationKind
from services.people.postal import Address
from services.prescribing import prescriptions
from services.prescribing.models import Fill, Prescription
from services.screening import risk
from services.shipping import shipments
from services.shipping.models import Shipment
from services.shipping.shipments import create_shipment, mark
from services.shipping.states import (
    ShipmentStep,
)
from services.vault.boxes import box
from tests.factories import audited, make_organisation, make_world
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    Case,
    home_of,
    make_case,
    make_fill,
    make_shipment,
    make_signed,
    parcel,
    raise_risk,
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
def fill(session: Session, case: Case) -> Fill:
    return make_fill(session, case, make_signed(session, case))


def refusing_rules(session: Session, case: Case, fill: Fill, **changes: object) -> set[str]:
    with pytest.raises(RuleRefused) as refusal:
        create_shipment(session, case.actor("pharmacist"), fill.id, parcel(session, case, **changes))
    return {finding.rule for finding in refusal.value.findings} or {str(refusal.value.rule)}


def test_a_parcel_goes_home_with_an_adults_signature_and_everybody_hears(
    session: Session, case: Case, fill: Fill
) -> None:
    asked = open_task(
        session,
        TaskKind.SHIP_FILL,
        party=Party.PHARMACY,
        owner_id=case.world.pharmacy.id,
        subject=Subject("fill", fill.id),
        due_at=clock.now(),
    )
    row = make_shipment(session, case, fill)
    assert (row.state, row.tracker_state, row.receipt_state) == ("registered", "pending", "awaited")
    assert row.delivery_confirmation == "ADULT_SIGNATURE_RESTRICTED"
    assert asked.state == "completed"
    assert {each["party"] for each in emitted(session, EventKind.SHIPMENT_CREATED)} == {
        Party.PHARMACY,
        Party.PATIENT,
        Party.THERAPIST,
    }
    assert timers_of(session, row.id) == {"shipment.silence_due": NOON + timedelta(hours=24)}
    assert "shipment.create" in audited(session)


def test_code_address_and_count_stand_sealed(session: Session, case: Case, fill: Fill) -> None:
    row = make_shipment(session, case, fill, tracking_code=Personal("MARKED12345"))
    session.flush()
    stored = session.execute(text("SELECT s::text FROM shipments s WHERE id = :id"), {"id": row.id}).scalar_one()
    assert "MARKED" not in stored
    assert "Home Lane" not in stored
    assert box(session, row.patient_id).open(row, "quantity").reveal() == 4


def test_the_label_carries_the_home_of_record_however_it_was_typed(session: Session, case: Case, fill: Fill) -> None:
    home = home_of(session, case)
    typed = replace(home, street=home.street.upper().replace("LANE", "Ln."), city="oakland")
    row = make_shipment(session, case, fill, ship_to=Personal(typed))
    assert box(session, row.patient_id).open(row, "ship_to").reveal() == home.as_dict()


def test_another_address_than_the_patients_home_is_refused(session: Session, case: Case, fill: Fill) -> None:
    elsewhere = replace(home_of(session, case), street="99 Other Street")
    assert refusing_rules(session, case, fill, ship_to=Personal(elsewhere)) == {"shipping.ship_to_not_home"}
    assert session.query(Shipment).count() == 0


@pytest.mark.parametrize("which", ["practice", "medical_team", "pharmacy"])
def test_a_workplace_is_refused_and_named(session: Session, case: Case, fill: Fill, which: str) -> None:
    place = getattr(case.world, which)
    there = Address(street=place.street, city=place.city, state=place.state, postal_code=place.postal_code)
    found = refusing_rules(session, case, fill, ship_to=Personal(there))
    assert found == {"shipping.ship_to_not_home", "shipping.ship_to_practice"}


def test_a_location_of_a_practice_is_a_workplace_too(session: Session, case: Case, fill: Fill) -> None:
    there = {"street": "7 Harbor Way", "city": "Oakland", "state": "CA", "postal_code": "94607"}
    details = LocationDetails(practice_id=case.world.practice.id, name="Harbor Clinic", **there)
    create_location(session, SYSTEM, details)
    found = refusing_rules(session, case, fill, ship_to=Personal(Address(**there)))
    assert found == {"shipping.ship_to_not_home", "shipping.ship_to_practice"}


def test_a_practice_that_gives_itself_out_as_the_patients_home_is_refused_too(session: Session) -> None:
    world = make_world(session)
    place = world.practice
    there = Address(street=place.street, city=place.city, state=place.state, postal_code=place.postal_code)
    case = make_case(session, world=world, address=there)
    fill = make_fill(session, case, make_signed(session, case))
    assert refusing_rules(session, case, fill) == {"shipping.ship_to_practice"}


def test_a_home_in_the_house_of_a_clinic_needs_a_reason(session: Session, case: Case, fill: Fill) -> None:
    home = home_of(session, case)
    make_organisation(
        session,
        OrganisationKind.PRACTICE,
        street=f"{home.street} Suite 900",
        postal_code=home.postal_code,
    )
    assert refusing_rules(session, case, fill) == {"shipping.ship_to_house_of_practice"}
    assert refusing_rules(session, case, fill, address_reason=Personal(" ")) == {"shipping.ship_to_house_of_practice"}
    row = make_shipment(session, case, fill, address_reason=Personal("Lives above the clinic."))
    assert box(session, row.patient_id).open(row, "address_reason").reveal() == "Lives above the clinic."


@pytest.mark.parametrize(
    ("carrier", "confirmation", "rule"),
    [
        ("USPS", "NO_SIGNATURE", "shipping.confirmation_refused"),
        ("UPS", "INDIRECT_SIGNATURE", "shipping.confirmation_refused"),
        ("USPS", "ADULT_SIGNATURE", "shipping.confirmation_other"),
        ("FedEx", "SIGNATURE", "shipping.confirmation_other"),
    ],
)
def test_only_an_adults_signature_will_do(
    session: Session, case: Case, fill: Fill, carrier: str, confirmation: str, rule: str
) -> None:
    found = refusing_rules(session, case, fill, carrier=carrier, delivery_confirmation=confirmation)
    assert found == {rule}


@pytest.mark.parametrize("high", [True, False])
def test_nothing_ships_while_a_suicide_risk_waits_for_a_clinician(
    session: Session, case: Case, fill: Fill, high: bool
) -> None:
    flag_id = raise_risk(session, case, high=high)
    assert refusing_rules(session, case, fill) == {"shipping.risk_open"}
    risk.clear(session, case.prescriber, flag_id, Personal("Spoke with the patient."))
    make_shipment(session, case, fill)


def test_without_a_therapist_of_record_nothing_ships(session: Session, case: Case, fill: Fill) -> None:
    episodes.change_therapist(session, case.prescriber, case.episode.id, None)
    assert refusing_rules(session, case, fill) == {"shipping.no_therapist"}


def test_what_was_signed_and_filled_does_not_ship_once_the_eligibility_is_looked_at_anew(
    session: Session, case: Case, fill: Fill
) -> None:
    screen_again(session, case.prescriber, case.episode.id, Personal("Your blood pressure has changed."))
    assert refusing_rules(session, case, fill) == {"shipping.not_eligible"}


def test_a_fill_that_the_pharmacy_lost_a_moment_ago_does_not_ship(session: Session, case: Case, fill: Fill) -> None:
    assert fill.undelivered_at is None
    # As another transaction commits it while this one waits for the prescription.
    session.execute(text("UPDATE fills SET undelivered_at = now()"))
    assert refusing_rules(session, case, fill) == {"shipping.fill_gone"}


def test_what_was_filled_in_time_is_not_sent_after_the_prescriptions_last_day(
    session: Session, case: Case, fill: Fill, moment: time_machine.Traveller
) -> None:
    last_day = session.get_one(Prescription, fill.prescription_id).expires_on
    assert last_day is not None
    session.execute(text("UPDATE eligibility_decisions SET valid_until = '2028-01-01'"))
    # Noon in California, and so the day after it there.
    moment.move_to(datetime(last_day.year, last_day.month, last_day.day, 20, tzinfo=UTC) + timedelta(days=1))
    assert refusing_rules(session, case, fill) == {"shipping.prescription_over"}
    moment.shift(-timedelta(days=1))
    assert create_shipment(session, case.actor("pharmacist"), fill.id, parcel(session, case))


def test_nothing_ships_on_a_cancelled_prescription(session: Session, case: Case, fill: Fill) -> None:
    prescriptions.cancel(session, case.prescriber, fill.prescription_id, Personal("Stop."))
    assert refusing_rules(session, case, fill) == {"shipping.not_signed"}


def test_an_altered_prescription_ships_nothing(session: Session, case: Case, fill: Fill) -> None:
    session.execute(text("UPDATE prescriptions SET issued_on = '2026-11-22'"))
    session.expire_all()
    refused = create_shipment(session, case.actor("pharmacist"), fill.id, parcel(session, case))
    assert isinstance(refused, Refused)
    assert session.query(Shipment).count() == 0
    assert len(emitted(session, EventKind.PRESCRIPTION_CANCELLED)) == 2


def test_a_fill_travels_once_and_again_only_after_its_label_was_cancelled(
    session: Session, case: Case, fill: Fill
) -> None:
    first = make_shipment(session, case, fill)
    assert refusing_rules(session, case, fill) == {"shipping.already_shipped"}
    report(session, first, "cancelled")
    assert make_shipment(session, case, fill).state == "registered"


def test_a_tracking_code_belongs_to_one_parcel_however_it_is_typed(session: Session, case: Case, fill: Fill) -> None:
    make_shipment(session, case, fill, tracking_code=Personal("9400 1111 aa"))
    other = make_case(session, world=case.world)
    second = make_fill(session, other, make_signed(session, other))
    code = Personal("94001111-AA")
    assert refusing_rules(session, other, second, tracking_code=code) == {"shipping.tracking_code_taken"}


@pytest.mark.parametrize("who", ["prescriber", "medical_staff", "therapist"])
def test_only_the_pharmacy_ships_and_establishes(session: Session, case: Case, fill: Fill, who: str) -> None:
    row = make_shipment(session, case, fill)
    with pytest.raises(NotAllowed):
        create_shipment(session, case.actor(who), fill.id, parcel(session, case))
    with pytest.raises(NotAllowed):
        mark(session, case.actor(who), row.id, ShipmentStep.MARK_LOST, Personal("Gone."))


def test_a_stranger_sees_no_fill_and_no_shipment(session: Session, case: Case, fill: Fill) -> None:
    row = make_shipment(session, case, fill)
    stranger = make_world(session).actor("pharmacist")
    for shipment_id in (row.id, new_id()):
        with pytest.raises(NotFound):
            shipments.read_shipment(session, stranger, shipment_id)
    for fill_id in (fill.id, new_id()):
        with pytest.raises(NotFound):
            create_shipment(session, stranger, fill_id, parcel(session, case))


def test_who_sees_what_of_a_parcel(session: Session, case: Case, fill: Fill) -> None:
    row = make_shipment(session, case, fill)
    actors = {who: case.actor(who) for who in ("pharmacist", "prescriber", "therapist")} | {"patient": case.patient}
    seen = {who: shipments.read_shipment(session, actor, row.id) for who, actor in actors.items()}
    shown = {
        who: {name for name in ("tracking_code", "ship_to", "quantity") if getattr(view, name) is not None}
        for who, view in seen.items()
    }
    everything = {"tracking_code", "ship_to", "quantity"}
    assert shown == {
        "pharmacist": everything,
        "patient": everything,
        "prescriber": {"quantity"},
        "therapist": set(),
    }
    assert audited(session).count("shipment.read") == 4


def test_a_person_moves_a_delivered_parcel_to_lost_and_both_loss_tasks_follow(
    session: Session, case: Case, fill: Fill
) -> None:
    row = make_shipment(session, case, fill)
    report(session, row, "delivered")
    mark(session, case.actor("pharmacist"), row.id, ShipmentStep.MARK_LOST, Personal("The patient never got it."))
    assert (row.state, fill.undelivered_at) == ("lost", NOON)
    assert timers_of(session, row.id) == {}
    assert {each["party"] for each in emitted(session, EventKind.SHIPMENT_LOST)} >= {Party.PHARMACY, Party.MEDICAL_TEAM}
    assert emitted(session, EventKind.DIVERSION_SUSPECTED) == []
    assert box(session, row.patient_id).open(row, "reason").reveal() == "The patient never got it."
    with pytest.raises(IllegalTransition):
        mark(session, case.actor("pharmacist"), row.id, ShipmentStep.MARK_RETURNED, Personal("It came back."))


def test_the_second_loss_of_a_patient_asks_for_a_diversion_review(session: Session, case: Case) -> None:
    pharmacist = case.actor("pharmacist")
    for count in (0, 1):
        row = make_shipment(session, case, make_fill(session, case, make_signed(session, case)))
        mark(session, pharmacist, row.id, ShipmentStep.MARK_LOST, Personal("Gone."))
        assert len(emitted(session, EventKind.DIVERSION_SUSPECTED)) == 2 * count  # medical team and therapist
    fill = make_fill(session, case, make_signed(session, case))
    with pytest.raises(RuleRefused) as refusal:
        make_shipment(session, case, fill)
    assert refusal.value.rule == "shipping.diversion_review_open"


def test_establishing_needs_a_reason_and_the_version_read(session: Session, case: Case, fill: Fill) -> None:
    row = make_shipment(session, case, fill)
    pharmacist = case.actor("pharmacist")
    with pytest.raises(RuleRefused):
        mark(session, pharmacist, row.id, ShipmentStep.MARK_RETURNED, Personal(" "))
    with pytest.raises(StaleVersion):
        mark(session, pharmacist, row.id, ShipmentStep.MARK_RETURNED, Personal("Back."), version=row.version + 1)


def test_what_went_back_counts_as_never_shipped(session: Session, case: Case, fill: Fill) -> None:
    row = make_shipment(session, case, fill)
    assert shipments.shipped_units(session, case.episode.id) == 4
    report(session, row, "return_to_sender")
    assert shipments.shipped_units(session, case.episode.id) == 0
    assert fill.undelivered_at == NOON
