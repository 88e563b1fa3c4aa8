"""Bearer tokens: hashed, scoped, expiring, revocable, and looked up in one query."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.actors import Actor, Role
from services.core.errors import InvalidInput, NotAllowed, NotFound, NotSignedIn
from services.people import tokens
from services.people.links import LinkKind, exchange_link, issue_link
from services.people.models import Token
from services.people.tokens import Scope, scope_allows
from tests.factories import make_account, make_actor, make_episode, make_patient_actor, make_token, therapist_of
from tests.statements import counted_statements

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)


def test_a_token_is_stored_only_hashed(session: Session) -> None:
    token = make_token(session, make_account(session))
    row = session.scalars(select(Token)).one()
    assert token.encode() not in row.hash
    assert len(row.hash) == 32


def test_the_holder_of_a_token_is_found_in_one_query(session: Session) -> None:
    account = make_account(session, Role.PRESCRIBER)
    token = make_token(session, account)
    session.commit()
    with counted_statements(session) as seen:
        found = tokens.actor_of(session, token)
    assert found.actor == Actor(account.id, Role.PRESCRIBER, account.organisation_id)
    assert found.scopes == {"api"}
    assert [statement.partition(" ")[0] for statement in seen] == ["SELECT"]


def test_a_patients_token_is_limited_to_the_episode(session: Session) -> None:
    episode = make_episode(session)
    link = issue_link(session, therapist_of(session, episode), episode, LinkKind.FORMS)
    found = tokens.actor_of(session, exchange_link(session, link).token.reveal())
    assert found.actor == Actor(episode.patient_id, Role.PATIENT, episode_id=episode.id)


def test_an_unknown_token_signs_nobody_in(session: Session) -> None:
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, "made up")


def test_a_token_expires(session: Session) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        token = make_token(session, make_account(session))
        traveller.shift(timedelta(hours=12, seconds=-1))
        tokens.actor_of(session, token)
        traveller.shift(timedelta(seconds=1))
        with pytest.raises(NotSignedIn):
            tokens.actor_of(session, token)


def test_a_token_of_a_disabled_account_signs_nobody_in(session: Session) -> None:
    account = make_account(session)
    token = make_token(session, account)
    account.disabled_at = NOON
    session.flush()
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, token)


def test_a_revoked_token_signs_nobody_in(session: Session) -> None:
    account = make_account(session)
    actor = make_actor(account)
    issued = tokens.issue_token(session, actor, account)
    tokens.revoke_token(session, actor, issued.id)
    session.flush()
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, issued.token.reveal())


def test_a_patient_can_sign_out(session: Session) -> None:
    episode = make_episode(session)
    link = issue_link(session, therapist_of(session, episode), episode, LinkKind.FORMS)
    issued = exchange_link(session, link)
    tokens.revoke_token(session, make_patient_actor(episode), issued.id)
    session.flush()
    with pytest.raises(NotSignedIn):
        tokens.actor_of(session, issued.token.reveal())


def test_somebody_elses_token_does_not_exist(session: Session) -> None:
    account, stranger = make_account(session), make_actor(make_account(session))
    issued = tokens.issue_token(session, make_actor(account), account)
    with pytest.raises(NotFound):
        tokens.revoke_token(session, stranger, issued.id)
    with pytest.raises(NotFound):
        tokens.issue_token(session, stranger, account)
    assert tokens.list_tokens(session, stranger) == []


def test_own_working_tokens_are_listed(session: Session) -> None:
    account = make_account(session)
    actor = make_actor(account)
    working = tokens.issue_token(session, actor, account, scopes=["read"], label="dashboard")
    ended = tokens.issue_token(session, actor, account)
    tokens.revoke_token(session, actor, ended.id)
    assert [(token.id, token.label) for token in tokens.list_tokens(session, actor)] == [(working.id, "dashboard")]


def test_a_patient_makes_no_tokens(session: Session) -> None:
    episode = make_episode(session)
    with pytest.raises(NotAllowed):
        tokens.issue_token(session, make_patient_actor(episode), make_account(session))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"label": "x" * 61}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"lifetime": timedelta(days=91)}, "lifetime"),
        ({"lifetime": timedelta(0)}, "lifetime"),
    ],
)
def test_a_token_beyond_the_limits_is_refused_by_field(session: Session, given: dict[str, Any], field: str) -> None:
    account = make_account(session)
    with pytest.raises(InvalidInput) as refusal:
        tokens.issue_token(session, make_actor(account), account, **given)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("scopes", "is_read", "allowed"),
    [
        ({"api"}, True, True),
        ({"api"}, False, True),
        ({"read"}, True, True),
        ({"read"}, False, False),
        (set(), True, False),
        ({"something else"}, True, False),
    ],
)
def test_a_scope_narrows_what_a_token_is_good_for(scopes: set[str], is_read: bool, allowed: bool) -> None:
    assert scope_allows(scopes, is_read) is allowed


def test_scopes_stay_with_the_token(session: Session) -> None:
    token = make_token(session, make_account(session), scopes=[Scope.READ])
    assert tokens.actor_of(session, token).scopes == {"read"}
