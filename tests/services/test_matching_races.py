"""Two patients who choose a therapist's last place at the same instant, on committed data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from services.core.errors import Conflict, RuleRefused
from services.matching import matches
from services.matching.models import MatchOption
from tests.factories import make_patient_actor
from tests.factories_matching import make_matching_world, make_therapist, make_unmatched, propose

AT_ONCE = 3


@pytest.fixture
def sessions(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(own_postgres_url, pool_size=AT_ONCE + 1)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def test_the_last_place_is_taken_once(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        world = make_matching_world(session)
        therapist = make_therapist(session, world, capacity=1)
        episodes = [make_unmatched(session, world) for _ in range(AT_ONCE)]
        lists = [propose(session, world, episode, therapist).match.id for episode in episodes]
    barrier = Barrier(AT_ONCE, timeout=30)

    def choose(number: int) -> bool:
        try:
            with sessions.begin() as session:
                session.connection()
                barrier.wait()
                matches.choose(session, make_patient_actor(episodes[number]), lists[number], [therapist.id])
                return True
        except (RuleRefused, Conflict):
            return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        got = list(pool.map(choose, range(AT_ONCE)))
    assert sorted(got) == [False, False, True]
    with sessions.begin() as session:
        asked = select(func.count()).where(MatchOption.therapist_id == therapist.id, MatchOption.state == "asked")
        assert session.scalar(asked) == 1
