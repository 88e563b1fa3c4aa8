"""Tables of sessions: the session itself, its readings, doses, checks and adverse events. All content is sealed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class TherapySession(Base):
    """A preparation, dosing or integration session of an episode."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_episode_id", "episode_id", "starts_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    therapist_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    prescription_id: Mapped[UUID | None] = mapped_column(ForeignKey("prescriptions.id"))
    integrates_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"), index=True)
    place: Mapped[bytes | None] = sealed_column(owner="patient_id")
    readiness: Mapped[bytes | None] = sealed_column(owner="patient_id")
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    confirmed_at: Mapped[datetime | None]
    discharged_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class VitalsReading(Base):
    """Blood pressure, heart rate and perhaps SpO2, with the gate's answer (LOINC 85354-9, 8867-4, 59408-5)."""

    __tablename__ = "vitals"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    phase: Mapped[str] = mapped_column(String(10))
    taken_at: Mapped[datetime]
    reading: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    gate: Mapped[bytes | None] = sealed_column(owner="patient_id")
    recorded_by: Mapped[UUID]


class Dose(Base):
    """What was taken in a session, and when."""

    __tablename__ = "doses"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    prescription_id: Mapped[UUID] = mapped_column(ForeignKey("prescriptions.id"), index=True)
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    taken_at: Mapped[datetime]
    recorded_by: Mapped[UUID]


class Check(Base):
    """A look at the patient during monitoring."""

    __tablename__ = "checks"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    checked_at: Mapped[datetime]
    recorded_by: Mapped[UUID]


class AdverseEvent(Base):
    """Something untoward: graded, open until a prescriber has dealt with it."""

    __tablename__ = "adverse_events"
    __table_args__ = (Index("ix_adverse_events_episode_id", "episode_id", "state"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"))
    state: Mapped[str] = mapped_column(String(10))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    resolution: Mapped[bytes | None] = sealed_column(owner="patient_id")
    occurred_at: Mapped[datetime]
    recorded_by: Mapped[UUID]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[UUID | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy
