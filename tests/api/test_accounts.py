"""Accounts and papers over HTTP."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Role
from services.people.practitioners import is_kap_trained, npi_of
from tests.api.conftest import Api, Caller
from tests.factories import PASSWORD, World, code_of, make_account, make_dea_number, make_world


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def desk(api: Api, world: World) -> Caller:
    return api.as_account(world.operator)


def body(world: World, **changes: Any) -> dict[str, Any]:
    return {
        "role": "therapist",
        "organisation_id": str(world.practice.id),
        "email": "rosa.quill@example.com",
        "full_name": "Rosa Quill",
        "phone": "(415) 555-0100",
        "on_call": False,
        "password": "a long and unusual passphrase",
        **changes,
    }


def test_the_desk_creates_an_account_with_a_second_factor(desk: Caller, world: World) -> None:
    created = desk.post("/accounts", body(world))
    assert created.status_code == 201, created.json
    assert created.json["enrolment"].startswith("otpauth://totp/")
    shown = desk.get(f"/accounts?organisation_id={world.practice.id}").json["items"]
    (account,) = [item for item in shown if item["id"] == created.json["id"]]
    assert (account["full_name"], account["phone"], account["disabled"]) == ("Rosa Quill", "+14155550100", False)
    assert "password" not in account


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"role": "patient"}, 422, "role"),
        ({"email": "rosa"}, 422, "email"),
        ({"password": "short"}, 422, "password"),
        ({"on_call": "yes"}, 422, "on_call"),
        ({"password": "aaaaaaaaaaaaaaaa"}, 409, "password"),
        ({"role": "pharmacist"}, 409, "organisation_id"),
        ({"phone": "000 000 0000"}, 409, "phone"),
    ],
)
def test_an_account_that_does_not_fit_is_refused(
    desk: Caller, world: World, changes: dict[str, Any], status: int, field: str
) -> None:
    answer = desk.post("/accounts", body(world, **changes))
    named = answer.json["errors"][0]["field"] if status == 422 else answer.json["field"]
    assert (answer.status_code, named) == (status, field)


def test_an_address_has_one_account(desk: Caller, world: World) -> None:
    assert desk.post("/accounts", body(world)).status_code == 201
    assert desk.post("/accounts", body(world, full_name="Other Quill")).status_code == 409


def test_only_the_desk_manages_accounts(api: Api, world: World) -> None:
    for who in (world.therapist, world.prescriber, world.medical_staff, world.pharmacist):
        caller = api.as_account(who)
        assert caller.get("/accounts").status_code == 403
        assert caller.post("/accounts", body(world)).status_code == 403
        assert caller.post(f"/accounts/{world.operator.id}/disable").status_code == 403
        assert caller.get("/accounts/me").json["id"] == str(who.id)


def test_the_list_is_paged(api: Api, session: Session, desk: Caller, world: World) -> None:
    for _ in range(3):
        make_account(session, Role.THERAPIST, organisation=world.practice)
    session.commit()
    path = f"/accounts?organisation_id={world.practice.id}&limit=3"
    first = desk.get(path).json
    rest = desk.get(f"{path}&cursor={first['next']}").json
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (3, 1, None)
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in rest["items"]}


def test_a_disabled_account_is_shut_at_once_and_can_be_opened(api: Api, desk: Caller, world: World) -> None:
    therapist, path = api.as_account(world.therapist), f"/accounts/{world.therapist.id}"
    assert desk.post(f"{path}/disable").json["disabled"] is True
    assert therapist.get("/accounts/me").status_code == 401
    assert desk.post(f"{path}/enable").json["disabled"] is False
    assert therapist.get("/accounts/me").status_code == 401
    assert desk.post(f"/accounts/{world.operator.id}/disable").status_code == 409


def test_being_on_call_needs_a_phone(session: Session, desk: Caller, world: World) -> None:
    silent = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, phone=None)
    session.commit()
    assert desk.post(f"/accounts/{world.prescriber.id}/on-call", {"on_call": True}).json["on_call"] is True
    refused = desk.post(f"/accounts/{silent.id}/on-call", {"on_call": True})
    assert (refused.status_code, refused.json["field"]) == (409, "on_call")


def test_a_reset_gives_a_new_factor_and_ends_the_tokens(api: Api, desk: Caller, world: World) -> None:
    therapist = api.as_account(world.therapist)
    reset = desk.post(f"/accounts/{world.therapist.id}/reset", {"password": "another long passphrase"})
    assert reset.json["enrolment"].startswith("otpauth://")
    assert therapist.get("/accounts/me").status_code == 401


def test_a_password_is_changed_by_who_knows_it(api: Api, session: Session, world: World) -> None:
    caller, other = api.as_account(world.therapist), api.as_account(world.therapist)
    new = "an entirely different passphrase"
    wrong = caller.post("/accounts/me/password", {"current_password": "not it at all", "new_password": new})
    assert wrong.status_code == 401
    session.refresh(world.therapist)
    assert world.therapist.failed_attempts == 1  # the refusal was counted
    right = caller.post("/accounts/me/password", {"current_password": PASSWORD, "new_password": new})
    assert right.status_code == 200, right.json
    assert (caller.get("/accounts/me").status_code, other.get("/accounts/me").status_code) == (200, 401)
    session.refresh(world.therapist)
    email = f"{api.as_account(world.therapist).get('/accounts/me').json['email']}"
    signed_in = api.anonymous().post(
        "/sign-in", {"email": email, "password": new, "code": code_of(session, world.therapist)}
    )
    assert signed_in.status_code == 200, signed_in.json


def test_papers_are_recorded_renewed_and_revoked(session: Session, desk: Caller, world: World) -> None:
    account = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, papers=False)
    trainee = make_account(session, Role.THERAPIST, organisation=world.practice, papers=False)
    session.commit()
    path, expires_on = f"/accounts/{account.id}", (clock.now().date() + timedelta(days=400)).isoformat()
    assert desk.post(f"{path}/npi", {"npi": "1993999998"}).status_code == 200
    assert npi_of(session, account.id) == "1993999998"
    given = {"state": "CA", "number": "A 12345", "expires_on": expires_on}
    licence = desk.post(f"{path}/licences", given)
    assert (licence.status_code, licence.json["revoked_on"]) == (201, None)
    assert desk.post(f"{path}/licences", given).json["id"] == licence.json["id"]
    assert desk.post(f"/licences/{licence.json['id']}/revoke").json["revoked_on"] is not None
    number = make_dea_number(account, "FX")
    registration = desk.post(f"{path}/dea-registrations", {"state": "CA", "number": number, "expires_on": expires_on})
    assert registration.status_code == 201, registration.json
    assert number not in registration.text
    assert [finding["rule"] for finding in registration.json["findings"]] == ["people.dea_number_other_initial"]
    revoked = desk.post(f"/dea-registrations/{registration.json['id']}/revoke")
    assert revoked.json["revoked_on"] is not None
    assert desk.post(f"/accounts/{trainee.id}/kap-training", {"trained_on": "2025-03-01"}).status_code == 200
    session.expire_all()
    assert is_kap_trained(session, trainee.id, date(2025, 3, 1))


@pytest.mark.parametrize(
    ("path", "given", "status", "field"),
    [
        ("npi", {"npi": "1234567890"}, 409, "npi"),
        ("npi", {"npi": "12345"}, 422, "npi"),
        ("licences", {"state": "ZZ", "number": "A1", "expires_on": "2030-01-01"}, 422, "state"),
        ("licences", {"state": "CA", "number": "A1", "expires_on": "2001-01-01"}, 409, "expires_on"),
        ("dea-registrations", {"state": "CA", "number": "AB1234560", "expires_on": "2030-01-01"}, 409, "number"),
        ("kap-training", {"trained_on": "2025-01-01"}, 409, "account_id"),
    ],
)
def test_a_paper_that_cannot_be_is_refused(
    desk: Caller, world: World, path: str, given: dict[str, Any], status: int, field: str
) -> None:
    answer = desk.post(f"/accounts/{world.prescriber.id}/{path}", given)
    named = answer.json["errors"][0]["field"] if status == 422 else answer.json["field"]
    assert (answer.status_code, named) == (status, field)


def test_an_account_that_does_not_exist_is_not_found(desk: Caller) -> None:
    nobody = "00000000-0000-7000-8000-00000000dead"
    assert desk.post(f"/accounts/{nobody}/disable").status_code == 404
    assert desk.post(f"/accounts/{nobody}/npi", {"npi": "1993999998"}).status_code == 404
    assert desk.post(f"/licences/{nobody}/revoke").status_code == 404
