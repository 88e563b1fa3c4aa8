"""Programmes by version: what episodes are pinned to is kept whole and never changes; organisations name theirs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "programme_versions",
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_programme_versions")),
    )
    op.create_table(
        "programme_adoptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("adopted_by", sa.Uuid(), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["adopted_by"], ["accounts.id"], name=op.f("fk_programme_adoptions_adopted_by")),
        sa.ForeignKeyConstraint(
            ["version"], ["programme_versions.version"], name=op.f("fk_programme_adoptions_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme_adoptions")),
        sa.UniqueConstraint("version", name=op.f("uq_programme_adoptions_version")),
    )
    op.create_index("ix_programme_adoptions_name", "programme_adoptions", ["name", "effective_from"], unique=False)
    op.add_column("organisations", sa.Column("programme", sa.String(length=30), nullable=True))
    # What those episodes were decided under was named by a hash only. They follow the programme in force until a
    # prescriber decides anew.
    op.execute("UPDATE episodes SET programme_version = ''")
    op.execute(
        """
        CREATE FUNCTION refuse_programme_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'versions of programmes do not change';
        END $$
        """
    )
    for table in ("programme_versions", "programme_adoptions"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_programme_change()"
        )


def downgrade() -> None:
    op.drop_column("organisations", "programme")
    op.drop_index("ix_programme_adoptions_name", table_name="programme_adoptions")
    op.drop_table("programme_adoptions")
    op.drop_table("programme_versions")
    op.execute("DROP FUNCTION refuse_programme_change")
