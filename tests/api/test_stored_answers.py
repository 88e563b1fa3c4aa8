"""Idempotency keys: the same request under the same key has one effect and one answer.

That every POST does so is tested over the whole API in ``test_bad_input.py``; here is how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from cryptography.exceptions import InvalidTag
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from coordinator.api import stored_answers
from services.audit.models import AuditRecord
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.answers import forget_expired_answers
from services.core.database import Sessions, transaction
from services.core.ids import new_id
from services.core.models import StoredAnswer
from services.core.vocabulary import Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people import tokens
from services.people.models import Account, Token
from services.vault import keyring
from tests.api.conftest import Api, Caller
from tests.at_once import side_by_side
from tests.factories import make_account, make_world
from tests.own_services import own_keys, service_with

KEY = "a-key-of-mine-0001"
BODY = {"scopes": ["read"], "label": "Reporting", "days": 30}


@pytest.fixture
def account(session: Session) -> Account:
    made = make_account(session)
    session.commit()
    return made


@pytest.fixture
def caller(api: Api, account: Account) -> Caller:
    return api.as_account(account)


def issue(caller: Caller, body: Mapping[str, Any] = BODY, key: str = KEY) -> TestResponse:
    """Something with an effect and with an answer that exists nowhere else: a new token."""
    return caller.post("/tokens", dict(body), headers={"Idempotency-Key": key})


def issued(session: Session, account: Account) -> int:
    """How many tokens came of it."""
    session.expire_all()
    return session.scalar(select(func.count()).where(Token.account_id == account.id, Token.label != "")) or 0


def stored(session: Session) -> list[StoredAnswer]:
    session.expire_all()
    return list(session.scalars(select(StoredAnswer)))


def test_the_same_request_under_the_same_key_has_one_effect_and_one_answer(
    session: Session, caller: Caller, account: Account
) -> None:
    first, again = issue(caller), issue(caller)
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content_type == first.content_type
    assert issued(session, account) == 1


def test_the_answer_keeps_the_version_it_was_given_with(api: Api, session: Session) -> None:
    world = make_world(session)
    task = open_task(
        session,
        TaskKind.SHIP_FILL,
        party=Party.PHARMACY,
        owner_id=world.pharmacy.id,
        subject=Subject("fill", new_id()),
        due_at=clock.now(),
    )
    caller, path, key = api.as_account(world.pharmacist), f"/tasks/{task.id}/accept", {"Idempotency-Key": KEY}
    first = caller.post(path, headers=key)
    assert caller.post(f"/tasks/{task.id}/start").headers["ETag"] == '"3"'
    again = caller.post(path, headers=key)
    assert (again.status_code, again.headers["ETag"], again.json["state"]) == (200, '"2"', "accepted")
    assert again.data == first.data


def test_another_body_under_the_key_is_refused_and_does_nothing(
    session: Session, caller: Caller, account: Account
) -> None:
    issue(caller)
    other = issue(caller, {**BODY, "label": "Something else"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert other.json["errors"][0]["field"] == "Idempotency-Key"
    assert issued(session, account) == 1
    assert issue(caller).status_code == 201


def test_a_key_is_everybodys_own_and_every_addresses(
    api: Api, session: Session, caller: Caller, account: Account
) -> None:
    colleague = make_account(session)
    theirs = issue(api.as_account(colleague))
    mine = issue(caller)
    assert mine.json["token"] != theirs.json["token"]
    assert (issued(session, account), issued(session, colleague)) == (1, 1)
    assert caller.post("/sign-out", headers={"Idempotency-Key": KEY}).status_code == 200


def test_another_key_is_another_request(session: Session, caller: Caller, account: Account) -> None:
    assert issue(caller).data != issue(caller, key="a-key-of-mine-0002").data
    assert issued(session, account) == 2


@pytest.mark.parametrize(
    "refused", [{**BODY, "days": 0}, {**BODY, "days": 200}, {**BODY, "surprise": 1}], ids=["shape", "rule", "field"]
)
def test_a_refused_request_stores_nothing_and_its_key_is_still_free(
    session: Session, caller: Caller, account: Account, refused: dict[str, Any]
) -> None:
    assert issue(caller, refused).status_code in (409, 422)
    assert stored(session) == []
    assert issue(caller).status_code == 201
    assert issued(session, account) == 1


def test_a_revoked_token_gets_no_stored_answer(session: Session, caller: Caller, account: Account) -> None:
    assert issue(caller).status_code == 201
    tokens.revoke_tokens_of(session, account.id)
    session.commit()
    assert issue(caller).status_code == 401


def test_a_key_past_its_time_is_claimed_anew(session: Session, caller: Caller, account: Account) -> None:
    caller.token = tokens.issue_token(session, SYSTEM, account, lifetime=timedelta(days=3)).token.reveal()
    session.commit()
    first = issue(caller)
    with time_machine.travel(clock.now() + stored_answers.KEPT_FOR - timedelta(minutes=1)):
        assert issue(caller).data == first.data
    with time_machine.travel(clock.now() + stored_answers.KEPT_FOR + timedelta(minutes=1)):
        anew = issue(caller, {**BODY, "label": "A new day"})
        assert (anew.status_code, "Idempotent-Replayed" in anew.headers) == (201, False)
        assert issue(caller, {**BODY, "label": "A new day"}).data == anew.data
        assert len(stored(session)) == 1
    assert issued(session, account) == 2


def test_expired_answers_are_forgotten_and_others_kept(session: Session, caller: Caller) -> None:
    issue(caller)
    issue(caller, key="a-key-of-mine-0002")
    rows = stored(session)
    rows[0].expires_at = clock.now() - timedelta(seconds=1)
    session.commit()
    forget_expired_answers(session)
    assert [row.key_hash for row in stored(session)] == [rows[1].key_hash]


def test_the_row_alone_tells_nothing_and_opens_only_with_the_request(session: Session, caller: Caller) -> None:
    answer = issue(caller)
    (row,) = stored(session)
    held = b"".join((row.key_hash, row.request_hash, row.answer, str(row.headers).encode()))
    for secret in (answer.json["token"], KEY, "Reporting", caller.token or ""):
        assert secret.encode() not in held
    assert set(row.headers) <= set(stored_answers.HEADERS_KEPT)
    principal = answer.json["actor_id"]
    request = f"{principal}|POST|/api/v1/tokens|{KEY}|".encode()
    body = b'{"scopes": ["read"], "label": "Reporting", "days": 30}'

    def opened(secret: bytes) -> bytes:
        return stored_answers._cipher(secret).decrypt(row.answer[:12], row.answer[12:], row.key_hash)

    assert opened(request + body) == answer.data
    for guess in (b"", request, body, request + body + b" "):
        with pytest.raises(InvalidTag):
            opened(guess)


def test_without_the_keyring_even_the_request_does_not_open_it(
    session: Session, caller: Caller, environment: Mapping[str, str], tmp_path: Any
) -> None:
    answer = issue(caller)
    (row,) = stored(session)
    secret = f"{answer.json['actor_id']}|POST|/api/v1/tokens|{KEY}|".encode()
    secret += b'{"scopes": ["read"], "label": "Reporting", "days": 30}'
    keyring.generate(tmp_path / "others")
    with service_with(COORDINATOR_KEYRING=str(tmp_path / "others")), pytest.raises(InvalidTag):
        stored_answers._cipher(secret).decrypt(row.answer[:12], row.answer[12:], row.key_hash)


def test_a_rotation_of_keys_leaves_stored_answers_readable(
    session: Session, caller: Caller, environment: Mapping[str, str], tmp_path: Any
) -> None:
    first = issue(caller)
    keys = own_keys(environment, tmp_path)
    keyring.renew_key(keys / "vault.json", "record")
    bound = session.get_bind()
    with service_with(COORDINATOR_KEYRING=str(keys)):
        Sessions.configure(bind=bound, join_transaction_mode="create_savepoint")
        assert issue(caller).data == first.data


# Real threads and commits


@pytest.fixture
def holder(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[tuple[Account, str]]:
    """Somebody with a token, in a database of this test's own."""
    with service_with(DATABASE_URL=own_postgres_url):
        with transaction() as session:
            account = make_account(session, Role.OPERATIONS)
            token = tokens.issue_token(session, SYSTEM, account).token.reveal()
        yield account, token


AT_ONCE = 6


def at_once(app: Flask, token: str, bodies: list[Mapping[str, Any]]) -> list[TestResponse]:
    """The same key from several clients that begin together."""
    return side_by_side([partial(issue, Caller(app.test_client(), token), body) for body in bodies])


def test_the_same_request_several_times_at_once_has_one_effect_and_one_answer(
    app: Flask, holder: tuple[Account, str]
) -> None:
    account, token = holder
    answers = at_once(app, token, [BODY] * AT_ONCE)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == AT_ONCE - 1
    with transaction() as session:
        assert issued(session, account) == 1
        trail = select(func.count()).where(AuditRecord.action == "token.issue", AuditRecord.actor_id == account.id)
        assert session.scalar(trail) == 1


def test_different_requests_at_once_under_one_key_are_one_effect_and_refusals(
    app: Flask, holder: tuple[Account, str]
) -> None:
    account, token = holder
    answers = at_once(app, token, [{**BODY, "label": f"Number {number}"} for number in range(AT_ONCE)])
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * (AT_ONCE - 1)
    with transaction() as session:
        assert issued(session, account) == 1


def test_a_refusal_frees_the_key_for_whoever_waits_behind_it(app: Flask, holder: tuple[Account, str]) -> None:
    account, token = holder
    answers = at_once(app, token, [{**BODY, "days": 200}] * (AT_ONCE - 1) + [BODY])
    statuses = [answer.status_code for answer in answers]
    # Whoever comes behind the one that succeeded finds the key taken.
    assert statuses[-1] == 201
    assert set(statuses[:-1]) <= {409, 422}
    with transaction() as session:
        assert issued(session, account) == 1
        assert session.execute(text("SELECT count(*) FROM stored_answers WHERE status = 0")).scalar_one() == 0
