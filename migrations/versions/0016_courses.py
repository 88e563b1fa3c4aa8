"""Decisions on the course of an episode: maintenance plans, discontinuations, discharges."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "course_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_course_decisions_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_course_decisions_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_course_decisions")),
    )
    op.create_index("ix_course_decisions_episode_id", "course_decisions", ["episode_id", "id"])


def downgrade() -> None:
    op.drop_table("course_decisions")
