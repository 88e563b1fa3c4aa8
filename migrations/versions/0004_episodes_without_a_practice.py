"""An episode may begin without a therapist and practice, and a referral says how the patient came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("episodes", "practice_id", nullable=True)
    op.add_column("referrals", sa.Column("source", sa.String(length=20), nullable=True))
    # Until now only therapists referred.
    op.execute("UPDATE referrals SET source = 'therapist'")
    op.alter_column("referrals", "source", nullable=False)


def downgrade() -> None:
    op.drop_column("referrals", "source")
    # Whoever is in care without a practice is known to the medical team.
    op.execute("UPDATE episodes SET practice_id = medical_team_id WHERE practice_id IS NULL")
    op.alter_column("episodes", "practice_id", nullable=False)
