"""Finding a therapist over HTTP, from the referral by the medical team to the therapist of record."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.people.models import Account, Episode
from tests.api.conftest import Api, Caller
from tests.factories import World, make_account
from tests.factories_matching import make_licensed, make_matching_world, make_therapist, make_unmatched

PROFILE = {"specialities": ["depression", "ocd"], "capacity": 3, "taking_patients": True}


@pytest.fixture
def world(session: Session) -> World:
    return make_matching_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_unmatched(session, world)


@pytest.fixture
def therapist(session: Session, world: World) -> Account:
    return make_licensed(session, make_account(session, organisation=world.practice), "CA")


def put_profile(caller: Caller, account: Account, **headers: str) -> int:
    path = f"/therapist-profiles/{account.id}"
    return caller.request("PUT", path, json=PROFILE, headers=headers or None).status_code


def test_from_the_list_to_the_therapist_of_record(
    api: Api, session: Session, world: World, episode: Episode, therapist: Account
) -> None:
    assert put_profile(api.as_account(therapist), therapist) == 200
    staff, patient = api.as_account(world.medical_staff), api.as_patient(episode)
    listed = staff.get(f"/episodes/{episode.id}/match-candidates").json
    assert listed["findings"] == []
    assert [(each["therapist_id"], each["name"]) for each in listed["items"]] == [(str(therapist.id), "Thea Terrell")]
    made = staff.post(f"/episodes/{episode.id}/matches", {"therapist_ids": [str(therapist.id)]})
    assert (made.status_code, made.json["link"], made.json["state"]) == (201, None, "proposed")
    path = made.headers["Location"].removeprefix("/api/v1")
    shown = patient.get(path).json
    (option,) = shown["options"]
    assert (option["name"], option["practice_state"], option["findings"]) == ("Thea Terrell", "CA", None)
    assert api.as_account(therapist).get(path).status_code == 404
    chosen = patient.post(f"{path}/choose", {"therapist_ids": [str(therapist.id)]}, headers={"If-Match": '"1"'})
    assert chosen.json["state"] == "chosen"
    asked = api.as_account(therapist).get(path).json
    assert (asked["patient_state"], asked["indication"]) == ("CA", "depression")
    accepted = api.as_account(therapist).post(f"{path}/accept")
    assert accepted.json["state"] == "matched"
    after = api.as_account(therapist).get(f"/episodes/{episode.id}").json
    assert (after["therapist_id"], after["practice_id"]) == (str(therapist.id), str(world.practice.id))


def test_declining_needs_a_reason_and_a_choice_to_be_declined(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    therapist = make_therapist(session, world)
    staff, asked = api.as_account(world.medical_staff), api.as_account(therapist)
    made = staff.post(f"/episodes/{episode.id}/matches", {"therapist_ids": [str(therapist.id)]}).json
    path = f"/matches/{made['id']}"
    assert asked.post(f"{path}/decline", {"reason": "Full."}).status_code == 404
    api.as_patient(episode).post(f"{path}/choose", {"therapist_ids": [str(therapist.id)]})
    assert asked.post(f"{path}/decline", {}).status_code == 422
    declined = asked.post(f"{path}/decline", {"reason": "Full."})
    assert (declined.status_code, declined.json["state"]) == (200, "exhausted")
    assert staff.get(path).json["options"][0]["reason"] == "Full."
    assert staff.get(f"/episodes/{episode.id}/matches").json["items"][0]["state"] == "exhausted"
    assert staff.post(f"{path}/withdraw").status_code == 409


def test_what_stands_in_the_way_is_named_with_rule_and_setting(api: Api, world: World, episode: Episode) -> None:
    answer = api.as_account(world.medical_staff).post(
        f"/episodes/{episode.id}/matches", {"therapist_ids": [str(world.therapist.id)]}
    )
    assert (answer.status_code, answer.json["field"]) == (409, "therapist_ids")
    spoke = [finding["rule"] for finding in answer.json["findings"]]
    assert spoke == [
        "matching.not_licensed",
        "matching.not_taking",
        "matching.full",
        "matching.speciality_other",
    ]


def test_a_profile_is_changed_under_its_version(api: Api, world: World) -> None:
    therapist, own = api.as_account(world.therapist), world.therapist
    assert put_profile(therapist, own) == 200
    assert put_profile(therapist, own, **{"If-Match": '"9"'}) == 412
    assert put_profile(api.as_account(world.operator), own, **{"If-Match": '"1"'}) == 200
    assert api.as_account(world.prescriber).get(f"/therapist-profiles/{own.id}").json["capacity"] == 3
    assert put_profile(api.as_account(world.prescriber), own) == 403


def test_a_search_ends_when_a_therapist_is_named_by_hand(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    therapist = make_therapist(session, world)
    staff = api.as_account(world.medical_staff)
    made = staff.post(f"/episodes/{episode.id}/matches", {"therapist_ids": [str(therapist.id)]}).json
    api.as_patient(episode).post(f"/matches/{made['id']}/choose", {"therapist_ids": [str(therapist.id)]})
    named = staff.patch(f"/episodes/{episode.id}", {"therapist_id": str(world.therapist.id)})
    assert (named.status_code, named.json["therapist_id"]) == (200, str(world.therapist.id))
    assert staff.get(f"/matches/{made['id']}").json["state"] == "withdrawn"
    assert api.as_account(therapist).get(f"/matches/{made['id']}").status_code == 404
