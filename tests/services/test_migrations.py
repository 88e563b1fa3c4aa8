"""The migrations make exactly the tables that the models describe, and can be taken back."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from coordinator.local.migrations import ROOT
from services.tables import metadata


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
