"""Finding a therapist: what therapists say of themselves, and the lists that patients choose from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "therapist_profiles",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("specialities", postgresql.ARRAY(sa.String(length=20)), nullable=False),
        sa.Column("capacity", sa.SmallInteger(), nullable=False),
        sa.Column("taking_patients", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_therapist_profiles_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_therapist_profiles")),
    )
    op.create_table(
        "matches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_matches_patient_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_matches_episode_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_matches")),
    )
    op.create_index(op.f("ix_matches_episode_id"), "matches", ["episode_id"])
    op.create_index(
        "ix_matches_episode_id_under_way",
        "matches",
        ["episode_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('proposed', 'chosen')"),
    )
    op.create_table(
        "match_options",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("match_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("therapist_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("preference", sa.SmallInteger(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["match_id"], ["matches.id"], name=op.f("fk_match_options_match_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_match_options_patient_id")),
        sa.ForeignKeyConstraint(["therapist_id"], ["accounts.id"], name=op.f("fk_match_options_therapist_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_options")),
        sa.UniqueConstraint("match_id", "therapist_id", name=op.f("uq_match_options_match_id_therapist_id")),
    )
    op.create_index("ix_match_options_therapist_id", "match_options", ["therapist_id", "state"])


def downgrade() -> None:
    op.drop_table("match_options")
    op.drop_table("matches")
    op.drop_table("therapist_profiles")
