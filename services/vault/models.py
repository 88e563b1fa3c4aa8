"""Data keys: one per owner and purpose, wrapped by a key-encryption key of the keyring."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column

from services.core.database import Base


class Purpose(StrEnum):
    """What a data key protects. Psychotherapy notes never share a key with the record."""

    RECORD = "record"
    PSYCHOTHERAPY_NOTES = "psychotherapy_notes"


class DataKey(Base):
    """One wrapped AES-256 key. ``owner_id`` is a patient, an account or an organisation.

    The newest key of an owner seals; older ones only open, until re-encryption has moved every column off them.
    """

    __tablename__ = "data_keys"
    __table_args__ = (Index("ix_data_keys_owner_id", "owner_id", "purpose", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    purpose: Mapped[str] = mapped_column(String(30))
    wrapping_key: Mapped[str] = mapped_column(String(40))
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


def sealed_column(
    *, owner: str, purpose: Purpose = Purpose.RECORD, nullable: bool = True
) -> MappedColumn[bytes | None]:
    """A column that holds only sealed bytes.

    ``owner`` names the attribute of the same row whose id owns the data key. Key rotation finds every sealed column
    through this mark, so that none can be forgotten.
    """
    return mapped_column(LargeBinary, nullable=nullable, info={"sealed_owner": owner, "sealed_purpose": purpose})
