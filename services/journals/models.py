"""The table of journal entries. What was asked and what was written is sealed under the patient's key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class JournalEntry(Base):
    """One entry. ``prompt`` is what the patient answered to, empty when they wrote of their own accord."""

    __tablename__ = "journal_entries"
    __table_args__ = (Index("ix_journal_entries_episode_id", "episode_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    prompt: Mapped[bytes | None] = sealed_column(owner="patient_id")
    text: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    written_at: Mapped[datetime]
    shared_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy
