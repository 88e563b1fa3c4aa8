"""Refill requests over HTTP, and the prescriber's contacts that the gate counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Role
from services.prescribing.models import PdmpCheck
from services.vault.boxes import box
from tests.api.conftest import Api, Caller
from tests.factories import make_account
from tests.factories_refills import ASKED_AT, Supplied, colleague, make_supplied, phq9, report

COMMENT = "Canary-comment: wants to go on."


@pytest.fixture
def supplied(session: Session) -> Iterator[Supplied]:
    with make_supplied(session) as made:
        session.commit()
        yield made


@pytest.fixture
def therapist(api: Api, supplied: Supplied) -> Caller:
    return api.as_account(supplied.case.world.therapist)


@pytest.fixture
def prescriber(api: Api, supplied: Supplied) -> Caller:
    return api.as_account(supplied.case.world.prescriber)


def body(supplied: Supplied, **changes: Any) -> dict[str, Any]:
    return {"episode_id": str(supplied.episode.id), "remaining_units": 1, "comment": COMMENT, **changes}


def made(therapist: Caller, supplied: Supplied) -> str:
    answer = therapist.post("/refill-requests", body(supplied))
    assert answer.status_code == 201, answer.json
    return f"/refill-requests/{answer.json['id']}"


def test_the_gate_shows_what_is_missing_without_asking(therapist: Caller, supplied: Supplied) -> None:
    answer = therapist.get(f"/episodes/{supplied.episode.id}/refill-gate")
    assert (answer.status_code, answer.json["is_met"]) == (200, False)
    assert [finding["rule"] for finding in answer.json["findings"]] == ["refills.count_missing"]
    assert answer.json["earliest_on"] == ASKED_AT.date().isoformat()
    assert answer.json["facts"]["dispensed_units"] == 4
    assert therapist.get(f"/episodes/{supplied.episode.id}/refill-requests").json["items"] == []


def test_a_request_is_made_read_and_listed(therapist: Caller, prescriber: Caller, supplied: Supplied) -> None:
    answer = therapist.post("/refill-requests", body(supplied))
    assert (answer.status_code, answer.json["state"], answer.headers["ETag"]) == (201, "requested", '"1"')
    assert (answer.json["comment"], answer.json["acts"]) == (COMMENT, [])
    assert prescriber.get(f"/refill-requests/{answer.json['id']}").json == answer.json
    listed = prescriber.get(f"/episodes/{supplied.episode.id}/refill-requests").json["items"]
    assert [(item["id"], "facts" in item, "comment" in item) for item in listed] == [(answer.json["id"], False, False)]


def test_a_refused_request_names_rules_and_the_earliest_day_and_no_health_data(
    therapist: Caller, session: Session, supplied: Supplied
) -> None:
    report(session, supplied.episode, phq9={**phq9(8), "q9": 1})
    session.commit()
    answer = therapist.post("/refill-requests", body(supplied, remaining_units=3))
    assert (answer.status_code, answer.json["code"]) == (409, "rule_refused")
    assert [finding["rule"] for finding in answer.json["findings"]] == [
        "refills.suicide_risk_open",
        "refills.diversion_review_open",
        "refills.count_off",
    ]
    assert all(finding["inputs"] == {} for finding in answer.json["findings"])
    assert COMMENT.encode() not in answer.data
    wrong_count = therapist.post("/refill-requests", body(supplied, remaining_units=2)).json["findings"]
    assert wrong_count[0]["rule"] == "refills.suicide_risk_open"


def test_a_refusal_that_time_or_work_can_mend_names_the_day(
    session: Session, therapist: Caller, supplied: Supplied
) -> None:
    session.execute(delete(PdmpCheck).where(PdmpCheck.episode_id == supplied.episode.id))
    session.commit()
    answer = therapist.post("/refill-requests", body(supplied))
    assert answer.json["rule"] == "refills.pdmp_not_current"
    earliest = answer.json["findings"][-1]
    assert (earliest["rule"], earliest["value"]) == ("refills.earliest_date", ASKED_AT.date().isoformat())


def test_the_same_request_twice_is_a_conflict(therapist: Caller, supplied: Supplied) -> None:
    made(therapist, supplied)
    answer = therapist.post("/refill-requests", body(supplied))
    assert (answer.status_code, answer.json["rule"]) == (409, "refills.request_open")


def test_an_approval_says_how_it_is_supplied(therapist: Caller, prescriber: Caller, supplied: Supplied) -> None:
    path = made(therapist, supplied)
    answer = prescriber.post(f"{path}/approve", {"changed": False, "reason": "Doing well."})
    assert (answer.status_code, answer.json["state"], answer.json["supply"]) == (200, "approved", "next_fill")
    assert answer.json["prescription_id"] == str(supplied.prescription.id)
    assert [(act["step"], act["reason"]) for act in answer.json["acts"]] == [("approve", "Doing well.")]
    assert prescriber.post(f"{path}/decline", {"reason": "No."}).status_code == 409


def test_a_decline_shows_the_therapist_why(therapist: Caller, prescriber: Caller, supplied: Supplied) -> None:
    path = made(therapist, supplied)
    assert prescriber.post(f"{path}/decline", {"reason": "Too soon after the fall."}).status_code == 200
    read = therapist.get(path).json
    assert (read["state"], read["acts"][0]["reason"]) == ("declined", "Too soon after the fall.")


def test_a_question_is_answered_and_the_request_forwarded(
    api: Api, session: Session, therapist: Caller, prescriber: Caller, supplied: Supplied
) -> None:
    path, other = made(therapist, supplied), colleague(session, supplied)
    assert prescriber.post(f"{path}/ask", {"question": "Any dizziness?"}).json["state"] == "returned"
    assert therapist.post(f"{path}/answer", {"answer": "None."}).json["state"] == "requested"
    forwarded = prescriber.post(f"{path}/forward", {"to": str(other.id), "reason": "You know her."})
    assert (forwarded.status_code, forwarded.json["owner_id"]) == (200, str(other.id))
    assert forwarded.json["acts"][-1]["to"] == str(other.id)
    assert api.as_account(other).post(f"{path}/approve", {"changed": True}).json["supply"] == "new_prescription"


def test_a_decision_on_an_older_reading_is_refused(
    session: Session, therapist: Caller, prescriber: Caller, supplied: Supplied
) -> None:
    path, other = made(therapist, supplied), colleague(session, supplied)
    prescriber.post(f"{path}/forward", {"to": str(other.id), "reason": "You know her."})
    late = prescriber.post(f"{path}/approve", {"changed": False}, headers={"If-Match": '"1"'})
    assert late.status_code == 412


def test_an_altered_prescription_is_cancelled_although_the_approval_is_refused(
    session: Session, therapist: Caller, prescriber: Caller, supplied: Supplied
) -> None:
    path = made(therapist, supplied)
    own = box(session, supplied.episode.patient_id)
    content = own.open(supplied.prescription, "content").reveal()
    own.seal(supplied.prescription, "content", {**content, "dose_mg": 190})
    session.commit()
    answer = prescriber.post(f"{path}/approve", {"changed": False})
    assert (answer.status_code, answer.json["rule"]) == (409, "prescribing.signature_not_valid")
    session.expire_all()
    assert supplied.prescription.state == "cancelled"
    assert therapist.get(path).json["state"] == "requested"


STEPS: dict[str, dict[str, Any]] = {
    "approve": {"changed": False},
    "decline": {"reason": "No."},
    "ask": {"question": "Why?"},
    "forward": {"to": "018f0000-0000-7000-8000-000000000000", "reason": "Yours."},
}


def test_only_prescribers_of_the_team_decide(api: Api, session: Session, therapist: Caller, supplied: Supplied) -> None:
    path, world = made(therapist, supplied), supplied.case.world
    others = [
        api.as_account(account) for account in (world.therapist, world.medical_staff, world.pharmacist, world.operator)
    ]
    stranger = api.as_account(make_account(session, Role.PRESCRIBER))
    for step, given in STEPS.items():
        assert [caller.post(f"{path}/{step}", given).status_code for caller in others] == [403] * 4
        assert stranger.post(f"{path}/{step}", given).status_code == 404


def test_the_pharmacy_the_patient_and_strangers_see_nothing(
    api: Api, session: Session, therapist: Caller, supplied: Supplied
) -> None:
    path, episode = made(therapist, supplied), supplied.episode
    paths = (path, f"/episodes/{episode.id}/refill-requests", f"/episodes/{episode.id}/refill-gate")
    for caller in (api.as_account(supplied.case.world.pharmacist), api.as_patient(episode)):
        assert [caller.get(each).status_code for each in paths] == [403, 403, 403]
        assert caller.post("/refill-requests", body(supplied)).status_code == 403
    stranger = api.as_account(make_account(session))
    assert [stranger.get(each).status_code for each in paths] == [404, 404, 404]
    assert stranger.post("/refill-requests", body(supplied)).status_code == 404


BAD_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"remaining_units": -1}, "remaining_units"),
    ({"remaining_units": 1001}, "remaining_units"),
    ({"remaining_units": "1"}, "remaining_units"),
    ({"remaining_units": True}, "remaining_units"),
    ({"episode_id": "7"}, "episode_id"),
    ({"comment": "x" * 4001}, "comment"),
    ({"units": 3}, "units"),
]


def test_what_does_not_fit_the_document_is_named(therapist: Caller, supplied: Supplied) -> None:
    for changes, field in BAD_REQUESTS:
        answer = therapist.post("/refill-requests", body(supplied, **changes))
        assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, [field])


BAD_STEPS: list[tuple[str, dict[str, Any]]] = [
    ("approve", {}),
    ("approve", {"changed": "no"}),
    ("approve", {"changed": 0}),
    ("decline", {}),
    ("decline", {"reason": ""}),
    ("ask", {"reason": "Why?"}),
    ("answer", {"answer": "x" * 4001}),
    ("forward", {"to": "somebody", "reason": "Yours."}),
]


def test_a_step_that_does_not_fit_the_document_is_refused(
    therapist: Caller, prescriber: Caller, supplied: Supplied
) -> None:
    path = made(therapist, supplied)
    for step, given in BAD_STEPS:
        caller = therapist if step == "answer" else prescriber
        assert caller.post(f"{path}/{step}", given).status_code == 422, (step, given)


def test_a_contact_is_recorded_by_the_prescriber_and_read_by_those_who_treat(
    therapist: Caller, prescriber: Caller, supplied: Supplied
) -> None:
    path = f"/episodes/{supplied.episode.id}/prescriber-contacts"
    held_at = (clock.now() - timedelta(hours=1)).isoformat()
    answer = prescriber.post(path, {"manner": "video", "held_at": held_at, "note": "Feels steady."})
    assert (answer.status_code, answer.json["manner"], answer.json["note"]) == (201, "video", "Feels steady.")
    assert answer.json in therapist.get(path).json["items"]
    assert therapist.post(path, {"manner": "phone"}).status_code == 403


def test_a_contact_to_come_is_refused(prescriber: Caller, supplied: Supplied) -> None:
    path = f"/episodes/{supplied.episode.id}/prescriber-contacts"
    held_at = (clock.now() + timedelta(hours=1)).isoformat()
    answer = prescriber.post(path, {"manner": "video", "held_at": held_at})
    assert (answer.status_code, answer.json["rule"]) == (409, "refills.contact_in_the_future")
    assert prescriber.post(path, {"manner": "letter"}).status_code == 422
