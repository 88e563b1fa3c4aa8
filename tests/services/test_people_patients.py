"""Patients: sealed, found by their number, reached by those who may."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import InvalidInput, NotAllowed, NotFound, NotSignedIn, StaleVersion
from services.core.personal import Personal
from services.people import patients
from services.people.consents import may_be_texted
from services.people.links import LinkKind, exchange_link, issue_link
from services.people.models import Patient
from services.people.patients import PatientChanges
from services.people.postal import Address
from tests.factories import (
    audited,
    colleague_of,
    make_account,
    make_actor,
    make_episode,
    make_patient,
    make_patient_actor,
    therapist_of,
)

ADDRESS = Address(street="9 Marked  Street", city="Oakland", state="ca", postal_code="946011234", unit="4B")


def test_what_identifies_a_patient_is_stored_sealed_and_opens_again(session: Session) -> None:
    patient = make_patient(
        session,
        full_name="Marked Name",
        address=ADDRESS,
        mobile="(415) 555-0142",
        email="Marked@example.net",
        zone="America/Denver",
    )
    stored = b"".join(value for name, value in vars(patient).items() if isinstance(value, bytes))
    assert not any(word in stored for word in (b"Marked", b"4155550142", b"1985", b"Denver"))
    details = patients.details_of(session, patient.id)
    assert details.full_name.reveal() == "Marked Name"
    assert details.birth_date.reveal() == date(1985, 6, 15)
    assert details.address.reveal() == Address(
        street="9 Marked Street", city="Oakland", state="CA", postal_code="94601-1234", unit="4B"
    )
    assert details.mobile.reveal() == "+14155550142"
    assert patients.state_of(session, patient.id) == "CA"
    assert "Marked" not in repr(details)


def test_a_phone_may_be_a_familys(session: Session) -> None:
    family = [make_patient(session, mobile="+14155550142") for _ in range(2)]
    make_patient(session, mobile="+14155550143")
    found = patients.patients_with_mobile(session, Personal("+14155550142"))
    assert [patient.id for patient in found] == sorted(patient.id for patient in family)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"full_name": " "}, "full_name"),
        ({"full_name": "x" * 121}, "full_name"),
        ({"birth_date": date(1899, 12, 31)}, "birth_date"),
        ({"birth_date": date(2999, 1, 1)}, "birth_date"),
        ({"mobile": "12"}, "mobile"),
        ({"mobile": "+1415555014x"}, "mobile"),
        ({"email": "nowhere"}, "email"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"address": Address(street="", city="Oakland", state="CA", postal_code="94601")}, "address.street"),
        ({"address": Address(street="1 A", city="Oak\nland\x07", state="CA", postal_code="94601")}, "address.city"),
        ({"address": Address(street="1 A", city="Oakland", state="C", postal_code="94601")}, "address.state"),
        ({"address": Address(street="1 A", city="Oakland", state="CA", postal_code="9460")}, "address.postal_code"),
    ],
)
def test_wrong_details_are_refused_by_field(session: Session, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_patient(session, **given)
    assert refusal.value.field == field
    assert session.query(Patient).count() == 0


def test_a_patient_born_today_is_registered(session: Session) -> None:
    today = clock.now().date()
    patient = make_patient(session, birth_date=today)
    assert patients.birth_date_of(session, patient).reveal() == today
    with pytest.raises(InvalidInput):
        make_patient(session, birth_date=today + timedelta(days=1))


def test_without_a_given_zone_times_are_shown_in_the_states(session: Session) -> None:
    episode = make_episode(session, state="TX")
    contact = patients.contact_of(session, SYSTEM, episode)
    assert (contact.zone, contact.given_zone) == ("America/Chicago", None)
    given = make_episode(session, state="TX", zone="America/Denver")
    contact = patients.contact_of(session, SYSTEM, given)
    assert (contact.zone, contact.given_zone) == ("America/Denver", "America/Denver")


def test_the_care_team_reads_how_to_reach_a_patient_and_it_is_audited(session: Session) -> None:
    episode = make_episode(session, full_name="Marked Name")
    readers = [
        therapist_of(session, episode),
        colleague_of(session, episode.medical_team_id, Role.MEDICAL_STAFF),
        colleague_of(session, episode.pharmacy_id, Role.PHARMACIST),
        make_patient_actor(episode),
    ]
    for reader in readers:
        assert patients.contact_of(session, reader, episode).full_name.reveal() == "Marked Name"
    assert audited(session)[-4:] == ["patient.read_contact"] * 4


def test_the_pharmacy_does_not_read_the_whole_patient(session: Session) -> None:
    episode = make_episode(session)
    with pytest.raises(NotAllowed):
        patients.read_patient(session, colleague_of(session, episode.pharmacy_id, Role.PHARMACIST), episode.id)


@pytest.mark.parametrize("role", [Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST])
def test_to_other_teams_the_patient_does_not_exist(session: Session, role: Role) -> None:
    episode = make_episode(session)
    stranger = make_actor(make_account(session, role))
    with pytest.raises(NotFound):
        patients.read_patient(session, stranger, episode.id)
    with pytest.raises(NotFound):
        patients.contact_of(session, stranger, episode)
    with pytest.raises(NotFound):
        patients.change_patient(session, stranger, episode.id, PatientChanges(), version=1)


def test_an_operator_cannot_read_a_patient(session: Session) -> None:
    operator = make_actor(make_account(session, Role.OPERATIONS))
    with pytest.raises(NotFound):
        patients.read_patient(session, operator, make_episode(session).id)


def test_a_patient_changes_address_and_mail(session: Session) -> None:
    episode = make_episode(session)
    patient = patients.patient_of(session, episode.patient_id)
    before = patient.version
    patients.change_patient(
        session,
        make_patient_actor(episode),
        episode.id,
        PatientChanges(address=Personal(ADDRESS), email=Personal("new@example.net"), zone=Personal("America/Denver")),
        version=before,
    )
    details = patients.details_of(session, patient.id)
    assert details.address.reveal().street == "9 Marked Street"
    assert details.email is not None
    assert details.email.reveal() == "new@example.net"
    assert patient.version == before + 1


def test_a_change_of_an_older_version_is_stale(session: Session) -> None:
    episode = make_episode(session)
    actor = make_patient_actor(episode)
    version = patients.patient_of(session, episode.patient_id).version
    change = PatientChanges(zone=Personal("America/Denver"))
    patients.change_patient(session, actor, episode.id, change, version=version)
    with pytest.raises(StaleVersion):
        patients.change_patient(session, actor, episode.id, change, version=version)


def test_changing_nothing_is_refused(session: Session) -> None:
    episode = make_episode(session)
    with pytest.raises(InvalidInput):
        patients.change_patient(session, make_patient_actor(episode), episode.id, PatientChanges(), version=1)


def test_a_new_mobile_ends_the_links_and_the_consent_to_be_texted(session: Session) -> None:
    episode = make_episode(session, sms_consent=True)
    therapist = therapist_of(session, episode)
    link = issue_link(session, therapist, episode, LinkKind.FORMS)
    patient = patients.patient_of(session, episode.patient_id)
    assert may_be_texted(session, patient.id)
    change = PatientChanges(mobile=Personal("+14155550199"))
    patients.change_patient(session, therapist, episode.id, change, version=patient.version)
    assert [found.id for found in patients.patients_with_mobile(session, Personal("+14155550199"))] == [patient.id]
    assert not may_be_texted(session, patient.id)
    with pytest.raises(NotSignedIn):
        exchange_link(session, link)
