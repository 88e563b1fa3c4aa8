"""Integration circles with a place for each patient, and journal entries."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "circles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("medical_team_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("capacity", sa.SmallInteger(), nullable=False),
        sa.Column("title", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["accounts.id"], name=op.f("fk_circles_host_id")),
        sa.ForeignKeyConstraint(["medical_team_id"], ["organisations.id"], name=op.f("fk_circles_medical_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_circles")),
    )
    op.create_index("ix_circles_medical_team_id", "circles", ["medical_team_id", "starts_at"])
    op.create_index("ix_circles_host_id", "circles", ["host_id", "starts_at"])
    op.create_table(
        "circle_places",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("circle_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=False),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["circle_id"], ["circles.id"], name=op.f("fk_circle_places_circle_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_circle_places_patient_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_circle_places_episode_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_circle_places")),
        sa.UniqueConstraint("circle_id", "patient_id", name=op.f("uq_circle_places_circle_id_patient_id")),
    )
    op.create_index("ix_circle_places_episode_id", "circle_places", ["episode_id", "id"])
    op.create_table(
        "journal_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("prompt", sa.LargeBinary(), nullable=True),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_journal_entries_patient_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_journal_entries_episode_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entries")),
    )
    op.create_index("ix_journal_entries_episode_id", "journal_entries", ["episode_id", "id"])


def downgrade() -> None:
    op.drop_table("journal_entries")
    op.drop_table("circle_places")
    op.drop_table("circles")
