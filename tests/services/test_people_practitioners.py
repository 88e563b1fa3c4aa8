"""KAP training, NPI, licences and DEA registrations on record."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import InvalidInput, NotAllowed, NotFound, RuleRefused
from services.core.personal import Personal
from services.people import practitioners
from services.people.models import Account, DeaRegistration
from services.people.paper_rules import licence_findings, may_prescribe_on, valid_on
from services.people.settings import settings
from services.people.signing_grants import papers_of
from tests.factories import audited, make_account, make_actor, make_papers

EXPIRY = date(2028, 12, 31)


@pytest.fixture
def prescriber(session: Session) -> Account:
    return make_account(session, Role.PRESCRIBER, papers=False, full_name="Bea Smith")


def may_prescribe(session: Session, account: Account, state: str, on: date) -> bool:
    licences = practitioners.licence_facts(session, account.id)
    registrations = list(papers_of(session, account.id).registrations)
    return may_prescribe_on(licence_findings(state, on, licences, registrations, settings()))


def register(session: Session, account: Account, number: str, state: str = "CA") -> practitioners.RecordedRegistration:
    return practitioners.record_dea_registration(
        session, SYSTEM, account.id, state=state, number=Personal(number), expires_on=EXPIRY
    )


def test_a_prescriber_with_papers_may_prescribe_in_their_state_only(session: Session, prescriber: Account) -> None:
    make_papers(session, prescriber, "CA")
    today = clock.now().date()
    assert may_prescribe(session, prescriber, "CA", today)
    assert not may_prescribe(session, prescriber, "NY", today)


def test_a_dea_number_is_sealed_and_read_back(session: Session, prescriber: Account) -> None:
    registration = register(session, prescriber, " fs8524616 ").registration
    assert b"FS8524616" not in (registration.number or b"")
    number = practitioners.dea_number_of(session, prescriber.id, "CA", EXPIRY)
    assert number.reveal() == "FS8524616"
    for state, on in (("NY", EXPIRY), ("CA", EXPIRY + timedelta(days=1))):
        with pytest.raises(NotFound):
            practitioners.dea_number_of(session, prescriber.id, state, on)


def test_a_dea_number_that_cannot_exist_is_refused(session: Session, prescriber: Account) -> None:
    with pytest.raises(RuleRefused) as refusal:
        register(session, prescriber, "AB1234560")
    assert (refusal.value.field, refusal.value.rule) == ("number", "people.dea_number_not_valid")
    assert "1234560" not in refusal.value.message
    assert session.query(DeaRegistration).count() == 0


def test_a_dea_number_with_another_initial_is_stored_with_a_remark(session: Session, prescriber: Account) -> None:
    recorded = register(session, prescriber, "AB1234563")
    assert [finding.rule for finding in recorded.findings] == ["people.dea_number_other_initial"]


def test_a_new_dea_registration_takes_the_place_of_the_old_one(session: Session, prescriber: Account) -> None:
    old = register(session, prescriber, "FS8524616").registration
    elsewhere = register(session, prescriber, "FS8524616", "NY").registration
    register(session, prescriber, "AS1234563")
    assert old.revoked_on is not None
    assert elsewhere.revoked_on is None
    assert practitioners.dea_number_of(session, prescriber.id, "CA", EXPIRY).reveal() == "AS1234563"


@pytest.mark.parametrize("zone", ["Pacific/Guam", "America/New_York", "Pacific/Honolulu", "UTC"])
@pytest.mark.parametrize("hour", [0, 6, 12, 18, 23])
def test_a_revoked_paper_is_invalid_at_once_in_every_zone(
    session: Session, prescriber: Account, zone: str, hour: int
) -> None:
    moment = datetime(2026, 11, 20, hour, 30, tzinfo=UTC)
    with time_machine.travel(moment, tick=False):
        make_papers(session, prescriber, "CA")
        licence = practitioners.record_licence(
            session, SYSTEM, prescriber.id, state="CA", number="X-1", expires_on=EXPIRY
        )
        registration = register(session, prescriber, "FS8524616").registration
        practitioners.revoke_licence(session, SYSTEM, licence.id)
        practitioners.revoke_dea_registration(session, SYSTEM, registration.id)
        on = moment.astimezone(ZoneInfo(zone)).date()
        (facts,) = [one for one in practitioners.licence_facts(session, prescriber.id) if one.revoked_on]
        assert not valid_on(facts, on)
        with pytest.raises(NotFound):
            practitioners.dea_number_of(session, prescriber.id, "CA", on)


def test_a_renewed_licence_keeps_its_row(session: Session, prescriber: Account) -> None:
    for expires_on in (EXPIRY, EXPIRY + timedelta(days=365)):
        practitioners.record_licence(session, SYSTEM, prescriber.id, state="ca", number="md 77", expires_on=expires_on)
    (facts,) = practitioners.licence_facts(session, prescriber.id)
    assert (facts.state, facts.expires_on) == ("CA", EXPIRY + timedelta(days=365))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"state": "ZZ"}, "state"),
        ({"number": "*"}, "number"),
        ({"number": ""}, "number"),
        ({"expires_on": date(2020, 1, 1)}, "expires_on"),
        ({"expires_on": date(9999, 12, 31)}, "expires_on"),
    ],
)
def test_a_wrong_licence_is_refused_by_field(
    session: Session, prescriber: Account, given: dict[str, Any], field: str
) -> None:
    plain: dict[str, Any] = {"state": "CA", "number": "MD-1", "expires_on": EXPIRY, **given}
    with pytest.raises(InvalidInput) as refusal:
        practitioners.record_licence(session, SYSTEM, prescriber.id, **plain)
    assert refusal.value.field == field


def test_training_counts_from_its_day_on(session: Session) -> None:
    therapist = make_account(session, papers=False)
    assert not practitioners.is_kap_trained(session, therapist.id, date(2026, 1, 1))
    practitioners.record_kap_training(session, SYSTEM, therapist.id, date(2025, 3, 1))
    assert not practitioners.is_kap_trained(session, therapist.id, date(2025, 2, 28))
    assert practitioners.is_kap_trained(session, therapist.id, date(2025, 3, 1))


def test_training_to_come_is_not_recorded(session: Session) -> None:
    therapist = make_account(session, papers=False)
    with pytest.raises(InvalidInput):
        practitioners.record_kap_training(session, SYSTEM, therapist.id, clock.now().date() + timedelta(days=1))


def test_an_npi_needs_its_check_digit(session: Session, prescriber: Account) -> None:
    with pytest.raises(InvalidInput) as refusal:
        practitioners.record_npi(session, SYSTEM, prescriber.id, "1234567890")
    assert refusal.value.field == "npi"
    practitioners.record_npi(session, SYSTEM, prescriber.id, "1234567893")
    assert practitioners.npi_of(session, prescriber.id) == "1234567893"


def test_papers_are_recorded_for_those_who_can_have_them(session: Session, prescriber: Account) -> None:
    therapist = make_account(session)
    with pytest.raises(InvalidInput):
        register(session, therapist, "FS8524616")
    with pytest.raises(InvalidInput):
        practitioners.record_kap_training(session, SYSTEM, prescriber.id, date(2025, 1, 1))


def test_a_prescriber_does_not_record_their_own_papers(session: Session, prescriber: Account) -> None:
    with pytest.raises(NotAllowed):
        practitioners.record_licence(
            session, make_actor(prescriber), prescriber.id, state="CA", number="MD-1", expires_on=EXPIRY
        )


def test_changes_of_papers_are_on_the_audit_trail(session: Session, prescriber: Account) -> None:
    desk = make_actor(make_account(session, Role.OPERATIONS))
    registration = register(session, prescriber, "FS8524616").registration
    practitioners.revoke_dea_registration(session, desk, registration.id)
    practitioners.revoke_dea_registration(session, desk, registration.id)
    assert audited(session)[-2:] == ["dea_registration.record", "dea_registration.revoke"]
