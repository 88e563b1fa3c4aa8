"""Which programme governs a task or a text: its episode's; what concerns no episode follows the process's own."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from services.core.programme import Programme
from services.people.models import Episode
from services.people.programmes import programme_of


def governing_programme(session: Session, episode_id: UUID | None, otherwise: Programme) -> Programme:
    """The programme that the episode is pinned to; ``otherwise`` when there is no episode."""
    episode = None if episode_id is None else session.get(Episode, episode_id)
    return otherwise if episode is None else programme_of(session, episode)
