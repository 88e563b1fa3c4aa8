"""Reviews: what the rules say over a completed screening, kept so that it can be replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import NotAllowed, NotFound
from services.core.findings import Finding
from services.eligibility import reviews
from services.eligibility.facts import Diagnosis, Facts
from services.eligibility.holds import holds
from services.eligibility.models import EligibilityReview
from services.eligibility.overviews import read_overview
from services.eligibility.rules import evaluate, rule_set_version
from services.people import patients
from services.people.models import Episode
from services.people.postal import Address
from services.people.programmes import programme_of
from services.people.settings import settings
from services.vault.boxes import box
from tests.factories import World, make_patient_actor, make_world
from tests.factories_screening import approve, history, make_referral, make_screening


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world).episode


def review_of(session: Session, episode: Episode) -> EligibilityReview:
    return session.scalars(select(EligibilityReview).where(EligibilityReview.episode_id == episode.id)).one()


def rules(findings: tuple[Finding, ...] | None) -> set[str]:
    return {finding.rule.removeprefix("eligibility.") for finding in findings or ()}


def test_the_evaluation_is_stored_with_all_that_a_replay_needs(session: Session, episode: Episode) -> None:
    make_screening(session, episode, history=history(stroke="present"), medicines=["Diazepam", "Unheardofine"])
    review, own = review_of(session, episode), box(session, episode.patient_id)
    facts = Facts.from_dict(own.open(review, "inputs").reveal())
    assert own.open(review, "inputs_hash").reveal() == facts.digest()
    assert own.open(review, "findings").reveal() == [each.as_dict() for each in evaluate(facts, settings())]
    assert (review.programme_version, review.rule_set_version) == (settings().version, rule_set_version())
    assert review.findings is not None
    assert b"stroke" not in review.findings


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ({"history": history(stroke="present")}, "stroke"),
        ({"history": history(pregnancy="unknown")}, "pregnancy_unanswered"),
        ({"medicines": ["Diazepam 5 mg"]}, "medicine_benzodiazepines"),
        ({"medicines": ["Unheardofine"]}, "medicine_unlisted"),
        (
            {"cssrs": {"q1": False, "q2": True, "q3": True, "q4": False, "q5": False, "q6_ever": False}},
            "cssrs_moderate",
        ),
        ({"blood_pressures": []}, "pressure_readings_missing"),
        (
            {
                "history": history(substance_use_disorder="controlled"),
                "statements": {"remission_months": 6},
            },
            "remission_recent",
        ),
    ],
)
def test_what_the_patient_answered_reaches_the_rules(
    session: Session, world: World, episode: Episode, parts: dict[str, Any], rule: str
) -> None:
    make_screening(session, episode, **parts)
    assert rule in rules(reviews.read_review(session, world.actor("prescriber"), episode.id).findings)


@pytest.mark.parametrize(
    ("systolic", "rule"), [((168, 150), "systolic_pressure_review"), ((168, 152), "systolic_pressure_stop")]
)
def test_the_two_latest_pressures_are_averaged(
    session: Session, world: World, episode: Episode, systolic: tuple[int, int], rule: str
) -> None:
    taken_at = clock.now() - timedelta(days=2)
    readings = [{"systolic": 230, "diastolic": 80, "taken_at": taken_at - timedelta(days=1)}] + [
        {"systolic": value, "diastolic": 80, "taken_at": taken_at + timedelta(hours=hour)}
        for hour, value in enumerate(systolic)
    ]
    make_screening(session, episode, blood_pressures=readings)
    assert rule in rules(reviews.read_review(session, world.actor("prescriber"), episode.id).findings)


def test_what_the_record_says_reaches_the_rules(session: Session, world: World) -> None:
    young = clock.now().date().replace(year=clock.now().year - 17, day=1)
    world.medical_team.states_of_operation = ["NY"]
    episode = make_referral(session, world=world, diagnosis=Diagnosis.BIPOLAR, birth_date=young).episode
    make_screening(session, episode)
    found = rules(reviews.read_review(session, world.actor("prescriber"), episode.id).findings)
    assert {"age_under_minimum", "state_not_served", "bipolar_disorder"} <= found


def test_the_medicines_of_the_newest_screening_can_be_held(session: Session, episode: Episode) -> None:
    assert reviews.medicines_of(session, episode.id).reveal() is None
    make_screening(session, episode, medicines=["Zoloft", "Xanax 0.5 mg"])
    given = reviews.medicines_of(session, episode.id).reveal()
    assert given == ("Zoloft", "Xanax 0.5 mg")
    assert [each.medicines for each in holds(given, programme_of(session, episode))] == [("Xanax 0.5 mg",)]


def test_a_healthy_patient_gives_nothing_to_stop_or_review(session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode)
    findings = reviews.read_review(session, world.actor("prescriber"), episode.id).findings
    assert {finding.severity.value for finding in findings or ()} == {"inform"}


def test_while_it_waits_the_facts_are_those_of_today(session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode)
    moved = patients.PatientChanges(
        address=reviews.Personal(Address(street="1 Far Road", city="Miami", state="FL", postal_code="33101"))
    )
    patient = session.get_one(patients.Patient, episode.patient_id)
    patients.change_patient(session, make_patient_actor(episode), episode.id, moved, version=patient.version)
    seen = reviews.read_review(session, world.actor("prescriber"), episode.id)
    assert "state_not_served" in rules(seen.findings)


def test_once_decided_the_findings_are_those_of_the_decision(session: Session, world: World) -> None:
    birthday = clock.now().date().replace(day=1).replace(year=clock.now().year - 64)
    episode = make_referral(session, world=world, birth_date=birthday).episode
    make_screening(session, episode)
    approve(session, world.actor("prescriber"), episode.id)
    with time_machine.travel(clock.now() + timedelta(days=400)):
        seen = reviews.read_review(session, world.actor("prescriber"), episode.id)
    assert "age_from_review" not in rules(seen.findings)
    assert seen.decision is not None


def test_the_therapist_sees_the_outcome_and_not_the_history(session: Session, world: World, episode: Episode) -> None:
    make_screening(session, episode, history=history(seizure_disorder="present"))
    approve(session, world.actor("prescriber"), episode.id)
    seen = reviews.read_review(session, world.actor("therapist"), episode.id)
    assert (seen.review.state, seen.findings, seen.reasons) == ("approved", None, None)
    others = (world.actor("pharmacist"), make_patient_actor(episode))
    for actor in others:
        with pytest.raises(NotAllowed):
            reviews.read_review(session, actor, episode.id)


def test_there_is_nothing_to_review_before_the_screening_is_completed(
    session: Session, world: World, episode: Episode
) -> None:
    with pytest.raises(NotFound):
        reviews.read_review(session, world.actor("prescriber"), episode.id)


def test_an_overview_shows_each_role_no_more_than_it_needs(session: Session, world: World, episode: Episode) -> None:
    make_screening(
        session, episode, cssrs={"q1": True, "q2": True, "q3": True, "q4": False, "q5": False, "q6_ever": False}
    )
    team = read_overview(session, world.actor("medical_staff"), episode.id)
    assert team.eligibility == "requested"
    assert team.risk is not None
    assert team.risk.blocks_shipping
    patient = read_overview(session, make_patient_actor(episode), episode.id)
    assert (patient.eligibility, patient.risk) == ("requested", None)
    pharmacy = read_overview(session, world.actor("pharmacist"), episode.id)
    assert (pharmacy.eligibility, pharmacy.eligible_until, pharmacy.risk) == (None, None, None)
