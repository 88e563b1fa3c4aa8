"""A registrant of another medical team may be named to approve access to signing."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("signing_grants", sa.Column("approver_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("signing_grants", "approver_id")
