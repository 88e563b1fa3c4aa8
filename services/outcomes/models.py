"""Tables of outcome reports, assessments, decisions on treatments that do not help, and psychotherapy notes.

All but the notes are ordinary record, sealed under the patient's key. Psychotherapy notes (45 CFR 164.501) have tables
and a key of their own; both of their tables carry that purpose on a sealed column, which keeps them out of every
export.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import Purpose, sealed_column


class OutcomeReport(Base):
    """What a therapist reported of a patient's progress, or what a completed assessment gave; it never changes.

    Either ``reported_by`` or ``assessment_id`` is set. ``scales`` names the instruments that gave a result, sealed
    because which ones a patient is asked tells of the diagnosis. ``results`` holds answers, scores with trace and
    instrument version, outcome classes and changes with their baseline, and the triage. A correction is a new report.
    """

    __tablename__ = "outcome_reports"
    __table_args__ = (Index("ix_outcome_reports_episode_id", "episode_id", "reported_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"))
    scales: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    results: Mapped[bytes | None] = sealed_column(owner="patient_id")
    summary: Mapped[bytes | None] = sealed_column(owner="patient_id")
    programme_version: Mapped[str] = mapped_column(String(80))
    answered_at: Mapped[datetime]
    reported_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    assessment_id: Mapped[UUID | None] = mapped_column(ForeignKey("assessments.id"), unique=True)
    reported_at: Mapped[datetime]


class Assessment(Base):
    """Instruments asked of a patient on one occasion, answered in parts; completing it makes an ``OutcomeReport``.

    ``instruments`` are those asked, sealed like the scales of a report. ``number`` is the dosing session of an occasion
    that follows one, ``answers`` holds each instrument's answers with the time they were last given.
    """

    __tablename__ = "assessments"
    __table_args__ = (
        Index("ix_assessments_episode_id", "episode_id", "requested_at", "id"),
        Index("uq_assessments_requested", "episode_id", unique=True, postgresql_where=text("state = 'requested'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    occasion: Mapped[str] = mapped_column(String(20))
    number: Mapped[int | None] = mapped_column(SmallInteger)
    instruments: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    state: Mapped[str] = mapped_column(String(20))
    answers: Mapped[bytes | None] = sealed_column(owner="patient_id")
    programme_version: Mapped[str] = mapped_column(String(80))
    requested_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class ResponseDecision(Base):
    """A treatment that does not help: a prescriber looks, and some sessions later has to decide (DOMAIN 2.1).

    ``findings`` is what the rules found last, ``decision`` and ``reason`` what was decided.
    """

    __tablename__ = "response_decisions"
    __table_args__ = (
        Index("ix_response_decisions_episode_id", "episode_id", "noted_at"),
        Index(
            "uq_response_decisions_undecided",
            "episode_id",
            unique=True,
            postgresql_where=text("state IN ('noted', 'open')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    state: Mapped[str] = mapped_column(String(20))
    findings: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    decision: Mapped[bytes | None] = sealed_column(owner="patient_id")
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    programme_version: Mapped[str] = mapped_column(String(80))
    noted_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class PsychotherapyNote(Base):
    """A psychotherapy note as it stands now. Its key is the author's own, see ``psychotherapy_notes.py``."""

    __tablename__ = "psychotherapy_notes"
    __table_args__ = (Index("ix_psychotherapy_notes_episode_id", "episode_id", "author_id", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    author_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"))
    text: Mapped[bytes | None] = sealed_column(owner="author_id", purpose=Purpose.PSYCHOTHERAPY_NOTES, nullable=False)
    created_at: Mapped[datetime]
    written_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class PsychotherapyNoteVersion(Base):
    """What a psychotherapy note said before it was amended. ``number`` is the version that the text had."""

    __tablename__ = "psychotherapy_note_versions"
    __table_args__ = (UniqueConstraint("note_id", "number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    note_id: Mapped[UUID] = mapped_column(ForeignKey("psychotherapy_notes.id"))
    number: Mapped[int]
    author_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    text: Mapped[bytes | None] = sealed_column(owner="author_id", purpose=Purpose.PSYCHOTHERAPY_NOTES, nullable=False)
    written_at: Mapped[datetime]
