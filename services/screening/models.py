"""Tables of the screening and of suicide-risk flags. Answers, scores and reasons are sealed under the patient's key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class Screening(Base):
    """One round of a patient's screening in an episode.

    ``answers`` holds each part with the time it was last answered, ``results`` the scores with their trace, the risk
    level and the triage once the round is complete, ``request`` what the medical team asked for when it opened a
    further round.
    """

    __tablename__ = "screenings"
    __table_args__ = (
        UniqueConstraint("episode_id", "round"),
        Index("ix_screenings_patient_id", "patient_id"),
        Index("uq_screenings_opened", "episode_id", unique=True, postgresql_where=text("state = 'opened'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    round: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(String(20))
    answers: Mapped[bytes | None] = sealed_column(owner="patient_id")
    results: Mapped[bytes | None] = sealed_column(owner="patient_id")
    request: Mapped[bytes | None] = sealed_column(owner="patient_id")
    programme_version: Mapped[str | None] = mapped_column(String(80))
    opened_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class RiskFlag(Base):
    """A suicide risk that somebody must act on. It blocks what ``triage`` says until a prescriber clears it.

    ``source`` says which part of the work raised it and ``subject_id`` the record it came from.
    """

    __tablename__ = "risk_flags"
    __table_args__ = (
        Index("ix_risk_flags_raised", "episode_id", postgresql_where=text("state = 'raised'")),
        Index("ix_risk_flags_episode_id", "episode_id", "raised_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    source: Mapped[str] = mapped_column(String(20))
    subject_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(String(20))
    triage: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    raised_at: Mapped[datetime]
    cleared_at: Mapped[datetime | None]
    cleared_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy
