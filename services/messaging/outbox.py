"""The outbox: events leave the transaction that made them, sealed, once for each party that must know.

    emit()            a use case writes the event beside its state and audit record
    take_due()        the relay fetches what is new or was never acknowledged, and pushes it to the parties' queues
    acknowledge()     the worker marks events handled in the transaction that holds their effects
    put_back()        a failure: tried again later, with a growing pause, and finally buried
    bury()            a dead letter: kept, audited, and a person is told

Retry state lives here, in PostgreSQL. Redis may be wiped at any moment: what was never acknowledged is relayed again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, Table, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from services import routing
from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.errors import Conflict, NotFound
from services.core.ids import new_id
from services.core.programme import Programme
from services.core.vocabulary import EventKind, Party
from services.messaging.models import DeadLetter, Event
from services.vault import envelopes

MOST_COUNTED = 32_767  # a counter that stands at the most its column holds stays there; the event goes on


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event, a task or a notice is about: a kind of record and its id."""

    kind: str
    id: UUID


def emit(
    session: Session,
    kind: EventKind,
    *,
    subject: Subject,
    episode_id: UUID | None = None,
    to: Collection[Party] | None = None,
    **data: Any,
) -> list[UUID]:
    """Write a sealed event for each party that ``services/routing.py`` names for ``kind`` (or only those in ``to``).

    ``data`` takes JSON values the party needs to act; they exist in the envelope and nowhere else. Gives the event ids.
    """
    now = clock.now()
    payload = {
        "at": now.isoformat(),
        "subject": [subject.kind, str(subject.id)],
        "episode": None if episode_id is None else str(episode_id),
        "data": data,
    }
    rows = [_row(party, kind, payload, now) for party in (routing.parties_of(kind) if to is None else to)]
    session.connection().execute(_INSERT, rows)
    return [row["id"] for row in rows]


# Prepared once, and run on the bare connection: nearly every use case emits. The counters are the columns' defaults.
_INSERT = insert(cast(Table, Event.__table__))


def _row(party: Party, kind: EventKind, payload: dict[str, Any], now: Any) -> dict[str, Any]:
    event_id = new_id()
    key_name, envelope = envelopes.seal(party, kind, event_id, payload)
    return {
        "id": event_id,
        "party": party,
        "kind": kind,
        "key_name": key_name,
        "envelope": envelope,
        "created_at": now,
        "next_relay_at": now,
    }


def is_anything_due(session: Session) -> bool:
    """Whether there is an event to relay, asked many times a second by a relay that mostly hears no."""
    return session.connection().execute(_ANY_DUE, {"now": clock.now()}).one_or_none() is not None


_ANY_DUE = select(Event.id).where(Event.acknowledged_at.is_(None), Event.next_relay_at <= bindparam("now")).limit(1)


def take_due(
    session: Session, limit: int, acknowledge_within: timedelta, parties: Collection[Party] = tuple(Party)
) -> Sequence[Row[UUID, str, str, str, bytes, int]]:
    """Up to ``limit`` events for ``parties`` that are due for relaying, oldest first.

    They count as relayed once this transaction commits, and fall due again when nobody acknowledges them in time. Push
    them to the queues *before* committing: a crash in between relays them twice, which the worker notices, never zero
    times.
    """
    now = clock.now()
    columns = (Event.id, Event.party, Event.kind, Event.key_name, Event.envelope, Event.relays)
    due = session.execute(
        select(*columns)
        .where(Event.acknowledged_at.is_(None), Event.next_relay_at <= now, Event.party.in_(parties))
        .order_by(Event.next_relay_at, Event.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if due:
        session.execute(
            update(Event)
            .where(Event.id.in_([row.id for row in due]))
            .values(relays=func.least(Event.relays, MOST_COUNTED - 1) + 1, next_relay_at=now + acknowledge_within),
            execution_options={"synchronize_session": False},
        )
    return due


def acknowledge(session: Session, party: Party, event_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Mark events of ``party`` handled; gives those not handled before, each with the SHA-256 of its stored envelope.

    The rest are repeats: do nothing. The digest lets the worker see that Redis carried what the outbox holds.
    """
    fresh = session.execute(
        update(Event)
        .where(Event.id.in_(event_ids), Event.party == party, Event.acknowledged_at.is_(None))
        .values(acknowledged_at=clock.now(), outcome="handled")
        .returning(Event.id, func.sha256(Event.envelope)),
        execution_options={"synchronize_session": False},
    )
    return {event_id: bytes(digest) for event_id, digest in fresh}


def known(session: Session, party: Party, event_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Those of ``event_ids`` that really are events of ``party``, each with the SHA-256 of its stored envelope.

    Others were forged or misrouted.
    """
    rows = session.execute(
        select(Event.id, func.sha256(Event.envelope)).where(Event.id.in_(event_ids), Event.party == party)
    )
    return {event_id: bytes(digest) for event_id, digest in rows}


def bury_unreadable(
    session: Session, event_id: UUID, party: str, kind: str, key_name: str, envelope: bytes, *, programme: Programme
) -> None:
    """Bury an envelope that does not open. When it differs from the stored one, the event itself is relayed again."""
    event = session.get(Event, event_id, with_for_update=True)
    if event is not None and event.acknowledged_at is None:
        if event.envelope == envelope and event.kind == kind and event.key_name == key_name:
            _give_up(session, event, "unreadable", programme)
            return
        event.next_relay_at = clock.now()
    bury_envelope(session, event_id, party, kind, key_name, envelope, "altered_on_the_way")


def put_back(session: Session, event_id: UUID, failure: str, programme: Programme) -> None:
    """Note that handling failed (``failure`` is the error's class name) and when to try again, or bury the event."""
    event = session.get(Event, event_id, with_for_update=True)
    if event is None or event.acknowledged_at is not None:
        return
    event.failures = min(event.failures + 1, MOST_COUNTED)
    event.last_failure = failure[:60]
    if event.failures >= programme.whole("relay.attempts_before_dead_letter"):
        _give_up(session, event, "failed_too_often", programme)
        return
    pause = programme.number("relay.retry_first_seconds") * 2 ** min(event.failures - 1, 30)
    pause = min(pause, programme.number("relay.retry_longest_seconds"))
    event.next_relay_at = clock.now() + timedelta(seconds=pause)


def _give_up(session: Session, event: Event, reason: str, programme: Programme) -> None:
    """Bury an event, but for the news of a dead letter: burying that would only make more of its kind, without end.

    It is tried again after the longest pause, until the desk's worker can read it.
    """
    if event.kind == EventKind.LETTER_DIED:
        event.last_failure = reason
        event.next_relay_at = clock.now() + timedelta(seconds=programme.number("relay.retry_longest_seconds"))
        return
    bury(session, event, reason)


def bury(session: Session, event: Event, reason: str) -> DeadLetter:
    """Keep an event that cannot be handled as a dead letter, and tell the operations desk."""
    event.acknowledged_at = clock.now()
    event.outcome = "dead"
    return bury_envelope(session, event.id, event.party, event.kind, event.key_name, event.envelope, reason)


def bury_envelope(
    session: Session, event_id: UUID, party: str, kind: str, key_name: str, envelope: bytes, reason: str
) -> DeadLetter:
    """Keep an envelope that is no event of ours: forged, damaged on the way, or sent to the wrong party."""
    letter = DeadLetter(
        id=new_id(),
        event_id=event_id,
        party=party[:20],
        kind=kind[:40],
        key_name=key_name[:40],
        envelope=envelope,
        reason=reason,
        buried_at=clock.now(),
    )
    session.add(letter)
    record(session, SYSTEM, "dead_letter.bury", "dead_letter", letter.id, outcome="failed", reason=reason)
    emit(session, EventKind.LETTER_DIED, subject=Subject("dead_letter", letter.id))
    return letter


def replay(session: Session, letter_id: UUID) -> None:
    """Give a dead letter's event another life. Raises ``NotFound``, or ``Conflict`` when there is nothing to replay."""
    letter = session.get(DeadLetter, letter_id, with_for_update=True)
    if letter is None:
        raise NotFound("There is no such dead letter.")
    event = session.get(Event, letter.event_id, with_for_update=True)
    if event is None:
        raise Conflict("This envelope was never an event of this service and cannot be replayed.")
    if letter.replayed_at is not None or event.outcome != "dead":
        raise Conflict("This dead letter was already replayed.")
    letter.replayed_at = clock.now()
    event.acknowledged_at, event.outcome = None, None
    event.failures, event.next_relay_at = 0, clock.now()
    record(session, SYSTEM, "dead_letter.replay", "dead_letter", letter.id)
