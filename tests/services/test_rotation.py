"""Key rotation over every sealed column of every table, and what running processes notice of it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, Table, create_engine, delete, insert, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import Party
from services.tables import metadata
from services.vault import boxes, keyring, rotation
from services.vault.models import DataKey, Purpose
from services.vault.rotation import Batch
from tests.factories_vault import VERSION, Sealed, fill_sealed_columns, opened, sealed_tables, stored
from tests.own_services import own_keys, service_with
from tests.servers import Servers


@dataclass
class Vault:
    """A database with something in every sealed column, and the keyring it was sealed with."""

    keys: Path
    url: str
    sealed: Sealed
    engines: list[Engine] = field(default_factory=list)

    def elsewhere(self) -> sessionmaker[Session]:
        """Sessions of somebody else on the same database."""
        self.engines.append(create_engine(self.url))
        return sessionmaker(self.engines[-1])

    def kept(self, file: str = "vault.json") -> dict[str, Any]:
        """A key set of the keyring as it stands on disk."""
        key_set: dict[str, Any] = json.loads((self.keys / file).read_bytes())["record"]
        return key_set


@pytest.fixture(scope="module")
def filled(
    servers: Servers, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory, worker: str
) -> tuple[str, Path, Sealed]:
    """A database with something in every sealed column: its name, its keyring and what was sealed."""
    name = f"sealed_everywhere_{worker}"
    url, keys = servers.database(name), own_keys(environment, tmp_path_factory.mktemp("filled"))
    with service_with(DATABASE_URL=url, COORDINATOR_KEYRING=str(keys)), transaction() as session:
        sealed = fill_sealed_columns(session)
    return name, keys, sealed


@contextmanager
def working_on(vault: Vault) -> Iterator[Vault]:
    with service_with(DATABASE_URL=vault.url, COORDINATOR_KEYRING=str(vault.keys)):
        yield vault
    for engine in vault.engines:
        engine.dispose()


@pytest.fixture(scope="module")
def vault(servers: Servers, filled: tuple[str, Path, Sealed]) -> Iterator[Vault]:
    """The vault of all these tests. They leave it whole, each with keys of its own on top of the others'."""
    name, keys, sealed = filled
    with working_on(Vault(keys, servers.postgres.url_of(name), sealed)) as vault:
        yield vault


@contextmanager
def put_back(name: str) -> Iterator[Table]:
    """A table to spoil: its rows are afterwards what they were."""
    table = metadata.tables[name]
    with transaction() as session:
        before = [dict(row) for row in session.execute(select(table)).mappings()]
    try:
        yield table
    finally:
        with transaction() as session:
            session.execute(delete(table))
            session.execute(insert(table), before)
        boxes.forget_boxes()


def new_keys(vault: Vault) -> None:
    for file in ("vault.json", "psychotherapy_notes.json"):
        keyring.renew_key(vault.keys / file, "record")
    for party in Party:
        keyring.renew_party_keys(vault.keys, party)


def steps() -> Iterator[Batch]:
    """The whole way, batch by batch."""
    for purpose in Purpose:
        yield from rotation.renew_data_keys(purpose)
        yield from rotation.rewrap(purpose)
    yield from rotation.reseal(metadata)


def exhaust(batches: Iterable[Batch]) -> tuple[int, list[str]]:
    """How many were moved, and what does not open."""
    done = list(batches)
    return sum(batch.moved for batch in done), [place for batch in done for place in batch.unreadable]


def assert_rotated(vault: Vault) -> None:
    """Everything opens, and nothing depends on an older key any more."""
    with transaction() as session:
        assert opened(session, vault.sealed) == vault.sealed
        newest: dict[tuple[Any, str], DataKey] = {}
        for row in session.scalars(select(DataKey).order_by(DataKey.created_at)):
            assert row.wrapping_key == boxes.wrapping_keys(Purpose(row.purpose)).active
            newest[row.owner_id, row.purpose] = row
        active = {row.id for row in newest.values()}
        now = stored(session, vault.sealed)
        assert [place for place in now if boxes.sealing_key_of(now[place]) not in active] == []


def test_after_a_rotation_every_sealed_column_of_every_table_opens_and_depends_on_new_keys_only(vault: Vault) -> None:
    with transaction() as session:
        before = stored(session, vault.sealed)
        data_keys = set(session.scalars(select(DataKey.id)))
    new_keys(vault)
    _, unreadable = exhaust(steps())
    assert unreadable == []
    assert_rotated(vault)
    with transaction() as session:
        now = stored(session, vault.sealed)
        assert [place for place in now if now[place] == before[place]] == []
        assert data_keys < set(session.scalars(select(DataKey.id)))
    assert {place.__tablename__ for place in vault.sealed} == {table.name for table in sealed_tables()}


def test_a_new_key_is_no_new_version_of_a_record(vault: Vault) -> None:
    new_keys(vault)
    exhaust(steps())
    with transaction() as session:
        for table in sealed_tables():
            if "version" in table.columns:
                assert set(session.scalars(select(table.c.version))) == {VERSION}, table.name


def test_rotating_twice_is_fine(vault: Vault) -> None:
    before = len(vault.kept()["keys"])
    for _ in range(2):
        new_keys(vault)
        exhaust(steps())
    assert_rotated(vault)
    assert len(vault.kept()["keys"]) == before + 2


def test_without_new_keys_there_is_nothing_left_to_do(vault: Vault) -> None:
    new_keys(vault)
    exhaust(steps())
    assert exhaust(steps()) == (0, [])


@pytest.mark.parametrize("stop_after", [1, 2, 4, 8])
def test_a_rotation_stopped_midway_is_completed_by_the_next_one(vault: Vault, stop_after: int) -> None:
    new_keys(vault)
    way = steps()
    for _, batch in zip(range(stop_after), way, strict=False):
        assert isinstance(batch, Batch)
    way.close()  # type: ignore[attr-defined]  # a generator
    boxes.forget_boxes()
    with transaction() as session:
        assert opened(session, vault.sealed) == vault.sealed
    exhaust(steps())
    assert_rotated(vault)


def test_it_goes_on_over_many_batches(vault: Vault) -> None:
    with transaction() as session:
        for _ in range(rotation.BATCH + 1):
            boxes.box(session, new_id())
    new_keys(vault)
    assert len(list(rotation.renew_data_keys(Purpose.RECORD))) == 2
    assert len(list(rotation.rewrap(Purpose.RECORD))) == 2
    exhaust(steps())
    assert_rotated(vault)


def test_a_table_of_many_rows_is_walked_to_its_end(vault: Vault) -> None:
    with put_back("patients") as table:
        with transaction() as session:
            row = dict(session.execute(select(table)).mappings().one())
            rows = [{**row, "id": new_id()} for _ in range(rotation.BATCH)]
            for column in rotation.sealed_columns(table):
                for other in rows:
                    other[column.key] = None if column.nullable else b"spoilt"
            session.execute(insert(table), rows)
        new_keys(vault)
        _, unreadable = exhaust(steps())
        assert len(unreadable) == rotation.BATCH * sum(not column.nullable for column in rotation.sealed_columns(table))
        assert_rotated(vault)


def test_a_clock_that_was_set_back_keeps_no_owner_on_an_old_key(vault: Vault) -> None:
    new_keys(vault)
    with time_machine.travel(timedelta(days=-365)):
        exhaust(steps())
    assert_rotated(vault)


def test_a_process_with_a_loaded_keyring_and_remembered_boxes_follows_the_rotation(vault: Vault) -> None:
    ring = keyring.keyring()
    before = ring.record_keys.active
    place = next(place for place in vault.sealed if place.__tablename__ == "patients")
    others = vault.elsewhere()
    with others() as session:
        session.execute(text("SELECT 1"))
        remembered = boxes.box(session, place.id)
        old = remembered.active
        caches = dict(boxes._cache)
        new_keys(vault)
        exhaust(steps())
        # The rotation runs in a process of its own: this one remembers what it did before.
        boxes._cache.clear()
        boxes._cache.update(caches)
        assert boxes.box(session, place.id).active == old
        with transaction() as newer:
            resealed = stored(newer, vault.sealed)[place]
        assert boxes.sealing_key_of(resealed) != old
        assert boxes.box(session, place.id).open_bytes(place, place.column, resealed)
        assert remembered.open_bytes(place, place.column, resealed)
        assert boxes.box(session, place.id).active == boxes.sealing_key_of(resealed)
    assert keyring.keyring() is ring
    assert ring.record_keys.active not in (before, None)


def test_what_somebody_is_changing_meanwhile_is_sealed_anew_as_soon_as_they_are_done(vault: Vault) -> None:
    new_keys(vault)
    for purpose in Purpose:
        exhaust(rotation.renew_data_keys(purpose))
    table = metadata.tables["patients"]
    others, is_locked, was_skipped = vault.elsewhere(), threading.Event(), threading.Event()

    def change() -> None:
        with others.begin() as session:
            session.execute(update(table).values(version=VERSION))
            is_locked.set()
            assert was_skipped.wait(60)

    somebody = threading.Thread(target=change)
    somebody.start()
    assert is_locked.wait(60)
    batches = []
    for batch in rotation.reseal(metadata):
        batches.append(batch)
        if batch.locked:
            was_skipped.set()
    somebody.join()
    assert any(batch.locked for batch in batches)
    exhaust(rotation.rewrap(Purpose.RECORD))
    exhaust(rotation.rewrap(Purpose.PSYCHOTHERAPY_NOTES))
    assert_rotated(vault)


def test_resealing_keeps_nobody_from_writing_records_that_refer_to_the_row(vault: Vault) -> None:
    """FOR UPDATE would: a foreign key takes a lock on the row it leads to."""
    new_keys(vault)
    for purpose in Purpose:
        exhaust(rotation.renew_data_keys(purpose))
    others = vault.elsewhere()
    with others() as session:
        session.execute(text("SET lock_timeout = '5s'"))
        session.execute(text("SELECT 1 FROM patients FOR KEY SHARE"))
        # Were the row locked for it, the walk would come back to it for as long as that lasts.
        moved, _ = exhaust(islice(rotation.reseal(metadata), 2 * len(sealed_tables())))
    assert moved == len(vault.sealed)


def test_a_spoilt_value_is_named_and_does_not_keep_the_rest_under_old_keys(vault: Vault) -> None:
    with put_back("patients") as table:
        spoilt = next(place for place in vault.sealed if place.__tablename__ == "patients")
        with transaction() as session:
            flipped = bytearray(stored(session, vault.sealed)[spoilt])
            flipped[-1] ^= 1
            session.execute(update(table).where(table.c.id == spoilt.id).values({spoilt.column: bytes(flipped)}))
        new_keys(vault)
        _, unreadable = exhaust(steps())
        assert unreadable == [f"patients.{spoilt.column} of {spoilt.id}"]
        with transaction() as session:
            assert stored(session, {spoilt: ""})[spoilt] == bytes(flipped)
        whole = {place: value for place, value in vault.sealed.items() if place != spoilt}
        with transaction() as session:
            assert opened(session, whole) == whole


def test_a_data_key_that_does_not_open_is_named_and_left(vault: Vault) -> None:
    with put_back("data_keys"):
        with transaction() as session:
            row = session.scalars(select(DataKey).where(DataKey.purpose == Purpose.RECORD).limit(1)).one()
            row.wrapped = os.urandom(60)
            spoilt = row.id
        new_keys(vault)
        _, unreadable = exhaust(rotation.rewrap(Purpose.RECORD))
        assert unreadable == [f"data_keys.wrapped of {spoilt}"]
        with transaction() as session:
            wrapped_by = dict(session.execute(select(DataKey.id, DataKey.wrapping_key)).all())
        active = {boxes.wrapping_keys(Purpose.RECORD).active}
        record_keys = {key for key in wrapped_by.values() if key in vault.kept()["keys"]}
        assert record_keys - active == {wrapped_by[spoilt]}
