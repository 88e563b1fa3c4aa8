"""Tables of outcome reports and of psychotherapy notes.

Reports are ordinary record, sealed under the patient's key. Psychotherapy notes (45 CFR 164.501) have tables and a key
of their own; both of their tables carry that purpose on a sealed column, which keeps them out of every export.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import Purpose, sealed_column


class OutcomeReport(Base):
    """What a therapist reported of a patient's progress; it never changes, a correction is a new report.

    ``scales`` names the instruments that gave a result, ``results`` holds answers, scores with trace and instrument
    version, outcome classes with their baseline, and the triage.
    """

    __tablename__ = "outcome_reports"
    __table_args__ = (Index("ix_outcome_reports_episode_id", "episode_id", "reported_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id"))
    scales: Mapped[list[str]] = mapped_column(ARRAY(String(40)))
    results: Mapped[bytes | None] = sealed_column(owner="patient_id")
    summary: Mapped[bytes | None] = sealed_column(owner="patient_id")
    programme_version: Mapped[str] = mapped_column(String(80))
    answered_at: Mapped[datetime]
    reported_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    reported_at: Mapped[datetime]


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
