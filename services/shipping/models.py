"""Tables of shipping: parcels, what carriers reported, what patients answered. Codes, addresses, counts are sealed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column

# The texts of the partial indexes' conditions, for queries that want to use them.
OPEN_REVIEW = text("state = 'open'")
STANDING_LOSS = text("found_at IS NULL")
TRACKER_WANTED = text("tracker_state IN ('pending', 'asking', 'unknown')")


class Shipment(Base):
    """A parcel with one fill, on its way to the patient's home.

    ``state`` is its stage (``statuses.Stage``). ``tracking_index`` finds it by its code. ``seen`` are the stages it
    has been in and ``told`` the events that were sent on: each goes out once for a parcel. ``tracker_state`` is how far
    registering it at the carrier service got, ``receipt_state`` what the patient said.
    ``quarantined_at`` is when the pharmacy put away what came back, ``quarantined_units`` what it counted then.
    """

    __tablename__ = "shipments"
    __table_args__ = (
        Index("ix_shipments_episode_id", "episode_id", "id"),
        Index("ix_shipments_tracker_due_at", "tracker_due_at", postgresql_where=TRACKER_WANTED),
        # A fill travels once; only after a cancelled label may it travel again.
        Index("uq_shipments_fill_id", "fill_id", unique=True, postgresql_where=text("state <> 'cancelled'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    prescription_id: Mapped[UUID] = mapped_column(ForeignKey("prescriptions.id"))
    fill_id: Mapped[UUID] = mapped_column(ForeignKey("fills.id"))
    state: Mapped[str] = mapped_column(String(20))
    carrier: Mapped[str] = mapped_column(String(40))
    delivery_confirmation: Mapped[str] = mapped_column(String(40))
    tracking_code: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    tracking_index: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    ship_to: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    quantity: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    tracker_state: Mapped[str] = mapped_column(String(20))
    tracker_id: Mapped[str | None] = mapped_column(String(80), unique=True)
    tracker_attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    tracker_due_at: Mapped[datetime]
    tracker_error: Mapped[str | None] = mapped_column(String(60))
    public_url: Mapped[bytes | None] = sealed_column(owner="patient_id")
    last_scan_at: Mapped[datetime | None]
    estimated_at: Mapped[datetime | None]
    seen: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    told: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    signed: Mapped[bool] = mapped_column(default=False)
    damage_reported: Mapped[bool] = mapped_column(default=False)
    contradicted: Mapped[bool] = mapped_column(default=False)
    receipt_state: Mapped[str] = mapped_column(String(20))
    address_reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    created_by: Mapped[UUID]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    quarantined_at: Mapped[datetime | None]
    quarantined_by: Mapped[UUID | None]
    quarantined_units: Mapped[bytes | None] = sealed_column(owner="patient_id")
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class TrackingEvent(Base):
    """One event of the carrier service about a parcel, kept once however often it is delivered."""

    __tablename__ = "tracking_events"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_event_id: Mapped[str] = mapped_column(String(120), unique=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    shipment_id: Mapped[UUID] = mapped_column(ForeignKey("shipments.id"), index=True)
    delivery_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(String(40))
    status_detail: Mapped[str | None] = mapped_column(String(60))
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    stage_before: Mapped[str] = mapped_column(String(20))
    stage_after: Mapped[str] = mapped_column(String(20))


class Receipt(Base):
    """What somebody answered about a parcel's arrival. ``answer``: received, count, seal_intact, reason."""

    __tablename__ = "receipts"
    __table_args__ = (Index("ix_receipts_shipment_id", "shipment_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    shipment_id: Mapped[UUID] = mapped_column(ForeignKey("shipments.id"))
    outcome: Mapped[str] = mapped_column(String(20))
    way: Mapped[str] = mapped_column(String(10))
    answer: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    given_by: Mapped[UUID]
    given_at: Mapped[datetime]


class Loss(Base):
    """Units lost or stolen, on the way, at home or in the pharmacy, and what was done about it (21 CFR 1301.76(b)).

    ``details`` holds the units and what happened. ``dea_due_at`` and ``form_106_due_at`` are the two timers of the
    pharmacy; ``dea_notified_at`` and ``form_106_filed_at`` stop them, with a reference each; ``found_at`` too.
    """

    __tablename__ = "losses"
    __table_args__ = (
        Index("ix_losses_episode_id", "episode_id", "id"),
        # A parcel, or a fill that never left, is lost once.
        Index("uq_losses_shipment_id", "shipment_id", unique=True, postgresql_where=STANDING_LOSS),
        Index("uq_losses_fill_id", "fill_id", unique=True, postgresql_where=STANDING_LOSS),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    shipment_id: Mapped[UUID | None] = mapped_column(ForeignKey("shipments.id"))
    fill_id: Mapped[UUID | None] = mapped_column(ForeignKey("fills.id"))
    whereabouts: Mapped[str] = mapped_column(String(20))
    is_theft: Mapped[bool]
    details: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    discovered_at: Mapped[datetime]
    reported_by: Mapped[UUID]
    reported_at: Mapped[datetime]
    dea_due_at: Mapped[datetime]
    dea_notified_at: Mapped[datetime | None]
    dea_notified_by: Mapped[UUID | None]
    dea_reference: Mapped[bytes | None] = sealed_column(owner="patient_id")
    form_106_due_at: Mapped[datetime]
    form_106_filed_at: Mapped[datetime | None]
    form_106_filed_by: Mapped[UUID | None]
    form_106_reference: Mapped[bytes | None] = sealed_column(owner="patient_id")
    found_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class DiversionReview(Base):
    """A count that does not agree with the ledger, or one loss too many: nothing is taken or refilled meanwhile.

    ``cause`` says which, ``facts`` what was expected and counted. ``outcome`` and ``resolution`` (reason, units booked)
    are the prescriber's. An episode has one open review at most; whatever comes up meanwhile belongs to it.
    """

    __tablename__ = "diversion_reviews"
    __table_args__ = (
        Index("ix_diversion_reviews_episode_id", "episode_id", "id"),
        Index("uq_diversion_reviews_open", "episode_id", unique=True, postgresql_where=OPEN_REVIEW),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    state: Mapped[str] = mapped_column(String(20))
    cause: Mapped[str] = mapped_column(String(20))
    about_id: Mapped[UUID | None]
    facts: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    raised_by: Mapped[UUID]
    raised_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(String(20))
    resolution: Mapped[bytes | None] = sealed_column(owner="patient_id")
    resolved_by: Mapped[UUID | None]
    resolved_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy
