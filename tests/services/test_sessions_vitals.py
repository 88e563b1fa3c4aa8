"""Readings of a dosing session and what they do to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import InvalidInput, NotAllowed, RuleRefused
from services.core.findings import Severity
from services.core.vocabulary import EventKind
from services.prescribing.limits import PatientLimits
from services.sessions import vitals
from services.sessions.departures import pass_discharge
from services.sessions.models import TherapySession
from services.sessions.states import SessionState
from services.sessions.vitals import Measured, Outcome, Phase
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case
from tests.factories_sessions import drive, give, look, make_ready, make_supplied, measure, stopped_clock, timers, well

TEN = timedelta(minutes=10)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """A patient whose prescriber allows a systolic pressure below 145."""
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case, moment: time_machine.Traveller) -> TherapySession:
    return drive(session, case, SessionState.READY, moment)


def rules(measured: Measured) -> list[str]:
    return [finding.rule for finding in measured.findings]


def test_a_reading_within_the_limits_opens_the_session(session: Session, case: Case, row: TherapySession) -> None:
    measured = measure(session, case, row)
    assert (measured.outcome, measured.findings, measured.advice) == (Outcome.PASS, (), None)
    assert (row.state, measured.state) == ("vitals_passed", SessionState.VITALS_PASSED)
    assert b"122" not in bytes(measured.vitals.reading or b"")
    assert "vitals.record" in audited(session)


def test_this_patients_own_limits_win(session: Session, moment: time_machine.Traveller) -> None:
    for limits, outcome in (
        (PatientLimits(systolic_below=150), Outcome.PASS),
        (PatientLimits(), Outcome.REST_AND_REPEAT),
        (PatientLimits(systolic_below=130), Outcome.REST_AND_REPEAT),
    ):
        case = make_supplied(session, limits=limits)
        row = drive(session, case, SessionState.READY, moment)
        assert measure(session, case, row, systolic=145).outcome is outcome


def test_out_of_range_means_rest_and_repeat(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    measured = measure(session, case, row, systolic=150)
    assert (measured.outcome, row.state) == (Outcome.REST_AND_REPEAT, "ready")
    assert (measured.repeat_at, measured.readings_left) == (clock.now() + TEN, 2)
    assert rules(measured) == ["vitals.start_systolic_below"]
    moment.shift(TEN)
    assert measure(session, case, row).outcome is Outcome.PASS


def test_after_three_readings_out_of_range_it_is_cancelled(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    for left in (2, 1):
        assert measure(session, case, row, heart_rate=110).readings_left == left
        moment.shift(TEN)
    measured = measure(session, case, row, heart_rate=110)
    assert (measured.outcome, row.state, row.ended_at) == (Outcome.CANCEL, "cancelled", clock.now())
    assert "vitals.readings_used_up" in rules(measured)
    assert [event["party"] for event in emitted(session, EventKind.VITALS_REFUSED)] == ["medical_team"]
    assert timers(session, row.id) == {}


@pytest.mark.parametrize("values", [{"systolic": 160}, {"diastolic": 100}])
def test_a_pressure_that_cancels_asks_the_prescriber_at_once(
    session: Session, case: Case, row: TherapySession, values: dict[str, int]
) -> None:
    assert measure(session, case, row, **values).outcome is Outcome.CANCEL
    (event,) = emitted(session, EventKind.VITALS_REFUSED)
    assert (event["party"], event["subject"]) == ("medical_team", ["session", str(row.id)])
    assert emitted(session, EventKind.SESSION_CANCELLED) == []  # the patient is there


@pytest.mark.parametrize("values", [{"systolic": 180}, {"diastolic": 120}, {"red_flags": {"chest_pain"}}])
def test_an_emergency_pages_and_shows_whom_to_call(
    session: Session, case: Case, row: TherapySession, values: dict[str, Any]
) -> None:
    measured = measure(session, case, row, **values)
    assert (measured.outcome, row.state) == (Outcome.EMERGENCY, "emergency")
    assert measured.advice is not None
    assert measured.advice.call == "911"
    assert [event["party"] for event in emitted(session, EventKind.EMERGENCY_DECLARED)] == ["medical_team"]


def test_impossible_readings_are_refused_and_not_kept(session: Session, case: Case, row: TherapySession) -> None:
    impossible: list[tuple[dict[str, Any], str]] = [
        ({"systolic": 261}, "systolic"),
        ({"systolic": 59, "diastolic": 40}, "systolic"),
        ({"diastolic": 29}, "diastolic"),
        ({"systolic": 120, "diastolic": 120}, "diastolic"),
        ({"systolic": 90, "diastolic": 121}, "diastolic"),
        ({"heart_rate": 24}, "heart_rate"),
        ({"heart_rate": 221}, "heart_rate"),
        ({"red_flags": {"hiccups"}}, "red_flags"),
    ]
    for values, field in impossible:
        with pytest.raises(InvalidInput) as refusal, session.begin_nested():
            measure(session, case, row, **values)
        assert refusal.value.field == field
    assert vitals.latest_reading(session, row) is None


def test_a_reading_is_of_now(session: Session, case: Case, row: TherapySession) -> None:
    for minutes, rule in ((0.1, "sessions.in_the_future"), (-30.1, "sessions.reading_old")):
        with pytest.raises(RuleRefused) as refusal, session.begin_nested():
            measure(session, case, row, taken_at=clock.now() + timedelta(minutes=minutes))
        assert (refusal.value.rule, refusal.value.field) == (rule, "taken_at")
    taken_at = clock.now() - timedelta(minutes=30)
    assert measure(session, case, row, taken_at=taken_at).vitals.taken_at == taken_at


def test_measuring_again_asks_the_gate_again(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    measure(session, case, row)
    moment.shift(TEN)
    assert measure(session, case, row, systolic=150).outcome is Outcome.REST_AND_REPEAT
    assert row.state == "ready"


def test_during_a_session_readings_are_noted(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    measure(session, case, row)
    give(session, case, row)
    moment.shift(TEN * 4)
    measured = measure(session, case, row, Phase.DURING, systolic=150)
    assert (measured.outcome, measured.readings_left, row.state) == (Outcome.NOTED, None, "monitoring")
    assert [(each.rule, each.severity) for each in measured.findings] == [
        ("vitals.start_systolic_below", Severity.INFORM)
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"systolic": 159, "diastolic": 99}, []),
        ({"systolic": 160}, ["vitals.no_more_systolic"]),
        ({"diastolic": 100}, ["vitals.no_more_diastolic"]),
    ],
)
def test_a_pressure_to_cancel_on_ends_the_dosing_and_asks_the_prescriber(
    session: Session,
    case: Case,
    row: TherapySession,
    moment: time_machine.Traveller,
    values: dict[str, int],
    expected: list[str],
) -> None:
    measure(session, case, row)
    give(session, case, row, 50)
    moment.shift(TEN / 10)
    measured = measure(session, case, row, Phase.DURING, **values)
    assert measured.outcome is Outcome.NOTED
    assert [each.rule for each in measured.findings if each.severity is Severity.STOP] == expected
    assert len(emitted(session, EventKind.VITALS_REFUSED)) == len(expected)
    if not expected:
        assert give(session, case, row, 50).id
        return
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        give(session, case, row, 50)
    assert [finding.rule for finding in refusal.value.findings] == expected
    moment.shift(TEN / 10)
    measure(session, case, row, Phase.DURING)
    assert give(session, case, row, 50).id


@pytest.mark.parametrize("phase", [Phase.DURING, Phase.AFTER])
def test_an_emergency_after_the_dose_is_one(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller, phase: Phase
) -> None:
    measure(session, case, row)
    give(session, case, row)
    moment.shift(TEN)
    assert measure(session, case, row, phase, systolic=185).outcome is Outcome.EMERGENCY
    moment.shift(TEN)
    assert measure(session, case, row, phase, systolic=184).outcome is Outcome.EMERGENCY
    assert row.state == "emergency"
    assert len(emitted(session, EventKind.EMERGENCY_DECLARED)) == 1


def test_nothing_measured_before_the_dose_counts_as_during(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    measure(session, case, row)
    moment.shift(TEN)
    give(session, case, row)
    with pytest.raises(RuleRefused) as refusal:
        measure(session, case, row, Phase.DURING, taken_at=clock.now() - TEN / 2)
    assert (refusal.value.rule, refusal.value.field) == ("sessions.before_the_dose", "taken_at")


def test_a_reading_above_the_limits_takes_a_passed_discharge_back(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.DISCHARGE_READY, moment)
    measure(session, case, row, Phase.AFTER)
    look(session, case, row)
    assert row.state == "discharge_ready"
    measure(session, case, row, Phase.AFTER, systolic=150)
    assert row.state == "monitoring"
    moment.shift(TEN)
    measure(session, case, row, Phase.AFTER)
    assert pass_discharge(session, case.actor("therapist"), row.id, well()).state == "discharge_ready"
    look(session, case, row, concern=True)
    assert row.state == "monitoring"


def test_readings_are_listed_with_what_they_led_to(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    measure(session, case, row, systolic=150, oxygen_percent=97)
    moment.shift(TEN)
    measure(session, case, row)
    first, second = vitals.list_vitals(session, case.actor("medical_staff"), row.id)
    assert (first.outcome, rules(first)) == (Outcome.REST_AND_REPEAT, ["vitals.start_systolic_below"])
    assert (first.reading.reveal().systolic, first.reading.reveal().oxygen_percent) == (150, 97)
    assert (second.outcome, second.reading.reveal().oxygen_percent) == (Outcome.PASS, None)
    after = (first.vitals.taken_at, first.vitals.id)
    later = vitals.list_vitals(session, case.actor("prescriber"), row.id, after=after)
    assert [each.vitals.id for each in later] == [second.vitals.id]
    assert audited(session).count("vitals.read") == 2


def test_the_pharmacy_and_the_patient_see_no_readings(session: Session, case: Case, row: TherapySession) -> None:
    for actor in (case.actor("pharmacist"), case.patient):
        with pytest.raises(NotAllowed):
            vitals.list_vitals(session, actor, row.id)


def test_readiness_recorded_anew_keeps_the_readings_of_the_day(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    for _ in range(2):
        measure(session, case, row, systolic=150)
        moment.shift(TEN)
    make_ready(session, case, row)
    assert measure(session, case, row, systolic=150).outcome is Outcome.CANCEL
