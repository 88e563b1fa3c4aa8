"""The migrations make exactly the tables that the models describe, and can be taken back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from uuid import UUID

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from coordinator.local.migrations import ROOT
from services.tables import metadata
from services.vault.boxes import box, forget_boxes


def test_a_migrated_database_has_exactly_the_tables_of_the_models(own_postgres_url: str) -> None:
    with create_engine(own_postgres_url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_every_foreign_key_is_called_what_the_models_call_it(own_postgres_url: str) -> None:
    named = text("SELECT conname FROM pg_constraint WHERE contype = 'f'")
    with create_engine(own_postgres_url).connect() as connection:
        known = set(connection.scalars(named))
    assert known == {key.name for table in metadata.sorted_tables for key in table.foreign_key_constraints}


def test_all_migrations_can_be_taken_back_and_made_again(own_postgres_url: str) -> None:
    configuration = Config(toml_file=str(ROOT / "pyproject.toml"))
    engine = create_engine(own_postgres_url)
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "base")
        left = connection.execute(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'")
        ).scalar_one()
        assert left == 0
        command.upgrade(configuration, "head")
        connection.execute(text("SELECT count(*) FROM audit_records")).scalar_one()


def test_what_patients_answered_is_not_deleted_by_taking_a_migration_back(own_postgres_url: str) -> None:
    configuration = Config(toml_file=str(ROOT / "pyproject.toml"))
    with create_engine(own_postgres_url).connect() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0017")
        for owner in ("episode", "patient"):  # a row without those it belongs to
            connection.execute(text(f"ALTER TABLE assessments DROP CONSTRAINT fk_assessments_{owner}_id"))
        connection.execute(
            text(
                "INSERT INTO assessments (id, patient_id, episode_id, occasion, instruments, state, answers,"
                " programme_version, requested_at, version) VALUES (gen_random_uuid(), gen_random_uuid(),"
                " gen_random_uuid(), 'monthly', '{phq9}', 'requested', 'sealed', 'default', now(), 1)"
            )
        )
        connection.commit()
        with pytest.raises(RuntimeError, match="what patients answered"):
            command.downgrade(configuration, "0007")
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM assessments")).scalar_one() == 1


# What told of a diagnosis before it was sealed: the table, its column, the foreign keys, all else that a row needs.
TOPICS = {
    ("assessments", "instruments"): (
        ("episode", "patient"),
        {"occasion": "monthly", "state": "requested", "programme_version": "x", "requested_at": "now", "version": 1},
        ["phq9", "pcl5"],
    ),
    ("outcome_reports", "scales"): (
        ("episode", "patient"),
        {"programme_version": "x", "answered_at": "now", "reported_at": "now"},
        ["pcl5"],
    ),
    ("questions", "rule"): (
        ("episode", "patient"),
        {"party": "pharmacy", "state": "asked", "asked_at": "now", "owner_id": str(UUID(int=7)), "version": 1},
        "questions.of_medicine",
    ),
}


def test_what_tells_of_a_diagnosis_is_sealed_where_it_was_plain(
    own_postgres_url: str, environment: Mapping[str, str]
) -> None:
    configuration = Config(toml_file=str(ROOT / "pyproject.toml"))
    ids = {"id": str(UUID(int=1)), "patient_id": str(UUID(int=2)), "episode_id": str(UUID(int=3))}
    with create_engine(own_postgres_url).connect() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0017")
        for (table, column), (owners, others, value) in TOPICS.items():
            for owner in owners:
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_{owner}_id"))
            given = {**ids, **others, column: value}
            names = ", ".join(given)
            places = ", ".join(f":{name}" for name in given)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), given)
        connection.commit()
        command.upgrade(configuration, "head")
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            for (table, column), (_, _, value) in TOPICS.items():
                row = connection.execute(text(f"SELECT * FROM {table}")).one()
                place = SimpleNamespace(__tablename__=table, id=row.id)
                sealed = bytes(getattr(row, column))
                assert b"pcl5" not in sealed
                assert json.loads(box(session, row.patient_id).open_bytes(place, column, sealed)) == value
        command.downgrade(configuration, "0017")
        for (table, column), (_, _, value) in TOPICS.items():
            assert connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one() == value
    forget_boxes()
