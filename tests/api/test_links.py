"""How patients come in, over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.vocabulary import EventKind, Party
from services.messaging.models import Event
from services.people.models import Episode, PersonalLink
from services.vault.envelopes import open_envelope
from tests.api.conftest import Api
from tests.factories import World, make_episode, make_world

MOBILE = "+14155550188"


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    made = make_episode(session, world=world, mobile=MOBILE)
    session.commit()
    return made


def texted_codes(session: Session) -> list[str]:
    rows = session.scalars(select(Event).where(Event.kind == EventKind.SIGN_IN_CODE_ASKED).order_by(Event.id))
    return [open_envelope(Party.PATIENT, row.kind, row.id, row.key_name, row.envelope)["data"]["code"] for row in rows]


def test_a_link_handed_over_opens_one_episode_once(api: Api, world: World, episode: Episode) -> None:
    made = api.as_account(world.therapist).post(f"/episodes/{episode.id}/links")
    assert made.status_code == 201, made.json
    token = made.json["link"].rpartition("/l/")[2]
    exchanged = api.anonymous().post("/links/exchange", {"token": token})
    assert exchanged.status_code == 200, exchanged.json
    assert (exchanged.json["role"], exchanged.json["episode_id"]) == ("patient", str(episode.id))
    patient = api.with_token(exchanged.json["token"])
    assert patient.get(f"/episodes/{episode.id}").status_code == 200
    again = api.anonymous().post("/links/exchange", {"token": token})
    assert (again.status_code, again.json["code"]) == (401, "not_signed_in")


def test_a_newer_link_ends_the_older(api: Api, world: World, episode: Episode) -> None:
    therapist = api.as_account(world.therapist)
    links = [therapist.post(f"/episodes/{episode.id}/links").json["link"] for _ in range(2)]
    tokens = [link.rpartition("/l/")[2] for link in links]
    statuses = [api.anonymous().post("/links/exchange", {"token": token}).status_code for token in tokens]
    assert statuses == [401, 200]


def test_only_the_care_team_hands_a_link_over(api: Api, session: Session, world: World, episode: Episode) -> None:
    path = f"/episodes/{episode.id}/links"
    assert api.as_account(world.medical_staff).post(path).status_code == 201
    assert api.as_account(world.pharmacist).post(path).status_code == 403
    assert api.as_patient(episode).post(path).status_code == 403
    assert api.as_account(make_world(session).therapist).post(path).status_code == 404


@pytest.mark.parametrize(("token", "status"), [("A" * 22, 401), ("short", 422), ("with blanks in it", 422)])
def test_a_made_up_link_opens_nothing(api: Api, token: str, status: int) -> None:
    assert api.anonymous().post("/links/exchange", {"token": token}).status_code == status


def test_a_code_is_texted_and_signs_in(api: Api, session: Session, episode: Episode) -> None:
    asked = api.anonymous().post("/codes", {"mobile": "(415) 555-0188"})
    assert asked.status_code == 202
    (code,) = texted_codes(session)
    assert code not in asked.text
    exchanged = api.anonymous().post("/codes/exchange", {"mobile": MOBILE, "code": code})
    assert exchanged.status_code == 200, exchanged.json
    assert exchanged.json["actor_id"] == str(episode.patient_id)
    assert api.anonymous().post("/codes/exchange", {"mobile": MOBILE, "code": code}).status_code == 401


def test_the_answer_does_not_tell_whether_a_number_is_known(api: Api, session: Session, episode: Episode) -> None:
    known = api.anonymous().post("/codes", {"mobile": MOBILE})
    unknown = api.anonymous().post("/codes", {"mobile": "+14155550189"})
    impossible = api.anonymous().post("/codes", {"mobile": "+10000000000"})
    assert known.json == unknown.json == impossible.json
    assert known.status_code == unknown.status_code == impossible.status_code == 202
    assert len(texted_codes(session)) == 1


def test_wrong_codes_are_counted_though_refused(api: Api, session: Session, episode: Episode) -> None:
    api.anonymous().post("/codes", {"mobile": MOBILE})
    (code,) = texted_codes(session)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _ in range(5):
        assert api.anonymous().post("/codes/exchange", {"mobile": MOBILE, "code": wrong}).status_code == 401
    link = session.scalars(select(PersonalLink).where(PersonalLink.kind == "sign_in_code")).one()
    session.refresh(link)
    assert link.failed_attempts == 5
    assert api.anonymous().post("/codes/exchange", {"mobile": MOBILE, "code": code}).status_code == 401


def test_who_shares_a_phone_gives_the_birth_date_too(api: Api, session: Session, world: World) -> None:
    elder = make_episode(session, world=world, mobile=MOBILE)
    younger = make_episode(session, world=world, mobile=MOBILE, birth_date=elder.opened_at.date().replace(year=2001))
    session.commit()
    api.anonymous().post("/codes", {"mobile": MOBILE})
    (code,) = texted_codes(session)
    unclear = api.anonymous().post("/codes/exchange", {"mobile": MOBILE, "code": code})
    assert unclear.status_code in (409, 422)
    assert unclear.json["field"] == "birth_date"
    given = {"mobile": MOBILE, "code": code, "birth_date": "1985-06-15"}
    exchanged = api.anonymous().post("/codes/exchange", given)
    assert exchanged.json["actor_id"] == str(elder.patient_id) != str(younger.patient_id)
