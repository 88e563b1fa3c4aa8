"""What must be there before a dosing session begins; each thing that is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import InvalidInput, NotAllowed, RuleRefused
from services.core.personal import Personal
from services.people import consents
from services.people.consents import ConsentKind, ConsentSource
from services.people.models import Practitioner
from services.prescribing import prescriptions
from services.prescribing.models import Prescription
from services.sessions import readiness
from services.sessions.models import TherapySession
from services.sessions.places import Site
from services.vault.boxes import box
from tests.factories import audited
from tests.factories_prescribing import Case, raise_risk
from tests.factories_programmes import run_under
from tests.factories_sessions import (
    book,
    chaperone,
    found,
    make_ready,
    make_supplied,
    remote_facts,
    stopped_clock,
    therapist,
    timers,
)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case) -> TherapySession:
    return book(session, case)


def missing(session: Session, case: Case, row: TherapySession, **changes: Any) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        make_ready(session, case, row, **changes)
    session.refresh(row)
    assert (row.state, row.readiness) == ("scheduled", None)
    return [finding.rule for finding in refusal.value.findings]


def test_with_everything_there_the_session_is_ready(session: Session, case: Case, row: TherapySession) -> None:
    make_ready(session, case, row)
    assert (row.state, row.ready_at) == ("ready", clock.now())
    assert b"Charlie" not in bytes(row.readiness or b"")
    kept = box(session, row.patient_id).open(row, "readiness").reveal()
    assert kept["chaperone"]["name"] == "Charlie Chaperone"
    assert kept["chaperone"]["phone"] == "+14155552671"
    assert readiness.readiness_of(session, row, case.episode) == found(
        chaperone=chaperone(phone=Personal("+14155552671"))
    )
    assert "session.ready" in audited(session)


def test_each_thing_that_is_missing_is_named(session: Session, case: Case, row: TherapySession) -> None:
    lacks: list[tuple[dict[str, Any], str]] = [
        ({"chaperone": None}, "sessions.chaperone_missing"),
        ({"chaperone": chaperone(name=Personal("  "))}, "sessions.chaperone_unnamed"),
        ({"chaperone": chaperone(phone=None)}, "sessions.chaperone_phone_missing"),
        ({"chaperone": chaperone(present=False)}, "sessions.chaperone_absent"),
        ({"chaperone": chaperone(sober_attested=False)}, "sessions.chaperone_not_sober"),
        ({"chaperone": chaperone(age_years=17)}, "sessions.chaperone_too_young"),
        ({"chaperone": chaperone(arrived_at=clock.now() - timedelta(minutes=14))}, "sessions.chaperone_late"),
        ({"last_food_at": None}, "sessions.fasting_food"),
        ({"last_water_at": None}, "sessions.fasting_water"),
    ]
    for changes, rule in lacks:
        assert missing(session, case, row, **changes) == [rule]


def test_all_that_is_missing_is_named_at_once(session: Session, case: Case, row: TherapySession) -> None:
    late = clock.now() - timedelta(minutes=10)
    rules = missing(session, case, row, chaperone=None, last_food_at=late, last_water_at=late)
    assert rules == ["sessions.chaperone_missing", "sessions.fasting_food", "sessions.fasting_water"]


def test_before_the_receipt_is_confirmed_nothing_begins(session: Session, moment: time_machine.Traveller) -> None:
    case = make_supplied(session, confirmed=False)
    assert missing(session, case, book(session, case)) == ["sessions.receipt_missing"]


def test_consent_must_stand(session: Session, case: Case, row: TherapySession) -> None:
    kind, source = ConsentKind.TREATMENT, ConsentSource.LINK
    consents.withdraw_consent(session, case.patient, case.episode, kind, source=source)
    assert missing(session, case, row) == ["sessions.consent_missing"]


def test_an_open_suicide_risk_stops(session: Session, case: Case, row: TherapySession) -> None:
    raise_risk(session, case, high=True)
    assert missing(session, case, row) == ["sessions.suicide_risk_open"]


def test_a_lesser_risk_stops_shipping_only(session: Session, case: Case, row: TherapySession) -> None:
    raise_risk(session, case, high=False)
    assert make_ready(session, case, row).state == "ready"


def test_the_therapist_must_be_trained(session: Session, case: Case, row: TherapySession) -> None:
    session.get_one(Practitioner, case.world.therapist.id).kap_trained_on = None
    assert missing(session, case, row) == ["sessions.training_missing"]


def test_the_prescription_must_still_be_in_force(session: Session, case: Case, row: TherapySession) -> None:
    prescription = session.scalars(select(Prescription)).one()
    prescriptions.cancel(session, case.prescriber, prescription.id, Personal("Not any more."))
    assert missing(session, case, row) == ["sessions.prescription_missing"]


def test_a_treatment_that_was_discontinued_meanwhile_takes_nothing(
    session: Session, case: Case, row: TherapySession
) -> None:
    for state in ("discontinued", "closed"):
        case.episode.state = state
        session.flush()
        assert missing(session, case, row) == ["sessions.treatment_ended"]
    case.episode.state = "eligible"
    assert make_ready(session, case, row).state == "ready"


def test_a_session_begins_only_where_the_programme_doses_and_after_its_preparation(
    session: Session, case: Case, row: TherapySession
) -> None:
    run_under(session, case.episode, {"sessions.dosing_sites": ["clinic"], "sessions.preparation_before_first_dose": 1})
    assert missing(session, case, row) == ["sessions.site_not_offered", "sessions.preparation_missing"]


def test_lozenges_are_taken_with_a_chaperone_in_a_clinic_too(session: Session, case: Case) -> None:
    run_under(
        session, case.episode, {"sessions.dosing_sites": ["clinic"], "sessions.chaperone_sites": ["office", "home"]}
    )
    row = book(session, case, site=Site.CLINIC)
    assert missing(session, case, row, chaperone=None, staff_stays=True) == ["sessions.chaperone_missing"]
    assert make_ready(session, case, row).state == "ready"


def test_a_remote_session_needs_more(session: Session, case: Case) -> None:
    row = book(session, case, site=Site.HOME, remote=True)
    every = [
        "sessions.remote_video_missing",
        "sessions.remote_cuff_missing",
        "sessions.remote_address_missing",
        "sessions.remote_phone_missing",
    ]
    assert missing(session, case, row) == every
    assert missing(session, case, row, remote=remote_facts(blood_pressure_cuff=False)) == [
        "sessions.remote_cuff_missing"
    ]
    assert make_ready(session, case, row, remote=remote_facts()).state == "ready"


@pytest.mark.parametrize("hours", [-13, 13])
def test_a_session_begins_about_when_it_was_booked(
    session: Session, case: Case, moment: time_machine.Traveller, hours: int
) -> None:
    row = book(session, case, starts_at=clock.now() + timedelta(hours=24))
    moment.shift(timedelta(hours=24 + hours))
    assert missing(session, case, row) == ["sessions.not_its_time"]
    moment.move_to(row.starts_at + timedelta(hours=12 if hours > 0 else -12))
    assert make_ready(session, case, row).state == "ready"


def test_readiness_is_recorded_anew_while_nothing_was_taken(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    make_ready(session, case, row)
    moment.shift(timedelta(hours=2))
    make_ready(session, case, row, last_water_at=clock.now() - timedelta(hours=1))
    assert row.ready_at == clock.now()


def test_old_readiness_does_not_count(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    make_ready(session, case, row)
    moment.shift(timedelta(hours=4))
    assert readiness.readiness_of(session, row, case.episode)
    moment.shift(1)
    with pytest.raises(RuleRefused) as refusal:
        readiness.readiness_of(session, row, case.episode)
    assert refusal.value.rule == "sessions.readiness_old"


def test_a_number_that_is_none_is_refused_by_field(session: Session, case: Case, row: TherapySession) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_ready(session, case, row, chaperone=chaperone(phone=Personal("call me")))
    assert refusal.value.field == "chaperone.phone"


def test_the_reminder_falls_away(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = book(session, case, starts_at=clock.now() + timedelta(hours=25))
    moment.shift(timedelta(hours=14))  # nobody fired the timer
    make_ready(session, case, row)
    assert timers(session, row.id) == {}


def test_only_the_therapist_of_record_runs_it(session: Session, case: Case, row: TherapySession) -> None:
    for who in ("prescriber", "medical_staff", "pharmacist"):
        with pytest.raises(NotAllowed):
            readiness.record_readiness(session, case.actor(who), row.id, found())
    assert readiness.record_readiness(session, therapist(case), row.id, found())
