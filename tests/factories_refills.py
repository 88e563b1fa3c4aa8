"""Outcome reports, dosing sessions that were held and refill requests, short to call.

read = report(session, episode, phq9=phq9(9), summary="Better.")   the therapist of record reports
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.core.personal import Personal
from services.outcomes import reports
from services.outcomes.reports import ReadReport, Report, Scale
from services.people.models import Episode
from services.sessions.models import TherapySession
from services.sessions.states import SessionKind, SessionState
from services.vault.boxes import box
from tests.factories import therapist_of
from tests.factories_prescribing import Case

NOW: Any = object()


def phq9(total: int) -> dict[str, int]:
    """PHQ-9 answers that add up to ``total``, item 9 as low as they allow."""
    return _spread(total, 9)


def gad7(total: int) -> dict[str, int]:
    """GAD-7 answers that add up to ``total``."""
    return _spread(total, 7)


def _spread(total: int, items: int) -> dict[str, int]:
    return {f"q{number}": max(0, min(3, total - 3 * (number - 1))) for number in range(1, items + 1)}


def report(session: Session, episode: Episode, **given: Any) -> ReadReport:
    """A report by the therapist of record: answers by scale (``phq9=…``), ``summary`` and the rest of ``Report``."""
    answers = {Scale(name): given.pop(name) for name in tuple(given) if name in set(Scale)}
    summary = given.pop("summary", None)
    content = Report(answers=answers, summary=None if summary is None else Personal(summary), **given)
    return reports.report_outcome(session, therapist_of(session, episode), episode.id, content)


def held_dosing_session(session: Session, episode: Episode, *, dosed_at: datetime | None = NOW) -> TherapySession:
    """The bare row of a dosing session, dosed a moment ago; for what only asks when the first dose was."""
    at = clock.now() - timedelta(microseconds=1) if dosed_at is NOW else dosed_at
    starts_at = at or clock.now() + timedelta(days=30)
    row = TherapySession(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        therapist_id=episode.therapist_id,
        kind=SessionKind.DOSING,
        state=SessionState.SCHEDULED if at is None else SessionState.INTEGRATION_DUE,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=3),
        dosed_at=at,
        created_at=clock.now(),
    )
    box(session, episode.patient_id).seal(row, "place", {"site": "office"})
    session.add(row)
    session.flush()
    return row


__all__ = ["Case"]
