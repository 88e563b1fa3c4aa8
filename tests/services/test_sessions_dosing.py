"""What may be taken in a dosing session, when, and what it sets off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IllegalTransition, InvalidInput, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.people import consents
from services.people.consents import ConsentKind, ConsentSource
from services.prescribing import doses as prescribing_doses
from services.prescribing import prescriptions
from services.prescribing.models import Prescription
from services.sessions import histories
from services.sessions.models import TherapySession
from services.sessions.states import SessionState
from services.vault.boxes import box
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, make_signed, raise_risk
from tests.factories_sessions import (
    book,
    drive,
    give,
    integrate,
    look,
    make_ready,
    make_supplied,
    measure,
    stopped_clock,
    supply,
    therapist,
    timers,
)

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """Four units of 100 mg at home: 100 mg the first time, then 200 mg."""
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case, moment: time_machine.Traveller) -> TherapySession:
    return drive(session, case, SessionState.VITALS_PASSED, moment)


def refused(session: Session, case: Case, row: TherapySession, *given: Any, **options: Any) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        give(session, case, row, *given, **options)
    session.expire_all()
    return [finding.rule for finding in refusal.value.findings]


def after_first(session: Session, case: Case, moment: time_machine.Traveller, mg: int = 100) -> TherapySession:
    """A second session with passed vitals, a week after the first."""
    first = drive(session, case, SessionState.INTEGRATION_DUE, moment, mg=mg)
    return next_session(session, case, first, moment)


def next_session(
    session: Session, case: Case, before: TherapySession, moment: time_machine.Traveller
) -> TherapySession:
    integrate(session, case, before, moment)
    moment.move_to(before.starts_at + 7 * DAY)
    return drive(session, case, SessionState.VITALS_PASSED, moment)


def test_the_first_dose_begins_the_treatment(session: Session, case: Case, row: TherapySession) -> None:
    assert case.episode.state == "eligible"
    give(session, case, row, 50)
    assert (row.state, row.dosed_at, row.last_dose_at) == ("dosed", clock.now(), clock.now())
    assert (case.episode.state, row.prescription_id) == ("in_treatment", session.scalars(select(Prescription)).one().id)
    assert {"dose.record", "episode.begin_treatment"} <= set(audited(session))


def test_a_dose_is_sealed(session: Session, case: Case, row: TherapySession) -> None:
    give(session, case, row, 50)
    doses = histories.read_session(session, therapist(case), row.id).doses
    assert doses is not None
    (dose,) = doses.reveal()
    assert (dose.mg, dose.units, dose.is_booster, dose.at) == (50, 0.5, False, clock.now())
    assert (dose.route, dose.ended_at, repr(dose)) == ("sublingual", None, "<dose given>")


def test_it_is_taken_in_two_halves(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    first = clock.now()
    give(session, case, row, 50)
    moment.shift(MINUTE)
    give(session, case, row, 50)
    assert (row.dosed_at, row.last_dose_at) == (first, first + MINUTE)
    assert refused(session, case, row, 50) == ["sessions.dose_over_cap"]


def test_the_first_session_takes_what_was_prescribed_for_it(session: Session, case: Case, row: TherapySession) -> None:
    assert refused(session, case, row, 150) == ["sessions.dose_over_cap"]
    assert refused(session, case, row, 250) == ["sessions.dose_over_prescription", "sessions.dose_over_cap"]
    assert give(session, case, row, 100).state == "dosed"


def test_a_first_session_on_a_later_prescription_has_the_programmes_limit(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    moment.shift(MINUTE)
    second = make_signed(session, case, first_session_dose_mg=None, sessions_supply=1, quantity_units=2)
    supply(session, case, second, 2)
    row = drive(session, case, SessionState.VITALS_PASSED, moment)
    assert refused(session, case, row, 101) == ["sessions.dose_over_cap"]
    assert give(session, case, row, 100).prescription_id == second.id


def test_later_sessions_take_the_whole_dose(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = after_first(session, case, moment)
    assert give(session, case, row, 200).state == "dosed"
    assert refused(session, case, row, 1) == [
        "sessions.dose_over_prescription",
        "sessions.dose_over_cap",
        "sessions.dose_step_over_limit",
    ]


def test_from_session_to_session_the_dose_rises_in_steps(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = after_first(session, case, moment, mg=50)
    assert refused(session, case, row, 200) == ["sessions.dose_step_over_limit"]
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        give(session, case, row, 200)
    (finding,) = refusal.value.findings
    # Who runs the session may see what was looked at.
    assert (finding.setting, finding.value) == ("prescribing.step_at_most_mg", 100)
    assert finding.inputs == {"total_mg": 200, "before_mg": 50}
    session.expire_all()
    assert give(session, case, row, 150).state == "dosed"


def test_a_booster_comes_later_and_once(session: Session, moment: time_machine.Traveller) -> None:
    # Two sessions of 100 mg and 100 mg more; in the first one 100 mg in all.
    case = make_supplied(session, dose_mg=100, booster_mg=100, first_session_dose_mg=50, quantity_units=4)
    row = after_first(session, case, moment, mg=50)
    assert refused(session, case, row, 50, booster=True) == ["sessions.booster_before_dose"]
    give(session, case, row, 100)
    moment.shift(19 * MINUTE)
    assert refused(session, case, row, 50, booster=True) == ["sessions.booster_too_soon"]
    moment.shift(MINUTE)
    give(session, case, row, 50, booster=True)
    assert refused(session, case, row, 50, booster=True) == ["sessions.booster_taken_already"]


def test_without_one_prescribed_there_is_no_booster(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    give(session, case, row, 50)
    moment.shift(30 * MINUTE)
    assert refused(session, case, row, 50, booster=True) == ["sessions.booster_not_prescribed"]


def test_without_passed_vitals_nothing_is_taken(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.READY, moment)
    with pytest.raises(IllegalTransition):
        give(session, case, row, 50)


def test_vitals_that_passed_too_long_ago_do_not_count(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    moment.shift(30 * MINUTE + timedelta(seconds=1))
    assert refused(session, case, row, 50) == ["sessions.vitals_not_current"]
    measure(session, case, row)
    assert give(session, case, row, 50).state == "dosed"


def test_what_holds_the_start_up_holds_the_dose_up(session: Session, case: Case, row: TherapySession) -> None:
    consents.withdraw_consent(session, case.patient, case.episode, ConsentKind.TREATMENT, source=ConsentSource.LINK)
    raise_risk(session, case, high=True)
    assert refused(session, case, row, 50) == ["sessions.consent_missing", "sessions.suicide_risk_open"]


def test_a_prescription_cancelled_meanwhile_ends_it(session: Session, case: Case, row: TherapySession) -> None:
    give(session, case, row, 50)
    prescription = session.scalars(select(Prescription)).one()
    prescriptions.cancel(session, case.prescriber, prescription.id, Personal("Reaction."))
    assert refused(session, case, row, 50) == ["sessions.prescription_missing"]


def test_another_prescription_meanwhile_is_for_another_day(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    give(session, case, row, 100)
    moment.shift(MINUTE)
    second = make_signed(session, case, first_session_dose_mg=None, sessions_supply=1, quantity_units=2)
    supply(session, case, second, 2)
    assert refused(session, case, row, 50) == ["sessions.prescription_changed"]


def test_nothing_is_taken_that_is_not_at_home(session: Session, moment: time_machine.Traveller) -> None:
    case = make_supplied(session, sessions_supply=1, quantity_units=1, first_session_dose_mg=100)
    row = after_first(session, case, moment, mg=50)
    assert refused(session, case, row, 100) == ["sessions.stock_short"]
    give(session, case, row, 50)
    assert "sessions.receipt_missing" in refused(session, case, row, 50)


@pytest.mark.parametrize("mg", [0, -50])
def test_a_dose_is_something(session: Session, case: Case, row: TherapySession, mg: int) -> None:
    with pytest.raises(InvalidInput) as refusal, session.begin_nested():
        give(session, case, row, mg)
    assert refusal.value.field == "mg"


def test_a_dose_lies_in_its_time(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        give(session, case, row, 50, at=clock.now() + MINUTE)
    assert (refusal.value.rule, refusal.value.field) == ("sessions.in_the_future", "taken_at")
    session.expire_all()
    assert refused(session, case, row, 50, at=clock.now() - MINUTE) == ["sessions.vitals_not_current"]
    moment.shift(10 * MINUTE)
    give(session, case, row, 50, at=clock.now() - 5 * MINUTE)
    assert row.dosed_at == clock.now() - 5 * MINUTE
    with pytest.raises(RuleRefused) as refusal:
        give(session, case, row, 50, at=clock.now() - 6 * MINUTE)
    assert (refusal.value.rule, refusal.value.field) == ("sessions.dose_out_of_order", "taken_at")


def test_readiness_must_be_of_today(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    moment.shift(timedelta(hours=4, minutes=1))
    measure(session, case, row)
    with pytest.raises(RuleRefused) as refusal:
        give(session, case, row, 50)
    assert refusal.value.rule == "sessions.readiness_old"


def test_two_sessions_are_held_apart_even_if_booked_so(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    first = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    second = book(session, case, starts_at=first.starts_at + 7 * DAY)
    moment.move_to(second.starts_at - timedelta(hours=11, minutes=59))
    with pytest.raises(RuleRefused) as refusal:
        make_ready(session, case, second)
    assert [finding.rule for finding in refusal.value.findings] == ["sessions.interval_too_short"]


def test_prescribing_learns_what_was_taken(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = after_first(session, case, moment, mg=50)
    give(session, case, row, 150)
    history = prescribing_doses.history_of(session, case.episode.id, box(session, row.patient_id))
    assert (history.is_first, history.last_dose_mg, history.home_mg) == (False, 150, 200)


def test_who_took_something_is_looked_after_within_a_day(session: Session, case: Case, row: TherapySession) -> None:
    give(session, case, row, 50)
    assert timers(session, row.id) == {"check_in.due": timedelta(hours=16), "look.missed": 20 * MINUTE}


def test_a_look_at_the_patient_is_kept(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    give(session, case, row, 50)
    moment.shift(15 * MINUTE)
    ratings = {"dissociation": 4, "distress": 1, "nausea": 0, "sedation": 6}
    look(session, case, row, ratings=ratings, note=Personal("Calm."))
    view = histories.read_session(session, case.actor("prescriber"), row.id)
    assert view.checks is not None
    (seen,) = view.checks
    kept = {"concern": False, "ratings": ratings, "red_flags": [], "note": "Calm.", "on_video": None}
    assert seen.content.reveal() == kept
    assert (row.state, seen.check.kind) == ("monitoring", "monitoring")
    assert view.watch is not None
    assert view.watch.next_check_at == clock.now() + 15 * MINUTE
    assert view.watch.blood_pressure_due_at == clock.now() + 25 * MINUTE
    assert view.watch.discharge_from == clock.now() + 105 * MINUTE
    assert view.watch.onset_from == clock.now() - 5 * MINUTE
    assert view.watch.onset_until == clock.now() + 5 * MINUTE


@pytest.mark.parametrize("minutes", [1, -16])
def test_a_look_lies_between_the_dose_and_now(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller, minutes: int
) -> None:
    give(session, case, row, 50)
    moment.shift(15 * MINUTE)
    with pytest.raises(RuleRefused) as refusal:
        look(session, case, row, at=clock.now() + minutes * MINUTE)
    assert (refusal.value.rule, refusal.value.field) == ("sessions.check_out_of_time", "checked_at")


def test_a_red_flag_seen_is_an_emergency(session: Session, case: Case, row: TherapySession) -> None:
    give(session, case, row, 50)
    look(session, case, row, concern=True, red_flags={"breathlessness"})
    assert row.state == "emergency"
    assert len(emitted(session, EventKind.EMERGENCY_DECLARED)) == 1
    with pytest.raises(InvalidInput):
        look(session, case, row, red_flags={"hiccups"})
