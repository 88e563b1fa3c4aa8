"""Eligibility over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.people.models import Episode
from tests.api.conftest import Api
from tests.factories import World, make_world
from tests.factories_screening import history, make_eligible, make_referral, make_screening


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


def test_the_team_reads_the_findings_by_weight(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode, history=history(stroke="present"), medicines=["Diazepam"])
    answer = api.as_account(world.medical_staff).get(f"/episodes/{episode.id}/eligibility")
    assert answer.status_code == 200, answer.json
    (stop,) = answer.json["findings"]["stop"]
    assert (stop["rule"], stop["source"], stop["inputs"]) == ("eligibility.stroke", "DOMAIN 3.1", {"stroke": "present"})
    benzodiazepines = [
        each
        for each in answer.json["findings"]["review"] + answer.json["findings"]["inform"]
        if "medicine" in each["rule"]
    ]
    assert benzodiazepines[0]["setting"] == "eligibility.medicines.benzodiazepine_hold_hours"
    assert benzodiazepines[0]["value"] == 24


def test_each_finding_explains_itself(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode, history=history(breast_feeding="present"), medicines=["Xannax", "Unheardofine"])
    found = api.as_account(world.prescriber).get(f"/episodes/{episode.id}/eligibility").json["findings"]
    for finding in [*found["stop"], *found["review"], *found["inform"]]:
        assert set(finding) == {"rule", "severity", "source", "sentence", "setting", "value", "inputs"}
    by_rule = {each["rule"]: each for each in found["review"]}
    assert by_rule["eligibility.medicine_unclear"]["inputs"] == {
        "medicines": [{"given": "Xannax", "did_you_mean": ["Xanax"]}]
    }
    assert by_rule["eligibility.medicine_unlisted"]["inputs"] == {"medicines": ["Unheardofine"]}


def test_the_therapist_reads_the_outcome_only(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode, history=history(stroke="present"))
    path = f"/episodes/{episode.id}/eligibility"
    declined = api.as_account(world.prescriber).post(
        f"{path}/decision", {"decision": "decline", "reason": "Not safe for this client."}
    )
    assert declined.status_code == 200, declined.json
    seen = api.as_account(world.therapist).get(path)
    assert (seen.json["state"], seen.json["reason"]) == ("declined", "Not safe for this client.")
    assert (seen.json["findings"], seen.json["reasons"]) == (None, None)
    assert b"stroke" not in seen.data
    assert api.as_account(world.pharmacist).get(path).status_code == 403
    assert api.as_patient(episode).get(path).status_code == 403


def test_approving_needs_a_reason_for_each_review(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode, history=history(seizure_disorder="present"))
    prescriber, path = api.as_account(world.prescriber), f"/episodes/{episode.id}/eligibility"
    refused = prescriber.post(f"{path}/decision", {"decision": "approve"})
    assert (refused.status_code, refused.json["field"]) == (409, "reasons")
    assert [finding["rule"] for finding in refused.json["findings"]] == ["eligibility.seizure_disorder"]
    reasons = [{"rule": "eligibility.seizure_disorder", "reason": "None for ten years."}]
    approved = prescriber.post(f"{path}/decision", {"decision": "approve", "reasons": reasons})
    assert approved.status_code == 200, approved.json
    assert (approved.json["state"], approved.json["decided_by"]) == ("approved", str(world.prescriber.id))
    assert approved.json["reasons"]["findings"] == {"eligibility.seizure_disorder": "None for ten years."}
    assert approved.json["valid_until"] is not None


def test_a_stop_is_refused_and_the_refusal_holds_no_answer_of_the_patient(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    make_screening(session, episode, history=history(pregnancy="present"), medicines=["Canarymycin"])
    answer = api.as_account(world.prescriber).post(
        f"/episodes/{episode.id}/eligibility/decision", {"decision": "approve"}
    )
    assert answer.status_code == 409
    assert "eligibility.pregnancy" in {finding["rule"] for finding in answer.json["findings"]}
    assert b"Canary" not in answer.data
    assert all(finding["inputs"] == {} for finding in answer.json["findings"])


def test_the_second_of_two_decisions_is_refused(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode)
    prescriber, path = api.as_account(world.prescriber), f"/episodes/{episode.id}/eligibility"
    etag = prescriber.get(path).headers["ETag"]
    assert prescriber.post(f"{path}/decision", {"decision": "approve"}, headers={"If-Match": etag}).status_code == 200
    stale = prescriber.post(f"{path}/decision", {"decision": "approve"}, headers={"If-Match": etag})
    assert stale.status_code == 412
    again = prescriber.post(f"{path}/decision", {"decision": "decline", "reason": "Changed my mind."})
    assert (again.status_code, again.json["code"]) == (409, "illegal_transition")


def test_asking_lets_the_patient_read_what_is_asked(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode)
    path = f"/episodes/{episode.id}"
    asked = api.as_account(world.prescriber).post(
        f"{path}/eligibility/decision", {"decision": "ask", "reason": "Please measure your blood pressure again."}
    )
    assert (asked.status_code, asked.json["state"]) == (200, "returned")
    patient = api.as_patient(episode)
    newest = patient.get(f"{path}/screenings").json["items"][0]
    assert (newest["round"], newest["state"]) == (2, "opened")
    shown = patient.get(f"/screenings/{newest['id']}").json
    assert shown["request"] == "Please measure your blood pressure again."
    assert shown["missing"] == []


def test_a_decision_can_be_looked_at_anew(api: Api, session: Session, world: World) -> None:
    episode = make_eligible(session, world=world)
    path = f"/episodes/{episode.id}/eligibility"
    answer = api.as_account(world.prescriber).post(f"{path}/rescreen", {"reason": "Half a year has passed."})
    assert (answer.status_code, answer.json["round"]) == (201, 2)
    assert api.as_account(world.therapist).get(path).json["state"] == "superseded"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "perhaps"},
        {"decision": "approve", "reasons": {"eligibility.stroke": "No."}},
        {"decision": "approve", "reasons": [{"rule": "eligibility.stroke"}]},
        {"decision": "decline", "reason": ""},
        {"decision": "decline", "reason": "x" * 4001},
    ],
)
def test_a_decision_that_is_not_one_is_refused(
    api: Api, session: Session, world: World, episode: Episode, body: dict[str, object]
) -> None:
    make_screening(session, episode)
    answer = api.as_account(world.prescriber).post(f"/episodes/{episode.id}/eligibility/decision", body)
    assert answer.status_code == 422


def test_before_the_screening_is_completed_there_is_nothing(api: Api, world: World, episode: Episode) -> None:
    prescriber, path = api.as_account(world.prescriber), f"/episodes/{episode.id}/eligibility"
    assert prescriber.get(path).status_code == 404
    assert prescriber.post(f"{path}/decision", {"decision": "approve"}).status_code == 404
    assert api.as_account(world.medical_staff).post(f"{path}/decision", {"decision": "approve"}).status_code == 403
