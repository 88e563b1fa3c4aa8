"""Losses, diversion reviews, disposals and quarantine over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.shipping.models import Shipment
from tests.api.conftest import Api
from tests.factories_prescribing import Case, make_case, make_fill, make_signed
from tests.factories_sessions import make_supplied


@pytest.fixture
def case(session: Session) -> Case:
    """Four units of 100 mg at home."""
    made = make_supplied(session)
    session.commit()
    return made


def loss_body(**changes: Any) -> dict[str, Any]:
    return {
        "units": 1,
        "what_happened": "The bag was stolen.",
        "discovered_at": clock.now().isoformat(),
        "is_theft": True,
        **changes,
    }


def test_a_theft_at_home_is_reported_and_told_to_dea(api: Api, case: Case) -> None:
    made = api.as_patient(case.episode).post(f"/episodes/{case.episode.id}/losses", loss_body())
    document = made.get_json()
    assert (made.status_code, document["whereabouts"], document["is_theft"]) == (201, "at_home", True)
    pharmacist = api.as_account(case.world.pharmacist)
    path = f"/losses/{document['id']}"
    body = {"reference": "DEA-41-2026"}
    told = pharmacist.post(f"{path}/dea-notice", body)
    assert (told.status_code, told.get_json()["dea_reference"]) == (200, "DEA-41-2026")
    assert pharmacist.post(f"{path}/dea-notice", body).get_json()["rule"] == "shipping.loss_duty_done"
    filed = pharmacist.post(f"{path}/form-106", body, headers={"If-Match": told.headers["ETag"]})
    assert filed.get_json()["form_106_filed_by"] == str(case.world.pharmacist.id)
    assert api.as_account(case.world.prescriber).get(path).get_json()["details"]["units"] == 1
    page = api.as_account(case.world.therapist).get(f"/episodes/{case.episode.id}/losses").get_json()
    assert [item["id"] for item in page["items"]] == [document["id"]]
    assert "details" not in page["items"][0]


@pytest.mark.parametrize(
    ("changes", "field", "status"),
    [
        ({"units": 5}, "units", 409),
        ({"units": 0}, "units", 422),
        ({"discovered_at": "2100-01-01T00:00:00Z"}, "discovered_at", 409),
        ({"what_happened": ""}, "what_happened", 422),
    ],
)
def test_what_cannot_be_lost_names_its_field(
    api: Api, case: Case, changes: dict[str, Any], field: str, status: int
) -> None:
    answer = api.as_patient(case.episode).post(f"/episodes/{case.episode.id}/losses", loss_body(**changes))
    assert answer.status_code == status
    assert field in str(answer.get_json())


def test_a_fill_stolen_from_the_pharmacy_is_reported(session: Session, api: Api) -> None:
    case = make_case(session)
    fill = make_fill(session, case, make_signed(session, case))
    session.commit()
    body = {"what_happened": "A break-in.", "discovered_at": clock.now().isoformat(), "is_theft": True}
    made = api.as_account(case.world.pharmacist).post(f"/fills/{fill.id}/losses", body)
    assert (made.status_code, made.get_json()["whereabouts"], made.get_json()["details"]["units"]) == (
        201,
        "in_pharmacy",
        4,
    )
    assert made.headers["Location"].endswith(f"/losses/{made.get_json()['id']}")


def test_a_wrong_count_is_reviewed_and_the_ledger_balances_afterwards(api: Api, case: Case) -> None:
    stock = f"/episodes/{case.episode.id}/stock"
    patient, prescriber = api.as_patient(case.episode), api.as_account(case.world.prescriber)
    counted = patient.post(f"{stock}/counts", {"units": 3, "occasion": "transport"}).get_json()
    assert [finding["rule"] for finding in counted["findings"]] == ["sessions.count_off"]
    (review,) = prescriber.get(f"/episodes/{case.episode.id}/diversion-reviews").get_json()["items"]
    path = f"/diversion-reviews/{review['id']}"
    read = prescriber.get(path)
    assert read.get_json()["facts"] == {"occasion": "transport", "expected_units": 4, "counted_units": 3}
    body = {"outcome": "found", "reason": "None was found."}
    assert prescriber.post(f"{path}/resolve", body).get_json()["rule"] == "sessions.resolution_does_not_fit"
    ended = prescriber.post(
        f"{path}/resolve", {**body, "outcome": "lost"}, headers={"If-Match": read.headers["ETag"]}
    ).get_json()
    assert (ended["state"], ended["resolution"]["units"]) == ("resolved", 1)
    ledger = patient.get(stock).get_json()
    assert (ledger["lost"], ledger["at_home"], ledger["dispensed"]) == (1, 3, 4)
    assert [entry["movement"] for entry in ledger["entries"]] == ["dispensed", "received", "lost_at_home"]


def test_leftovers_are_disposed_of_with_an_attestation(api: Api, case: Case) -> None:
    path = f"/episodes/{case.episode.id}/stock/disposals"
    body = {
        "units": 4,
        "method": "take_back_site",
        "witness": "Wilma Witness",
        "attested": False,
        "reason": "Stopping.",
    }
    patient = api.as_patient(case.episode)
    assert patient.post(path, body).get_json()["rule"] == "sessions.attestation_needed"
    made = patient.post(path, {**body, "attested": True})
    assert (made.status_code, made.get_json()["remaining_expected"]) == (201, 0)


def test_a_parcel_that_came_back_is_quarantined(session: Session, api: Api) -> None:
    case = make_supplied(session, confirmed=False)
    (parcel,) = session.scalars(select(Shipment).where(Shipment.episode_id == case.episode.id))
    session.commit()
    pharmacist, path = api.as_account(case.world.pharmacist), f"/shipments/{parcel.id}"
    assert pharmacist.post(f"{path}/returned", {"reason": "Refused."}).status_code == 200
    done = pharmacist.post(f"{path}/quarantine", {"count": 4}).get_json()
    assert (done["state"], done["quarantined_at"] is not None) == ("returned", True)
    assert pharmacist.post(f"{path}/quarantine", {"count": 4}).get_json()["rule"] == "shipping.nothing_to_quarantine"
