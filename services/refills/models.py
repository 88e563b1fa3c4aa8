"""Tables of refill requests: the request, and every act on it.

Facts, findings and texts are sealed under the patient's key.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column

OPEN_REQUEST = text("state IN ('requested', 'returned')")


class RefillRequest(Base):
    """A therapist's request for the next supply, with the gate as it stood when it passed.

    ``facts`` is what the rules read, the therapist's count among it; ``inputs_hash`` ties facts and findings, and the
    programme is named, so that the evaluation can be replayed. ``owner_id`` is the prescriber it lies with, once it was
    forwarded or a question asked. ``supply`` says how an approved one is supplied.
    """

    __tablename__ = "refill_requests"
    __table_args__ = (
        Index("ix_refill_requests_episode_id", "episode_id", "requested_at"),
        # Two therapists' clicks, or one twice: an episode has one undecided request at most.
        Index("uq_refill_requests_open", "episode_id", unique=True, postgresql_where=OPEN_REQUEST),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    state: Mapped[str] = mapped_column(String(20))
    requested_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    requested_at: Mapped[datetime]
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    comment: Mapped[bytes | None] = sealed_column(owner="patient_id")
    facts: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    inputs_hash: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    findings: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    programme_version: Mapped[str] = mapped_column(String(80))
    supply: Mapped[str | None] = mapped_column(String(20))
    prescription_id: Mapped[UUID | None] = mapped_column(ForeignKey("prescriptions.id"))
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    decided_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class RefillAct(Base):
    """One act on a request: asked, answered, forwarded, approved or declined, by whom and why. It never changes.

    An approval keeps the gate as it stood at that very moment.
    """

    __tablename__ = "refill_acts"
    __table_args__ = (Index("ix_refill_acts_request_id", "request_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("refill_requests.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    step: Mapped[str] = mapped_column(String(20))
    acted_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    acted_at: Mapped[datetime]
    to_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    facts: Mapped[bytes | None] = sealed_column(owner="patient_id")
    inputs_hash: Mapped[bytes | None] = sealed_column(owner="patient_id")
    findings: Mapped[bytes | None] = sealed_column(owner="patient_id")
    programme_version: Mapped[str | None] = mapped_column(String(80))
