"""The patient brings the medicine to a session: the transport is noted, and the therapist counts (DOMAIN 1)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor
from services.core.personal import Personal
from services.people.access import Action
from services.sessions.ledgers import Occasion, ledger, record_count
from services.sessions.lookups import locked_session, take
from services.sessions.models import TherapySession
from services.sessions.noted import Note, Noted, latest_note, note
from services.sessions.states import SessionStep
from services.sessions.transport_rules import Arrived, Carried

SMALLEST_PART = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Who carried the medicine, whether its container is sealed, and what was counted before leaving home."""

    carried_by: Personal[str]
    sealed: bool
    units: float
    left_at_home: float


def record_transport(
    session: Session, actor: Actor, session_id: UUID, transport: Transport, *, version: int | None = None
) -> TherapySession:
    """The patient, or the therapist for the patient, notes how the medicine travels. Noted again, the newest counts.

    Raises ``IllegalTransition`` once the session has begun, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RECORD_TRANSPORT, session_id, version)
    take(row, SessionStep.TRANSPORT, actor)
    content = {
        "carried_by": transport.carried_by.reveal().strip(),
        "sealed": transport.sealed,
        "units": transport.units,
        "left_at_home": transport.left_at_home,
    }
    note(session, actor, row, Noted.TRANSPORT, content)
    record(session, actor, "session.transport", "session", row.id, episode_id=episode.id)
    return row


def count_arrival(
    session: Session, actor: Actor, session_id: UUID, units: float, *, version: int | None = None
) -> TherapySession:
    """The therapist counts what arrived. A wrong number is kept too: it blocks the session, and the ledger reviews it.

    Raises ``IllegalTransition`` once vitals were taken, ``StaleVersion``.
    """
    row, episode = locked_session(session, actor, Action.RUN_SESSION, session_id, version)
    take(row, SessionStep.COUNT_ARRIVAL, actor)
    carried = latest_note(session, row, Noted.TRANSPORT)
    left_at_home = 0.0 if carried is None else carried.content["left_at_home"]
    # What is still on its way can neither be brought nor be left at home.
    content = {"units": units, "expected_in_all": float(ledger(session, episode.id).balance.in_the_house)}
    note(session, actor, row, Noted.ARRIVAL_COUNT, content)
    record(session, actor, "session.count_arrival", "session", row.id, episode_id=episode.id)
    record_count(session, actor, episode.id, units + left_at_home, Occasion.TRANSPORT)
    return row


def carried_to(session: Session, row: TherapySession) -> tuple[Carried | None, Arrived | None]:
    """How the medicine came to a session, and what was counted there; the caller has settled who may know."""
    noted = latest_note(session, row, Noted.TRANSPORT)
    counted = latest_note(session, row, Noted.ARRIVAL_COUNT)
    return _carried(noted), _arrived(counted)


def _carried(noted: Note | None) -> Carried | None:
    if noted is None:
        return None
    units, left = _part(noted.content["units"]), _part(noted.content["left_at_home"])
    return Carried(sealed=noted.content["sealed"], units=units, left_at_home=left)


def _arrived(counted: Note | None) -> Arrived | None:
    if counted is None:
        return None
    content = counted.content
    return Arrived(units=_part(content["units"]), expected_in_all=_part(content["expected_in_all"]))


def _part(units: float) -> Fraction:
    return Fraction(units).limit_denominator(SMALLEST_PART)
