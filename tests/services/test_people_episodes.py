"""Episodes: care team, visibility, the walk over all states and steps."""

from __future__ import annotations

from itertools import product
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import Conflict, IllegalTransition, InvalidInput, NotAllowed, NotFound, StaleVersion
from services.core.ids import new_id
from services.people import accounts, episodes
from services.people.access import Action
from services.people.models import Episode, OrganisationKind
from services.people.states import EPISODE_TRANSITIONS, EpisodeState, EpisodeStep
from tests.factories import (
    World,
    audited,
    colleague_of,
    make_account,
    make_actor,
    make_episode,
    make_organisation,
    make_patient,
    make_patient_actor,
    make_practice,
    make_world,
    prescriber_of,
    therapist_of,
)


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def test_an_episode_opens_with_the_whole_care_team(session: Session, world: World) -> None:
    patient = make_patient(session)
    episode = episodes.open_episode(session, world.actor("therapist"), patient.id)
    assert (episode.patient_id, episode.therapist_id) == (patient.id, world.therapist.id)
    assert (episode.practice_id, episode.medical_team_id) == (world.practice.id, world.medical_team.id)
    assert (episode.pharmacy_id, episode.prescriber_id) == (world.pharmacy.id, None)
    assert (episode.state, episode.version) == (EpisodeState.REFERRED, 1)
    assert episode.programme_version.startswith("default-")


def test_a_therapist_without_training_opens_none(session: Session, world: World) -> None:
    untrained = make_actor(make_account(session, organisation=world.practice, papers=False))
    with pytest.raises(Conflict) as refusal:
        episodes.open_episode(session, untrained, make_patient(session).id)
    assert refusal.value.rule == "people.kap_training_on_record"


def test_a_practice_without_partners_opens_none(session: Session) -> None:
    practice = make_organisation(session, OrganisationKind.PRACTICE)
    therapist = make_actor(make_account(session, organisation=practice))
    with pytest.raises(Conflict) as refusal:
        episodes.open_episode(session, therapist, make_patient(session).id)
    assert refusal.value.rule == "people.practice_has_partners"


def test_somebody_of_no_organisation_opens_none(session: Session) -> None:
    with pytest.raises(Conflict) as refusal:
        episodes.open_episode(session, Actor(new_id(), Role.THERAPIST), make_patient(session).id)
    assert refusal.value.rule == "people.referral_by_organisation"


@pytest.mark.parametrize("role", [Role.PHARMACIST, Role.OPERATIONS])
def test_only_therapists_and_medical_teams_refer(session: Session, role: Role) -> None:
    with pytest.raises(NotAllowed):
        episodes.open_episode(session, make_actor(make_account(session, role)), make_patient(session).id)


def test_everybody_on_the_care_team_sees_the_episode_and_nobody_else(session: Session, world: World) -> None:
    episode, foreign = make_episode(session, world=world), make_episode(session)
    insiders = [world.actor(who) for who in ("therapist", "prescriber", "medical_staff", "pharmacist")]
    for actor in (*insiders, make_patient_actor(episode)):
        assert episodes.episode_of(session, actor, Action.READ_EPISODE, episode.id) is episode
        assert [one.id for one in episodes.list_episodes(session, actor)] == [episode.id]
        with pytest.raises(NotFound):
            episodes.episode_of(session, actor, Action.READ_EPISODE, foreign.id)


def test_a_colleague_of_the_therapist_does_not_see_the_episode(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    colleague = make_actor(make_account(session, organisation=world.practice))
    assert episodes.list_episodes(session, colleague) == []
    with pytest.raises(NotFound):
        episodes.episode_of(session, colleague, Action.READ_EPISODE, episode.id)


def test_an_operator_lists_no_episodes(session: Session, world: World) -> None:
    with pytest.raises(NotAllowed):
        episodes.list_episodes(session, world.actor("operator"))


def test_a_patients_token_for_one_episode_shows_only_that(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    other = episodes.open_episode(session, world.actor("therapist"), episode.patient_id)
    limited, whole = make_patient_actor(episode), Actor(episode.patient_id, Role.PATIENT)
    assert [one.id for one in episodes.list_episodes(session, limited)] == [episode.id]
    assert {one.id for one in episodes.list_episodes(session, whole)} == {episode.id, other.id}


def test_episodes_are_listed_page_by_page_and_by_state(session: Session, world: World) -> None:
    made = [make_episode(session, world=world).id for _ in range(3)]
    declined = make_episode(session, world=world, at=EpisodeState.DECLINED).id
    actor = world.actor("prescriber")
    seen: list[UUID] = []
    after = None
    while page := episodes.list_episodes(session, actor, after=after, limit=3):
        seen.extend(one.id for one in page)
        after = page[-1].id
    assert seen == sorted([*made, declined], reverse=True)
    assert [one.id for one in episodes.list_episodes(session, actor, state=EpisodeState.DECLINED)] == [declined]


def test_a_prescriber_of_the_team_is_assigned(session: Session, world: World) -> None:
    episode = make_episode(session, world=world, prescriber=False)
    staff = world.actor("medical_staff")
    episodes.assign_prescriber(session, staff, episode.id, world.prescriber.id, version=episode.version)
    assert episode.prescriber_id == world.prescriber.id
    assert audited(session)[-1] == "episode.assign_prescriber"


def test_nobody_but_an_active_prescriber_of_the_team_is_assigned(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    disabled = make_account(session, Role.PRESCRIBER, organisation=world.medical_team)
    accounts.disable_account(session, SYSTEM, disabled.id)
    elsewhere = make_account(session, Role.PRESCRIBER)
    for account in (disabled, elsewhere, world.medical_staff, world.therapist):
        with pytest.raises(InvalidInput) as refusal:
            episodes.assign_prescriber(session, world.actor("prescriber"), episode.id, account.id)
        assert refusal.value.field == "prescriber_id"


def test_a_care_team_changed_meanwhile_is_stale(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    with pytest.raises(StaleVersion):
        episodes.assign_prescriber(
            session, world.actor("prescriber"), episode.id, world.prescriber.id, version=episode.version - 1
        )


def test_another_therapist_takes_over_with_their_practice(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    before = world.actor("therapist")
    practice = make_practice(session, partner_medical_team_id=world.medical_team.id)
    successor = make_account(session, organisation=practice)
    episodes.change_therapist(session, world.actor("prescriber"), episode.id, successor.id)
    session.flush()
    assert (episode.therapist_id, episode.practice_id) == (successor.id, practice.id)
    assert episodes.episode_of(session, make_actor(successor), Action.READ_EPISODE, episode.id) is episode
    with pytest.raises(NotFound):
        episodes.episode_of(session, before, Action.READ_EPISODE, episode.id)


def test_an_episode_can_be_left_without_a_therapist(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    episodes.change_therapist(session, world.actor("prescriber"), episode.id, None)
    assert episode.therapist_id is None


def test_a_therapist_of_another_network_or_without_training_does_not_take_over(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    untrained = make_account(session, organisation=world.practice, papers=False)
    for account in (make_account(session), untrained, world.prescriber):
        with pytest.raises(InvalidInput) as refusal:
            episodes.change_therapist(session, world.actor("prescriber"), episode.id, account.id)
        assert refusal.value.field == "therapist_id"


def test_the_therapist_does_not_change_the_care_team(session: Session, world: World) -> None:
    episode = make_episode(session, world=world)
    with pytest.raises(NotAllowed):
        episodes.change_therapist(session, world.actor("therapist"), episode.id, None)


def test_a_closed_episode_keeps_its_care_team(session: Session, world: World) -> None:
    episode = make_episode(session, world=world, at=EpisodeState.CLOSED)
    with pytest.raises(Conflict):
        episodes.change_therapist(session, world.actor("prescriber"), episode.id, None)


@pytest.mark.parametrize("at", list(EpisodeState))
def test_an_episode_can_be_made_in_every_state(session: Session, world: World, at: EpisodeState) -> None:
    episode = make_episode(session, world=world, at=at)
    assert episode.state == at
    assert (episode.closed_at is not None) == (at is EpisodeState.CLOSED)


@pytest.mark.parametrize(("state", "step"), list(product(EpisodeState, EpisodeStep)))
def test_every_step_from_every_state_moves_or_is_refused(state: EpisodeState, step: EpisodeStep) -> None:
    move = EPISODE_TRANSITIONS.table.get((state, step))
    for role in Role:
        if move is None:
            with pytest.raises(IllegalTransition):
                EPISODE_TRANSITIONS.advance(state, step, role)
        elif role in move[1]:
            assert EPISODE_TRANSITIONS.advance(state, step, role) is move[0]
        else:
            with pytest.raises(NotAllowed):
                EPISODE_TRANSITIONS.advance(state, step, role)


def test_a_closed_episode_is_over() -> None:
    assert not [state for state, _ in EPISODE_TRANSITIONS.table if state is EpisodeState.CLOSED]


def test_every_open_state_can_be_closed() -> None:
    closable = {state for state, step in EPISODE_TRANSITIONS.table if step is EpisodeStep.CLOSE}
    assert closable == set(EpisodeState) - {EpisodeState.CLOSED}


def test_a_refused_step_changes_nothing(session: Session) -> None:
    episode = make_episode(session)
    with pytest.raises(NotAllowed):
        episodes.advance_episode(session, therapist_of(session, episode), episode, EpisodeStep.BEGIN_SCREENING)
    with pytest.raises(IllegalTransition):
        episodes.advance_episode(session, prescriber_of(session, episode), episode, EpisodeStep.APPROVE)
    assert session.get_one(Episode, episode.id).state == EpisodeState.REFERRED


def test_the_factory_finds_colleagues(session: Session, world: World) -> None:
    assert colleague_of(session, world.pharmacy.id, Role.PHARMACIST) == world.actor("pharmacist")
    assert colleague_of(session, world.pharmacy.id, Role.PHARMACIST).id == world.pharmacist.id
