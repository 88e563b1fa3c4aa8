"""Episodes and consents over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.core.actors import Role
from services.people.models import Episode
from services.screening.consent_texts import current_texts
from tests.api.conftest import Api
from tests.factories import World, make_account, make_episode, make_world
from tests.factories_screening import make_eligible, make_referral, make_screening


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


def test_the_list_shows_what_is_yours_page_by_page(api: Api, session: Session, world: World) -> None:
    mine = [make_episode(session, world=world) for _ in range(3)]
    make_episode(session)
    for who in (world.therapist, world.medical_staff, world.pharmacist):
        caller = api.as_account(who)
        first = caller.get("/episodes?limit=2").json
        rest = caller.get(f"/episodes?limit=2&cursor={first['next']}").json
        shown = [item["id"] for item in first["items"] + rest["items"]]
        assert shown == [str(each.id) for each in reversed(mine)]
        assert rest["next"] is None


def test_the_list_can_be_narrowed_to_a_state(api: Api, session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode)
    caller = api.as_account(world.prescriber)
    assert [item["id"] for item in caller.get("/episodes?state=in_review").json["items"]] == [str(episode.id)]
    assert caller.get("/episodes?state=eligible").json["items"] == []
    assert caller.get("/episodes?state=asleep").status_code == 422


@pytest.mark.parametrize("cursor", ["short", "!" * 32, "A" * 33])
def test_a_made_up_cursor_is_refused(api: Api, world: World, cursor: str) -> None:
    assert api.as_account(world.prescriber).get(f"/episodes?cursor={cursor}").status_code == 422


def test_risk_and_eligibility_are_shown_to_those_who_need_them(
    api: Api, session: Session, world: World, episode: Episode
) -> None:
    make_screening(session, episode, phq9={f"q{number}": 2 for number in range(1, 10)})
    path = f"/episodes/{episode.id}"
    for who in (world.therapist, world.prescriber, world.medical_staff):
        shown = api.as_account(who).get(path).json
        assert (shown["state"], shown["eligibility"]) == ("in_review", "requested")
        assert (shown["risk"]["blocks_shipping"], shown["risk"]["blocks_treatment"]) == (True, False)
        assert len(shown["risk"]["flags"]) == 1
    patient = api.as_patient(episode).get(path).json
    assert (patient["eligibility"], patient["risk"]) == ("requested", None)
    pharmacist = api.as_account(world.pharmacist).get(path).json
    assert (pharmacist["eligibility"], pharmacist["risk"]) == (None, None)


def test_an_approval_shows_until_when_it_counts(api: Api, session: Session, world: World) -> None:
    episode = make_eligible(session, world=world)
    shown = api.as_patient(episode).get(f"/episodes/{episode.id}").json
    assert shown["eligibility"] == "approved"
    assert shown["eligible_until"] is not None


def test_an_invisible_episode_does_not_exist(api: Api, session: Session, episode: Episode) -> None:
    other = make_world(session)
    for who in (other.therapist, other.prescriber, other.pharmacist):
        assert api.as_account(who).get(f"/episodes/{episode.id}").status_code == 404
    assert api.as_patient(make_episode(session)).get(f"/episodes/{episode.id}").status_code == 404
    assert api.as_account(other.operator).get(f"/episodes/{episode.id}").status_code == 403


def test_the_medical_team_names_another_prescriber(api: Api, session: Session, world: World, episode: Episode) -> None:
    colleague = make_account(session, Role.PRESCRIBER, organisation=world.medical_team)
    staff, path = api.as_account(world.medical_staff), f"/episodes/{episode.id}"
    etag = staff.get(path).headers["ETag"]
    changed = staff.patch(path, {"prescriber_id": str(colleague.id)}, headers={"If-Match": etag})
    assert changed.status_code == 200, changed.json
    assert changed.json["prescriber_id"] == str(colleague.id)
    assert changed.headers["ETag"] != etag
    stale = staff.patch(path, {"prescriber_id": str(world.prescriber.id)}, headers={"If-Match": etag})
    assert stale.status_code == 412
    wrong = staff.patch(path, {"prescriber_id": str(world.therapist.id)})
    assert (wrong.status_code, wrong.json["field"]) == (409, "prescriber_id")
    assert api.as_account(world.therapist).patch(path, {"therapist_id": None}).status_code == 403
    assert staff.patch(path, {"therapist_id": None}).json["therapist_id"] is None


def test_the_patient_agrees_to_the_texts_shown_and_takes_one_back(api: Api, world: World, episode: Episode) -> None:
    patient, path = api.as_patient(episode), f"/episodes/{episode.id}/consents"
    texts = patient.get("/consent-texts").json["items"]
    assert {text["kind"] for text in texts} == {"sms", "treatment"}
    for text in texts:
        given = patient.post(path, {"kind": text["kind"], "text_version": text["version"]})
        assert given.status_code == 201, given.json
    listed = api.as_account(world.therapist).get(path).json["items"]
    assert {item["kind"] for item in listed if item["withdrawn_at"] is None} == {"sms", "treatment"}
    after = patient.post(f"{path}/withdraw", {"kind": "sms"}).json["items"]
    assert {item["kind"] for item in after if item["withdrawn_at"] is None} == {"treatment"}
    again = patient.post(f"{path}/withdraw", {"kind": "sms"})
    assert (again.status_code, again.json["rule"]) == (409, "consent.stands")


def test_nobody_agrees_for_the_patient_or_to_an_old_text(api: Api, world: World, episode: Episode) -> None:
    path = f"/episodes/{episode.id}/consents"
    current = {"kind": "treatment", "text_version": next(iter(current_texts().values())).version}
    assert api.as_account(world.therapist).post(path, current).status_code == 403
    old = api.as_patient(episode).post(path, {"kind": "treatment", "text_version": "treatment-1999"})
    assert (old.status_code, old.json["rule"]) == (409, "consent.current_text")
    assert api.as_account(world.pharmacist).get(path).status_code == 403
