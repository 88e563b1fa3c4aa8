"""What patients agree to: the texts, and giving and taking back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from services.core.errors import Conflict, InvalidConfiguration, NotAllowed, RuleRefused
from services.people.consents import ConsentKind, has_consent, may_be_texted
from services.people.models import Episode
from services.screening.agreements import agree, take_back
from services.screening.consent_texts import DEFAULT_FILE, current_texts
from services.vault.boxes import box
from tests.factories import World, make_patient_actor, make_world
from tests.factories_screening import make_referral


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_referral(session, world=world, sms_agreement=None).episode


@pytest.mark.parametrize(
    "statement",
    [
        "not approved by the FDA for psychiatric use",
        "sedation",
        "dissociation",
        "psychiatric events",
        "misuse",
        "raised blood pressure",
        "respiratory depression",
        "urinary symptoms",
        "October 2023",
    ],
)
def test_the_treatment_text_makes_every_statement(statement: str) -> None:
    assert statement in " ".join(current_texts()[ConsentKind.TREATMENT].wording.split())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("urinary symptoms)", "other symptoms)", "does not say: urinary symptoms"),
        ('treatment = "treatment-2026-11"', 'treatment = "treatment-1999-01"', "treatment-1999-01"),
        ("[current]", "[current", "not valid TOML"),
    ],
)
def test_a_text_file_that_is_wrong_is_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    assert before in text
    broken = tmp_path / "texts.toml"
    broken.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=said):
        current_texts(broken)


def test_the_patient_agrees_to_the_current_text_and_its_wording_is_kept(session: Session, episode: Episode) -> None:
    text = current_texts()[ConsentKind.TREATMENT]
    consent = agree(session, make_patient_actor(episode), episode.id, ConsentKind.TREATMENT, text.version)
    assert (consent.text_version, consent.source) == (text.version, "link")
    assert box(session, episode.patient_id).open(consent, "wording").reveal() == text.wording
    assert has_consent(session, episode.patient_id, ConsentKind.TREATMENT)


def test_another_text_than_the_current_one_is_refused(session: Session, episode: Episode) -> None:
    with pytest.raises(RuleRefused) as refusal:
        agree(session, make_patient_actor(episode), episode.id, ConsentKind.TREATMENT, "treatment-1")
    assert (refusal.value.field, refusal.value.rule) == ("text_version", "consent.current_text")


def test_nobody_agrees_for_the_patient(session: Session, episode: Episode, world: World) -> None:
    text = current_texts()[ConsentKind.SMS]
    with pytest.raises(NotAllowed):
        agree(session, world.actor("therapist"), episode.id, ConsentKind.SMS, text.version)


def test_an_agreement_to_be_texted_can_be_taken_back_once(session: Session, episode: Episode, world: World) -> None:
    version = current_texts()[ConsentKind.SMS].version
    agree(session, make_patient_actor(episode), episode.id, ConsentKind.SMS, version)
    assert may_be_texted(session, episode.patient_id)
    take_back(session, world.actor("therapist"), episode.id, ConsentKind.SMS)
    assert not may_be_texted(session, episode.patient_id)
    with pytest.raises(Conflict):
        take_back(session, make_patient_actor(episode), episode.id, ConsentKind.SMS)
