"""Ratings of a session: our own session ratings, and the MEQ-30 where a content pack offers it (DOMAIN 2.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor
from services.core.errors import InvalidInput
from services.core.programme import Programme
from services.people.access import Action
from services.people.programmes import programme_of
from services.screening.instruments import known
from services.screening.scoring import score
from services.sessions.lookups import locked_session, refuse, take
from services.sessions.models import Check, TherapySession
from services.sessions.noted import Noted, note
from services.sessions.rules import RATING_NOT_ASKED
from services.sessions.states import SessionStep
from services.vault.boxes import box

SESSION_RATINGS: Final = "session_ratings"


def asked_after_session(programme: Programme) -> list[str]:
    """The instruments that a session is rated by: those that the programme lists and that have texts."""
    listed = programme.choices("sessions.session_instruments")
    return [name for name, instrument in known().items() if name in listed and instrument.is_offered]


def rate_session(
    session: Session,
    actor: Actor,
    session_id: UUID,
    answers: Mapping[str, Mapping[str, Any]],
    *,
    version: int | None = None,
) -> TherapySession:
    """The patient, or the therapist with the patient, rates a dosing session by instrument. Every rating is kept.

    Raises ``RuleRefused`` on the instrument that is not asked for, ``InvalidInput`` on an answer that is missing or out
    of range, ``IllegalTransition`` before anything was taken and seen, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RATE_SESSION, session_id, version)
    take(row, SessionStep.RATE, actor)
    programme = programme_of(session, episode)
    for instrument, given in answers.items():
        if instrument not in asked_after_session(programme):
            refuse(RATING_NOT_ASKED.finding(programme, instrument=instrument), field=instrument)
        scored = score(known()[instrument], given)
        if scored.missing:
            raise InvalidInput("Answer every item.", field=f"{instrument}.{scored.missing[0]}")
        note(session, actor, row, Noted.RATINGS, {"by": actor.role.value, **scored.as_dict()})
        record(session, actor, "session.rate", "session", row.id, episode_id=episode.id, instrument=instrument)
    return row


@dataclass(frozen=True, slots=True)
class Rated:
    """The newest session ratings of a session: 0 to 10 for each of dissociation, distress, nausea and sedation."""

    session_id: UUID
    episode_id: UUID
    ratings: Mapping[str, int]

    def __repr__(self) -> str:
        return "<rated session>"


def session_ratings(session: Session, episode_ids: Collection[UUID]) -> list[Rated]:
    """The session ratings of some episodes, one for each session that has any. The caller has settled who may know."""
    query = (
        select(Check, TherapySession.episode_id)
        .join(TherapySession, TherapySession.id == Check.session_id)
        .where(TherapySession.episode_id.in_(episode_ids), Check.kind == Noted.RATINGS)
    )
    newest: dict[UUID, Rated] = {}
    for check, episode_id in session.execute(query.order_by(Check.recorded_at, Check.id)):
        content = box(session, check.patient_id).open(check, "content").reveal()
        if content["instrument"] == SESSION_RATINGS:
            newest[check.session_id] = Rated(check.session_id, episode_id, content["trace"]["answers"])
    return list(newest.values())
