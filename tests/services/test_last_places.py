"""Several who want the last place at the same instant, on committed data: a therapist's, and one in a circle."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from services.circles import circles, places
from services.circles.circles import CircleDetails
from services.circles.models import CirclePlace
from services.core import clock
from services.core.personal import Personal
from services.matching import matches
from services.matching.models import Match, MatchOption
from services.people.states import EpisodeState
from tests.at_once import at_once
from tests.factories import make_episode, make_patient_actor
from tests.factories_matching import make_licensed, make_matching_world, make_therapist, make_unmatched, propose

AT_ONCE = 3


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

    def choose(number: int) -> Callable[[Session], object]:
        patient = make_patient_actor(unmatched[number])
        return lambda session: matches.choose(session, patient, lists[number], [therapist.id])

    def invite(number: int) -> Callable[[Session], object]:
        return lambda session: places.invite(session, world.actor("therapist"), circle.id, treated[number].id)

    def look_again(number: int) -> Callable[[Session], object]:
        return lambda session: propose(session, world, unmatched[number // 3], other)

    chosen = at_once(sessions, [choose(number) for number in range(AT_ONCE)])
    invited = at_once(sessions, [invite(number) for number in range(AT_ONCE)])
    assert (sorted(chosen), sorted(invited)) == ([False, False, True], [False, False, True])
    proposed = at_once(sessions, [look_again(number) for number in range(AT_ONCE)])
    assert proposed == [True, True, True]
    with sessions.begin() as session:
        under_way = select(func.count()).where(Match.episode_id == unmatched[0].id, Match.state == "proposed")
        assert session.scalar(under_way) == 1
        asked = select(func.count()).where(MatchOption.therapist_id == therapist.id, MatchOption.state == "asked")
        taken = select(func.count()).where(CirclePlace.circle_id == circle.id, CirclePlace.state == "invited")
        assert (session.scalar(asked), session.scalar(taken)) == (1 - chosen[0], 1)
