"""Tables of matching: what therapists say of themselves, and the lists that patients choose from."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class TherapistProfile(Base):
    """What a therapist treats and how many clients of the programme they take. Professional facts, nothing personal."""

    __tablename__ = "therapist_profiles"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    specialities: Mapped[list[str]] = mapped_column(ARRAY(String(20)), default=list)
    capacity: Mapped[int] = mapped_column(SmallInteger)
    taking_patients: Mapped[bool]
    changed_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Match(Base):
    """The search for one patient's therapist."""

    __tablename__ = "matches"
    __table_args__ = (
        # Two lists at once would let two therapists accept the same patient.
        Index(
            "ix_matches_episode_id_under_way",
            "episode_id",
            unique=True,
            postgresql_where=text("state IN ('proposed', 'chosen')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"), index=True)
    state: Mapped[str] = mapped_column(String(20))
    proposed_by: Mapped[UUID]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class MatchOption(Base):
    """One therapist on a list. ``rank`` is the medical team's order, ``preference`` the patient's.

    ``findings`` says why the therapist was proposed, ``reason`` why they declined. Both can tell of the illness.
    """

    __tablename__ = "match_options"
    __table_args__ = (
        UniqueConstraint("match_id", "therapist_id"),
        Index("ix_match_options_therapist_id", "therapist_id", "state"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    match_id: Mapped[UUID] = mapped_column(ForeignKey("matches.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    therapist_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    rank: Mapped[int] = mapped_column(SmallInteger)
    preference: Mapped[int | None] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(String(20))
    findings: Mapped[bytes | None] = sealed_column(owner="patient_id")
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    asked_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
