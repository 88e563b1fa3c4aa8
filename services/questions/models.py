"""Tables of questions. What was asked and answered is sealed under the patient's key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class Question(Base):
    """What a patient asks, and who has it: an account or an organisation of ``party``.

    ``rule`` routed it; it is sealed, for it tells what the text is about.
    """

    __tablename__ = "questions"
    __table_args__ = (
        Index("ix_questions_episode_id", "episode_id", "id"),
        Index("ix_questions_owner_id", "owner_id", "state", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    rule: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    party: Mapped[str] = mapped_column(String(20))
    owner_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(String(20))
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class QuestionPost(Base):
    """One text of a thread: the patient's, an answer, or why it was forwarded or closed (``kind``)."""

    __tablename__ = "question_posts"
    __table_args__ = (UniqueConstraint("question_id", "number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    question_id: Mapped[UUID] = mapped_column(ForeignKey("questions.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    way: Mapped[str] = mapped_column(String(20))
    author_id: Mapped[UUID]
    message_id: Mapped[UUID | None] = mapped_column(unique=True)
    text: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    written_at: Mapped[datetime]
