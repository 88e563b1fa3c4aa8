"""What packages that come after this one keep and prescribing must know: whether a request was approved, what was lost.

The order of import leaves their models out of reach, so the few plain columns are named here; nothing sealed is read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, String, Uuid, column, func, select, table
from sqlalchemy.orm import Session

_REQUESTS: Final = table("refill_requests", column("id", Uuid), column("episode_id", Uuid), column("state", String))
_LOSSES: Final = table(
    "losses",
    column("patient_id", Uuid),
    column("fill_id", Uuid),
    column("reported_at", DateTime(timezone=True)),
    column("found_at", DateTime(timezone=True)),
)


def request_approved(session: Session, episode_id: UUID, request_id: UUID) -> bool:
    """Whether a refill request is one of this episode and a prescriber approved it."""
    query = select(_REQUESTS.c.id).where(
        _REQUESTS.c.id == request_id, _REQUESTS.c.episode_id == episode_id, _REQUESTS.c.state == "approved"
    )
    return session.scalar(query) is not None


def last_loss_at(session: Session, patient_id: UUID) -> datetime | None:
    """When the latest loss of a patient that still stands was put on record, wherever it happened (aware)."""
    query = select(func.max(_LOSSES.c.reported_at)).where(
        _LOSSES.c.patient_id == patient_id, _LOSSES.c.found_at.is_(None)
    )
    latest: datetime | None = session.scalar(query)
    return latest


def lost_fills(session: Session, patient_id: UUID) -> set[UUID]:
    """The fills of a patient of which a loss stands: lost in the pharmacy, on the way, or never received."""
    query = select(_LOSSES.c.fill_id).where(
        _LOSSES.c.patient_id == patient_id, _LOSSES.c.found_at.is_(None), _LOSSES.c.fill_id.is_not(None)
    )
    return set(session.scalars(query))
