"""Psychotherapy notes over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.models import StoredAnswer
from services.people.models import Episode
from tests.api.conftest import Api, Caller
from tests.factories import World, make_account, make_episode, make_world

TEXT = "Canary-note: what her brother said."


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world)


@pytest.fixture
def author(api: Api, world: World) -> Caller:
    return api.as_account(world.therapist)


def write(author: Caller, episode: Episode, text: str = TEXT) -> str:
    answer = author.post(f"/episodes/{episode.id}/notes", {"text": text})
    assert answer.status_code == 201, answer.json
    return str(answer.json["id"])


def test_the_author_writes_reads_and_lists(author: Caller, episode: Episode) -> None:
    note_id = write(author, episode)
    read = author.get(f"/notes/{note_id}")
    assert (read.json["text"], read.json["version"], read.headers["ETag"]) == (TEXT, 1, '"1"')
    listed = author.get(f"/episodes/{episode.id}/notes").json["items"]
    assert [item["id"] for item in listed] == [note_id]
    assert "text" not in listed[0]


def test_the_answer_to_writing_holds_no_text_and_neither_does_what_is_kept_of_it(
    session: Session, author: Caller, episode: Episode
) -> None:
    before = set(session.scalars(select(StoredAnswer.key_hash)))
    answer = author.post(f"/episodes/{episode.id}/notes", {"text": TEXT})
    assert "text" not in answer.json
    stored = session.scalars(select(StoredAnswer).where(StoredAnswer.key_hash.not_in(before))).one()
    assert len(stored.answer) < len(answer.data) + 64


def test_a_grave_note_advises_its_author_in_an_answer_of_the_same_length(author: Caller, episode: Episode) -> None:
    calm = author.post(f"/episodes/{episode.id}/notes", {"text": "She wants to dance."})
    grave = author.post(f"/episodes/{episode.id}/notes", {"text": "She wants to die."})
    assert (calm.json["advice"], grave.json["advice"]) == ("no_cssrs", "do_cssrs")
    assert [each["number"] for each in grave.json["crisis_resources"]] == ["988", "741741", "911"]
    assert grave.json["crisis_resources"] == calm.json["crisis_resources"]
    assert len(calm.data) == len(grave.data)
    amended = author.patch(f"/notes/{calm.json['id']}", {"text": "She wants to die."}, headers={"If-Match": '"1"'})
    assert amended.json["advice"] == "do_cssrs"
    assert "advice" not in author.get(f"/notes/{grave.json['id']}").json


def test_amending_keeps_what_was_said(author: Caller, episode: Episode) -> None:
    note_id = write(author, episode)
    amended = author.patch(f"/notes/{note_id}", {"text": "It was the sister."}, headers={"If-Match": '"1"'})
    assert (amended.status_code, amended.json["version"], amended.headers["ETag"]) == (200, 2, '"2"')
    assert author.get(f"/notes/{note_id}").json["text"] == "It was the sister."
    versions = author.get(f"/notes/{note_id}/versions").json["items"]
    assert [(each["number"], each["text"]) for each in versions] == [(1, TEXT)]


def test_an_amendment_of_an_older_reading_is_refused(author: Caller, episode: Episode) -> None:
    note_id = write(author, episode)
    author.patch(f"/notes/{note_id}", {"text": "Second."}, headers={"If-Match": '"1"'})
    late = author.patch(f"/notes/{note_id}", {"text": "Lost."}, headers={"If-Match": '"1"'})
    assert late.status_code == 412


def test_the_medical_team_the_pharmacy_operations_and_the_patient_may_not(
    api: Api, world: World, author: Caller, episode: Episode
) -> None:
    note_id = write(author, episode)
    accounts = (world.prescriber, world.medical_staff, world.pharmacist, world.operator)
    for caller in (*map(api.as_account, accounts), api.as_patient(episode)):
        assert caller.get(f"/notes/{note_id}").status_code == 403
        assert caller.get(f"/notes/{note_id}/versions").status_code == 403
        assert caller.get(f"/episodes/{episode.id}/notes").status_code == 403
        assert caller.patch(f"/notes/{note_id}", {"text": "x"}).status_code == 403
        assert caller.post(f"/episodes/{episode.id}/notes", {"text": "x"}).status_code == 403


def test_another_therapist_of_the_same_practice_finds_nothing(
    api: Api, session: Session, world: World, author: Caller, episode: Episode
) -> None:
    note_id = write(author, episode)
    colleague = api.as_account(make_account(session, organisation=world.practice))
    assert colleague.get(f"/notes/{note_id}").status_code == 404
    assert colleague.get(f"/notes/{note_id}/versions").status_code == 404
    assert colleague.get(f"/episodes/{episode.id}/notes").status_code == 404
    assert colleague.patch(f"/notes/{note_id}", {"text": "x"}).status_code == 404
    assert colleague.post(f"/episodes/{episode.id}/notes", {"text": "x"}).status_code == 404


@pytest.mark.parametrize("text", ["", "x" * 20_001, 7, None, "a\u0000b"])
def test_a_text_that_is_none_is_refused(author: Caller, episode: Episode, text: object) -> None:
    answer = author.post(f"/episodes/{episode.id}/notes", {"text": text})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json["errors"]} == {"text"}


def test_a_blank_text_is_refused_by_a_rule(author: Caller, episode: Episode) -> None:
    answer = author.post(f"/episodes/{episode.id}/notes", {"text": "   "})
    assert (answer.status_code, answer.json["field"]) == (409, "text")
