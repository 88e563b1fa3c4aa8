"""Prescriptions signed in a certified system elsewhere: where, under which reference, when; sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prescriptions", sa.Column("outside", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("prescriptions", "outside")
