"""Reading the audit trail: for the operations desk, which sees acts, ids and codes, never what was written.

The people package stands above this one, so the caller has settled that the actor may read (``Action.READ_AUDIT``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.models import AuditRecord
from services.audit.records import record
from services.core.actors import Actor
from services.core.pages import page_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailFilter:
    """Which records to show; None leaves a criterion out. ``since`` counts, ``until`` does not (aware times)."""

    episode_id: UUID | None = None
    actor_id: UUID | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def read_trail(
    session: Session,
    actor: Actor,
    filters: TrailFilter = TrailFilter(),
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> Sequence[AuditRecord]:
    """Records newest first, from behind the position ``after``; the reading is put on the trail as well."""
    row = AuditRecord
    query = select(row)
    if filters.episode_id is not None:
        query = query.where(row.episode_id == filters.episode_id)
    if filters.actor_id is not None:
        query = query.where(row.actor_id == filters.actor_id)
    if filters.action is not None:
        query = query.where(row.action == filters.action)
    if filters.since is not None:
        query = query.where(row.at >= filters.since)
    if filters.until is not None:
        query = query.where(row.at < filters.until)
    record(
        session,
        actor,
        "audit.read",
        "audit_trail",
        None,
        episode_id=filters.episode_id,
        of_actor=filters.actor_id,
        of_action=filters.action,
        since=filters.since,
        until=filters.until,
    )
    return session.scalars(page_of(query, row.at, row.id, after=after, limit=limit)).all()
