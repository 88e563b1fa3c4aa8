"""Referrals: what appears with one, what refuses one, and where the link goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Role
from services.core.errors import Conflict, NotAllowed, NotFound, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.eligibility import referrals
from services.eligibility.models import Referral
from services.messaging.models import Event
from services.people.consents import may_be_texted
from services.people.links import exchange_link, path_of
from services.people.models import Consent, Episode, OrganisationKind, Patient
from services.people.states import EpisodeState
from services.screening.models import Screening
from services.vault.envelopes import open_envelope
from tests.factories import World, audited, make_account, make_actor, make_organisation, make_world
from tests.factories_screening import make_agreement, make_referral, make_referral_details


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def opened(session: Session) -> dict[Party, dict[str, Any]]:
    rows = session.scalars(select(Event).where(Event.kind == EventKind.REFERRAL_CREATED))
    return {
        Party(row.party): open_envelope(Party(row.party), row.kind, row.id, row.key_name, row.envelope) for row in rows
    }


def test_patient_episode_care_team_and_screening_appear_together(session: Session, world: World) -> None:
    made = make_referral(session, world=world)
    episode = made.episode
    assert episode.state == "referred"
    assert (episode.therapist_id, episode.medical_team_id, episode.pharmacy_id) == (
        world.therapist.id,
        world.medical_team.id,
        world.pharmacy.id,
    )
    screening = session.get_one(Screening, made.screening_id)
    assert (screening.round, screening.state, screening.episode_id) == (1, "opened", episode.id)
    actions = audited(session)
    assert {"referral.create", "patient.register", "episode.open", "consent.give", "link.issue"} <= set(actions)


def test_diagnosis_and_reason_are_sealed(session: Session, world: World) -> None:
    referral = make_referral(session, world=world, reason="Marked reason").referral
    assert referral.reason is not None
    assert referral.diagnosis is not None
    assert b"Marked" not in referral.reason
    assert b"depression" not in referral.diagnosis
    read = referrals.read_referral(session, world.actor("medical_staff"), referral.id)
    assert (read.diagnosis.reveal(), read.reason.reveal()) == ("depression", "Marked reason")


def test_the_link_travels_only_in_the_patients_envelope(session: Session, world: World) -> None:
    made = make_referral(session, world=world)
    payloads = opened(session)
    assert made.link is None
    assert set(payloads) == {Party.PATIENT, Party.MEDICAL_TEAM}
    assert payloads[Party.MEDICAL_TEAM]["data"] == {}
    link = payloads[Party.PATIENT]["data"]["link"]
    issued = exchange_link(session, referrals.Secret(link.removeprefix("/l/")))
    assert issued.actor.episode_id == made.episode.id


def test_without_an_agreement_nobody_is_texted_and_the_therapist_gets_the_link(session: Session, world: World) -> None:
    made = make_referral(session, world=world, sms_agreement=None)
    assert set(opened(session)) == {Party.MEDICAL_TEAM}
    assert made.link is not None
    assert len(path_of(made.link)) < 30  # it must fit a text message with the address in front
    assert exchange_link(session, made.link).actor.id == made.episode.patient_id
    assert not may_be_texted(session, made.episode.patient_id)


def test_the_agreement_names_who_took_it_when_and_in_which_words(session: Session, world: World) -> None:
    colleague = make_account(session, Role.THERAPIST, organisation=world.practice)
    taken_at = clock.now() - timedelta(days=3)
    made = make_referral(session, world=world, sms_agreement=make_agreement(colleague.id, taken_at=taken_at))
    consent = session.scalars(select(Consent).where(Consent.patient_id == made.episode.patient_id)).one()
    assert (consent.kind, consent.taken_by, consent.given_at) == ("sms", colleague.id, taken_at)
    assert (consent.source, consent.text_version) == ("referral", "spoken-1")
    assert may_be_texted(session, made.episode.patient_id)


@pytest.mark.parametrize(
    ("days", "by_practice", "rule"),
    [
        (366, True, "referral.agreement_recent"),
        (-1, True, "referral.agreement_recent"),
        (1, False, "referral.agreement_taken_by_practice"),
    ],
)
def test_an_agreement_that_cannot_be_is_refused(
    session: Session, world: World, days: int, by_practice: bool, rule: str
) -> None:
    taker: UUID = world.therapist.id if by_practice else world.prescriber.id
    agreement = make_agreement(taker, taken_at=clock.now() - timedelta(days=days))
    with pytest.raises(RuleRefused) as refusal:
        make_referral(session, world=world, sms_agreement=agreement)
    assert refusal.value.rule == rule


def test_a_therapist_without_the_training_refers_nobody(session: Session, world: World) -> None:
    untrained = make_actor(make_account(session, organisation=world.practice, papers=False))
    with pytest.raises(RuleRefused) as refusal:
        referrals.refer(session, untrained, make_referral_details())
    assert [finding.rule for finding in refusal.value.findings] == ["referral.kap_training"]


def test_a_practice_without_partners_refers_nobody(session: Session) -> None:
    alone = make_organisation(session, OrganisationKind.PRACTICE)
    with pytest.raises(RuleRefused) as refusal:
        referrals.refer(session, make_actor(make_account(session, organisation=alone)), make_referral_details())
    assert [finding.rule for finding in refusal.value.findings] == ["referral.practice_has_partners"]


def test_pharmacy_and_desk_refer_nobody(session: Session, world: World) -> None:
    for who in ("pharmacist", "operator"):
        with pytest.raises(NotAllowed):
            referrals.refer(session, world.actor(who), make_referral_details())


def test_the_same_person_is_not_referred_twice_by_a_practice(session: Session, world: World) -> None:
    details = make_referral_details(mobile="(415) 555-0142")
    referrals.refer(session, world.actor("therapist"), details)
    colleague = make_actor(make_account(session, organisation=world.practice))
    with pytest.raises(Conflict) as refusal:
        referrals.refer(session, colleague, make_referral_details(mobile="+14155550142"))
    assert refusal.value.rule == "referral.not_twice"


def test_another_practices_patient_is_not_revealed(session: Session, world: World) -> None:
    details = make_referral_details()
    referrals.refer(session, world.actor("therapist"), details)
    referrals.refer(session, make_world(session).actor("therapist"), details)
    assert len(session.scalars(select(Patient).where(Patient.mobile_index.is_not(None))).all()) == 2


def test_who_shares_a_phone_and_who_was_declined_can_be_referred(session: Session, world: World) -> None:
    therapist, details = world.actor("therapist"), make_referral_details()
    first = referrals.refer(session, therapist, details)
    sibling = make_referral_details(mobile=details.patient.mobile, birth_date=clock.now().date().replace(year=1999))
    assert referrals.refer(session, therapist, sibling).episode.id != first.episode.id
    session.get_one(Episode, first.episode.id).state = EpisodeState.DECLINED
    session.flush()
    assert referrals.refer(session, therapist, details).episode.patient_id != first.episode.patient_id


def test_a_refused_referral_leaves_nothing_behind(session: Session, world: World) -> None:
    details = make_referral_details(mobile="+14155550143", full_name=Personal("  "))
    with pytest.raises(Exception, match="name"):
        referrals.refer(session, world.actor("therapist"), details)
    session.rollback()
    assert session.scalars(select(Referral)).all() == []


def test_a_referral_is_visible_to_therapist_and_team_only(session: Session, world: World) -> None:
    referral = make_referral(session, world=world).referral
    with pytest.raises(NotAllowed):
        referrals.read_referral(session, world.actor("pharmacist"), referral.id)
    with pytest.raises(NotFound):
        referrals.read_referral(session, make_world(session).actor("prescriber"), referral.id)
    assert [each.id for each in referrals.list_referrals(session, world.actor("prescriber"))] == [referral.id]
