"""The dose ledger: entries, losses with both timers, diversion reviews, quarantined parcels, occasions of counts."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STANDING = sa.text("found_at IS NULL")
OPEN_REVIEW = sa.text("state = 'open'")


def upgrade() -> None:
    op.create_table(
        "stock_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=True),
        sa.Column("entered_by", sa.Uuid(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_stock_entries_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_stock_entries_patient_id")),
        sa.ForeignKeyConstraint(
            ["prescription_id"], ["prescriptions.id"], name=op.f("fk_stock_entries_prescription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_entries")),
    )
    op.create_index("ix_stock_entries_episode_id", "stock_entries", ["episode_id", "entered_at"])
    op.create_table(
        "losses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("shipment_id", sa.Uuid(), nullable=True),
        sa.Column("fill_id", sa.Uuid(), nullable=True),
        sa.Column("whereabouts", sa.String(length=20), nullable=False),
        sa.Column("is_theft", sa.Boolean(), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=False),
        sa.Column("discovered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_by", sa.Uuid(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dea_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dea_notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dea_notified_by", sa.Uuid(), nullable=True),
        sa.Column("dea_reference", sa.LargeBinary(), nullable=True),
        sa.Column("form_106_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("form_106_filed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("form_106_filed_by", sa.Uuid(), nullable=True),
        sa.Column("form_106_reference", sa.LargeBinary(), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_losses_episode_id")),
        sa.ForeignKeyConstraint(["fill_id"], ["fills.id"], name=op.f("fk_losses_fill_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_losses_patient_id")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipments.id"], name=op.f("fk_losses_shipment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_losses")),
    )
    op.create_index("ix_losses_episode_id", "losses", ["episode_id", "id"])
    op.create_index(op.f("ix_losses_patient_id"), "losses", ["patient_id"])
    op.create_index("uq_losses_shipment_id", "losses", ["shipment_id"], unique=True, postgresql_where=STANDING)
    op.create_index("uq_losses_fill_id", "losses", ["fill_id"], unique=True, postgresql_where=STANDING)
    op.create_table(
        "diversion_reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.String(length=20), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=True),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("raised_by", sa.Uuid(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("resolution", sa.LargeBinary(), nullable=True),
        sa.Column("resolved_by", sa.Uuid(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_diversion_reviews_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_diversion_reviews_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_diversion_reviews")),
    )
    op.create_index("ix_diversion_reviews_episode_id", "diversion_reviews", ["episode_id", "id"])
    op.create_index(op.f("ix_diversion_reviews_patient_id"), "diversion_reviews", ["patient_id"])
    op.create_index(
        "uq_diversion_reviews_open", "diversion_reviews", ["episode_id"], unique=True, postgresql_where=OPEN_REVIEW
    )
    op.add_column("shipments", sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("shipments", sa.Column("quarantined_by", sa.Uuid(), nullable=True))
    op.add_column("shipments", sa.Column("quarantined_units", sa.LargeBinary(), nullable=True))
    # What was counted before was counted at home.
    occasion = sa.Column("occasion", sa.String(length=20), nullable=False, server_default="home")
    op.add_column("stock_counts", occasion)
    op.alter_column("stock_counts", "occasion", server_default=None)


def downgrade() -> None:
    op.drop_column("stock_counts", "occasion")
    for name in ("quarantined_units", "quarantined_by", "quarantined_at"):
        op.drop_column("shipments", name)
    op.drop_table("diversion_reviews")
    op.drop_table("losses")
    op.drop_table("stock_entries")
