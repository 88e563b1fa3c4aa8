"""A clinic in full swing: one of everything that has an id, on top of all the other factories.

with make_everything(session) as everything:        the time is that of ``tests/factories_refills.py`` meanwhile
    everything.ids["fill_id"]                       ids that exist, by the names that the API's paths use
    everything.role_accounts[Role.PRESCRIBER]       who may do what there is to be done
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.circles import circles, places
from services.circles.circles import CircleDetails
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility.facts import Diagnosis
from services.journals import entries
from services.journals.prompts import Occasion
from services.matching import matches, profiles
from services.matching.profiles import ProfileDetails
from services.messaging import notices
from services.messaging.incoming import AskedText
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.outcomes import psychotherapy_notes
from services.people import tokens
from services.people.models import Account, DeaRegistration, Episode, Licence, SigningGrant
from services.people.states import EpisodeState
from services.prescribing import signing_access
from services.prescribing.models import Fill, SecurityReview
from services.prescribing.security_reviews import open_due
from services.prescribing.signing_logs import keep_log
from services.questions import asking
from services.questions.routing_rules import AskedFacts, routed
from services.questions.topics import topics_of
from services.screening.models import Screening
from services.sessions import adverse_events, ledgers, reconciliations
from services.sessions.adverse_event_rules import Effect, Grade
from services.sessions.adverse_events import Report
from services.sessions.models import TherapySession
from services.sessions.states import SessionKind, SessionState
from services.shipping.losses import Discovery
from services.shipping.models import DiversionReview, Shipment
from tests import factories_outcomes, factories_refills
from tests.factories import World, make_account, make_actor, make_episode, make_patient_actor
from tests.factories_matching import PROGRAMME, make_licensed, make_unmatched, propose
from tests.factories_messaging import keep_text
from tests.factories_prescribing import (
    Case,
    answer,
    make_case,
    make_draft,
    make_ready,
    make_reported,
    make_shipment,
    make_signed,
    raise_risk,
    report,
)
from tests.factories_refills import FIRST_DAY, ask, report_all_scales
from tests.factories_screening import make_referral
from tests.factories_sessions import book, drive

MOBILE = "+14155550177"


@dataclass(frozen=True)
class Everything:
    """What there is. ``ids`` are those of one clinic, by path parameter; the first of each has got furthest."""

    world: World
    case: Case
    ids: Mapping[str, list[UUID]]

    @property
    def episode(self) -> Episode:
        return self.case.episode

    @property
    def role_accounts(self) -> dict[Role, Account]:
        """One account of each role; the patient has none."""
        world = self.world
        accounts = (world.therapist, world.prescriber, world.medical_staff, world.pharmacist, world.operator)
        return {Role(account.role): account for account in accounts}


@contextmanager
def make_everything(session: Session) -> Iterator[Everything]:
    """A patient in treatment who asked for a refill, others at earlier stages, and all that belongs to them."""
    with factories_refills.make_supplied(session, mobile=MOBILE) as supplied:
        case, world, episode = supplied.case, supplied.case.world, supplied.episode
        newcomer = make_referral(session, world=world)
        waiting = make_case(session, world=world)
        dosed, parcel, dosing = _dosed(session, world, SessionState.DOSED, days_ago=1)
        held_case, _, held = _dosed(session, world, SessionState.INTEGRATION_DUE, days_ago=2)
        shipped = make_case(session, world=world)
        shipment = make_shipment(session, shipped)
        session.flush()
        people = _expendable(session, world)
        unmatched, searches = _matches(session, world)
        guest, circle, place, entry = _guest(session, world)
        ids: dict[str, list[UUID]] = {
            "episode_id": [episode.id, dosed.episode.id, waiting.episode.id, newcomer.episode.id, unmatched, guest],
            "patient_id": [episode.patient_id, newcomer.referral.patient_id],
            "referral_id": [newcomer.referral.id],
            "screening_id": [newcomer.screening_id, *_screenings(session, episode)],
            "flag_id": [raise_risk(session, shipped, high=False)],
            "prescription_id": [
                supplied.prescription.id,
                make_signed(session, waiting).id,
                make_ready(session, shipped).id,
                make_draft(session, shipped).id,
                make_reported(session, shipped).id,
            ],
            "fill_id": list(session.scalars(select(Fill.id).order_by(Fill.id))),
            "shipment_id": [shipment.id, parcel.id],
            "loss_id": _losses(session, dosed),
            "diversion_id": _reviews(session, held_case),
            "session_id": [_preparation(session, case).id, dosing.id, held.id],
            "event_id": [_adverse_event(session, case)],
            "outcome_id": [report_all_scales(session, episode).report.id],
            "team_id": [world.medical_team.id],
            "assessment_id": [factories_outcomes.ask(session, shipped.episode).id],
            "decision_id": [factories_outcomes.not_responding(session, waiting.episode).id],
            "note_id": [_note(session, case)],
            "request_id": [ask(session, supplied).request.id],
            "task_id": _tasks(session, world, episode),
            "notice_id": [_notice(session, account) for account in (world.therapist, world.prescriber)],
            "match_id": searches,
            "circle_id": [circle],
            "place_id": [place],
            "entry_id": [entry],
            "therapist_id": [world.therapist.id],
            "question_id": _questions(session, case),
            "message_id": [keep_text(session, "my dog ate it", MOBILE)],
            **people,
        }
        session.flush()
        yield Everything(world, case, ids)


def _expendable(session: Session, world: World) -> dict[str, list[UUID]]:
    """Somebody whose account may be shut and whose papers may be taken away, without ending anybody else's work."""
    spare = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, phone=None)
    nominee, candidate = (
        make_account(session, Role.PRESCRIBER, organisation=world.medical_team, phone=None, grant=False)
        for _ in range(2)
    )
    grants = [signing_access.nominate(session, make_actor(world.operator), nominee.id), grant_of(session, spare)]
    licence = select(Licence.id).where(Licence.account_id == spare.id)
    registration = select(DeaRegistration.id).where(DeaRegistration.account_id == spare.id)
    return {
        "account_id": [spare.id, candidate.id],
        "log_id": [keep_log(session, world.prescriber.id, FIRST_DAY.date().replace(day=1), UTC).id],
        "review_id": [_security_review(session)],
        "grant_id": [grant.id for grant in grants],
        "licence_id": list(session.scalars(licence)),
        "registration_id": list(session.scalars(registration)),
        "token_id": [tokens.issue_token(session, SYSTEM, world.therapist).id],
    }


def _security_review(session: Session) -> UUID:
    assert open_due(session) == 1
    return session.scalars(select(SecurityReview.id)).one()


def grant_of(session: Session, account: Account) -> SigningGrant:
    """The access to signing that an account has."""
    return session.scalars(select(SigningGrant).where(SigningGrant.account_id == account.id)).one()


def _screenings(session: Session, episode: Episode) -> list[UUID]:
    return list(session.scalars(select(Screening.id).where(Screening.episode_id == episode.id)))


def _preparation(session: Session, case: Case) -> TherapySession:
    return book(session, case, kind=SessionKind.PREPARATION, starts_at=clock.now() + timedelta(days=1))


def _dosed(session: Session, world: World, to: SessionState, *, days_ago: int) -> tuple[Case, Shipment, TherapySession]:
    """Another patient, whose first parcel came and whose first dosing session was brought to a state days ago."""
    with time_machine.travel(clock.now() - timedelta(days=days_ago), tick=False) as moment:
        case = make_case(session, world=world)
        parcel = make_shipment(session, case)
        report(session, parcel, "delivered")
        answer(session, case, parcel)
        return case, parcel, drive(session, case, to, moment)


def _losses(session: Session, case: Case) -> list[UUID]:
    what = Discovery(units=0.5, what_happened=Personal("Dropped in the sea."), discovered_at=clock.now())
    return [reconciliations.report_home_loss(session, case.patient, case.episode.id, what).loss.id]


def _reviews(session: Session, case: Case) -> list[UUID]:
    ledgers.record_count(session, case.patient, case.episode.id, 1)
    return list(session.scalars(select(DiversionReview.id)))


def _adverse_event(session: Session, case: Case) -> UUID:
    report = Report(grade=Grade.MILD, effect=Effect.NAUSEA, description=Personal("Nausea."), occurred_at=clock.now())
    return adverse_events.record_adverse_event(session, case.actor("therapist"), case.episode.id, report).event.id


def _note(session: Session, case: Case) -> UUID:
    text = Personal("Dreamt of water.")
    return psychotherapy_notes.write_note(session, case.actor("therapist"), case.episode.id, text).id


def _tasks(session: Session, world: World, episode: Episode) -> list[UUID]:
    made: list[Task] = []
    for party, owner in (
        (Party.THERAPIST, world.therapist.id),
        (Party.MEDICAL_TEAM, world.medical_team.id),
        (Party.PHARMACY, world.pharmacy.id),
        (Party.OPERATIONS, world.operations.id),
    ):
        details: dict[str, Any] = {"subject": Subject("episode", episode.id), "episode_id": episode.id}
        due_at = clock.now() + timedelta(days=1)
        made.append(open_task(session, TaskKind.CHECK_IN, party=party, owner_id=owner, due_at=due_at, **details))
    session.flush()
    return [task.id for task in made]


def _matches(session: Session, world: World) -> tuple[UUID, list[UUID]]:
    """An episode without a therapist, and two searches: a patient has chosen from one, the other waits for that.

    The world's therapist stands on both lists.
    """
    world.medical_team.programme, world.medical_team.partner_pharmacy_id = PROGRAMME, world.pharmacy.id
    details = ProfileDetails(specialities=[Diagnosis.DEPRESSION], capacity=50, taking_patients=True)
    profiles.keep_profile(session, SYSTEM, world.therapist.id, details)
    make_licensed(session, world.therapist, "CA")
    chosen, waiting = (make_unmatched(session, world) for _ in range(2))
    first, second = (propose(session, world, each, world.therapist).match for each in (chosen, waiting))
    matches.choose(session, make_patient_actor(chosen), first.id, [world.therapist.id])
    return waiting.id, [first.id, second.id]


def _guest(session: Session, world: World) -> tuple[UUID, UUID, UUID, UUID]:
    """A patient of a programme with circles and a journal, invited to a circle of the world's therapist, who wrote."""
    world.practice.programme = PROGRAMME
    episode = make_episode(session, world=world, at=EpisodeState.IN_TREATMENT)
    therapist, starts_at = world.actor("therapist"), clock.now() + timedelta(days=1)
    details = CircleDetails(
        title=Personal("Evening circle"),
        address=Personal("https://meet.example/abc"),
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        capacity=9,
    )
    circle = circles.plan_circle(session, therapist, details)
    place = places.invite(session, therapist, circle.id, episode.id)
    patient, text = make_patient_actor(episode), Personal("A blue door.")
    entry = entries.write_entry(session, patient, episode.id, Occasion.ANY_TIME, text).entry
    entries.share_entry(session, patient, entry.id)
    return episode.id, circle.id, place.id, entry.id


def _questions(session: Session, case: Case) -> list[UUID]:
    """A question for each party, with the world's people behind them."""
    made = []
    for words in ("I feel dizzy", "Where is my package", "Can we meet tomorrow", "Hello there"):
        asked = AskedText(Personal(words), new_id(), frozenset())
        route = routed(AskedFacts(topics=topics_of(words)))
        made.append(asking.open_question(session, make_patient_actor(case.episode), case.episode, route, asked).id)
    return made


def _notice(session: Session, account: Account) -> UUID:
    subject = Subject("screening", new_id())
    return notices.inform(session, account.id, EventKind.SCREENING_COMPLETED, subject, None, new_id()).id
