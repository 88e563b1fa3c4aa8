"""Psychotherapy notes: for their author alone, under a key of their own, never exported or emitted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services import exports
from services.audit.models import AuditRecord
from services.core import config as configuration
from services.core.actors import SYSTEM, Actor
from services.core.errors import (
    InvalidConfiguration,
    NotAllowed,
    NotFound,
    RuleRefused,
    StaleVersion,
    UnreadableSeal,
)
from services.core.ids import new_id
from services.core.personal import Personal
from services.messaging.models import Event
from services.outcomes import psychotherapy_notes as notes
from services.outcomes.models import PsychotherapyNote, PsychotherapyNoteVersion
from services.people import episodes
from services.people.models import Episode, Patient
from services.vault import boxes, keyring
from services.vault.models import DataKey, Purpose
from tests.factories import World, make_account, make_actor, make_episode, make_patient, make_patient_actor, make_world
from tests.factories_refills import held_dosing_session, report

TEXT = "Canary-note: the swing in the garden, and what her brother said."
AMENDED = "Canary-amended: it was the sister, not the brother."


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world)


@pytest.fixture
def author(world: World) -> Actor:
    return world.actor("therapist")


def write(session: Session, author: Actor, episode: Episode, text: str = TEXT, **details: Any) -> PsychotherapyNote:
    return notes.write_note(session, author, episode.id, Personal(text), **details)


def test_the_author_reads_what_they_wrote(session: Session, author: Actor, episode: Episode) -> None:
    row = write(session, author, episode)
    read = notes.read_note(session, author, row.id)
    assert (read.note, read.text.reveal(), row.version) == (row, TEXT, 1)
    assert list(notes.list_notes(session, author, episode.id)) == [row]


def test_a_note_is_sealed_with_the_authors_own_key_of_that_purpose(
    session: Session, author: Actor, episode: Episode
) -> None:
    row = write(session, author, episode)
    assert row.text is not None
    assert TEXT.encode() not in row.text
    key = session.get_one(DataKey, boxes.sealing_key_of(row.text))
    assert (key.owner_id, key.purpose) == (author.id, Purpose.PSYCHOTHERAPY_NOTES)


def test_neither_the_patients_key_nor_another_therapists_opens_it(
    session: Session, author: Actor, episode: Episode
) -> None:
    row = write(session, author, episode)
    other = make_actor(make_account(session))
    write(session, other, make_episode_of(session, other))
    for owner_id, purpose in (
        (episode.patient_id, Purpose.RECORD),
        (author.id, Purpose.RECORD),
        (other.id, Purpose.PSYCHOTHERAPY_NOTES),
    ):
        with pytest.raises(UnreadableSeal):
            boxes.box(session, owner_id, purpose).open(row, "text")


def make_episode_of(session: Session, therapist: Actor) -> Episode:
    return episodes.open_episode(session, therapist, make_patient(session).id)


ACTS: dict[str, Callable[[Session, Actor, UUID, UUID], object]] = {
    "read": lambda session, actor, note, episode: notes.read_note(session, actor, note),
    "versions": lambda session, actor, note, episode: notes.read_versions(session, actor, note),
    "amend": lambda session, actor, note, episode: notes.amend_note(session, actor, note, Personal("x")),
    "list": lambda session, actor, note, episode: notes.list_notes(session, actor, episode),
    "write": lambda session, actor, note, episode: notes.write_note(session, actor, episode, Personal("x")),
}


@pytest.mark.parametrize("act", ACTS)
def test_another_therapist_finds_nothing(session: Session, world: World, episode: Episode, act: str) -> None:
    row = write(session, world.actor("therapist"), episode)
    for organisation in (world.practice, None):
        colleague = make_actor(make_account(session, organisation=organisation))
        with pytest.raises(NotFound):
            ACTS[act](session, colleague, row.id, episode.id)


@pytest.mark.parametrize("act", ACTS)
def test_no_other_role_may_ask(session: Session, world: World, episode: Episode, act: str) -> None:
    row = write(session, world.actor("therapist"), episode)
    others = [world.actor(who) for who in ("prescriber", "medical_staff", "pharmacist", "operator")]
    for actor in (*others, make_patient_actor(episode)):
        with pytest.raises((NotAllowed, NotFound)):
            ACTS[act](session, actor, row.id, episode.id)


@pytest.mark.parametrize("act", ["read", "versions", "amend"])
def test_the_system_itself_finds_nothing(session: Session, author: Actor, episode: Episode, act: str) -> None:
    row = write(session, author, episode)
    with pytest.raises(NotFound):
        ACTS[act](session, SYSTEM, row.id, episode.id)


def test_a_note_that_does_not_exist_is_not_found(session: Session, author: Actor) -> None:
    with pytest.raises(NotFound):
        notes.read_note(session, author, new_id())


def test_after_a_hand_over_the_new_therapist_sees_nothing_and_the_author_still_reads(
    session: Session, world: World, author: Actor, episode: Episode
) -> None:
    row = write(session, author, episode)
    successor = make_account(session, organisation=world.practice)
    episodes.change_therapist(session, world.actor("prescriber"), episode.id, successor.id)
    session.flush()
    assert list(notes.list_notes(session, make_actor(successor), episode.id)) == []
    with pytest.raises(NotFound):
        notes.read_note(session, make_actor(successor), row.id)
    assert notes.read_note(session, author, row.id).text.reveal() == TEXT
    assert list(notes.list_notes(session, author, episode.id)) == [row]
    for act in ("amend", "write"):
        with pytest.raises(NotFound):
            ACTS[act](session, author, row.id, episode.id)


def test_amending_keeps_every_earlier_text(session: Session, author: Actor, episode: Episode) -> None:
    row = write(session, author, episode)
    written_at = row.written_at
    notes.amend_note(session, author, row.id, Personal(AMENDED), version=1)
    notes.amend_note(session, author, row.id, Personal("Third."), version=2)
    assert notes.read_note(session, author, row.id).text.reveal() == "Third."
    versions = notes.read_versions(session, author, row.id)
    assert [(one.note.number, one.text.reveal()) for one in versions] == [(2, AMENDED), (1, TEXT)]
    assert versions[1].note.written_at == written_at
    assert (row.version, row.created_at) == (3, written_at)


def test_versions_are_read_page_by_page(session: Session, author: Actor, episode: Episode) -> None:
    row = write(session, author, episode)
    for number in range(3):
        notes.amend_note(session, author, row.id, Personal(f"Text {number}"))
    first = notes.read_versions(session, author, row.id, limit=2)
    rest = notes.read_versions(session, author, row.id, after=(first[-1].note.written_at, first[-1].note.id))
    assert [one.note.number for one in (*first, *rest)] == [3, 2, 1]


def test_a_stale_amendment_is_refused(session: Session, author: Actor, episode: Episode) -> None:
    row = write(session, author, episode)
    notes.amend_note(session, author, row.id, Personal(AMENDED), version=1)
    with pytest.raises(StaleVersion):
        notes.amend_note(session, author, row.id, Personal("Lost."), version=1)


def test_a_blank_note_is_refused(session: Session, author: Actor, episode: Episode) -> None:
    with pytest.raises(RuleRefused) as refusal:
        write(session, author, episode, " \n ")
    assert (refusal.value.field, refusal.value.rule) == ("text", "psychotherapy_notes.text_needed")


def test_a_note_names_only_a_session_of_the_same_episode(
    session: Session, world: World, author: Actor, episode: Episode
) -> None:
    own = held_dosing_session(session, episode)
    assert write(session, author, episode, session_id=own.id).session_id == own.id
    with pytest.raises(RuleRefused) as refusal:
        write(session, author, make_episode(session, world=world), session_id=own.id)
    assert refusal.value.rule == "psychotherapy_notes.session_of_episode"


def test_notes_are_listed_page_by_page_newest_first(session: Session, author: Actor, episode: Episode) -> None:
    made = [write(session, author, episode, f"Note {number}") for number in range(3)]
    expected = sorted(made, key=lambda row: (row.created_at, row.id), reverse=True)
    first = list(notes.list_notes(session, author, episode.id, limit=2))
    rest = list(notes.list_notes(session, author, episode.id, after=(first[-1].created_at, first[-1].id)))
    assert [*first, *rest] == expected


def test_nothing_of_a_note_is_emitted_or_audited(session: Session, author: Actor, episode: Episode) -> None:
    before = session.scalars(select(Event.id)).all()
    row = write(session, author, episode)
    notes.amend_note(session, author, row.id, Personal(AMENDED))
    notes.read_note(session, author, row.id)
    session.commit()
    assert session.scalars(select(Event.id)).all() == before
    trail = session.scalars(select(AuditRecord).where(AuditRecord.subject_id == row.id)).all()
    assert sorted(each.action for each in trail) == [
        "psychotherapy_note.amend",
        "psychotherapy_note.read",
        "psychotherapy_note.write",
    ]
    assert all(each.detail.keys() <= {"request"} for each in trail)


def test_the_export_holds_the_record_and_no_note(session: Session, author: Actor, episode: Episode) -> None:
    report(session, episode, summary="Sleeps better.")
    row = write(session, author, episode)
    notes.amend_note(session, author, row.id, Personal(AMENDED))
    exported = exports.export_patient(session, make_patient_actor(episode), episode.patient_id)
    tables = exported["records"]
    assert "Sleeps better." in json.dumps(tables["outcome_reports"], default=str)
    assert not {"psychotherapy_notes", "psychotherapy_note_versions"} & tables.keys()
    assert "Canary" not in json.dumps(exported, default=str)


@contextmanager
def keys_of_a_worker(directory: Path) -> Iterator[None]:
    """The keyring that a worker is given: without the file of the notes' keys."""
    complete = os.environ["COORDINATOR_KEYRING"]
    shutil.copytree(complete, directory)
    (directory / "psychotherapy_notes.json").unlink()
    _use_keys(str(directory))
    try:
        yield
    finally:
        _use_keys(complete)


def _use_keys(directory: str) -> None:
    os.environ["COORDINATOR_KEYRING"] = directory
    configuration.config.cache_clear()
    keyring.keyring.cache_clear()
    boxes.forget_boxes()


def test_a_worker_cannot_open_a_note(session: Session, author: Actor, episode: Episode, tmp_path: Path) -> None:
    row = write(session, author, episode)
    session.info.pop("created_data_keys")  # no transaction of a worker made the note's key
    with keys_of_a_worker(tmp_path / "keys"):
        assert boxes.box(session, episode.patient_id).open(session.get_one(Patient, episode.patient_id), "full_name")
        with pytest.raises(InvalidConfiguration):
            boxes.box(session, author.id, Purpose.PSYCHOTHERAPY_NOTES).open(row, "text")
    assert notes.read_note(session, author, row.id).text.reveal() == TEXT


def test_every_sealed_column_of_both_tables_has_the_purpose_that_exports_skip() -> None:
    for model in (PsychotherapyNote, PsychotherapyNoteVersion):
        sealed = [column for column in model.__table__.columns if "sealed_purpose" in column.info]
        purposes = {column.info["sealed_purpose"] for column in sealed}
        assert purposes == {Purpose.PSYCHOTHERAPY_NOTES}


def test_a_read_note_shows_nothing_by_accident(session: Session, author: Actor, episode: Episode) -> None:
    row = write(session, author, episode)
    assert TEXT not in repr(notes.read_note(session, author, row.id))
    assert TEXT not in repr(notes.read_note(session, author, row.id).text)
