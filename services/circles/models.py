"""Tables of circles. A place belongs to one patient and names no other; what is noted in it is sealed for that one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class Circle(Base):
    """A group meeting online with one host. It holds nothing of any patient."""

    __tablename__ = "circles"
    __table_args__ = (
        Index("ix_circles_medical_team_id", "medical_team_id", "starts_at"),
        Index("ix_circles_host_id", "host_id", "starts_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    medical_team_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    state: Mapped[str] = mapped_column(String(20))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    capacity: Mapped[int] = mapped_column(SmallInteger)
    title: Mapped[bytes | None] = sealed_column(owner="host_id", nullable=False)
    address: Mapped[bytes | None] = sealed_column(owner="host_id", nullable=False)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class CirclePlace(Base):
    """One patient's place: invited, answered, there or not, and the host's note for this patient's record."""

    __tablename__ = "circle_places"
    __table_args__ = (
        UniqueConstraint("circle_id", "patient_id"),
        Index("ix_circle_places_episode_id", "episode_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    circle_id: Mapped[UUID] = mapped_column(ForeignKey("circles.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    state: Mapped[str] = mapped_column(String(20))
    invited_by: Mapped[UUID]
    invited_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime | None]
    note: Mapped[bytes | None] = sealed_column(owner="patient_id")
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy
