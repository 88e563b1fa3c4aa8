"""Comfort preferences belong to the patient; nobody had any before."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comfort_preferences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_comfort_preferences_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comfort_preferences")),
        sa.UniqueConstraint("patient_id", name=op.f("uq_comfort_preferences_patient_id")),
    )


def downgrade() -> None:
    op.drop_table("comfort_preferences")
