"""Screenings over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.people.models import Episode
from services.screening.answer_sheets import Part
from tests.api.conftest import Api, Caller
from tests.factories import World, make_world
from tests.factories_programmes import run_under
from tests.factories_screening import agree_to_treatment, answers, make_referral, make_screening, open_round


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


@pytest.fixture
def patient(api: Api, episode: Episode) -> Caller:
    return api.as_patient(episode)


@pytest.fixture
def path(session: Session, episode: Episode) -> str:
    return f"/screenings/{open_round(session, episode).id}"


def whole(**parts: Any) -> dict[str, Any]:
    """A whole screening as JSON."""
    given = {part.value: value for part, value in answers(**parts).items()}
    for reading in given.get(Part.BLOOD_PRESSURES, []):
        reading["taken_at"] = reading["taken_at"].isoformat()
    return given


def test_the_form_holds_instruments_and_history(patient: Caller) -> None:
    form = patient.get("/instruments")
    assert form.status_code == 200, form.json
    assert [each["id"] for each in form.json["items"]] == [
        "phq9", "gad7", "cssrs", "cssrs_since_last_visit", "audit_c", "b_ipf", "pcl5", "session_ratings"
    ]  # fmt: skip
    phq9 = form.json["items"][0]
    assert len(phq9["items"]) == 10
    assert (phq9["items"][8]["low"], phq9["items"][8]["high"], len(phq9["items"][8]["labels"])) == (0, 3, 4)
    assert phq9["credit"]
    conditions = {question["condition"]: question["answers"] for question in form.json["history"]}
    assert conditions["cystitis"]["past"] == "Yes, in the past"


def test_a_screening_is_answered_in_parts_and_handed_in(
    api: Api, session: Session, world: World, episode: Episode, patient: Caller, path: str
) -> None:
    agree_to_treatment(session, episode)
    fresh = patient.get(path)
    asked = ["history", "medicines", "phq9", "gad7", "cssrs", "blood_pressures"]
    assert fresh.json["asked"] == asked
    assert [gap["part"] for gap in fresh.json["missing"]] == asked
    for part, value in whole().items():
        saved = patient.patch(path, {part: value})
        assert saved.status_code == 200, saved.json
        assert (saved.json["crisis_resources"], saved.json["results"]) == ([], None)
    assert saved.json["missing"] == []
    done = patient.post(f"{path}/complete", headers={"If-Match": saved.headers["ETag"]})
    assert done.status_code == 200, done.json
    assert (done.json["state"], done.json["answers"]["medicines"]["value"]) == ("completed", ["Sertraline 50 mg"])
    seen = api.as_account(world.therapist).get(path).json
    assert (seen["answers"], seen["results"]["scores"]["phq9"]["total"]) == (None, 16)
    assert api.as_account(world.prescriber).get(path).json["answers"]["medicines"] is not None
    assert api.as_account(world.pharmacist).get(path).status_code == 403
    assert patient.patch(path, {"medicines": []}).status_code == 409


def test_an_area_that_does_not_apply_is_said_so(session: Session, episode: Episode, patient: Caller, path: str) -> None:
    run_under(session, episode, {"screening.instruments": ["b_ipf", "audit_c"]})
    given = {"b_ipf": {"q1": "not_applicable", "q2": 5.0, "q3": None}, "statements": {"sex": "male"}}
    saved = patient.patch(path, given)
    assert saved.status_code == 200, saved.json
    assert saved.json["answers"]["b_ipf"]["value"] == {"q1": "not_applicable", "q2": 5}
    assert saved.json["answers"]["statements"]["value"] == {"sex": "male"}


def test_handing_in_names_everything_that_is_missing(patient: Caller, path: str) -> None:
    patient.patch(path, {"phq9": {"q1": 1}})
    refused = patient.post(f"{path}/complete")
    assert (refused.status_code, refused.json["code"]) == (409, "rule_refused")
    rules = [finding["rule"] for finding in refused.json["findings"]]
    assert rules.count("screening.part_missing") == 5
    assert {"screening.part_unfinished", "screening.treatment_consent"} <= set(rules)


def test_a_positive_item_9_brings_the_crisis_resources_at_once(
    api: Api, world: World, episode: Episode, patient: Caller, path: str
) -> None:
    saved = patient.patch(path, {"phq9": {"q9": 2}})
    assert [each["number"] for each in saved.json["crisis_resources"]] == ["988", "741741", "911"]
    assert saved.json["cssrs_due_today"] is True
    assert patient.get(path).json["crisis_resources"] == saved.json["crisis_resources"]
    (flag,) = api.as_account(world.therapist).get(f"/episodes/{episode.id}/risk-flags").json["items"]
    assert flag["triage"]["blocks_shipping"] is True
    assert patient.get(f"/episodes/{episode.id}/risk-flags").status_code == 403
    cleared = api.as_account(world.prescriber).post(
        f"/risk-flags/{flag['id']}/clear", {"reason": "Safety plan made."}, headers={"If-Match": '"1"'}
    )
    assert cleared.status_code == 200, cleared.json
    assert (cleared.json["state"], cleared.json["reason"]) == ("cleared", "Safety plan made.")
    assert cleared.json["cleared_by"] == str(world.prescriber.id)
    assert api.as_account(world.therapist).get(f"/episodes/{episode.id}").json["risk"]["flags"] == []


@pytest.mark.parametrize(
    ("part", "value", "status", "field"),
    [
        ("phq9", {"q1": 4}, 422, "phq9.q1"),
        ("phq9", {"q1": "2"}, 422, "phq9.q1"),
        ("phq9", {"q1": 1.5}, 422, "phq9.q1"),
        ("phq9", {"q10": 1}, 422, "phq9.q10"),
        ("cssrs", {"q1": "yes"}, 422, "cssrs.q1"),
        ("cssrs", {"q1": 1}, 422, "cssrs.q1"),
        ("history", {"stroke": "controlled"}, 422, "history.stroke"),
        ("history", {"hangover": "present"}, 422, "history.hangover"),
        ("b_ipf", {"q1": 7}, 422, "b_ipf.q1"),
        ("b_ipf", {"q1": "n/a"}, 422, "b_ipf.q1"),
        ("b_ipf", {"q1": True}, 422, "b_ipf.q1"),
        ("b_ipf", {"q1": "not_applicable"}, 409, "b_ipf"),
        ("audit_c", {"q1": "not_applicable"}, 422, "audit_c.q1"),
        ("statements", {"sex": "unknown"}, 422, "statements.sex"),
        ("medicines", "Sertraline", 422, "medicines"),
        ("medicines", ["x" * 121], 422, "medicines.0"),
        ("medicines", ["  "], 409, "medicines"),
        ("medicines", ["a\u0000b"], 422, "medicines.0"),
        ("blood_pressures", [{"systolic": 120, "diastolic": 80}], 422, "blood_pressures.0.taken_at"),
        ("statements", {"remission_months": -1}, 422, "statements.remission_months"),
    ],
)
def test_an_answer_that_does_not_fit_is_named_and_nothing_is_saved(
    patient: Caller, path: str, part: str, value: Any, status: int, field: str
) -> None:
    answer = patient.patch(path, {"gad7": {"q1": 1}, part: value})
    named = answer.json["errors"][0]["field"] if status == 422 else answer.json["field"]
    assert (answer.status_code, named) == (status, field)
    assert patient.get(path).json["answers"] == {}


@pytest.mark.parametrize(
    ("systolic", "diastolic", "days", "field"),
    [(261, 80, 0, "systolic"), (120, 20, 0, "diastolic"), (90, 95, 0, "diastolic"), (120, 80, 40, "taken_at")],
)
def test_an_impossible_blood_pressure_is_refused_by_rule(
    patient: Caller, path: str, systolic: int, diastolic: int, days: int, field: str
) -> None:
    taken_at = (clock.now() - timedelta(days=days)).isoformat()
    reading = {"systolic": systolic, "diastolic": diastolic, "taken_at": taken_at}
    answer = patient.patch(path, {"blood_pressures": [reading]})
    assert (answer.status_code, answer.json["field"]) == (409, f"blood_pressures.{field}")


def test_a_lost_update_is_refused(patient: Caller, path: str) -> None:
    etag = patient.get(path).headers["ETag"]
    assert patient.patch(path, {"medicines": []}, headers={"If-Match": etag}).status_code == 200
    assert patient.patch(path, {"medicines": ["Zinc"]}, headers={"If-Match": etag}).status_code == 412
    assert patient.post(f"{path}/complete", headers={"If-Match": etag}).status_code == 412


def test_a_screening_is_the_patients_own(api: Api, session: Session, world: World, path: str) -> None:
    other = make_world(session)
    stranger = make_referral(session, world=world).episode
    assert api.as_patient(stranger).patch(path, {"medicines": []}).status_code == 404
    assert api.as_account(world.therapist).patch(path, {"medicines": []}).status_code == 403
    assert api.as_account(other.therapist).get(path).status_code == 404
    assert api.anonymous().get(path).status_code == 401


def test_the_rounds_of_an_episode_are_listed(api: Api, session: Session, world: World, episode: Episode) -> None:
    screening = make_screening(session, episode)
    shown = api.as_account(world.medical_staff).get(f"/episodes/{episode.id}/screenings").json["items"]
    assert [(item["id"], item["round"], item["state"]) for item in shown] == [(str(screening.id), 1, "completed")]


def test_a_misspelt_medicine_is_asked_about_at_entry_and_stays_as_given(
    api: Api, session: Session, world: World, episode: Episode, patient: Caller, path: str
) -> None:
    agree_to_treatment(session, episode)
    saved = patient.patch(path, whole(medicines=["Zoloft 50 mg", "Xannax 0.5 mg", "Unheardofine"]))
    assert saved.json["unclear_medicines"] == [{"given": "Xannax 0.5 mg", "did_you_mean": ["Xanax"]}]
    assert saved.json["answers"]["medicines"]["value"] == ["Zoloft 50 mg", "Xannax 0.5 mg", "Unheardofine"]
    done = patient.post(f"{path}/complete", headers={"If-Match": saved.headers["ETag"]})
    assert done.json["unclear_medicines"] == saved.json["unclear_medicines"]
    assert api.as_account(world.prescriber).get(path).json["unclear_medicines"] == saved.json["unclear_medicines"]
    # The therapist does not see what the patient takes.
    assert api.as_account(world.therapist).get(path).json["unclear_medicines"] == []
