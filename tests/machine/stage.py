"""Where the machine plays: one patient's episode, everybody who may come near it, a clock, and the sealed queues.

The world is made once; each walk begins on a savepoint that is rolled back afterwards. A step is what the edge of the
service does: one use case in one transaction, committed when it succeeds and rolled back when it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import time_machine
from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from services.core.actors import Actor, Role
from services.core.database import Base, Sessions
from services.core.errors import CoordinationError
from services.core.programme import programme
from services.core.vocabulary import EventKind, Party
from services.messaging.escalations import escalate_due
from services.messaging.models import Event
from services.messaging.outbox import acknowledge
from services.messaging.timers import fire_due
from services.people.attempts import Refused
from services.people.models import Account, Episode
from services.vault import boxes
from services.vault.envelopes import open_envelope
from tests.factories import World, make_account, make_actor, make_patient_actor, make_world
from tests.factories_prescribing import Case
from tests.factories_screening import make_referral
from workers.effects import OpenedEvent, carry_out

# A Monday, 10:00 in California.
BEGINNING: Final = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
# A refusal that is returned, not raised, is committed: it keeps a count that was off, and what follows from that.
KEPT: Final = frozenset({"stock_counts", "diversion_reviews", "tasks", "events", "timers"})
# What only the author may ever read: nothing else may hold it.
SECRET_WORDS: Final = "a dream of black water"


@dataclass(frozen=True)
class Standing:
    """What there is before any walk begins."""

    connection: Connection
    world: World
    other_world: World
    therapist: Account
    prescriber: Account
    episode_id: UUID
    other_episode_id: UUID


def set_up(connection: Connection) -> Standing:
    """Two clinics that have nothing to do with each other, colleagues, and a referred patient in each."""
    with time_machine.travel(BEGINNING, tick=False), session_on(connection) as session:
        world, other = make_world(session), make_world(session)
        standing = Standing(
            connection,
            world,
            other,
            therapist=make_account(session, organisation=world.practice),
            prescriber=make_account(session, Role.PRESCRIBER, organisation=world.medical_team),
            episode_id=make_referral(session, world=world).episode.id,
            other_episode_id=make_referral(session, world=other).episode.id,
        )
        session.commit()
        session.expunge_all()
    return standing


@contextmanager
def session_on(connection: Connection) -> Iterator[Session]:
    """A session whose commits are savepoints of ``connection``; whoever opens ``transaction()`` joins."""
    before = dict(Sessions.kw)
    Sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
    try:
        with Sessions() as session:
            yield session
    finally:
        Sessions.kw.clear()
        Sessions.kw.update(before)


@dataclass
class Tally:
    """What was done in all walks: successes by act, refusals by rule or kind."""

    steps: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


@dataclass
class Stage:
    """One walk. ``people`` are all who act, by name; those whose name begins with ``other`` have no business here."""

    standing: Standing
    session: Session
    moment: time_machine.Traveller
    tally: Tally
    people: Mapping[str, Actor] = field(init=False)
    case: Case = field(init=False)
    last_digest: Mapping[str, Any] = field(init=False)
    seen_envelopes: int = 0
    answered: set[UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        world, other, session = self.standing.world, self.standing.other_world, self.session
        here = World(**{name: session.get_one(type(row), row.id) for name, row in vars(world).items()})
        self.case = Case(here, session.get_one(Episode, self.standing.episode_id))
        other_episode = session.get_one(Episode, self.standing.other_episode_id)
        self.people = {
            "therapist": here.actor("therapist"),
            "prescriber": here.actor("prescriber"),
            "staff": here.actor("medical_staff"),
            "pharmacist": here.actor("pharmacist"),
            "patient": make_patient_actor(self.case.episode),
            "operator": here.actor("operator"),
            "colleague": make_actor(self.standing.therapist),
            "second prescriber": make_actor(self.standing.prescriber),
            "other therapist": other.actor("therapist"),
            "other prescriber": other.actor("prescriber"),
            "other staff": other.actor("medical_staff"),
            "other pharmacist": other.actor("pharmacist"),
            "other patient": make_patient_actor(other_episode),
        }
        self.last_digest = self.digest()

    @property
    def episode(self) -> Episode:
        return self.case.episode

    def attempt(self, name: str, do: Callable[[], Any]) -> bool:
        """One step: done and committed, or refused, and then nothing changed. Anything else that is raised fails."""
        self.tally.steps += 1
        try:
            result = do()
            self.session.commit()
        except CoordinationError as refusal:
            self.session.rollback()
            self._was_refused(name, refusal)
            return False
        if isinstance(result, Refused):
            self._was_refused(name, result.error, kept=KEPT)
            return False
        self.tally.done[name] += 1
        return True

    def _was_refused(self, name: str, error: CoordinationError, kept: Collection[str] = ()) -> None:
        self.tally.refused[error.rule or type(error).__name__] += 1
        odd = set(changed(self.last_digest, self.digest())) - set(kept)
        assert not odd, f"{name} was refused ({error!r}) and changed {odd}"

    def digest(self) -> Mapping[str, Any]:
        """Number and content of the rows of each table that tells of the episode."""
        rows = self.session.execute(_DIGEST, {"episode": self.standing.episode_id, "patient": self._patient_id})
        return {name: (count, content) for name, count, content in rows}

    @property
    def _patient_id(self) -> UUID:
        return self.people["patient"].id if hasattr(self, "people") else self.case.episode.patient_id

    # Time and the queues

    def pass_time(self, gap: timedelta) -> None:
        """The clock moves, and timers fire as the ticker has it."""
        self.moment.shift(gap)
        self._in_background(lambda: _until_none(lambda: fire_due(self.session)))

    def work(self) -> None:
        """Tasks escalate; every party's worker handles what waits for it, until nothing does.

        No payload tells of a note.
        """
        self._in_background(lambda: escalate_due(self.session, programme()))
        for _ in range(5):
            waiting = select(Event).where(Event.acknowledged_at.is_(None)).order_by(Event.id)
            events = self.session.scalars(waiting).all()
            if not events:
                return
            for party in Party:
                own = [event for event in events if event.party == party]
                if own:
                    self._in_background(lambda party=party, own=own: self._carry_out(party, own))
        raise AssertionError("the queues never come to rest")

    def _carry_out(self, party: Party, events: list[Event]) -> None:
        acknowledge(self.session, party, [event.id for event in events])
        opened = []
        for event in events:
            payload = open_envelope(party, event.kind, event.id, event.key_name, event.envelope)
            assert SECRET_WORDS not in str(payload), f"{event.kind} to {party} holds a psychotherapy note"
            opened.append(OpenedEvent.from_payload(event.id, party, EventKind(event.kind), payload))
        carry_out(self.session, opened, programme())
        self.seen_envelopes += len(opened)

    def _in_background(self, do: Callable[[], Any]) -> None:
        do()
        self.session.commit()


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The tables that differ."""
    return sorted(name for name in after if before.get(name) != after[name])


def _until_none(once: Callable[[], int]) -> None:
    while once():
        pass


def _about(table: Any) -> str | None:
    for column, value in (("episode_id", ":episode"), ("patient_id", ":patient")):
        if column in table.columns and table.name not in {"audit_records", "patient_tokens"}:
            return f"{column} = {value}"
    return "id = :episode" if table.name == "episodes" else None


_TABLES = [(table.name, _about(table)) for table in Base.metadata.sorted_tables]
_DIGEST = text(
    " UNION ALL ".join(
        f"SELECT '{name}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {name} t WHERE {about}"
        for name, about in _TABLES
        if about
    )
)


@contextmanager
def walk(standing: Standing, tally: Tally) -> Iterator[Stage]:
    """One walk from the beginning, undone afterwards."""
    undo = standing.connection.begin_nested()
    with time_machine.travel(BEGINNING, tick=False) as moment, session_on(standing.connection) as session:
        try:
            yield Stage(standing, session, moment, tally)
        finally:
            session.close()
            undo.rollback()
            boxes.forget_boxes()
