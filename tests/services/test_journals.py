"""Journals: what a programme gives to write, and who reads what a patient wrote."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.exports import export_patient
from services.journals import entries
from services.journals.models import JournalEntry
from services.journals.prompts import Occasion
from services.people.models import Episode
from services.people.states import EpisodeState
from tests.factories import World, audited, make_episode, make_patient_actor, make_world
from tests.factories_messaging import emitted

WORDS = Personal("Canary: a blue door.")


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session, programme="isha_health")


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, at=EpisodeState.IN_TREATMENT)


def write(session: Session, episode: Episode, text: Personal[str] = WORDS, **given: Any) -> entries.WrittenEntry:
    occasion = given.pop("occasion", Occasion.AFTER_SESSION)
    return entries.write_entry(session, make_patient_actor(episode), episode.id, occasion, text, **given)


def test_the_patient_reads_the_prompts_of_the_own_programme(session: Session, episode: Episode) -> None:
    found = entries.read_prompts(session, make_patient_actor(episode), episode.id)
    assert found.of(Occasion.AFTER_SESSION) == found.after_session
    assert len(found.before_session) == 3
    assert found.of(Occasion.ANY_TIME) == ()


def test_an_entry_is_the_patients_alone_until_it_is_shared(session: Session, world: World, episode: Episode) -> None:
    patient, therapist = make_patient_actor(episode), world.actor("therapist")
    entry = write(session, episode, prompt=2).entry
    read = entries.read_entry(session, patient, entry.id)
    assert (read.text.reveal(), read.prompt.reveal()) == ("Canary: a blue door.", "What surprised you?")
    assert entries.list_entries(session, therapist, episode.id) == []
    with pytest.raises(NotFound):
        entries.read_entry(session, therapist, entry.id)
    entries.share_entry(session, patient, entry.id, version=entry.version)
    assert entries.read_entry(session, therapist, entry.id).text.reveal() == "Canary: a blue door."
    assert [payload["party"] for payload in emitted(session, EventKind.JOURNAL_SHARED)] == ["therapist"]
    entries.take_back_entry(session, patient, entry.id)
    with pytest.raises(NotFound):
        entries.read_entry(session, therapist, entry.id)
    assert {"journal.write", "journal.share", "journal.take_back", "journal.read"} <= set(audited(session))


def test_nobody_else_reads_or_writes_one(session: Session, world: World, episode: Episode) -> None:
    entry = write(session, episode).entry
    entries.share_entry(session, make_patient_actor(episode), entry.id)
    for who in ("prescriber", "medical_staff", "pharmacist"):
        with pytest.raises(NotAllowed):
            entries.read_entry(session, world.actor(who), entry.id)
    stranger = make_patient_actor(make_episode(session, world=world))
    for act in (entries.read_entry, entries.share_entry):
        with pytest.raises(NotFound):
            act(session, stranger, entry.id)
    with pytest.raises(NotAllowed):
        entries.write_entry(session, world.actor("therapist"), episode.id, Occasion.ANY_TIME, WORDS)
    with pytest.raises(NotFound):
        entries.read_entry(session, world.actor("therapist"), new_id())


def test_an_entry_is_kept_sealed_and_can_be_taken_away(session: Session, episode: Episode) -> None:
    write(session, episode)
    row = session.scalars(select(JournalEntry)).one()
    assert row.text is not None
    assert b"Canary" not in row.text
    taken = export_patient(session, make_patient_actor(episode), episode.patient_id)
    assert [each["text"] for each in taken["records"]["journal_entries"]] == ["Canary: a blue door."]


def test_the_desk_takes_out_no_entry_that_the_patient_kept_private(
    session: Session, world: World, episode: Episode
) -> None:
    write(session, episode)
    shared = write(session, episode, Personal("To be seen.")).entry
    entries.share_entry(session, make_patient_actor(episode), shared.id)
    taken = export_patient(session, world.actor("operator"), episode.patient_id)
    assert [each["text"] for each in taken["records"]["journal_entries"]] == ["To be seen."]


@pytest.mark.parametrize(
    "words",
    ["I want to die", "It was fine. Then I thought I would kill myself! Help.", "Stop.\ni am hopeless"],
)
def test_words_that_may_tell_of_a_crisis_show_where_help_is_and_alert_the_care_team(
    session: Session, episode: Episode, words: str
) -> None:
    written = write(session, episode, Personal(words))
    assert {each.number for each in written.crisis_resources} == {"988", "741741", "911"}
    payloads = emitted(session, EventKind.TEXT_CRISIS)
    assert {payload["party"] for payload in payloads} == {"therapist", "medical_team"}
    assert all(payload["data"] == {} for payload in payloads)


def test_an_entry_like_any_other_alarms_nobody(session: Session, episode: Episode) -> None:
    assert write(session, episode).crisis_resources == ()
    assert emitted(session, EventKind.TEXT_CRISIS) == []


def test_what_cannot_be_written_is_refused_with_its_rule(session: Session, world: World, episode: Episode) -> None:
    with pytest.raises(RuleRefused) as refusal:
        write(session, episode, prompt=4)
    assert [finding.rule for finding in refusal.value.findings] == ["journals.prompt_unknown"]
    with pytest.raises(RuleRefused) as refusal:
        write(session, episode, Personal("  "))
    assert refusal.value.rule == "journals.text_needed"
    elsewhere = make_episode(session, at=EpisodeState.IN_TREATMENT)
    with pytest.raises(RuleRefused) as refusal:
        write(session, elsewhere)
    assert [finding.rule for finding in refusal.value.findings] == ["journals.not_offered"]


def test_sharing_twice_or_under_an_old_version_is_refused(session: Session, episode: Episode) -> None:
    patient, entry = make_patient_actor(episode), write(session, episode).entry
    with pytest.raises(StaleVersion):
        entries.share_entry(session, patient, entry.id, version=9)
    entries.share_entry(session, patient, entry.id)
    with pytest.raises(IllegalTransition):
        entries.share_entry(session, patient, entry.id)
