"""Journals over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.people.models import Episode
from services.people.states import EpisodeState
from tests.api.conftest import Api
from tests.factories import World, make_episode, make_world


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session, programme="isha_health")


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, at=EpisodeState.IN_TREATMENT)


def test_a_patient_reads_prompts_writes_shares_and_takes_back(api: Api, world: World, episode: Episode) -> None:
    patient, therapist = api.as_patient(episode), api.as_account(world.therapist)
    prompts = patient.get(f"/episodes/{episode.id}/prompts").json
    assert len(prompts["to_do_before_session"]) == 3
    body = {"occasion": "after_session", "text": "A blue door.", "prompt": 1}
    made = patient.post(f"/episodes/{episode.id}/journal-entries", body)
    assert (made.status_code, made.json["state"], made.json["crisis_resources"]) == (201, "private", [])
    assert "text" not in made.json
    path = f"/journal-entries/{made.json['id']}"
    assert therapist.get(path).status_code == 404
    assert patient.post(f"{path}/share", headers={"If-Match": '"1"'}).json["state"] == "shared"
    read = therapist.get(path).json
    assert (read["text"], read["prompt"], read["occasion"]) == (
        "A blue door.",
        prompts["after_session"][0],
        "after_session",
    )
    assert [each["id"] for each in therapist.get(f"/episodes/{episode.id}/journal-entries").json["items"]]
    assert patient.post(f"{path}/take-back").json["state"] == "private"
    assert therapist.get(path).status_code == 404
    assert api.as_account(world.prescriber).get(path).status_code == 403


def test_words_of_a_crisis_bring_help_in_the_answer(api: Api, episode: Episode) -> None:
    body = {"occasion": "any_time", "text": "I want to die"}
    made = api.as_patient(episode).post(f"/episodes/{episode.id}/journal-entries", body).json
    assert [each["number"] for each in made["crisis_resources"]] == ["988", "741741", "911"]
