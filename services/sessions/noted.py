"""What is noted with a session beside its doses and vitals: one row each, sealed, in the order of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.ids import new_id
from services.sessions.models import Check, TherapySession
from services.vault.boxes import box


class Noted(StrEnum):
    """What a row is about."""

    LOOK = "monitoring"
    CHECK_IN = "check_in"
    PHYSICIAN = "physician_check_in"
    EXPLANATION = "explanation"
    HOLD_ALLOWED = "hold_allowed"
    RECONCILIATION = "reconciliation"
    MEDICINES_DECIDED = "medicines_decided"
    TRANSPORT = "transport"
    ARRIVAL_COUNT = "arrival_count"
    RATINGS = "ratings"


@dataclass(frozen=True, slots=True)
class Note:
    """One of them, opened."""

    at: datetime
    content: Mapping[str, Any]

    def __repr__(self) -> str:
        return "<note of a session>"


def note(
    session: Session,
    actor: Actor,
    row: TherapySession,
    kind: Noted,
    content: Mapping[str, Any],
    at: datetime | None = None,
) -> Check:
    """Keep something with a session, at ``at`` (aware, default now). The caller has authorized and audits."""
    now = clock.now()
    check = Check(
        id=new_id(),
        session_id=row.id,
        patient_id=row.patient_id,
        kind=kind,
        checked_at=at or now,
        recorded_by=actor.id,
        recorded_at=now,
    )
    box(session, row.patient_id).seal(check, "content", dict(content))
    session.add(check)
    session.flush()
    return check


def notes(session: Session, row: TherapySession, kind: Noted) -> list[Note]:
    """What was kept of one kind, oldest first. The caller has settled who may know."""
    own = box(session, row.patient_id)
    query = select(Check).where(Check.session_id == row.id, Check.kind == kind)
    rows = session.scalars(query.order_by(Check.recorded_at, Check.id))
    return [Note(check.checked_at, own.open(check, "content").reveal()) for check in rows]


def latest_note(session: Session, row: TherapySession, kind: Noted) -> Note | None:
    """The newest of one kind."""
    found = notes(session, row, kind)
    return found[-1] if found else None
