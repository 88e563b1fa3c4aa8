"""Several who want the last place at the same instant, on committed data: a therapist's, and one in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from services.circles import circles, places
from services.circles.circles import CircleDetails
from services.circles.models import CirclePlace
from services.core import clock
from services.core.errors import Conflict, RuleRefused
from services.core.personal import Personal
from services.matching import matches
from services.matching.models import Match, MatchOption
from services.people.states import EpisodeState
from tests.factories import make_episode, make_patient_actor
from tests.factories_matching import make_licensed, make_matching_world, make_therapist, make_unmatched, propose

AT_ONCE = 3


@pytest.fixture
def sessions(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(own_postgres_url, pool_size=AT_ONCE + 1)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def at_once(sessions: sessionmaker[Session], act: Callable[[Session, int], Any]) -> list[bool]:
    """Which of several transactions that begin together were not refused."""
    barrier = Barrier(AT_ONCE, timeout=30)

    def one(number: int) -> bool:
        try:
            with sessions.begin() as session:
                session.connection()
                barrier.wait()
                act(session, number)
                return True
        except (RuleRefused, Conflict):
            return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


def test_the_last_place_is_taken_once(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        world = make_matching_world(session)
        therapist, other = make_therapist(session, world, capacity=1), make_therapist(session, world)
        unmatched = [make_unmatched(session, world) for _ in range(AT_ONCE)]
        lists = [propose(session, world, episode, therapist).match.id for episode in unmatched]
        treated = [make_episode(session, world=world, at=EpisodeState.IN_TREATMENT) for _ in range(AT_ONCE)]
        make_licensed(session, world.therapist, "CA")
        starts_at = clock.now() + timedelta(days=1)
        circle = circles.plan_circle(
            session,
            world.actor("therapist"),
            CircleDetails(
                title=Personal("Circle"),
                address=Personal("https://meet.example/abc"),
                starts_at=starts_at,
                ends_at=starts_at + timedelta(hours=1),
                capacity=1,
            ),
        )
    chosen = at_once(
        sessions,
        lambda session, number: matches.choose(
            session, make_patient_actor(unmatched[number]), lists[number], [therapist.id]
        ),
    )
    invited = at_once(
        sessions,
        lambda session, number: places.invite(session, world.actor("therapist"), circle.id, treated[number].id),
    )
    assert (sorted(chosen), sorted(invited)) == ([False, False, True], [False, False, True])
    proposed = at_once(sessions, lambda session, number: propose(session, world, unmatched[number // 3], other))
    assert proposed == [True, True, True]
    with sessions.begin() as session:
        under_way = select(func.count()).where(Match.episode_id == unmatched[0].id, Match.state == "proposed")
        assert session.scalar(under_way) == 1
        asked = select(func.count()).where(MatchOption.therapist_id == therapist.id, MatchOption.state == "asked")
        taken = select(func.count()).where(CirclePlace.circle_id == circle.id, CirclePlace.state == "invited")
        assert (session.scalar(asked), session.scalar(taken)) == (1 - chosen[0], 1)
