"""Tables of the people and organisations in a programme. Names, numbers and addresses of persons are sealed columns."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class OrganisationKind(StrEnum):
    """What an organisation is in the programme."""

    PRACTICE = "practice"
    MEDICAL_TEAM = "medical_team"
    PHARMACY = "pharmacy"
    OPERATIONS = "operations"


class Organisation(Base):
    """A therapist's practice, a medical team, a pharmacy or the operations desk. Its address and phone are public."""

    __tablename__ = "organisations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), index=True)
    name: Mapped[str] = mapped_column(String(120))
    short_name: Mapped[str] = mapped_column(String(24))
    phone: Mapped[str] = mapped_column(String(20))
    street: Mapped[str] = mapped_column(String(120))
    city: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(2))
    postal_code: Mapped[str] = mapped_column(String(10))
    zone: Mapped[str] = mapped_column(String(40))
    states_of_operation: Mapped[list[str]] = mapped_column(ARRAY(String(2)), default=list)
    partner_medical_team_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))
    partner_pharmacy_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))
    programme: Mapped[str | None] = mapped_column(String(30))  # empty: the one that the service is configured with
    created_at: Mapped[datetime]


class Location(Base):
    """One of several places where a practice treats. Its address is public, like the practice's own."""

    __tablename__ = "locations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    practice_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    street: Mapped[str] = mapped_column(String(120))
    city: Mapped[str] = mapped_column(String(60))
    state: Mapped[str] = mapped_column(String(2))
    postal_code: Mapped[str] = mapped_column(String(10), index=True)
    created_at: Mapped[datetime]


class ProgrammeVersion(Base):
    """A version of a programme, whole (``Programme.as_dict()``), as episodes were decided under it.

    The database refuses to change it.
    """

    __tablename__ = "programme_versions"

    version: Mapped[str] = mapped_column(String(80), primary_key=True)
    content: Mapped[dict[str, Any]]
    kept_at: Mapped[datetime]


class ProgrammeAdoption(Base):
    """A medical director's act that puts a version of a programme into force from its day on. It never changes."""

    __tablename__ = "programme_adoptions"
    __table_args__ = (Index("ix_programme_adoptions_name", "name", "effective_from"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("programme_versions.version"), unique=True)
    name: Mapped[str] = mapped_column(String(30))
    effective_from: Mapped[date]
    adopted_by: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    adopted_at: Mapped[datetime]


class Account(Base):
    """A person who signs in. ``email_index`` finds the account; the address itself is sealed."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"), index=True)
    role: Mapped[str] = mapped_column(String(20))
    email_index: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    email: Mapped[bytes | None] = sealed_column(owner="id")
    full_name: Mapped[bytes | None] = sealed_column(owner="id")
    phone: Mapped[bytes | None] = sealed_column(owner="id")
    password_hash: Mapped[str] = mapped_column(String(200))
    totp_secret: Mapped[bytes | None] = sealed_column(owner="id")
    totp_last_step: Mapped[int] = mapped_column(default=0)
    failed_attempts: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    on_call: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Practitioner(Base):
    """The professional side of an account: a therapist's KAP training, a prescriber's NPI."""

    __tablename__ = "practitioners"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    npi: Mapped[str | None] = mapped_column(String(10))
    kap_trained_on: Mapped[date | None]


class Licence(Base):
    """A licence to practise in one state."""

    __tablename__ = "licences"
    __table_args__ = (UniqueConstraint("account_id", "state", "number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    state: Mapped[str] = mapped_column(String(2))
    number: Mapped[str] = mapped_column(String(40))
    expires_on: Mapped[date]
    revoked_on: Mapped[date | None]


class DeaRegistration(Base):
    """A DEA registration; the number is sealed, its state and dates are not."""

    __tablename__ = "dea_registrations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    state: Mapped[str] = mapped_column(String(2))
    number: Mapped[bytes | None] = sealed_column(owner="account_id", nullable=False)
    expires_on: Mapped[date]
    revoked_on: Mapped[date | None]


OPEN_GRANT = text("state IN ('nominated', 'granted')")


class SigningGrant(Base):
    """Who may sign prescriptions: one person nominated, a DEA registrant approved (21 CFR 1311.125).

    ``approver_id`` names a registrant of another team, who alone may approve then. ``code`` says why it ended,
    ``told_at`` when the operations desk was told of that. A practitioner has one open grant at most.
    """

    __tablename__ = "signing_grants"
    __table_args__ = (Index("uq_signing_grants_open", "account_id", unique=True, postgresql_where=OPEN_GRANT),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    state: Mapped[str] = mapped_column(String(20))
    nominated_by: Mapped[UUID]
    nominated_at: Mapped[datetime]
    approver_id: Mapped[UUID | None]
    approved_by: Mapped[UUID | None]
    approved_at: Mapped[datetime | None]
    ended_by: Mapped[UUID | None]
    ended_at: Mapped[datetime | None]
    code: Mapped[str | None] = mapped_column(String(20))
    told_at: Mapped[datetime | None]


class Token(Base):
    """A bearer token: stored hashed, limited to scopes, expiring, revocable."""

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    patient_id: Mapped[UUID | None] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID | None] = mapped_column(ForeignKey("episodes.id"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(40)))
    label: Mapped[str] = mapped_column(String(60), default="")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class PersonalLink(Base):
    """A single-use link or one-time code for a patient. Only the hash is kept; the text goes to the patient alone."""

    __tablename__ = "personal_links"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    episode_id: Mapped[UUID] = mapped_column(ForeignKey("episodes.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    failed_attempts: Mapped[int] = mapped_column(default=0)


class Patient(Base):
    """A patient. Everything that identifies the person is sealed under the patient's own data key."""

    __tablename__ = "patients"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    full_name: Mapped[bytes | None] = sealed_column(owner="id", nullable=False)
    birth_date: Mapped[bytes | None] = sealed_column(owner="id", nullable=False)
    address: Mapped[bytes | None] = sealed_column(owner="id", nullable=False)
    mobile: Mapped[bytes | None] = sealed_column(owner="id", nullable=False)
    email: Mapped[bytes | None] = sealed_column(owner="id")
    zone: Mapped[bytes | None] = sealed_column(owner="id")  # empty: not given, follow the state of the address
    mobile_index: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    email_index: Mapped[bytes | None] = mapped_column(LargeBinary, index=True)
    part2: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Episode(Base):
    """One episode of care of one patient, with its care team: who may see and who must act (FHIR EpisodeOfCare)."""

    __tablename__ = "episodes"
    __table_args__ = (
        Index("ix_episodes_therapist_id", "therapist_id"),
        Index("ix_episodes_practice_id", "practice_id"),
        Index("ix_episodes_medical_team_id", "medical_team_id"),
        Index("ix_episodes_pharmacy_id", "pharmacy_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"), index=True)
    # Empty until there is a therapist: whom the medical team brought, or who came without one.
    practice_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))
    therapist_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    medical_team_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    prescriber_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    pharmacy_id: Mapped[UUID] = mapped_column(ForeignKey("organisations.id"))
    state: Mapped[str] = mapped_column(String(20))
    programme_version: Mapped[str] = mapped_column(String(80))
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Consent(Base):
    """A consent as given: which text, when, from where, taken by whom. Withdrawal is a date, never a deletion."""

    __tablename__ = "consents"
    __table_args__ = (Index("ix_consents_patient_id", "patient_id", "kind"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patients.id"))
    kind: Mapped[str] = mapped_column(String(20))
    text_version: Mapped[str] = mapped_column(String(40))
    wording: Mapped[bytes | None] = sealed_column(owner="patient_id")
    source: Mapped[str] = mapped_column(String(30))
    taken_by: Mapped[UUID]
    number_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    given_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    withdrawal_source: Mapped[str | None] = mapped_column(String(30))
