"""Tables of the audit trail. The database itself refuses UPDATE, DELETE and TRUNCATE on records (see the migration)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base


class AuditRecord(Base):
    """Who did what to what, when, with which outcome. ``detail`` holds codes and ids only, never personal data."""

    __tablename__ = "audit_records"
    __table_args__ = (
        Index("ix_audit_records_at", "at"),
        Index("ix_audit_records_episode_id", "episode_id", "at"),
    )

    chain: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[UUID]
    at: Mapped[datetime]
    actor_id: Mapped[UUID]
    actor_role: Mapped[str] = mapped_column(String(20))
    action: Mapped[str] = mapped_column(String(60))
    subject_kind: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID | None]
    episode_id: Mapped[UUID | None]
    outcome: Mapped[str] = mapped_column(String(20))
    detail: Mapped[dict[str, Any]]
    mac: Mapped[bytes] = mapped_column(LargeBinary)


class AuditChain(Base):
    """The end of one chain: its last sequence number and code, and a code over both that only a key holder can make."""

    __tablename__ = "audit_chains"

    chain: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    mac: Mapped[bytes] = mapped_column(LargeBinary)
    head_mac: Mapped[bytes] = mapped_column(LargeBinary)


class AuditHead(Base):
    """All chain ends at one moment, signed with Ed25519 and also written to a file outside the database."""

    __tablename__ = "audit_heads"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    heads: Mapped[dict[str, Any]]
    signature: Mapped[bytes] = mapped_column(LargeBinary)
