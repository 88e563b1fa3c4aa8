"""Prescriptions say whether they are shipped or given in the clinic; all of before were shipped."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("supplied", sa.String(length=10), nullable=False, server_default="shipped")
    op.add_column("prescriptions", column)
    op.alter_column("prescriptions", "supplied", server_default=None)


def downgrade() -> None:
    op.drop_column("prescriptions", "supplied")
