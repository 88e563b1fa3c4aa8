"""Personal links and one-time codes: single use, expiring, and silent about who is a patient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM, Role
from services.core.errors import InvalidInput, NotAllowed, NotFound, NotSignedIn
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Event
from services.messaging.sign_in_codes import ask_sign_in_code
from services.people.attempts import Refused, SignedIn
from services.people.links import NOT_VALID, LinkKind, exchange_code, exchange_link, issue_link
from services.people.models import Episode, PersonalLink
from services.people.states import EpisodeState
from services.people.tokens import actor_of
from services.vault.envelopes import open_envelope
from tests.factories import (
    audited,
    colleague_of,
    make_account,
    make_actor,
    make_episode,
    make_patient_actor,
    therapist_of,
)

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
MOBILE = "+14155550142"


@pytest.fixture
def episode(session: Session) -> Episode:
    return make_episode(session, mobile=MOBILE)


def link(session: Session, episode: Episode, kind: LinkKind = LinkKind.FORMS) -> Secret[str]:
    return issue_link(session, SYSTEM, episode, kind)


def test_a_link_gives_the_patient_a_token_for_the_episode(session: Session, episode: Episode) -> None:
    with time_machine.travel(NOON, tick=False):
        issued = exchange_link(session, link(session, episode))
        assert issued.actor == make_patient_actor(episode)
        assert issued.expires_at == NOON + timedelta(minutes=60)
        assert actor_of(session, issued.token.reveal()).actor == issued.actor
    assert audited(session)[-3:] == ["link.issue", "link.exchange", "token.issue"]


def test_a_link_works_once(session: Session, episode: Episode) -> None:
    token = link(session, episode)
    exchange_link(session, token)
    with pytest.raises(NotSignedIn, match=NOT_VALID):
        exchange_link(session, token)


def test_a_link_expires(session: Session, episode: Episode) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        first, second = link(session, episode), link(session, episode, LinkKind.RECEIPT)
        traveller.shift(timedelta(hours=72, seconds=-1))
        exchange_link(session, first)
        traveller.shift(timedelta(seconds=1))
        with pytest.raises(NotSignedIn, match=NOT_VALID):
            exchange_link(session, second)


def test_a_made_up_link_is_refused_with_the_same_sentence(session: Session) -> None:
    with pytest.raises(NotSignedIn, match=NOT_VALID):
        exchange_link(session, Secret("made up"))


def test_a_new_link_to_the_forms_ends_the_older_one_and_no_other(session: Session, episode: Episode) -> None:
    older, other = link(session, episode), link(session, episode, LinkKind.RECEIPT)
    newer = link(session, episode)
    with pytest.raises(NotSignedIn):
        exchange_link(session, older)
    exchange_link(session, newer)
    exchange_link(session, other)


@pytest.mark.parametrize("kind", [LinkKind.SIGN_IN, LinkKind.ASSESSMENT, LinkKind.RECEIPT])
def test_a_link_that_went_by_text_outlives_a_newer_one_whose_text_may_be_held(
    session: Session, episode: Episode, kind: LinkKind
) -> None:
    older, newer = link(session, episode, kind), link(session, episode, kind)
    for each in (older, newer):
        exchange_link(session, each)
        with pytest.raises(NotSignedIn):
            exchange_link(session, each)


def test_a_link_says_nothing_and_is_stored_hashed(session: Session, episode: Episode) -> None:
    token = link(session, episode).reveal()
    assert len(token) == 22
    stored = session.scalars(select(PersonalLink.hash)).one()
    assert token.encode() not in stored


def test_the_therapist_and_the_medical_team_issue_links(session: Session, episode: Episode) -> None:
    for actor in (therapist_of(session, episode), colleague_of(session, episode.medical_team_id, Role.MEDICAL_STAFF)):
        issue_link(session, actor, episode, LinkKind.FORMS)
    with pytest.raises(NotAllowed):
        issue_link(session, colleague_of(session, episode.pharmacy_id, Role.PHARMACIST), episode, LinkKind.FORMS)
    with pytest.raises(NotFound):
        issue_link(session, make_actor(make_account(session)), episode, LinkKind.FORMS)


def sent_codes(session: Session) -> Sequence[dict[str, Any]]:
    rows = session.scalars(select(Event).where(Event.kind == EventKind.SIGN_IN_CODE_ASKED).order_by(Event.created_at))
    return [open_envelope(Party.PATIENT, row.kind, row.id, row.key_name, row.envelope) for row in rows]


def ask(session: Session, mobile: str = MOBILE) -> str:
    ask_sign_in_code(session, Personal(mobile))
    return str(sent_codes(session)[-1]["data"]["code"])


def exchange(session: Session, code: str, mobile: str = MOBILE, birth_date: date | None = None) -> SignedIn | Refused:
    born = None if birth_date is None else Personal(birth_date)
    return exchange_code(session, Personal(mobile), Secret(code), birth_date=born)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_a_code_signs_the_patient_in_once(session: Session, episode: Episode) -> None:
    code = ask(session, "(415) 555-0142")
    assert len(code) == 6
    issued = exchange(session, f" {code} ").require()
    assert issued.actor == make_patient_actor(episode)
    assert isinstance(exchange(session, code), Refused)


def test_the_code_is_only_inside_the_sealed_event(session: Session, episode: Episode) -> None:
    code = ask(session)
    row = session.scalars(select(PersonalLink)).one()
    event = session.scalars(select(Event).where(Event.kind == EventKind.SIGN_IN_CODE_ASKED)).one()
    assert sent_codes(session)[0]["episode"] == str(episode.id)
    assert code.encode() not in row.hash
    assert code.encode() not in event.envelope


@pytest.mark.parametrize("mobile", ["+14155550199", "not a number", ""])
def test_asking_for_an_unknown_number_looks_the_same_and_does_nothing(
    session: Session, episode: Episode, mobile: str
) -> None:
    ask_sign_in_code(session, Personal(mobile))
    assert sent_codes(session) == []


@pytest.mark.parametrize("mobile", [MOBILE, "+14155550199", "not a number"])
def test_whatever_is_wrong_the_sentence_is_the_same(session: Session, episode: Episode, mobile: str) -> None:
    code = ask(session)
    with pytest.raises(NotSignedIn, match=NOT_VALID):
        exchange(session, wrong(code), mobile).require()


def test_a_code_dies_after_five_wrong_guesses(session: Session, episode: Episode) -> None:
    code = ask(session)
    for _ in range(5):
        assert isinstance(exchange(session, wrong(code)), Refused)
    assert isinstance(exchange(session, code), Refused)


def test_a_code_survives_four_wrong_guesses(session: Session, episode: Episode) -> None:
    code = ask(session)
    for _ in range(4):
        exchange(session, wrong(code))
    assert isinstance(exchange(session, code), SignedIn)


def test_a_code_expires(session: Session, episode: Episode) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        code = ask(session)
        traveller.shift(timedelta(minutes=15))
        assert isinstance(exchange(session, code), Refused)


def test_a_new_code_ends_the_older_one(session: Session, episode: Episode) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        older = ask(session)
        traveller.shift(timedelta(seconds=1))
        newer = ask(session)
        assert older == newer or isinstance(exchange(session, older), Refused)
        assert isinstance(exchange(session, newer), SignedIn)


def test_a_number_gets_five_codes_an_hour(session: Session, episode: Episode) -> None:
    with time_machine.travel(NOON, tick=False) as traveller:
        for _ in range(7):
            ask_sign_in_code(session, Personal(MOBILE))
        assert len(sent_codes(session)) == 5
        traveller.shift(timedelta(hours=1))
        ask_sign_in_code(session, Personal(MOBILE))
        assert len(sent_codes(session)) == 6


def test_a_patient_whose_episode_is_closed_gets_no_code(session: Session) -> None:
    make_episode(session, mobile=MOBILE, at=EpisodeState.CLOSED)
    ask_sign_in_code(session, Personal(MOBILE))
    assert sent_codes(session) == []


def test_people_who_share_a_phone_get_one_text_and_are_told_apart_by_their_birth_dates(session: Session) -> None:
    for birth_date in (date(1970, 1, 1), date(1999, 2, 2)):
        make_episode(session, mobile=MOBILE, birth_date=birth_date)
    younger = make_episode(session, mobile=MOBILE, birth_date=date(2001, 3, 3))
    code = ask(session)
    assert len(sent_codes(session)) == 1
    with pytest.raises(InvalidInput) as refusal:
        exchange(session, code).require()
    assert refusal.value.field == "birth_date"
    assert isinstance(exchange(session, code, birth_date=date(1980, 1, 1)), Refused)
    assert exchange(session, code, birth_date=date(2001, 3, 3)).require().actor == make_patient_actor(younger)
    assert isinstance(exchange(session, code, birth_date=date(1970, 1, 1)), Refused)


def test_a_guess_without_the_code_does_not_tell_that_a_phone_is_shared(session: Session) -> None:
    for _ in range(2):
        make_episode(session, mobile=MOBILE)
    code = ask(session)
    attempt = exchange(session, wrong(code))
    assert isinstance(attempt, Refused)
    assert isinstance(attempt.error, NotSignedIn)


def test_a_code_is_no_link(session: Session, episode: Episode) -> None:
    code = ask(session)
    with pytest.raises(NotSignedIn):
        exchange_link(session, Secret(code))
