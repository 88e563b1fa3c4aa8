"""Circles over HTTP: what host, therapist and patient are answered, and that nothing tells of another patient."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.people.models import Account
from services.people.states import EpisodeState
from tests.api.conftest import Api, Caller
from tests.factories import World, make_account, make_episode
from tests.factories_matching import make_licensed, make_matching_world


@pytest.fixture
def world(session: Session) -> World:
    return make_matching_world(session)


@pytest.fixture
def host(session: Session, world: World) -> Account:
    return make_licensed(session, make_account(session, organisation=world.practice, full_name="Hana Host"), "CA")


def plan(caller: Caller) -> Any:
    starts_at = clock.now() + timedelta(days=3)
    body = {
        "title": "Evening circle",
        "address": "https://meet.example/abc",
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(hours=1)).isoformat(),
        "capacity": 5,
    }
    made = caller.post("/circles", body)
    assert made.status_code == 201, made.json
    return made.json


def test_a_circle_from_plan_to_cancellation(api: Api, session: Session, world: World, host: Account) -> None:
    first, second = (
        make_episode(session, world=world, at=EpisodeState.IN_TREATMENT, full_name=name)
        for name in ("Ada Canary", "Ben Heron")
    )
    hosting, therapist = api.as_account(host), api.as_account(world.therapist)
    path = f"/circles/{plan(hosting)['id']}"
    places = [therapist.post(f"{path}/places", {"episode_id": str(each.id)}).json for each in (first, second)]
    for each in (first, second):
        assert api.as_patient(each).post(f"{path}/answer", {"accepts": True}).json["state"] == "accepted"
    told = api.as_patient(first).get(path)
    assert (told.json["address"], told.json["own"]["id"]) == ("https://meet.example/abc", places[0]["id"])
    assert (told.json["places"], told.json["capacity"]) == ([], None)
    theirs = [places[1]["id"], str(second.id), str(second.patient_id), "Ben", "Heron"]
    assert [word for word in theirs if word in told.text] == []
    roster = hosting.get(path).json["places"]
    assert [(each["first_name"], each["episode_id"]) for each in roster] == [("Ada", None), ("Ben", None)]
    own = therapist.get(path).json["places"]
    assert [(each["first_name"], each["episode_id"]) for each in own] == [(None, str(first.id)), (None, str(second.id))]
    early = hosting.post(f"/circle-places/{places[0]['id']}/attendance", {"attended": True})
    assert (early.status_code, early.json["findings"][0]["rule"]) == (409, "circles.not_begun")
    assert therapist.post(f"/circle-places/{places[1]['id']}/withdraw").json["state"] == "withdrawn"
    assert api.as_patient(second).get(path).status_code == 404
    assert hosting.post(f"{path}/cancel").json["state"] == "cancelled"
    record = therapist.get(f"/episodes/{first.id}/circle-places").json["items"]
    assert [(each["id"], each["note"]) for each in record] == [(places[0]["id"], None)]
    assert api.as_patient(first).get("/circles").json["items"][0]["state"] == "cancelled"
