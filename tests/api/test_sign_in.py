"""Signing in and out over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.core.models import StoredAnswer
from services.people.models import Account
from tests.api.conftest import Api
from tests.factories import PASSWORD, World, code_of, make_account, make_episode, make_world


@pytest.fixture
def account(session: Session) -> Account:
    made = make_account(session, email="rosa@example.com")
    session.commit()
    return made


def attempt(session: Session, account: Account, **changes: str) -> dict[str, str]:
    return {"email": "rosa@example.com", "password": PASSWORD, "code": code_of(session, account), **changes}


def test_password_and_code_give_a_token_that_works(api: Api, session: Session, account: Account) -> None:
    answer = api.anonymous().post("/sign-in", attempt(session, account))
    assert answer.status_code == 200, answer.json
    assert (answer.json["role"], answer.json["actor_id"]) == ("therapist", str(account.id))
    assert api.with_token(answer.json["token"]).get("/accounts/me").json["email"] == "rosa@example.com"


@pytest.mark.parametrize(
    "changes", [{"password": "not the right passphrase"}, {"code": "000000"}, {"email": "nobody@example.com"}]
)
def test_whatever_is_wrong_the_answer_is_the_same(
    api: Api, session: Session, account: Account, changes: Mapping[str, str]
) -> None:
    answer = api.anonymous().post("/sign-in", attempt(session, account, **changes))
    assert answer.status_code == 401
    assert answer.json["detail"] == "The e-mail address, the password or the code is not right."
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_failures_are_counted_though_refused_until_the_account_locks(
    api: Api, session: Session, account: Account
) -> None:
    wrong = attempt(session, account, password="not the right passphrase")
    statuses = [api.anonymous().post("/sign-in", wrong).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    session.refresh(account)
    assert account.failed_attempts == 6
    locked = api.anonymous().post("/sign-in", attempt(session, account))
    assert locked.status_code == 429
    assert 0 < int(locked.headers["Retry-After"]) <= 30


def test_a_refused_sign_in_is_not_remembered_under_its_key(api: Api, session: Session, account: Account) -> None:
    before = session.scalar(select(func.count()).select_from(StoredAnswer))
    key = {"Idempotency-Key": "sign-in-0001"}
    wrong = attempt(session, account, password="not the right passphrase")
    for _ in range(2):
        assert api.anonymous().post("/sign-in", wrong, headers=key).status_code == 401
    session.refresh(account)
    assert account.failed_attempts == 2
    assert session.scalar(select(func.count()).select_from(StoredAnswer)) == before


def test_a_code_works_once(api: Api, session: Session, account: Account) -> None:
    given = attempt(session, account)
    assert api.anonymous().post("/sign-in", given).status_code == 200
    assert api.anonymous().post("/sign-in", given).status_code == 401


@pytest.mark.parametrize("missing", ["email", "password", "code"])
def test_everything_must_be_given(api: Api, session: Session, account: Account, missing: str) -> None:
    given = attempt(session, account)
    del given[missing]
    answer = api.anonymous().post("/sign-in", given)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, missing)


def test_a_problem_never_repeats_a_password(api: Api, session: Session, account: Account) -> None:
    answer = api.anonymous().post("/sign-in", attempt(session, account, password="canary" * 60))
    assert answer.status_code == 422
    assert b"canary" not in answer.data


def test_signing_out_ends_the_token(api: Api, session: Session, account: Account) -> None:
    caller = api.as_account(account)
    assert caller.post("/sign-out").json["revoked_at"] is not None
    assert caller.get("/accounts/me").status_code == 401


def test_a_patient_signs_out_too(api: Api, session: Session) -> None:
    episode = make_episode(session)
    caller = api.as_patient(episode)
    assert caller.post("/sign-out").status_code == 200
    assert caller.get(f"/episodes/{episode.id}").status_code == 401


def test_ones_own_tokens_are_listed_issued_and_revoked(api: Api, session: Session, account: Account) -> None:
    caller = api.as_account(account)
    issued = caller.post("/tokens", {"scopes": ["read"], "label": "Reporting", "days": 30})
    assert issued.status_code == 201, issued.json
    reader = api.with_token(issued.json["token"])
    assert reader.get("/accounts/me").status_code == 200
    assert reader.post("/sign-out").status_code == 403  # it may only read
    listed = caller.get("/tokens")
    assert [item["label"] for item in listed.json["items"]] == ["", "Reporting"]
    assert issued.json["token"] not in listed.text
    assert caller.delete(f"/tokens/{issued.json['id']}").json["revoked_at"] is not None
    assert reader.get("/accounts/me").status_code == 401


def test_nobody_ends_anothers_token(api: Api, session: Session, account: Account) -> None:
    world: World = make_world(session)
    issued = api.as_account(world.prescriber).post("/tokens", {"scopes": ["api"], "label": "Mine", "days": 1})
    assert api.as_account(account).delete(f"/tokens/{issued.json['id']}").status_code == 404
    assert api.with_token(issued.json["token"]).get("/accounts/me").status_code == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"scopes": [], "label": "x", "days": 1}, 422),
        ({"scopes": ["everything"], "label": "x", "days": 1}, 422),
        ({"scopes": ["read"], "label": "x", "days": 0}, 422),
        ({"scopes": ["read"], "label": "x", "days": 200}, 409),
    ],
)
def test_a_token_that_may_not_be_is_refused(
    api: Api, session: Session, account: Account, given: dict[str, object], status: int
) -> None:
    assert api.as_account(account).post("/tokens", given).status_code == status


@pytest.mark.parametrize("token", ["", "nonsense", "Bearer", "x" * 5000])
def test_a_bad_token_opens_nothing(api: Api, token: str) -> None:
    answer = api.with_token(token).get("/accounts/me")
    assert (answer.status_code, answer.json["code"]) == (401, "not_signed_in")
