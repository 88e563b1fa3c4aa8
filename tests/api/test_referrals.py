"""Referrals over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.vocabulary import EventKind
from services.eligibility.models import Referral
from services.messaging.models import Event
from services.people.models import Patient
from tests.api.conftest import Api
from tests.factories import World, make_number, make_world
from tests.factories_screening import make_referral


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def body(**changes: Any) -> dict[str, Any]:
    patient = {
        "full_name": "Quentin Quail",
        "birth_date": "1985-06-15",
        "address": {"street": "12 Home Lane", "city": "Oakland", "state": "CA", "postal_code": "94601"},
        "mobile": make_number(),
        "email": "quentin@example.net",
    }
    agreement = {
        "taken_at": (clock.now() - timedelta(hours=1)).isoformat(),
        "wording": "You may text me about my care.",
    }
    given = {"patient": patient, "diagnosis": "depression", "reason": "Nothing helped.", "sms_agreement": agreement}
    return {**given, **changes}


def events(session: Session) -> int:
    query = select(func.count()).select_from(Event).where(Event.kind == EventKind.REFERRAL_CREATED)
    return session.scalar(query) or 0


def test_a_client_who_may_be_texted_is_referred_and_the_link_is_not_answered(
    api: Api, session: Session, world: World
) -> None:
    before = events(session)
    answer = api.as_account(world.therapist).post("/referrals", body())
    assert answer.status_code == 201, answer.json
    assert answer.json["link"] is None
    assert events(session) == before + 2  # the patient's queue and the medical team's


def test_without_the_agreement_the_link_is_answered_and_opens_the_forms(
    api: Api, session: Session, world: World
) -> None:
    before = events(session)
    answer = api.as_account(world.therapist).post("/referrals", body(sms_agreement=None))
    assert answer.status_code == 201, answer.json
    assert events(session) == before + 1  # the medical team's alone
    token = answer.json["link"].rpartition("/l/")[2]
    signed_in = api.anonymous().post("/links/exchange", {"token": token})
    assert signed_in.status_code == 200, signed_in.json
    patient = api.with_token(signed_in.json["token"])
    rounds = patient.get(f"/episodes/{answer.json['episode_id']}/screenings").json["items"]
    assert [each["id"] for each in rounds] == [answer.json["screening_id"]]


def test_the_same_client_is_not_referred_twice_and_nothing_is_half_written(
    api: Api, session: Session, world: World
) -> None:
    therapist, given = api.as_account(world.therapist), body()
    assert therapist.post("/referrals", given).status_code == 201
    before = session.scalar(select(func.count()).select_from(Patient))
    again = therapist.post("/referrals", given)
    assert (again.status_code, again.json["rule"]) == (409, "referral.not_twice")
    assert session.scalar(select(func.count()).select_from(Patient)) == before


def test_repeating_a_referral_under_its_key_gives_the_same_answer(api: Api, session: Session, world: World) -> None:
    therapist, given, key = api.as_account(world.therapist), body(), {"Idempotency-Key": "referral-0001"}
    first = therapist.post("/referrals", given, headers=key)
    second = therapist.post("/referrals", given, headers=key)
    assert first.json == second.json
    assert session.scalar(select(func.count()).where(Referral.referred_by == world.therapist.id)) == 1


def test_a_pharmacist_refers_nobody(api: Api, world: World) -> None:
    assert api.as_account(world.pharmacist).post("/referrals", body()).status_code == 403


def test_a_medical_team_refers_only_where_the_programme_says_so(api: Api, session: Session, world: World) -> None:
    staff = api.as_account(world.medical_staff)
    refused = staff.post("/referrals", body())
    assert refused.status_code == 409
    assert "referral.not_by_these" in [finding["rule"] for finding in refused.json["findings"]]
    world.medical_team.programme, world.medical_team.partner_pharmacy_id = "isha_health", world.pharmacy.id
    session.flush()
    made = staff.post("/referrals", {**body(), "is_enquiry": True})
    assert (made.status_code, made.json["source"]) == (201, "enquiry")
    episode = staff.get(f"/episodes/{made.json['episode_id']}").json
    assert (episode["therapist_id"], episode["practice_id"]) == (None, None)


@pytest.mark.parametrize(
    ("place", "value", "status", "field"),
    [
        (("diagnosis",), "sadness", 422, "diagnosis"),
        (("reason",), "", 422, "reason"),
        (("patient", "birth_date"), "15 June", 422, "patient.birth_date"),
        (("patient", "address", "state"), "XX", 422, "patient.address.state"),
        (("patient", "full_name"), "   ", 409, "full_name"),
        (("patient", "birth_date"), "2150-01-01", 409, "birth_date"),
        (("patient", "mobile"), "+1 000 000 0000", 409, "mobile"),
        (("patient", "zone"), "Moon/Crater", 409, "zone"),
        (("sms_agreement", "taken_at"), "1950-01-01T00:00:00+14:00", 409, "sms_agreement.taken_at"),
        (("sms_agreement", "taken_by"), "00000000-0000-7000-8000-00000000dead", 409, "sms_agreement.taken_by"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    api: Api, world: World, place: tuple[str, ...], value: str, status: int, field: str
) -> None:
    given: dict[str, Any] = body()
    inner = given
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    answer = api.as_account(world.therapist).post("/referrals", given)
    named = answer.json["errors"][0]["field"] if status == 422 else answer.json["field"]
    assert (answer.status_code, named) == (status, field)


def test_the_content_is_for_therapist_and_medical_team(api: Api, session: Session, world: World) -> None:
    referral = make_referral(session, world=world, reason="Two courses failed.").referral
    other = make_world(session)
    for who in (world.therapist, world.prescriber, world.medical_staff):
        shown = api.as_account(who).get(f"/referrals/{referral.id}")
        assert (shown.status_code, shown.json["reason"]) == (200, "Two courses failed.")
        assert shown.json["diagnosis"] == "depression"
    assert api.as_account(world.pharmacist).get(f"/referrals/{referral.id}").status_code == 403
    assert api.as_account(other.therapist).get(f"/referrals/{referral.id}").status_code == 404


def test_the_list_is_paged_and_holds_only_what_is_yours(api: Api, session: Session, world: World) -> None:
    made = [make_referral(session, world=world).referral.id for _ in range(3)]
    make_referral(session)
    therapist = api.as_account(world.therapist)
    first = therapist.get("/referrals?limit=2").json
    rest = therapist.get(f"/referrals?limit=2&cursor={first['next']}").json
    assert [item["id"] for item in first["items"] + rest["items"]] == [str(each) for each in reversed(made)]
    assert rest["next"] is None
