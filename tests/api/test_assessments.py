"""Assessments and what follows from them, over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.people.models import Episode
from tests.api.conftest import Api
from tests.factories import World, make_world
from tests.factories_outcomes import answers, ask, not_responding
from tests.factories_refills import held_dosing_session, phq9
from tests.factories_screening import make_eligible


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_eligible(session, world=world)


def test_a_patient_is_asked_answers_in_parts_and_hands_it_in(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    held_dosing_session(session, episode)
    made = api.as_account(world.therapist).post(f"/episodes/{episode.id}/assessments", {})
    assert made.status_code == 201, made.json
    place = f"/assessments/{made.json['id']}"
    patient = api.as_patient(episode)
    (listed,) = patient.get(f"/episodes/{episode.id}/assessments").json["items"]
    assert (listed["state"], listed["occasion"], listed["number"]) == ("requested", "on_request", None)
    read = patient.get(place).json
    assert [form["id"] for form in read["forms"]] == ["phq9", "gad7", "cssrs_since_last_visit"]
    assert read["forms"][0]["items"][0]["text"]
    assert [each["rule"] for each in read["missing"]] == ["outcomes.scale_unanswered"] * 3
    half = patient.patch(place, {"answers": {"phq9": phq9(8)}})
    assert (half.status_code, half.json["answers"]) == (200, {"phq9": phq9(8)})
    refused = patient.post(f"{place}/complete", {})
    assert (refused.status_code, refused.json["findings"][0]["rule"]) == (409, "outcomes.scale_unanswered")
    patient.patch(place, {"answers": answers(phq9=None)})
    done = patient.post(f"{place}/complete", {})
    assert (done.status_code, done.json["state"], done.json["outcome"]) == (200, "completed", None)
    seen = api.as_account(world.prescriber).get(place).json
    assert (seen["answers"], seen["forms"], seen["outcome"]["scales"][0]["total"]) == (None, [], 8)
    assert seen["outcome"]["scales"][0]["change"] == {
        "drop": 8,
        "percent": 50.0,
        "response": True,
        "remission": False,
        "reliable": None,
        "clinically_significant": None,
    }
    (outcome,) = api.as_account(world.therapist).get(f"/episodes/{episode.id}/outcomes").json["items"]
    assert (outcome["assessment_id"], outcome["reported_by"]) == (made.json["id"], None)


def test_a_positive_item_9_shows_where_help_is(api: Api, session: Session, episode: Episode) -> None:
    place = f"/assessments/{ask(session, episode).id}"
    answer = api.as_patient(episode).patch(place, {"answers": {"phq9": {"q9": 1}}}).json
    assert [resource["number"] for resource in answer["crisis_resources"]] == ["988", "741741", "911"]
    assert answer["cssrs_due_today"] is True


def test_certain_instruments_can_be_asked_for(api: Api, world: World, episode: Episode) -> None:
    made = api.as_account(world.medical_staff).post(f"/episodes/{episode.id}/assessments", {"instruments": ["gad7"]})
    assert (made.status_code, made.json["instruments"]) == (201, ["gad7"])
    again = api.as_account(world.therapist).post(f"/episodes/{episode.id}/assessments", {"instruments": ["gad7"]})
    assert (again.status_code, again.json["rule"]) == (409, "outcomes.assessment_open")
    unknown = api.as_account(world.therapist).post(f"/episodes/{episode.id}/assessments", {"instruments": ["cssrs"]})
    assert unknown.status_code == 422


def test_an_older_version_is_refused(api: Api, session: Session, episode: Episode) -> None:
    place, patient = f"/assessments/{ask(session, episode).id}", api.as_patient(episode)
    tag = patient.get(place).headers["ETag"]
    assert patient.patch(place, {"answers": {"phq9": phq9(8)}}, headers={"If-Match": tag}).status_code == 200
    assert patient.patch(place, {"answers": {"phq9": phq9(9)}}, headers={"If-Match": tag}).status_code == 412


def test_a_treatment_that_does_not_help_is_decided_on(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    row = not_responding(session, episode)
    (listed,) = api.as_account(world.therapist).get(f"/episodes/{episode.id}/response-decisions").json["items"]
    assert (listed["state"], listed["finding"]["rule"]) == ("open", "outcomes.response_decision_needed")
    prescriber = api.as_account(world.prescriber)
    body = {"course": "another_course", "reason": "Four sessions without an effect."}
    decided = prescriber.post(f"/response-decisions/{row.id}/decide", body)
    assert (decided.status_code, decided.json["state"], decided.json["course"]) == (200, "decided", "another_course")
    assert prescriber.get(f"/response-decisions/{row.id}").json == decided.json
    again = prescriber.post(f"/response-decisions/{row.id}/decide", body)
    assert again.status_code == 409
