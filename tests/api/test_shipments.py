"""Shipments over HTTP: leaving, being received, being established as lost."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core.ids import new_id
from services.prescribing.models import Fill
from services.shipping.models import Shipment
from tests.api.conftest import Api, Caller
from tests.factories import make_world
from tests.factories_prescribing import (
    Case,
    home_of,
    make_case,
    make_fill,
    make_shipment,
    make_signed,
    report,
)


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def fill(session: Session, case: Case) -> Fill:
    made = make_fill(session, case, make_signed(session, case))
    session.commit()
    return made


@pytest.fixture
def delivered(session: Session, case: Case, fill: Fill) -> Shipment:
    row = make_shipment(session, case, fill)
    report(session, row, "delivered")
    session.commit()
    return row


@pytest.fixture
def pharmacist(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.pharmacist)


def body_of(session: Session, case: Case, **changes: Any) -> dict[str, Any]:
    return {
        "carrier": "USPS",
        "tracking_code": "9400 1234 5678",
        "ship_to": home_of(session, case).as_dict(),
        **changes,
    }


def test_a_parcel_leaves_is_listed_and_read_by_role(
    session: Session, api: Api, case: Case, fill: Fill, pharmacist: Caller
) -> None:
    made = pharmacist.post(f"/fills/{fill.id}/shipments", body_of(session, case))
    document = made.get_json()
    assert (made.status_code, document["state"], document["quantity"]) == (201, "registered", 4)
    assert made.headers["ETag"] == f'"{document["version"]}"'
    path = f"/shipments/{document['id']}"
    seen = {who: api.as_account(getattr(case.world, who)).get(path).get_json() for who in ("therapist", "prescriber")}
    patient = api.as_patient(case.episode).get(path).get_json()
    assert (seen["therapist"]["tracking_code"], seen["therapist"]["quantity"]) == (None, None)
    assert (seen["prescriber"]["ship_to"], seen["prescriber"]["quantity"]) == (None, 4)
    assert patient["tracking_code"] == "9400 1234 5678"
    for caller in (pharmacist, api.as_account(case.world.therapist), api.as_patient(case.episode)):
        page = caller.get(f"/episodes/{case.episode.id}/shipments").get_json()
        assert [item["id"] for item in page["items"]] == [document["id"]]


def test_a_workplace_is_409_naming_field_and_rule(session: Session, case: Case, fill: Fill, pharmacist: Caller) -> None:
    place = case.world.practice
    there = {name: getattr(place, name) for name in ("street", "city", "state", "postal_code")}
    answer = pharmacist.post(f"/fills/{fill.id}/shipments", body_of(session, case, ship_to=there))
    document = answer.get_json()
    assert (answer.status_code, document["field"]) == (409, "ship_to")
    assert "shipping.ship_to_practice" in {finding["rule"] for finding in document["findings"]}


FIELDS: list[tuple[str, object, int]] = [
    ("carrier", "", 422),
    ("carrier", "US PS", 422),
    ("tracking_code", "x", 422),
    ("tracking_code", "ab'c; --", 422),
    ("delivery_confirmation", "NO_SIGNATURE", 409),
    ("delivery_confirmation", "no", 422),
    ("ship_to", {"street": "x"}, 422),
    ("ship_to", "12 Home Lane", 422),
    ("address_reason", "", 422),
    ("quantity", 3, 422),
    ("carrier", "Nobody", 201),
]


def test_each_field_is_judged_by_the_document_or_by_a_rule(
    session: Session, case: Case, fill: Fill, pharmacist: Caller
) -> None:
    for field, value, status in FIELDS:
        answer = pharmacist.post(f"/fills/{fill.id}/shipments", body_of(session, case, **{field: value}))
        assert answer.status_code == status, (field, value, answer.get_json())
    assert session.query(Shipment).count() == 1


def test_an_altered_prescription_ships_nothing_and_stays_cancelled(
    session: Session, case: Case, fill: Fill, pharmacist: Caller
) -> None:
    session.execute(text("UPDATE prescriptions SET expires_on = expires_on + 30"))
    session.commit()
    session.expire_all()
    answer = pharmacist.post(f"/fills/{fill.id}/shipments", body_of(session, case))
    assert (answer.status_code, answer.get_json()["rule"]) == (409, "prescribing.signature_not_valid")
    assert session.execute(text("SELECT state FROM prescriptions")).scalars().all() == ["cancelled"]


def test_the_patient_confirms_and_a_wrong_count_is_disputed(
    api: Api, case: Case, delivered: Shipment, pharmacist: Caller
) -> None:
    patient = api.as_patient(case.episode)
    path = f"/shipments/{delivered.id}/receipt"
    short = patient.post(path, {"received": True, "count": 3, "seal_intact": True})
    document = short.get_json()
    assert (short.status_code, document["receipt_state"]) == (200, "disputed")
    assert [finding["rule"] for finding in document["findings"]] == ["shipping.count_short"]
    again = patient.post(path, {"received": True, "count": 4, "seal_intact": True})
    assert (again.status_code, again.get_json()["code"]) == (409, "illegal_transition")
    cleared = pharmacist.post(f"{path}/resolution", {"count": 4, "seal_intact": True, "reason": "Miscounted."})
    assert (cleared.status_code, cleared.get_json()["receipt_state"]) == (200, "confirmed")


UNFIT: list[dict[str, object]] = [
    {},
    {"received": True},
    {"received": True, "count": 4},
    {"received": "yes", "count": 4, "seal_intact": True},
    {"received": True, "count": -1, "seal_intact": True},
    {"received": True, "count": 4.5, "seal_intact": True},
    {"received": True, "count": 4, "seal_intact": 1},
]


def test_an_answer_is_whole_or_422(session: Session, api: Api, case: Case, delivered: Shipment) -> None:
    patient = api.as_patient(case.episode)
    for body in UNFIT:
        assert patient.post(f"/shipments/{delivered.id}/receipt", body).status_code == 422, body
    assert delivered.receipt_state == "awaited"


def test_a_person_establishes_a_loss_with_a_reason(case: Case, delivered: Shipment, pharmacist: Caller) -> None:
    path = f"/shipments/{delivered.id}"
    assert pharmacist.post(f"{path}/lost", {}).status_code == 422
    assert pharmacist.post(f"{path}/lost", {"reason": " "}).status_code == 409
    stale = pharmacist.post(f"{path}/lost", {"reason": "Stolen."}, headers={"If-Match": '"99"'})
    assert stale.status_code == 412
    lost = pharmacist.post(f"{path}/lost", {"reason": "Stolen."})
    assert (lost.status_code, lost.get_json()["state"], lost.get_json()["reason"]) == (200, "lost", "Stolen.")
    assert pharmacist.post(f"{path}/returned", {"reason": "Back."}).status_code == 409


def test_who_may_not_is_403_and_who_may_not_see_is_404(
    session: Session, api: Api, case: Case, fill: Fill, delivered: Shipment
) -> None:
    receipt = {"received": True, "count": 4, "seal_intact": True}
    prescriber = api.as_account(case.world.prescriber)
    assert prescriber.post(f"/fills/{fill.id}/shipments", body_of(session, case)).status_code == 403
    assert prescriber.post(f"/shipments/{delivered.id}/receipt", receipt).status_code == 403
    assert prescriber.post(f"/shipments/{delivered.id}/lost", {"reason": "Gone."}).status_code == 403
    world = make_world(session)
    stranger, other_case = api.as_account(world.pharmacist), make_case(session, world=world)
    assert stranger.post(f"/fills/{fill.id}/shipments", body_of(session, case)).status_code == 404
    assert stranger.get(f"/shipments/{delivered.id}").status_code == 404
    assert stranger.get(f"/shipments/{new_id()}").status_code == 404
    assert stranger.get(f"/episodes/{case.episode.id}/shipments").status_code == 404
    other = api.as_patient(other_case.episode)
    assert other.post(f"/shipments/{delivered.id}/receipt", receipt).status_code == 404
