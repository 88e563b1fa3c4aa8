"""Patients over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.people.models import Episode
from tests.api.conftest import Api
from tests.factories import World, make_episode, make_world

NEW_ADDRESS = {"street": "9 New Road", "unit": "B", "city": "Fresno", "state": "CA", "postal_code": "93701"}


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, full_name="Quentin Quail", mobile="+14155550177")


def test_therapist_team_and_patient_read_the_record(api: Api, world: World, episode: Episode) -> None:
    callers = [api.as_account(who) for who in (world.therapist, world.prescriber)] + [api.as_patient(episode)]
    for caller in callers:
        shown = caller.get(f"/patients/{episode.patient_id}")
        assert shown.status_code == 200, shown.json
        assert (shown.json["full_name"], shown.json["birth_date"]) == ("Quentin Quail", "1985-06-15")
        assert (shown.json["address"]["state"], shown.json["episode_id"]) == ("CA", str(episode.id))
        assert shown.headers["ETag"] == f'"{shown.json["version"]}"'


def test_a_pharmacy_sees_how_to_reach_the_patient_and_no_more(api: Api, world: World, episode: Episode) -> None:
    pharmacist = api.as_account(world.pharmacist)
    assert pharmacist.get(f"/patients/{episode.patient_id}").status_code == 403
    contact = pharmacist.get(f"/patients/{episode.patient_id}/contact")
    assert contact.status_code == 200, contact.json
    assert contact.json["mobile"] == "+14155550177"
    assert contact.json["zone"] == "America/Los_Angeles"
    assert "birth_date" not in contact.json


def test_another_practices_patient_does_not_exist(api: Api, session: Session, episode: Episode) -> None:
    other = make_world(session)
    stranger = make_episode(session, world=other)
    callers = [api.as_account(who) for who in (other.therapist, other.prescriber, other.pharmacist)]
    for caller in [*callers, api.as_patient(stranger)]:
        for path in ("", "/contact"):
            assert caller.get(f"/patients/{episode.patient_id}{path}").status_code in (403, 404)
    assert api.as_account(other.therapist).get(f"/patients/{episode.patient_id}").status_code == 404


def test_a_change_needs_the_version_that_was_read(api: Api, world: World, episode: Episode) -> None:
    caller, path = api.as_account(world.therapist), f"/patients/{episode.patient_id}"
    unversioned = caller.patch(path, {"address": NEW_ADDRESS})
    assert (unversioned.status_code, unversioned.json["field"]) == (422, "If-Match")
    etag = caller.get(path).headers["ETag"]
    changed = caller.patch(path, {"address": NEW_ADDRESS}, headers={"If-Match": etag})
    assert changed.status_code == 200, changed.json
    assert changed.json["address"] == NEW_ADDRESS
    assert changed.headers["ETag"] != etag
    assert caller.patch(path, {"zone": "America/Chicago"}, headers={"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 409),
        ({"zone": "Mars/Olympus"}, 409),
        ({"mobile": "+1 000 000 0000"}, 409),
        ({"mobile": "call me"}, 422),
        ({"email": "nobody"}, 422),
        ({"address": {**NEW_ADDRESS, "postal_code": "9370"}}, 422),
        ({"address": {**NEW_ADDRESS, "country": "US"}}, 422),
        ({"full_name": "Somebody Else"}, 422),
        ({"mobile": 4155550100}, 422),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_changes_nothing(
    api: Api, world: World, episode: Episode, change: dict[str, Any], status: int
) -> None:
    caller, path = api.as_account(world.therapist), f"/patients/{episode.patient_id}"
    before = caller.get(path)
    answer = caller.patch(path, change, headers={"If-Match": before.headers["ETag"]})
    assert answer.status_code == status, answer.json
    assert caller.get(path).json == before.json


def test_a_refusal_repeats_nothing_of_what_was_sent(api: Api, world: World, episode: Episode) -> None:
    caller, path = api.as_account(world.therapist), f"/patients/{episode.patient_id}"
    answer = caller.patch(path, {"mobile": "555 CANARY 555", "email": "canary"}, headers={"If-Match": '"1"'})
    assert answer.status_code == 422
    assert b"canary" not in answer.data.lower()
