"""Stored answers past their time are forgotten; the ticker sees to it."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from services.core import clock
from services.core.models import StoredAnswer


def forget_expired_answers(session: Session) -> None:
    """Remove the answers that no repeated request may have any more."""
    session.execute(delete(StoredAnswer).where(StoredAnswer.expires_at <= clock.now()))
