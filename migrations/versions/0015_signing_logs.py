"""Monthly logs to those who sign, and daily reviews of security events."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signing_logs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_signing_logs_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_logs")),
        sa.UniqueConstraint("account_id", "month", name=op.f("uq_signing_logs_account_id_month")),
    )
    op.create_table(
        "security_reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_by", sa.Uuid(), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remark", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_security_reviews_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_reviews")),
        sa.UniqueConstraint("day", name=op.f("uq_security_reviews_day")),
    )


def downgrade() -> None:
    op.drop_table("security_reviews")
    op.drop_table("signing_logs")
