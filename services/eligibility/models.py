"""Tables of referrals, eligibility reviews and decisions. Clinical content is sealed under the patient's key."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class Referral(Base):
    """How a patient came: who referred, with which diagnosis and for what reason. It never changes.

    ``source`` tells whether a therapist brought the patient, a medical team did, or the patient asked the team.
    """

    __tablename__ = "referrals"
    __table_args__ = (Index("ix_referrals_referred_by", "referred_by"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"), unique=True)
    referred_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    source: Mapped[str] = mapped_column(String(20))
    diagnosis: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    created_at: Mapped[datetime]


class EligibilityReview(Base):
    """What the rules say about one completed round of screening, for a prescriber to decide on.

    ``inputs`` are the facts as they were, ``findings`` what the rules made of them, ``inputs_hash`` ties the two; rule
    set and programme are named, so that the evaluation can be replayed.
    """

    __tablename__ = "eligibility_reviews"
    __table_args__ = (Index("ix_eligibility_reviews_episode_id", "episode_id", "evaluated_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    screening_id: Mapped[UUID] = mapped_column(ForeignKey("screenings.id"), unique=True)
    state: Mapped[str] = mapped_column(String(20))
    inputs: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    inputs_hash: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    findings: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    programme_version: Mapped[str] = mapped_column(String(80))
    rule_set_version: Mapped[str] = mapped_column(String(40))
    evaluated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class EligibilityDecision(Base):
    """What a prescriber decided on a review, with the findings of that very moment and the reasons. It never changes.

    ``reasons`` holds the overall reason, the reason for each finding and which stops were overridden. ``valid_until``
    is the last day an approval counts, by the patient's calendar.
    """

    __tablename__ = "eligibility_decisions"
    __table_args__ = (Index("ix_eligibility_decisions_episode_id", "episode_id", "decided_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    review_id: Mapped[UUID] = mapped_column(ForeignKey("eligibility_reviews.id"), unique=True)
    decision: Mapped[str] = mapped_column(String(20))
    decided_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    decided_at: Mapped[datetime]
    valid_until: Mapped[date | None]
    inputs: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    inputs_hash: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    findings: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    reasons: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    programme_version: Mapped[str] = mapped_column(String(80))
    rule_set_version: Mapped[str] = mapped_column(String(40))
