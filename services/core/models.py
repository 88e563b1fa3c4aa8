"""The one table of the ground floor: answers kept for repeated requests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base


class StoredAnswer(Base):
    """The answer given under an idempotency key, sealed with a key that only the same request can make."""

    __tablename__ = "stored_answers"
    __table_args__ = (Index("ix_stored_answers_expires_at", "expires_at"),)

    key_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]]
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime]
