"""Medicines, transport, ratings, infusions and comfort preferences over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.sessions.states import SessionState
from tests.api.conftest import Api, Caller
from tests.factories_prescribing import Case
from tests.factories_programmes import run_under
from tests.factories_sessions import MORNING, book, drive, make_supplied


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MORNING) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    case = make_supplied(session)
    run_under(session, case.episode, {"sessions.transport_sites": ["office"], "sessions.reconcile_medicines": True})
    session.commit()
    return case


@pytest.fixture
def therapist(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.therapist)


def kinds(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [each["kind"] for each in answer.json["checks"]]


def test_medicines_are_gone_through_decided_on_and_let_be_taken_on(
    session: Session, api: Api, case: Case, therapist: Caller
) -> None:
    path = f"/sessions/{book(session, case).id}"
    session.commit()
    prescriber = api.as_account(case.world.prescriber)
    assert kinds(therapist.post(f"{path}/medicines", {"medicines": ["Ativan 1 mg"]})) == ["reconciliation"]
    decision = {"allowed": True, "reason": "Low dose."}
    assert kinds(prescriber.post(f"{path}/medicines-decision", decision))[-1] == "medicines_decided"
    again = prescriber.post(f"{path}/medicines-decision", {"allowed": True})
    assert (again.status_code, again.json["errors"][0]["field"]) == (422, "reason")
    unheld = {"rule": "eligibility.medicine_benzodiazepines", "reason": "Withdrawal."}
    assert kinds(prescriber.post(f"{path}/unheld-medicines", unheld))[-1] == "hold_allowed"
    other = prescriber.post(f"{path}/unheld-medicines", {**unheld, "rule": "eligibility.medicine_opioids"})
    assert (other.status_code, other.json["field"]) == (409, "rule")
    assert kinds(therapist.post(f"{path}/medicines", {}))[-1] == "reconciliation"
    assert therapist.post(f"{path}/medicines-decision", decision).status_code == 403


def test_the_patient_notes_the_transport_and_the_therapist_counts(
    session: Session, api: Api, case: Case, therapist: Caller
) -> None:
    path = f"/sessions/{book(session, case).id}"
    session.commit()
    patient = api.as_patient(case.episode)
    sent = patient.post(f"{path}/transport", {"carried_by": "Pat", "sealed": True, "units": 4})
    assert (sent.status_code, sent.json["checks"]) == (200, None)
    counted = therapist.post(f"{path}/arrival-count", {"units": 3})
    assert kinds(counted) == ["transport", "arrival_count"]
    assert counted.json["checks"][1]["content"] == {"units": 3, "expected_in_all": 4}
    assert patient.post(f"{path}/arrival-count", {"units": 4}).status_code == 403


def test_a_session_is_rated_by_the_patient(
    session: Session, api: Api, case: Case, therapist: Caller, moment: time_machine.Traveller
) -> None:
    run_under(session, case.episode, {"sessions.transport_sites": [], "sessions.reconcile_medicines": False})
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    session.commit()
    answers = {"dissociation": 7, "distress": 2, "nausea": 0, "sedation": 10}
    body = {"session_ratings": answers}
    assert api.as_patient(case.episode).post(f"/sessions/{row.id}/ratings", body).status_code == 200
    (rated,) = [each for each in therapist.get(f"/sessions/{row.id}").json["checks"] if each["kind"] == "ratings"]
    assert (rated["content"]["by"], rated["content"]["trace"]["answers"]) == ("patient", answers)
    missing = therapist.post(f"/sessions/{row.id}/ratings", {"session_ratings": {"distress": 1}})
    assert (missing.status_code, missing.json["field"]) == (409, "session_ratings.dissociation")
    unknown = therapist.post(f"/sessions/{row.id}/ratings", {"meq30": {}})
    assert (unknown.status_code, unknown.json["rule"]) == (409, "sessions.rating_not_asked")


def test_comfort_preferences_are_the_patients(session: Session, api: Api, case: Case, therapist: Caller) -> None:
    row = book(session, case)
    session.commit()
    path = f"/patients/{case.episode.patient_id}/comfort-preferences"
    patient = api.as_patient(case.episode)
    assert (therapist.get(path).json["music"], therapist.get(path).json["version"]) == (None, 0)
    said = patient.patch(path, {"music": "Cello", "eye_mask": True, "talking": "quiet"})
    assert (said.status_code, said.json["eye_mask"], said.headers["ETag"]) == (200, True, f'"{said.json["version"]}"')
    changed = patient.patch(path, {"talking": None}, headers={"If-Match": said.headers["ETag"]}).json
    assert (changed["talking"], changed["music"]) == (None, "Cello")
    assert patient.patch(path, {"music": "Drums"}, headers={"If-Match": said.headers["ETag"]}).status_code == 412
    assert therapist.patch(path, {"music": "Mine"}).status_code == 403
    assert therapist.get(f"/sessions/{row.id}").json["comfort"]["music"] == "Cello"
    assert patient.patch(path, {"resting": "hammock"}).json["errors"][0]["field"] == "resting"
    assert api.as_account(case.world.prescriber).get(path).status_code == 403
