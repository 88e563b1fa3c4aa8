"""Assessments that patients answer, and decisions on treatments that do not help."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "assessments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("occasion", sa.String(length=20), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=True),
        sa.Column("instruments", postgresql.ARRAY(sa.String(length=40)), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=True),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_assessments_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_assessments_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assessments")),
    )
    op.create_index("ix_assessments_episode_id", "assessments", ["episode_id", "requested_at", "id"], unique=False)
    op.create_index(op.f("ix_assessments_patient_id"), "assessments", ["patient_id"], unique=False)
    op.create_index(
        "uq_assessments_requested",
        "assessments",
        ["episode_id"],
        unique=True,
        postgresql_where=sa.text("state = 'requested'"),
    )
    op.create_table(
        "response_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=False),
        sa.Column("decision", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["accounts.id"], name=op.f("fk_response_decisions_decided_by")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_response_decisions_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_response_decisions_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response_decisions")),
    )
    op.create_index("ix_response_decisions_episode_id", "response_decisions", ["episode_id", "noted_at"], unique=False)
    op.create_index(op.f("ix_response_decisions_patient_id"), "response_decisions", ["patient_id"], unique=False)
    op.create_index(
        "uq_response_decisions_undecided",
        "response_decisions",
        ["episode_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('noted', 'open')"),
    )
    op.add_column("outcome_reports", sa.Column("assessment_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_outcome_reports_assessment_id"), "outcome_reports", "assessments", ["assessment_id"], ["id"]
    )
    op.create_unique_constraint(op.f("uq_outcome_reports_assessment_id"), "outcome_reports", ["assessment_id"])
    op.alter_column("outcome_reports", "reported_by", nullable=True)


def downgrade() -> None:
    # What patients answered themselves names no account; without assessments there is no place for it.
    answered = sa.text(
        "SELECT EXISTS (SELECT 1 FROM outcome_reports WHERE reported_by IS NULL)"
        " OR EXISTS (SELECT 1 FROM assessments WHERE answers IS NOT NULL)"
    )
    if op.get_bind().scalar(answered):
        raise RuntimeError("There are assessments that hold what patients answered: this is not taken back over them.")
    op.alter_column("outcome_reports", "reported_by", nullable=False)
    op.drop_constraint(op.f("uq_outcome_reports_assessment_id"), "outcome_reports", type_="unique")
    op.drop_constraint(op.f("fk_outcome_reports_assessment_id"), "outcome_reports", type_="foreignkey")
    op.drop_column("outcome_reports", "assessment_id")
    op.drop_table("response_decisions")
    op.drop_table("assessments")
