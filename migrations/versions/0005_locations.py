"""Practices that treat at several locations."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "locations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("practice_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("street", sa.String(length=120), nullable=False),
        sa.Column("city", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("postal_code", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["practice_id"], ["organisations.id"], name=op.f("fk_locations_practice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locations")),
    )
    op.create_index(op.f("ix_locations_postal_code"), "locations", ["postal_code"], unique=False)
    op.create_index(op.f("ix_locations_practice_id"), "locations", ["practice_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_locations_practice_id"), table_name="locations")
    op.drop_index(op.f("ix_locations_postal_code"), table_name="locations")
    op.drop_table("locations")
