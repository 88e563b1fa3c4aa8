"""Tables of prescribing: prescriptions, fills and what authorizes them, checks of the PDMP, doses, contacts.

Drug, doses, quantities, directions, limits, findings and reasons are sealed under the patient's key.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, SmallInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class Prescription(Base):
    """A prescription from its draft on.

    ``content`` is what is prescribed, ``review`` the rules' findings with the prescriber's reasons. Signing fills
    ``signed_content`` (the canonical document, byte for byte as signed), ``signature`` (Ed25519 over it) and
    ``signing_key``; those are never changed again. ``outside`` tells of a signature in a certified system elsewhere:
    ours then only keeps the record from being altered. ``supplied`` says whether the pharmacy ships it or the clinic
    gives it; the signature binds both.
    """

    __tablename__ = "prescriptions"
    __table_args__ = (Index("ix_prescriptions_episode_id", "episode_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    prescriber_id: Mapped[UUID]
    drafted_by: Mapped[UUID]
    replaces_id: Mapped[UUID | None] = mapped_column(ForeignKey("prescriptions.id"))
    refill_request_id: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(String(20))
    supplied: Mapped[str] = mapped_column(String(10))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    review: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    end_reason: Mapped[bytes | None] = sealed_column(owner="patient_id")
    outside: Mapped[bytes | None] = sealed_column(owner="patient_id")
    agreed_by: Mapped[UUID | None]
    drafted_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    signed_at: Mapped[datetime | None]
    issued_on: Mapped[date | None]
    expires_on: Mapped[date | None]
    signed_content: Mapped[bytes | None] = sealed_column(owner="patient_id")
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    signing_key: Mapped[str | None] = mapped_column(String(40))
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy

    @property
    def signed_outside(self) -> bool:
        """Whether it was signed in a certified system elsewhere, not by us."""
        return self.outside is not None and self.signature is not None


class FillAuthorization(Base):
    """A prescriber's decision that lets one refill of a prescription be handed out.

    The signature authorizes fill 0; each later fill needs a row here, which only an approved refill request makes. A
    request that was declined or is undecided has none, so nothing can be filled for it.
    """

    __tablename__ = "fill_authorizations"
    __table_args__ = (UniqueConstraint("prescription_id", "fill_number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    prescription_id: Mapped[UUID] = mapped_column(ForeignKey("prescriptions.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    fill_number: Mapped[int] = mapped_column(SmallInteger)
    refill_request_id: Mapped[UUID] = mapped_column(unique=True)
    authorized_by: Mapped[UUID]
    authorized_at: Mapped[datetime]


class Fill(Base):
    """One hand-out, whole or part, as the pharmacist recorded it; never changed but for ``undelivered_at``.

    ``fill_number`` 0 is the first fill, n the n-th refill; ``is_refill`` marks the hand-out that started a refill.
    ``undelivered_at`` is set once its parcel was lost or went back: then it never reached the patient.
    """

    __tablename__ = "fills"
    __table_args__ = (
        Index("ix_fills_prescription_id", "prescription_id", "id"),
        Index("ix_fills_episode_id", "episode_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    prescription_id: Mapped[UUID] = mapped_column(ForeignKey("prescriptions.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    fill_number: Mapped[int] = mapped_column(SmallInteger)
    is_refill: Mapped[bool]
    quantity: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    filled_on: Mapped[date]
    recorded_by: Mapped[UUID]
    recorded_at: Mapped[datetime]
    undelivered_at: Mapped[datetime | None]


class PdmpCheck(Base):
    """A check of the prescription drug monitoring programme: who, when, and sealed which states and what was found."""

    __tablename__ = "pdmp_checks"
    __table_args__ = (Index("ix_pdmp_checks_episode_id", "episode_id", "checked_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    checked_by: Mapped[UUID]
    checked_at: Mapped[datetime]
    result: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    recorded_at: Mapped[datetime]


class DoseTaken(Base):
    """What a patient took and wasted in one dosing session, noted here so that the next draft can be judged.

    ``amounts`` holds ``dose_mg`` (without the booster), ``booster_mg``, ``used_units`` and ``wasted_units``.
    """

    __tablename__ = "doses_taken"
    __table_args__ = (Index("ix_doses_taken_episode_id", "episode_id", "taken_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    session_id: Mapped[UUID] = mapped_column(unique=True)
    prescription_id: Mapped[UUID] = mapped_column(ForeignKey("prescriptions.id"))
    amounts: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    taken_at: Mapped[datetime]


class PrescriberContact(Base):
    """A prescriber spoke with the patient: who, when, in which manner. The follow-up and refill gates
    count from the last one."""

    __tablename__ = "prescriber_contacts"
    __table_args__ = (Index("ix_prescriber_contacts_episode_id", "episode_id", "held_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    prescriber_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    manner: Mapped[str] = mapped_column(String(20))
    held_at: Mapped[datetime]
    note: Mapped[bytes | None] = sealed_column(owner="patient_id")
    recorded_at: Mapped[datetime]


class StockEntry(Base):
    """Units that moved without a dose, a fill or a parcel saying so: lost, found, disposed of, wasted by decision.

    ``kind`` is a movement of ``sessions/ledger_rules.py``. ``content`` holds units, reason and, of a disposal, method
    and witness. ``about_id`` is the parcel, the loss or the review that it follows from. It stands here so that drafts
    are judged by what is really left.
    """

    __tablename__ = "stock_entries"
    __table_args__ = (Index("ix_stock_entries_episode_id", "episode_id", "entered_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    prescription_id: Mapped[UUID | None] = mapped_column(ForeignKey("prescriptions.id"))
    kind: Mapped[str] = mapped_column(String(20))
    content: Mapped[bytes | None] = sealed_column(owner="patient_id", nullable=False)
    about_id: Mapped[UUID | None]
    entered_by: Mapped[UUID]
    entered_at: Mapped[datetime]


class SigningLog(Base):
    """All that one practitioner signed in one month, for that practitioner's eyes alone (21 CFR 1311).

    ``month`` is its first day where the practitioner's team works. There is one log of each month.
    """

    __tablename__ = "signing_logs"
    __table_args__ = (UniqueConstraint("account_id", "month"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    month: Mapped[date]
    content: Mapped[bytes | None] = sealed_column(owner="account_id", nullable=False)
    kept_at: Mapped[datetime]


class SecurityReview(Base):
    """The security events from ``since`` up to ``until``, for the operations desk to look at (21 CFR 1311.150).

    ``day`` is the last day it covers, where the desk works; no day has two.
    """

    __tablename__ = "security_reviews"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    day: Mapped[date] = mapped_column(unique=True)
    since: Mapped[datetime]
    until: Mapped[datetime]
    opened_at: Mapped[datetime]
    reviewed_by: Mapped[UUID | None]
    reviewed_at: Mapped[datetime | None]
    remark: Mapped[bytes | None] = sealed_column(owner="organisation_id")
