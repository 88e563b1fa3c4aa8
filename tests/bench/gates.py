"""The refill gate over three years of history: weekly sessions at first, then one a month, with all that belongs."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import time_machine
from sqlalchemy import update

from services.core import clock
from services.core.database import transaction
from services.messaging.models import Event
from services.people.models import Episode
from services.people.states import EpisodeState
from services.prescribing.cases import case_of
from services.refills.gate import evaluate_gate
from tests.factories import World
from tests.factories_prescribing import check_pdmp, make_case, make_fill, make_signed
from tests.factories_refills import held_with, report_all_scales

BEGINNING = datetime(2025, 3, 3, 18, 0, tzinfo=UTC)
ROUND, MONTHS = 8, 34


def make_history(world: World) -> UUID:
    """A patient in maintenance for three years; gives the episode."""
    with time_machine.travel(BEGINNING, tick=False) as moment, transaction() as session:
        case = make_case(session, world=world)
        prescription = make_signed(session, case, refills=2)
        make_fill(session, case, prescription)
        case.episode.state = EpisodeState.IN_TREATMENT
        for number in range(ROUND + MONTHS):
            moment.shift(timedelta(days=7 if number < ROUND else 30))
            held_with(session, case.episode, prescription, 200, moment_of(), integrated=True)
            report_all_scales(session, case.episode)
            check_pdmp(session, case)
        case.episode.state = EpisodeState.IN_MAINTENANCE
        # What came of it was handled long ago; relayed now, it would only take time from what is measured.
        session.execute(update(Event).where(Event.acknowledged_at.is_(None)).values(acknowledged_at=clock.now()))
        return case.episode.id


def moment_of() -> datetime:
    """The time where the history stands."""
    return datetime.now(UTC) - timedelta(hours=3)


def gate_ms(episode_id: UUID, times: int = 60) -> float:
    """The median time of one evaluation, in milliseconds, each in a transaction of its own."""
    taken = []
    with time_machine.travel(BEGINNING + timedelta(days=3 * 365), tick=True):
        for _ in range(times):
            with transaction() as session:
                episode = session.get_one(Episode, episode_id)
                case = case_of(session, episode)
                began = time.perf_counter()
                gate = evaluate_gate(session, case, prescriber_id=episode.prescriber_id)
                taken.append(time.perf_counter() - began)
                assert gate.facts is not None, "nothing was handed out"
                assert len(gate.facts.sessions) == ROUND + MONTHS
    return statistics.median(taken) * 1000
