"""Consents: documented, for one number, withdrawn at once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM, Actor, Role
from services.core.errors import InvalidInput, NotAllowed, NotFound
from services.core.personal import Personal
from services.people import consents
from services.people.consents import ConsentKind, ConsentSource
from services.people.models import Consent, Episode
from services.vault.boxes import box
from tests.factories import (
    audited,
    colleague_of,
    give_sms_consent,
    make_account,
    make_actor,
    make_episode,
    make_patient_actor,
    make_world,
    therapist_of,
)

MOBILE = "+14155550142"


@pytest.fixture
def episode(session: Session) -> Episode:
    return make_episode(session, mobile=MOBILE, sms_consent=False)


def give(
    session: Session, episode: Episode, kind: ConsentKind = ConsentKind.SMS, actor: Actor | None = None, **given: Any
) -> Consent:
    values = {
        "text_version": "v1",
        "wording": Personal("I agree to be marked."),
        "source": ConsentSource.LINK,
        **given,
    }
    return consents.give_consent(session, actor or make_patient_actor(episode), episode, kind, **values)


def test_a_consent_keeps_text_version_wording_source_time_and_who_took_it(session: Session, episode: Episode) -> None:
    consent = give(session, episode, ConsentKind.TREATMENT)
    assert (consent.text_version, consent.source, consent.taken_by) == ("v1", "link", episode.patient_id)
    assert b"marked" not in (consent.wording or b"")
    assert box(session, episode.patient_id).open(consent, "wording").reveal() == "I agree to be marked."
    assert consents.has_consent(session, episode.patient_id, ConsentKind.TREATMENT)
    assert not consents.has_consent(session, episode.patient_id, ConsentKind.SMS)
    assert audited(session)[-1] == "consent.give"


def test_the_therapist_takes_down_the_agreement_to_be_texted_at_the_referral(
    session: Session, episode: Episode
) -> None:
    therapist = therapist_of(session, episode)
    give_sms_consent(session, therapist, episode)
    assert consents.may_be_texted(session, episode.patient_id)
    (consent,) = consents.list_consents(session, therapist, episode)
    assert (consent.source, consent.taken_by) == ("referral", therapist.id)


def test_the_therapist_does_not_consent_to_treatment_for_the_patient(session: Session, episode: Episode) -> None:
    therapist = therapist_of(session, episode)
    with pytest.raises(NotAllowed) as refusal:
        give(session, episode, ConsentKind.TREATMENT, therapist, source=ConsentSource.REFERRAL)
    assert refusal.value.rule == "people.treatment_consent_by_patient"
    with pytest.raises(NotAllowed):
        give(session, episode, ConsentKind.TREATMENT, therapist)


def test_another_therapist_cannot_take_down_anything(session: Session, episode: Episode) -> None:
    with pytest.raises(NotFound):
        give(session, episode, ConsentKind.SMS, make_actor(make_account(session)), source=ConsentSource.REFERRAL)


def test_whoever_may_refer_takes_down_the_agreement_to_be_texted_and_nobody_else(
    session: Session, episode: Episode
) -> None:
    staff = colleague_of(session, episode.medical_team_id, Role.MEDICAL_STAFF)
    give(session, episode, ConsentKind.SMS, staff, source=ConsentSource.REFERRAL)
    assert consents.may_be_texted(session, episode.patient_id)
    pharmacist = colleague_of(session, episode.pharmacy_id, Role.PHARMACIST)
    with pytest.raises(NotAllowed):
        give(session, episode, ConsentKind.SMS, pharmacist, source=ConsentSource.REFERRAL)


def test_a_consent_to_be_texted_is_for_the_patients_own_number(session: Session, episode: Episode) -> None:
    with pytest.raises(InvalidInput) as refusal:
        give(session, episode, number=Personal("+14155550143"))
    assert refusal.value.field == "number"
    give(session, episode, number=Personal("(415) 555-0142"))
    assert consents.may_be_texted(session, episode.patient_id)
    assert not consents.has_consent(session, episode.patient_id, ConsentKind.SMS, b"another number")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"text_version": ""}, "text_version"),
        ({"text_version": "x" * 41}, "text_version"),
        ({"wording": Personal("  ")}, "wording"),
        ({"wording": Personal("x" * 20_001)}, "wording"),
    ],
)
def test_a_consent_without_its_text_is_refused_by_field(
    session: Session, episode: Episode, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        give(session, episode, **given)
    assert refusal.value.field == field


def test_a_newer_consent_takes_the_place_of_the_older_one(session: Session, episode: Episode) -> None:
    older = give(session, episode)
    newer = give(session, episode, text_version="v2")
    assert (older.withdrawn_at is not None, newer.withdrawn_at) == (True, None)
    assert (
        consents.withdraw_consent(
            session, make_patient_actor(episode), episode, ConsentKind.SMS, source=ConsentSource.LINK
        )
        == 1
    )
    assert not consents.has_consent(session, episode.patient_id, ConsentKind.SMS)


def test_a_withdrawal_keeps_the_record(session: Session, episode: Episode) -> None:
    consent = give(session, episode, ConsentKind.TREATMENT)
    therapist = therapist_of(session, episode)
    consents.withdraw_consent(session, therapist, episode, ConsentKind.TREATMENT, source=ConsentSource.STAFF)
    assert (consent.withdrawal_source, consent.source) == ("staff", "link")
    assert [one.id for one in consents.list_consents(session, therapist, episode)] == [consent.id]
    assert "consent.withdraw" in audited(session)


def test_withdrawing_nothing_is_no_error(session: Session, episode: Episode) -> None:
    actor = make_patient_actor(episode)
    assert consents.withdraw_consent(session, actor, episode, ConsentKind.SMS, source=ConsentSource.LINK) == 0


def test_stop_ends_the_texts_to_everybody_with_that_number(session: Session) -> None:
    world = make_world(session)
    family = [make_episode(session, world=world, mobile=MOBILE) for _ in range(2)]
    stranger = make_episode(session, world=world, mobile="+14155550143")
    give(session, family[0], ConsentKind.TREATMENT)
    assert consents.withdraw_sms_consent(session, SYSTEM, Personal(MOBILE)) == 2
    assert not any(consents.may_be_texted(session, episode.patient_id) for episode in family)
    assert consents.may_be_texted(session, stranger.patient_id)
    assert consents.has_consent(session, family[0].patient_id, ConsentKind.TREATMENT)
    assert consents.withdraw_sms_consent(session, SYSTEM, Personal(MOBILE)) == 0


def test_start_allows_texts_again(session: Session) -> None:
    episode = make_episode(session, mobile=MOBILE)
    number = Personal(MOBILE)
    consents.withdraw_sms_consent(session, SYSTEM, number)
    for renewed in (1, 0):
        wording = Personal("START")
        assert consents.renew_sms_consent(session, SYSTEM, number, text_version="start-1", wording=wording) == renewed
    assert consents.may_be_texted(session, episode.patient_id)


def test_the_pharmacy_does_not_read_consents(session: Session, episode: Episode) -> None:
    with pytest.raises(NotAllowed):
        consents.list_consents(session, colleague_of(session, episode.pharmacy_id, Role.PHARMACIST), episode)
