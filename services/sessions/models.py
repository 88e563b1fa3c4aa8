"""Tables of sessions: the session itself, its readings, doses and checks, adverse events, counts. Content is sealed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class TherapySession(Base):
    """A preparation, dosing or integration session of an episode.

    ``place`` is where and how (site, remote, address), ``readiness`` what was found before the start, ``reason`` why it
    was cancelled, aborted or an emergency. ``dosed_at`` and ``last_dose_at`` are the first and the last dose,
    ``ended_at`` when the patient left or the talk was over.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_episode_id", "episode_id", "starts_at", "id"),
        Index("ix_sessions_therapist_id", "therapist_id", "starts_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    therapist_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    prescription_id: Mapped[UUID | None] = mapped_column(ForeignKey("prescriptions.id"))
    integrates_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"), index=True)
    place: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    readiness: Mapped[bytes | None] = sealed_column(owner="patient_id")
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    confirmed_at: Mapped[datetime | None]
    reschedule_asked_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    dosed_at: Mapped[datetime | None]
    last_dose_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class VitalsReading(Base):
    """Blood pressure, heart rate and perhaps SpO2, with the gate's answer (LOINC 85354-9, 8867-4, 59408-5)."""

    __tablename__ = "vitals"
    __table_args__ = (Index("ix_vitals_session_id", "session_id", "taken_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    phase: Mapped[str] = mapped_column(String(10))
    taken_at: Mapped[datetime]
    reading: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    gate: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    recorded_by: Mapped[UUID]
    recorded_at: Mapped[datetime]


class Dose(Base):
    """Something taken in a session: one half, the whole, or the booster.

    ``content``: mg, strength_mg, is_booster, route, is_shipped. ``ended_at`` is when an infusion ended; what is taken
    at once has none.
    """

    __tablename__ = "doses"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    prescription_id: Mapped[UUID] = mapped_column(ForeignKey("prescriptions.id"))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    taken_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    recorded_by: Mapped[UUID]
    recorded_at: Mapped[datetime]


class Check(Base):
    """What is noted with a session beside doses and vitals; ``kind`` is one of ``noted.Noted``.

    A look at the patient while the medicine works, a call the day after, the medical team at the start, why something
    was missed, medicines reconciled or allowed, how the medicine was brought, ratings.
    """

    __tablename__ = "checks"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    kind: Mapped[str] = mapped_column(String(20))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    checked_at: Mapped[datetime]
    recorded_by: Mapped[UUID]
    recorded_at: Mapped[datetime]


class AdverseEvent(Base):
    """Something untoward: graded, open until a prescriber has dealt with it. ``content``: grade, description."""

    __tablename__ = "adverse_events"
    __table_args__ = (
        Index("ix_adverse_events_episode_id", "episode_id", "id"),
        Index("ix_adverse_events_open", "episode_id", "state"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"))
    state: Mapped[str] = mapped_column(String(10))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    resolution: Mapped[bytes | None] = sealed_column(owner="patient_id")
    occurred_at: Mapped[datetime]
    recorded_by: Mapped[UUID]
    recorded_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[UUID | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Waste(Base):
    """Units that were lost, spoilt or disposed of, and why. ``session_id`` is the session it is counted with."""

    __tablename__ = "wastes"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    recorded_by: Mapped[UUID]
    recorded_at: Mapped[datetime]


class StockCount(Base):
    """How many units somebody counted at the patient's home."""

    __tablename__ = "stock_counts"
    __table_args__ = (Index("ix_stock_counts_episode_id", "episode_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    occasion: Mapped[str] = mapped_column(String(20))
    units: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    counted_by: Mapped[UUID]
    counted_at: Mapped[datetime]


class ComfortPreferences(Base):
    """What a patient would like in a session: music, talking, mat or recliner, aromatherapy, eye mask."""

    __tablename__ = "comfort_preferences"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), unique=True)
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    changed_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class RoundExtension(Base):
    """A prescriber's decision that a round has more dosing sessions. ``content``: sessions in all, reason."""

    __tablename__ = "round_extensions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    extended_by: Mapped[UUID]
    extended_at: Mapped[datetime]


class CourseDecision(Base):
    """A decision on the course of an episode: a maintenance plan, its discontinuation, its discharge.

    ``content`` holds the text, of a plan ``interval_days``, of a discontinuation its ``cause``.
    """

    __tablename__ = "course_decisions"
    __table_args__ = (Index("ix_course_decisions_episode_id", "episode_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    kind: Mapped[str] = mapped_column(String(20))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    decided_by: Mapped[UUID]
    decided_at: Mapped[datetime]
