"""A patient who comes without a therapist: who may bring one, and what cannot happen in the episode."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, RuleRefused
from services.core.programme import programme, shipped
from services.core.vocabulary import EventKind, NoticeKind, Party, Priority, TaskKind
from services.eligibility import referrals, reviews
from services.eligibility.models import Referral
from services.eligibility.referral_rules import Referrer, ReferrerFacts, referrer_findings
from services.messaging.escalations import escalate_due
from services.messaging.models import Task
from services.messaging.notices import text_patient
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people import episodes
from services.people.access import Action
from services.people.models import OrganisationKind
from services.people.organisations import OrganisationDetails, create_organisation
from services.sessions.bookings import Booking, Site, book_session
from services.sessions.states import SessionKind
from services.shipping.release_rules import ReleaseFacts, release_findings
from services.vault.boxes import box
from tests.factories import World, make_account, make_actor, make_patient_actor
from tests.factories_matching import make_matching_world, make_unmatched, refer_by_team
from tests.factories_screening import make_referral, make_referral_details, make_screening
from workers.effects import OpenedEvent, carry_out

DEFAULT = programme()
THERAPIST = ReferrerFacts(
    by=Referrer.THERAPIST, is_enquiry=False, kap_trained=True, has_medical_team=True, has_pharmacy=True
)
TEAM = replace(THERAPIST, by=Referrer.MEDICAL_TEAM, kap_trained=False, has_medical_team=False)


@pytest.fixture
def world(session: Session) -> World:
    return make_matching_world(session)


@pytest.mark.parametrize(
    ("facts", "name", "rules"),
    [
        (THERAPIST, "default", []),
        (THERAPIST, "isha_health", []),
        (TEAM, "isha_health", []),
        (TEAM, "default", ["referral.not_by_these"]),
        (replace(TEAM, is_enquiry=True), "isha_health", []),
        (replace(TEAM, has_pharmacy=False), "isha_health", ["referral.team_has_pharmacy"]),
        (replace(THERAPIST, is_enquiry=True), "isha_health", ["referral.enquiry_by_medical_team"]),
        (replace(THERAPIST, kap_trained=False), "default", ["referral.kap_training"]),
        (replace(THERAPIST, has_pharmacy=False), "default", ["referral.practice_has_partners"]),
        (replace(THERAPIST, has_medical_team=False), "default", ["referral.practice_has_partners"]),
    ],
)
def test_who_may_refer(facts: ReferrerFacts, name: str, rules: list[str]) -> None:
    assert [finding.rule for finding in referrer_findings(facts, programme(shipped()[name]))] == rules


def test_a_medical_team_opens_an_episode_without_therapist_and_practice(session: Session, world: World) -> None:
    made = refer_by_team(session, world)
    episode = made.episode
    assert (episode.therapist_id, episode.practice_id) == (None, None)
    assert (episode.medical_team_id, episode.pharmacy_id) == (world.medical_team.id, world.pharmacy.id)
    assert episode.programme_version.startswith("isha_health-")
    assert session.get_one(Referral, made.referral.id).source == "medical_team"
    assert made.link is None


@pytest.mark.parametrize(
    ("who", "is_enquiry", "source"), [("team", True, "enquiry"), ("therapist", False, "therapist")]
)
def test_a_referral_says_how_the_patient_came(
    session: Session, world: World, who: str, is_enquiry: bool, source: str
) -> None:
    made = (
        refer_by_team(session, world, is_enquiry=is_enquiry) if who == "team" else make_referral(session, world=world)
    )
    assert made.referral.source == source


def test_where_only_therapists_refer_a_team_is_refused(session: Session) -> None:
    world = make_matching_world(session, programme="journey_clinical")
    with pytest.raises(RuleRefused) as refusal:
        refer_by_team(session, world)
    (finding,) = refusal.value.findings
    assert (finding.rule, finding.setting, finding.value) == ("referral.not_by_these", "referrals.by", ["therapist"])


def test_the_same_person_is_not_referred_twice_to_a_team(session: Session, world: World) -> None:
    make_referral(session, world=world, mobile="(415) 555-0143")
    with pytest.raises(Conflict) as refusal:
        refer_by_team(session, world, mobile="+14155550143")
    assert refusal.value.rule == "referral.not_twice"


def test_the_physician_evaluates_first_and_a_therapist_is_expected(session: Session, world: World) -> None:
    """Eligibility does not stop for the missing therapist; it only says that nothing may be shipped yet."""
    episode = refer_by_team(session, world).episode
    make_screening(session, episode)
    findings = reviews.read_review(session, world.actor("prescriber"), episode.id).findings or ()
    spoke = {finding.rule for finding in findings if "therapist" in finding.rule}
    assert spoke == {"eligibility.no_therapist_of_record"}
    assert referrals.diagnosis_of(session, episode.id) == "depression"


def test_without_matching_a_missing_therapist_is_for_the_physician_to_judge(session: Session, world: World) -> None:
    episode = make_referral(session, world=make_matching_world(session, programme="journey_clinical")).episode
    episode.therapist_id = None
    make_screening(session, episode)
    team = episode.medical_team_id
    prescriber = make_actor(make_account(session, Role.PRESCRIBER, organisation=team))
    spoke = {finding.rule for finding in reviews.read_review(session, prescriber, episode.id).findings or ()}
    assert "eligibility.therapist_unknown" in spoke


def test_nothing_ships_and_nobody_books_before_there_is_a_therapist(session: Session, world: World) -> None:
    episode = make_unmatched(session, world)
    facts = ReleaseFacts(
        prescription_signed=True, fill_recorded=True, eligible=True, has_therapist=False, risk_signed_off=True
    )
    assert [finding.rule for finding in release_findings(facts)] == ["shipping.no_therapist"]
    booking = Booking(kind=SessionKind.DOSING, starts_at=clock.now(), site=Site.HOME)
    for actor in (world.actor("therapist"), world.actor("prescriber"), make_patient_actor(episode)):
        with pytest.raises((NotFound, NotAllowed)):
            book_session(session, actor, episode.id, booking)


def test_what_a_therapist_would_do_is_the_medical_teams_while_there_is_none(session: Session, world: World) -> None:
    episode = refer_by_team(session, world).episode
    event = OpenedEvent(
        id=episode.id,
        party=Party.THERAPIST,
        kind=EventKind.SCREENING_UNANSWERED,
        subject=Subject("screening", episode.id),
        episode_id=episode.id,
        at=clock.now(),
        data={},
    )
    carry_out(session, [event], DEFAULT)
    task = session.scalars(select(Task).where(Task.episode_id == episode.id)).one()
    assert (task.kind, task.owner_id, task.party) == ("contact_patient", world.medical_team.id, "therapist")
    task.due_at = task.escalate_at = clock.now()
    task.escalation = 1
    session.flush()
    escalate_due(session, DEFAULT)
    assert task.owner_id == world.medical_team.id


def test_a_text_names_the_medical_team_while_there_is_no_practice(session: Session, world: World) -> None:
    episode = refer_by_team(session, world).episode
    subject = Subject("episode", episode.id)
    notice = text_patient(session, NoticeKind.DECISION_MADE, subject, episode, None, {}, DEFAULT)
    body = box(session, episode.patient_id).open(notice, "body").reveal()
    assert body.startswith(f"{world.medical_team.short_name}: ")


def test_a_tasks_team_is_the_practice_once_there_is_one(session: Session, world: World) -> None:
    episode = make_referral(session, world=world).episode
    task = open_task(
        session,
        TaskKind.CHECK_IN,
        party=Party.THERAPIST,
        owner_id=world.operations.id,
        subject=Subject("episode", episode.id),
        due_at=clock.now(),
        priority=Priority.ROUTINE,
        episode_id=episode.id,
    )
    task.escalation = 1
    session.flush()
    escalate_due(session, DEFAULT)
    assert task.owner_id == world.practice.id


def test_a_team_without_a_pharmacy_opens_no_episode(session: Session, world: World) -> None:
    world.medical_team.partner_pharmacy_id = None
    with pytest.raises(RuleRefused) as refusal:
        refer_by_team(session, world)
    assert [finding.rule for finding in refusal.value.findings] == ["referral.team_has_pharmacy"]
    patient = make_referral(session, world=world).episode.patient_id
    with pytest.raises(Conflict) as conflict:
        episodes.open_episode(session, world.actor("medical_staff"), patient)
    assert conflict.value.rule == "people.team_has_pharmacy"


def test_taking_on_a_patient_brings_the_therapists_practice(session: Session, world: World) -> None:
    episode = refer_by_team(session, world).episode
    episodes.take_on(session, world.actor("therapist"), episode)
    assert (episode.therapist_id, episode.practice_id) == (world.therapist.id, world.practice.id)
    assert episodes.episode_of(session, world.actor("therapist"), Action.READ_EPISODE, episode.id) is episode


def test_a_medical_team_may_name_a_pharmacy_and_no_medical_team(session: Session, world: World) -> None:
    plan = {
        "kind": OrganisationKind.MEDICAL_TEAM,
        "name": "Team",
        "short_name": "Team",
        "phone": "+14155550100",
        "street": "1 Way",
        "city": "Oakland",
        "state": "CA",
        "postal_code": "94601",
    }
    made = create_organisation(session, SYSTEM, OrganisationDetails(**plan, partner_pharmacy_id=world.pharmacy.id))
    assert made.partner_pharmacy_id == world.pharmacy.id
    with pytest.raises(InvalidInput) as refusal:
        create_organisation(session, SYSTEM, OrganisationDetails(**plan, partner_medical_team_id=world.medical_team.id))
    assert refusal.value.field == "partner_medical_team_id"


def test_the_link_is_given_to_the_team_when_the_patient_is_not_texted(session: Session, world: World) -> None:
    made = refer_by_team(session, world, sms_agreement=None)
    assert made.link is not None


def test_details_of_a_referral_are_no_enquiry_unless_said() -> None:
    assert make_referral_details().is_enquiry is False
