"""Outcomes over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.people.models import Episode
from tests.api.conftest import Api
from tests.factories import World, make_account, make_world
from tests.factories_refills import gad7, held_dosing_session, phq9
from tests.factories_screening import make_eligible

CLEAR = {"q1": False, "q2": False, "q6": False}


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_eligible(session, world=world)


def body(**changes: Any) -> dict[str, Any]:
    answers = {"phq9": phq9(8), "gad7": gad7(5), "cssrs_since_last_visit": CLEAR}
    return {"answers": answers, "summary": "Sleeps better.", **changes}


def test_a_report_is_answered_with_scores_and_their_comparison(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    held_dosing_session(session, episode)
    answer = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", body())
    assert answer.status_code == 201, answer.json
    phq, gad, screener = answer.json["scales"]
    assert (phq["scale"], phq["total"], phq["band"], phq["baseline"]) == ("phq9", 8, "mild", 16)
    assert (phq["outcome"], gad["outcome"], screener["total"]) == ("response", None, None)
    assert (answer.json["cssrs_level"], answer.json["crisis_resources"]) == ("none", [])
    assert answer.json["summary"] == "Sleeps better."


def test_a_report_can_be_read_and_listed_by_the_medical_team(api: Api, world: World, episode: Episode) -> None:
    made = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", body()).json
    team = api.as_account(world.medical_staff)
    assert team.get(f"/outcomes/{made['id']}").json == made
    assert team.get(f"/episodes/{episode.id}/outcomes").json == {"items": [made], "next": None}


def test_a_summary_alone_is_a_report(api: Api, world: World, episode: Episode) -> None:
    answer = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", {"summary": "Went well."})
    assert (answer.status_code, answer.json["scales"]) == (201, [])


def test_a_positive_item_9_shows_where_help_is(api: Api, world: World, episode: Episode) -> None:
    given = body(answers={"phq9": {**phq9(8), "q9": 1}})
    answer = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", given)
    assert [resource["number"] for resource in answer.json["crisis_resources"]] == ["988", "741741", "911"]
    assert answer.json["cssrs_due_today"] is True


BAD_REPORTS: list[tuple[dict[str, Any], str]] = [
    ({"answers": {"phq9": {"q1": 4}}}, "answers.phq9.q1"),
    ({"answers": {"phq9": {"q1": "2"}}}, "answers.phq9.q1"),
    ({"answers": {"phq9": {"q1": True}}}, "answers.phq9.q1"),
    ({"answers": {"phq9": {"q10": 1}}}, "answers.phq9.q10"),
    ({"answers": {"cssrs_since_last_visit": {"q1": 1}}}, "answers.cssrs_since_last_visit.q1"),
    ({"answers": {"mood": {}}}, "answers.mood"),
    ({"summary": ""}, "summary"),
    ({"summary": "x" * 10_001}, "summary"),
    ({"session_id": "7"}, "session_id"),
    ({"answered_at": "2026-11-20T12:00:00"}, "answered_at"),
    ({"score": 3}, "score"),
]


def test_what_does_not_fit_the_document_is_named(api: Api, world: World, episode: Episode) -> None:
    therapist = api.as_account(world.therapist)
    for changes, field in BAD_REPORTS:
        answer = therapist.post(f"/episodes/{episode.id}/outcomes", body(**changes))
        assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, "outcomes.report_not_empty"),
        ({"answers": {"phq9": {}}}, "outcomes.report_not_empty"),
        (
            {"summary": "x", "answered_at": (clock.now() + timedelta(days=300)).isoformat()},
            "outcomes.answered_in_the_future",
        ),
        ({"summary": "x", "session_id": "018f0000-0000-7000-8000-000000000000"}, "outcomes.session_of_episode"),
    ],
)
def test_what_a_rule_refuses_is_a_conflict_with_the_rule(
    api: Api, world: World, episode: Episode, given: dict[str, Any], rule: str
) -> None:
    answer = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", given)
    assert (answer.status_code, answer.json["rule"]) == (409, rule)


def test_the_pharmacy_and_the_patient_may_not(api: Api, world: World, episode: Episode) -> None:
    made = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", body()).json
    for caller in (api.as_account(world.pharmacist), api.as_patient(episode), api.as_account(world.operator)):
        assert caller.get(f"/outcomes/{made['id']}").status_code == 403
        assert caller.get(f"/episodes/{episode.id}/outcomes").status_code == 403
        assert caller.post(f"/episodes/{episode.id}/outcomes", body()).status_code == 403


def test_another_practice_finds_nothing(api: Api, session: Session, world: World, episode: Episode) -> None:
    made = api.as_account(world.therapist).post(f"/episodes/{episode.id}/outcomes", body()).json
    stranger = api.as_account(make_account(session))
    assert stranger.get(f"/outcomes/{made['id']}").status_code == 404
    assert stranger.get(f"/episodes/{episode.id}/outcomes").status_code == 404
    assert stranger.post(f"/episodes/{episode.id}/outcomes", body()).status_code == 404


def test_a_list_goes_on_behind_its_cursor(api: Api, world: World, episode: Episode) -> None:
    therapist = api.as_account(world.therapist)
    made = [therapist.post(f"/episodes/{episode.id}/outcomes", {"summary": f"No {n}"}).json["id"] for n in range(3)]
    first = therapist.get(f"/episodes/{episode.id}/outcomes?limit=2").json
    rest = therapist.get(f"/episodes/{episode.id}/outcomes?limit=2&cursor={first['next']}").json
    assert [item["id"] for item in (*first["items"], *rest["items"])] == made[::-1]
    assert rest["next"] is None
