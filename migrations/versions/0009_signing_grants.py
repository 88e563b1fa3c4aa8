"""Access to signing prescriptions, given by two people."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signing_grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("nominated_by", sa.Uuid(), nullable=False),
        sa.Column("nominated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.String(length=20), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_signing_grants_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_grants")),
    )
    op.create_index(op.f("ix_signing_grants_account_id"), "signing_grants", ["account_id"], unique=False)
    op.create_index(
        "uq_signing_grants_open",
        "signing_grants",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('nominated', 'granted')"),
    )


def downgrade() -> None:
    op.drop_table("signing_grants")
