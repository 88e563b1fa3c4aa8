"""Finding a therapist: proposed, chosen, accepted or declined; who sees what; and who gets the last place."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.actors import Role
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.eligibility.facts import Diagnosis
from services.matching import candidates, matches, profiles
from services.matching.models import Match, MatchOption
from services.matching.profiles import ProfileDetails
from services.messaging.models import Event, Settlement
from services.people.access import POLICY, Action
from services.people.episodes import change_therapist, episode_of
from services.people.models import Account, Episode
from services.refills import courses
from services.vault.envelopes import open_envelope
from tests.factories import World, audited, make_actor, make_patient_actor, make_practice
from tests.factories_matching import (
    make_approved,
    make_matching_world,
    make_therapist,
    make_unmatched,
    propose,
    refer_by_team,
)
from tests.factories_screening import make_eligible

REASON = Personal("No evening hours.")


@pytest.fixture
def world(session: Session) -> World:
    return make_matching_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_unmatched(session, world)


@pytest.fixture
def two(session: Session, world: World) -> tuple[Account, Account]:
    return make_therapist(session, world), make_therapist(session, world)


def events(session: Session, kind: EventKind) -> list[tuple[Party, dict[str, Any]]]:
    rows = session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id))
    return [
        (Party(row.party), open_envelope(Party(row.party), row.kind, row.id, row.key_name, row.envelope))
        for row in rows
    ]


def states(session: Session, match: Match) -> list[str]:
    query = select(MatchOption.state).where(MatchOption.match_id == match.id).order_by(MatchOption.rank)
    return list(session.scalars(query))


def choose(session: Session, episode: Episode, match: Match, *therapists: Account) -> Match:
    return matches.choose(session, make_patient_actor(episode), match.id, [each.id for each in therapists])


def test_approving_a_patient_without_a_therapist_asks_the_medical_team_for_a_list(
    session: Session, world: World
) -> None:
    episode = make_approved(session, world)
    ((party, payload),) = events(session, EventKind.THERAPIST_NEEDED)
    assert (party, payload["episode"]) == (Party.MEDICAL_TEAM, str(episode.id))


def test_approving_a_patient_with_a_therapist_asks_for_none(session: Session, world: World) -> None:
    make_eligible(session, world=world)
    assert events(session, EventKind.THERAPIST_NEEDED) == []


def test_candidates_are_listed_with_their_reasons_and_nobody_who_does_not_fit(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    foreign = make_practice(session)  # works with another medical team
    make_therapist(session, world, practice=foreign)
    make_therapist(session, world, state="NY")
    found = candidates.list_candidates(session, world.actor("medical_staff"), episode.id)
    assert found.findings == []
    assert {shown.account_id for shown, _ in found.candidates} == {account.id for account in two}
    shown, findings = found.candidates[0]
    assert (shown.practice, shown.practice_state) == (world.practice.name, "CA")
    assert findings[0].rule == "matching.speciality_fits"


def test_nobody_but_the_medical_team_proposes(session: Session, world: World, episode: Episode) -> None:
    for actor in (world.actor("pharmacist"), make_patient_actor(episode)):
        with pytest.raises(NotAllowed):
            matches.propose(session, actor, episode.id, [world.therapist.id])
    with pytest.raises(NotFound):
        candidates.list_candidates(session, world.actor("therapist"), episode.id)
    stranger = make_matching_world(session).actor("medical_staff")
    with pytest.raises(NotFound):
        matches.propose(session, stranger, episode.id, [world.therapist.id])


def test_nobody_is_proposed_before_the_physician_has_evaluated(
    session: Session, world: World, two: tuple[Account, Account]
) -> None:
    early = refer_by_team(session, world).episode
    with pytest.raises(RuleRefused) as refusal:
        propose(session, world, early, two[0])
    assert [finding.rule for finding in refusal.value.findings] == ["matching.not_evaluated"]


def test_one_who_does_not_fit_is_not_proposed(session: Session, world: World, episode: Episode) -> None:
    unlicensed = make_therapist(session, world, state="NY")
    for account_id, rule in ((unlicensed.id, "matching.not_licensed"), (new_id(), "matching.not_active")):
        with pytest.raises(RuleRefused) as refusal, session.begin_nested():
            matches.propose(session, world.actor("medical_staff"), episode.id, [account_id])
        assert [finding.rule for finding in refusal.value.findings] == [rule]
        assert refusal.value.field == "therapist_ids"


def test_a_list_reaches_the_patient_by_a_link_that_stands_in_the_envelope_alone(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    made = propose(session, world, episode, *two)
    ((party, payload),) = events(session, EventKind.MATCH_PROPOSED)
    assert (party, made.link) == (Party.PATIENT, None)
    assert payload["data"]["link"].startswith("/l/")
    assert session.get(Settlement, (episode.id, "propose_therapists")) is not None


def test_without_an_agreement_to_be_texted_the_team_hands_the_link_over(session: Session, world: World) -> None:
    episode = make_unmatched(session, world, sms_agreement=None)
    made = propose(session, world, episode, make_therapist(session, world))
    assert made.link is not None
    assert events(session, EventKind.MATCH_PROPOSED) == []


def test_the_patient_sees_names_and_practices_and_no_reasons(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    read = matches.read_match(session, make_patient_actor(episode), match.id)
    assert [each.therapist.account_id for each in read.options] == [account.id for account in two]
    assert read.options[0].therapist.name.reveal() == "Thea Terrell"
    assert {each.findings for each in read.options} == {None}
    assert (read.indication.reveal(), read.patient_state.reveal()) == (None, None)
    other = make_unmatched(session, world)
    with pytest.raises(NotFound):
        matches.read_match(session, make_patient_actor(other), match.id)


def test_a_therapist_who_was_not_asked_sees_nothing_and_one_who_was_no_name(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, two[1])
    with pytest.raises(NotFound):
        matches.read_match(session, make_actor(two[0]), match.id)
    read = matches.read_match(session, make_actor(two[1]), match.id)
    assert [each.option.therapist_id for each in read.options] == [two[1].id]
    assert (read.indication.reveal(), read.patient_state.reveal()) == ("depression", "CA")
    with pytest.raises(NotFound):
        episode_of(session, make_actor(two[1]), Action.READ_PATIENT, episode.id)


def test_the_one_who_was_chosen_is_asked_and_takes_the_patient_on(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, two[1], two[0])
    ((party, payload),) = events(session, EventKind.MATCH_CHOSEN)
    assert (party, payload["data"]) == (Party.THERAPIST, {"owner": str(two[1].id)})
    assert states(session, match) == ["preferred", "asked"]
    matches.accept(session, make_actor(two[1]), match.id)
    assert (match.state, states(session, match)) == ("matched", ["preferred", "accepted"])
    assert (episode.therapist_id, episode.practice_id) == (two[1].id, world.practice.id)
    assert {party for party, _ in events(session, EventKind.MATCH_MADE)} == {Party.PATIENT, Party.MEDICAL_TEAM}
    assert session.get(Settlement, (match.id, "answer_match")) is not None
    assert {"match.propose", "match.choose", "match.accept", "episode.change_therapist"} <= set(audited(session))


def test_declining_asks_the_patients_next_choice(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, *two)
    matches.decline(session, make_actor(two[0]), match.id, REASON)
    assert (match.state, states(session, match)) == ("chosen", ["declined", "asked"])
    owners = {payload["data"]["owner"] for _, payload in events(session, EventKind.MATCH_CHOSEN)}
    assert owners == {str(account.id) for account in two}
    option = matches.read_match(session, world.actor("prescriber"), match.id).options[0]
    assert option.reason.reveal() == "No evening hours."
    assert option.findings
    assert matches.read_match(session, make_patient_actor(episode), match.id).options[0].reason.reveal() is None


def test_who_declined_learns_no_more_of_the_patient(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, *two)
    matches.decline(session, make_actor(two[0]), match.id, REASON)
    read = matches.read_match(session, make_actor(two[0]), match.id)
    assert (read.indication.reveal(), read.patient_state.reveal()) == (None, None)
    asked = matches.read_match(session, make_actor(two[1]), match.id)
    assert asked.patient_state.reveal() == "CA"


def test_nobody_is_chosen_or_asked_for_a_patient_who_has_a_therapist(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    change_therapist(session, world.actor("prescriber"), episode.id, world.therapist.id)
    session.flush()
    with pytest.raises(RuleRefused) as refusal:
        choose(session, episode, match, *two)
    assert [finding.rule for finding in refusal.value.findings] == ["matching.has_therapist"]
    assert states(session, match) == ["offered", "offered"]


def test_declining_asks_nobody_else_once_the_patient_has_a_therapist(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, *two)
    change_therapist(session, world.actor("prescriber"), episode.id, world.therapist.id)
    session.flush()
    matches.decline(session, make_actor(two[0]), match.id, REASON)
    assert (match.state, states(session, match)) == ("exhausted", ["declined", "preferred"])
    assert events(session, EventKind.THERAPIST_NEEDED) == []


def test_searches_end_when_nobody_is_looked_for_any_more(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, *two)
    courses.close_episode(session, world.actor("prescriber"), episode.id, Personal("Moved away."))
    assert (match.state, states(session, match)) == ("withdrawn", ["unavailable", "preferred"])


def test_when_the_choice_is_used_up_the_patient_chooses_again(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    choose(session, episode, match, two[0])
    matches.decline(session, make_actor(two[0]), match.id, REASON)
    assert (match.state, states(session, match)) == ("proposed", ["declined", "offered"])
    assert len(events(session, EventKind.MATCH_PROPOSED)) == 2
    choose(session, episode, match, two[1])
    assert match.state == "chosen"


def test_a_patient_who_is_not_texted_is_called_to_choose_again(session: Session, world: World) -> None:
    episode = make_unmatched(session, world, sms_agreement=None)
    first, second = make_therapist(session, world), make_therapist(session, world)
    match = propose(session, world, episode, first, second).match
    choose(session, episode, match, first)
    matches.decline(session, make_actor(first), match.id, REASON)
    assert [party for party, _ in events(session, EventKind.MATCH_REOPENED)] == [Party.MEDICAL_TEAM]


def test_when_nobody_is_left_the_medical_team_makes_another_list(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, two[0]).match
    choose(session, episode, match, two[0])
    matches.decline(session, make_actor(two[0]), match.id, REASON)
    assert (match.state, match.ended_at is not None) == ("exhausted", True)
    assert len(events(session, EventKind.THERAPIST_NEEDED)) == 1
    again = propose(session, world, episode, two[1]).match
    assert again.state == "proposed"


def test_a_new_list_ends_the_one_before(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    first = propose(session, world, episode, two[0]).match
    choose(session, episode, first, two[0])
    second = propose(session, world, episode, two[1]).match
    assert (first.state, states(session, first)) == ("withdrawn", ["unavailable"])
    with pytest.raises(NotFound):
        matches.accept(session, make_actor(two[0]), first.id)
    withdrawn = matches.withdraw(session, world.actor("medical_staff"), second.id)
    assert withdrawn.state == "withdrawn"
    with pytest.raises(IllegalTransition):
        choose(session, episode, second, two[1])


def test_only_who_stands_on_the_list_can_be_chosen(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, two[0]).match
    with pytest.raises(RuleRefused) as refusal:
        choose(session, episode, match, two[0], two[1])
    assert refusal.value.rule == "matching.not_on_the_list"


def test_somebody_elses_choice_or_answer_is_not_ours(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, two[0]).match
    stranger = make_patient_actor(make_unmatched(session, world))
    with pytest.raises(NotFound):
        matches.choose(session, stranger, match.id, [two[0].id])
    choose(session, episode, match, two[0])
    for act in (matches.accept, lambda *given: matches.decline(*given, REASON)):
        with pytest.raises(NotFound):
            act(session, make_actor(two[1]), match.id)


def test_of_two_patients_one_gets_the_last_place_and_the_other_learns_nothing(
    session: Session, world: World, episode: Episode
) -> None:
    therapist = make_therapist(session, world, capacity=1)
    other = make_unmatched(session, world)
    first, second = propose(session, world, episode, therapist).match, propose(session, world, other, therapist).match
    choose(session, episode, first, therapist)
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        choose(session, other, second, therapist)
    assert [finding.rule for finding in refusal.value.findings] == ["matching.not_available"]
    assert not refusal.value.findings[0].inputs
    assert "1" not in refusal.value.message
    matches.decline(session, make_actor(therapist), first.id, REASON)
    session.refresh(second)
    choose(session, other, second, therapist)
    assert second.state == "chosen"


def test_who_filled_up_meanwhile_is_passed_over(session: Session, world: World, episode: Episode) -> None:
    first, full, third = (make_therapist(session, world, capacity=capacity) for capacity in (5, 1, 5))
    other = make_unmatched(session, world)
    match = propose(session, world, episode, first, full, third).match
    choose(session, episode, match, first, full, third)
    taking = propose(session, world, other, full).match
    choose(session, other, taking, full)
    matches.decline(session, make_actor(first), match.id, REASON)
    assert states(session, match) == ["declined", "unavailable", "asked"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [("capacity", "matching.full"), ("closed", "matching.not_taking"), ("therapist", "matching.has_therapist")],
)
def test_accepting_is_judged_anew(session: Session, world: World, episode: Episode, change: str, rule: str) -> None:
    therapist = make_therapist(session, world)
    match = propose(session, world, episode, therapist).match
    choose(session, episode, match, therapist)
    if change == "therapist":
        change_therapist(session, world.actor("prescriber"), episode.id, world.therapist.id)
        session.flush()
    else:
        details = ProfileDetails(
            specialities=[Diagnosis.DEPRESSION],
            capacity=0 if change == "capacity" else 5,
            taking_patients=change == "capacity",
        )
        profiles.keep_profile(session, make_actor(therapist), therapist.id, details)
    with pytest.raises(RuleRefused) as refusal:
        matches.accept(session, make_actor(therapist), match.id)
    assert rule in [finding.rule for finding in refusal.value.findings]


def test_a_list_that_changed_meanwhile_is_not_acted_upon(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, *two).match
    with pytest.raises(StaleVersion):
        matches.choose(session, make_patient_actor(episode), match.id, [two[0].id], version=match.version + 1)


def test_patients_in_care_and_waiting_ones_count_as_clients(session: Session, world: World, episode: Episode) -> None:
    therapist = make_therapist(session, world, capacity=2)
    match = propose(session, world, episode, therapist).match
    choose(session, episode, match, therapist)
    matches.accept(session, make_actor(therapist), match.id)
    waiting = make_unmatched(session, world)
    choose(session, waiting, propose(session, world, waiting, therapist).match, therapist)
    third = make_unmatched(session, world)
    assert candidates.therapist_facts(session, third, therapist.id).clients == 2
    with pytest.raises(RuleRefused) as refusal:
        propose(session, world, third, therapist)
    assert [finding.rule for finding in refusal.value.findings] == ["matching.full"]


def test_a_profile_is_the_therapists_own_and_the_desks(session: Session, world: World) -> None:
    details = ProfileDetails(specialities=[Diagnosis.OCD, Diagnosis.ANXIETY], capacity=4, taking_patients=True)
    own = profiles.keep_profile(session, world.actor("therapist"), world.therapist.id, details)
    assert (own.specialities, own.capacity, own.version) == (["anxiety", "ocd"], 4, 1)
    with pytest.raises(StaleVersion):
        profiles.keep_profile(session, world.actor("operator"), world.therapist.id, details, version=7)
    profiles.keep_profile(session, world.actor("operator"), world.therapist.id, details, version=1)
    assert profiles.read_profile(session, world.actor("medical_staff"), world.therapist.id) is own
    colleague = make_actor(make_therapist(session, world))
    for act in (
        lambda: profiles.keep_profile(session, colleague, world.therapist.id, details),
        lambda: profiles.read_profile(session, colleague, world.therapist.id),
        lambda: profiles.read_profile(session, world.actor("operator"), world.prescriber.id),
        lambda: profiles.read_profile(session, make_matching_world(session).actor("prescriber"), world.therapist.id),
    ):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(NotAllowed):
        profiles.keep_profile(session, world.actor("medical_staff"), world.therapist.id, details)


def test_only_patients_choose_and_only_therapists_answer() -> None:
    assert set(POLICY[Action.CHOOSE_THERAPIST]) == {Role.PATIENT}
    assert set(POLICY[Action.ANSWER_MATCH]) == {Role.THERAPIST}


def test_a_list_is_seen_by_the_patient_and_the_team_of_the_episode(
    session: Session, world: World, episode: Episode, two: tuple[Account, Account]
) -> None:
    match = propose(session, world, episode, two[0]).match
    for actor in (make_patient_actor(episode), world.actor("medical_staff")):
        assert [each.id for each in matches.list_matches(session, actor, episode.id)] == [match.id]
    for actor in (make_actor(two[0]), make_matching_world(session).actor("prescriber")):
        with pytest.raises(NotFound):
            matches.list_matches(session, actor, episode.id)
    assert matches.list_matches(session, world.actor("prescriber"), episode.id, after=UUID(int=0)) == []
