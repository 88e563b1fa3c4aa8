"""Sealed columns, data keys, blind indexes and envelopes."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from services.core.database import Sessions
from services.core.errors import InvalidConfiguration, UnreadableSeal
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Task
from services.vault import boxes, envelopes, keyring
from services.vault.blind_indexes import blind_index, token_hash
from services.vault.models import DataKey, Purpose
from tests.own_services import service_with


def a_row() -> Task:
    return Task(id=new_id(), owner_id=new_id())


def test_a_sealed_value_opens_to_what_was_sealed(session: Session) -> None:
    row = a_row()
    box = boxes.box(session, row.owner_id)
    box.seal(row, "reason", Personal("Rosa asked twice"))
    assert b"Rosa" not in row.reason
    assert box.open(row, "reason").reveal() == "Rosa asked twice"


def test_sealing_the_same_value_twice_gives_different_bytes(session: Session) -> None:
    row = a_row()
    box = boxes.box(session, row.owner_id)
    first = box.seal_bytes(row, "reason", b"same")
    assert first != box.seal_bytes(row, "reason", b"same")


def test_a_sealed_value_moved_to_another_row_does_not_open(session: Session) -> None:
    row, other = a_row(), a_row()
    box = boxes.box(session, row.owner_id)
    box.seal(row, "reason", "for this row only")
    other.reason = row.reason
    with pytest.raises(UnreadableSeal):
        box.open(other, "reason")


def test_a_sealed_value_moved_to_another_column_does_not_open(session: Session) -> None:
    row = a_row()
    box = boxes.box(session, row.owner_id)
    sealed = box.seal_bytes(row, "reason", b"1")
    with pytest.raises(UnreadableSeal):
        box.open_bytes(row, "kind", sealed)


@pytest.mark.parametrize("position", [0, 5, 20, 30, -1])
def test_a_sealed_value_with_one_bit_changed_does_not_open(session: Session, position: int) -> None:
    row = a_row()
    box = boxes.box(session, row.owner_id)
    sealed = bytearray(box.seal_bytes(row, "reason", b'"text"'))
    sealed[position] ^= 1
    with pytest.raises(UnreadableSeal):
        box.open_bytes(row, "reason", bytes(sealed))


def test_another_owners_box_does_not_open_a_value(session: Session) -> None:
    row = a_row()
    boxes.box(session, row.owner_id).seal(row, "reason", "mine")
    with pytest.raises(UnreadableSeal):
        boxes.box(session, new_id()).open(row, "reason")


def test_psychotherapy_notes_have_a_data_key_of_their_own(session: Session) -> None:
    row = a_row()
    boxes.box(session, row.owner_id, Purpose.PSYCHOTHERAPY_NOTES).seal(row, "reason", "apart")
    with pytest.raises(UnreadableSeal):
        boxes.box(session, row.owner_id, Purpose.RECORD).open(row, "reason")


def test_a_data_key_row_given_to_another_owner_does_not_unwrap(session: Session) -> None:
    owner = new_id()
    boxes.box(session, owner)
    row = session.query(DataKey).filter_by(owner_id=owner).one()
    stolen = DataKey(
        id=row.id, owner_id=new_id(), purpose=row.purpose, wrapping_key=row.wrapping_key, wrapped=row.wrapped
    )
    with pytest.raises(UnreadableSeal):
        boxes.unwrap(stolen)


def test_a_new_data_key_seals_and_the_old_one_still_opens(session: Session) -> None:
    row = a_row()
    boxes.box(session, row.owner_id).seal(row, "reason", "sealed before")
    old = boxes.sealing_key_of(row.reason)
    boxes.add_data_key(session, row.owner_id, Purpose.RECORD)
    boxes.forget_boxes()
    box = boxes.box(session, row.owner_id)
    assert box.open(row, "reason").reveal() == "sealed before"
    box.seal(row, "reason", "sealed after")
    assert boxes.sealing_key_of(row.reason) != old


def test_blind_indexes_find_equal_values_and_tell_fields_apart(environment: object) -> None:
    assert blind_index("email", " Ana@Example.org ") == blind_index("email", Personal("ana@example.org"))
    assert blind_index("email", "x") != blind_index("phone", "x")


def test_an_envelope_opens_for_its_party_only(environment: object) -> None:
    event_id = new_id()
    key, sealed = envelopes.seal(Party.PHARMACY, EventKind.FILL_RECORDED, event_id, {"data": {"name": "Rosa"}})
    assert b"Rosa" not in sealed
    opened = envelopes.open_envelope(Party.PHARMACY, EventKind.FILL_RECORDED, event_id, key, sealed)
    assert opened == {"data": {"name": "Rosa"}}
    with pytest.raises(UnreadableSeal):
        envelopes.open_envelope(Party.THERAPIST, EventKind.FILL_RECORDED, event_id, key, sealed)


@pytest.mark.parametrize("what", ["kind", "id", "bytes"])
def test_an_envelope_relabelled_renumbered_or_altered_does_not_open(environment: object, what: str) -> None:
    event_id: UUID = new_id()
    kind: str = EventKind.FILL_RECORDED
    key, sealed = envelopes.seal(Party.PHARMACY, kind, event_id, {})
    if what == "kind":
        kind = EventKind.SHIPMENT_CREATED
    elif what == "id":
        event_id = new_id()
    else:
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(UnreadableSeal):
        envelopes.open_envelope(Party.PHARMACY, kind, event_id, key, sealed)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    keyring.generate(tmp_path / "keys")
    before = {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir()}
    with pytest.raises(InvalidConfiguration):
        keyring.generate(tmp_path / "keys")
    assert {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir()} == before


def test_a_value_that_was_never_sealed_is_told_from_one_that_was(session: Session) -> None:
    row = a_row()
    own = boxes.box(session, row.owner_id)
    assert own.open(row, "reason").reveal() is None
    for stored in (b"", b"plain text that nobody sealed, and long enough", b"\x02" + bytes(60)):
        row.reason = stored
        with pytest.raises(UnreadableSeal):
            own.open(row, "reason")
    own.seal(row, "reason", None)
    assert row.reason is None


@pytest.mark.parametrize("value", ["text", "", "Ñandú 🦤", 0, 1.5, True, None, [], {"a": [1, {"b": None}]}])
def test_any_json_value_comes_back_as_it_was(session: Session, value: object) -> None:
    row = a_row()
    own = boxes.box(session, row.owner_id)
    own.seal(row, "reason", value)
    assert own.open(row, "reason").reveal() == value


def test_another_tenants_keys_do_not_open_a_value_of_the_same_row(session: Session) -> None:
    row = a_row()
    boxes.box(session, row.owner_id).seal(row, "reason", "ours")
    data_key = session.query(DataKey).filter_by(owner_id=row.owner_id).one()
    bound = dict(Sessions.kw)
    with service_with(COORDINATOR_TENANT="another"):
        Sessions.configure(**bound)
        with pytest.raises(UnreadableSeal):
            boxes.unwrap(data_key)


def test_a_data_key_is_stored_wrapped_only(session: Session) -> None:
    owner = new_id()
    boxes.box(session, owner)
    row = session.query(DataKey).filter_by(owner_id=owner).one()
    assert boxes.unwrap(row) not in row.wrapped
    assert len(boxes.unwrap(row)) == 32


def test_tokens_are_found_by_a_hash_that_says_nothing_of_them() -> None:
    assert token_hash("one") == token_hash("one") != token_hash("two")
    assert b"one" not in token_hash("one")
    assert len(token_hash("one")) == 32


def test_a_secret_is_compared_whole() -> None:
    assert Secret("hunter2").matches("hunter2")
    assert Secret(b"hunter2").matches("hunter2")
    assert not Secret("hunter2").matches("hunter")
    assert not Secret("hunter2").matches("")
    assert not Secret(7).matches("7")


def test_personal_and_secret_values_never_show_themselves() -> None:
    for value in (Personal("Rosa Diaz"), Secret("hunter2")):
        shown = f"{value} {value!r} {value!s} {[value]} {value:>10}"
        assert "Rosa" not in shown
        assert "hunter2" not in shown
        with pytest.raises(TypeError):
            json.dumps(value)
