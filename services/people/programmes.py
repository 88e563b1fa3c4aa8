"""Which programme an episode of care runs under."""

from __future__ import annotations

from sqlalchemy.orm import Session

from services.core.programme import Programme
from services.people.models import Episode
from services.people.settings import settings


def programme_of(session: Session, episode: Episode) -> Programme:
    """The programme that an episode is pinned to."""
    return settings()
