"""The vitals gates at every threshold of DOMAIN 4, one below it, on it and one above."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.programme import programme
from services.prescribing.limits import NO_LIMITS, PatientLimits
from services.sessions.discharge_rules import (
    DischargeFacts,
    blood_pressure_due_at,
    discharge_from,
    discharge_gate,
    next_check_at,
)
from services.sessions.vitals_rules import (
    Gate,
    GateOutcome,
    Reading,
    age_findings,
    check_reading,
    emergency_findings,
    first_dose_findings,
    further_dose_findings,
    impossible_findings,
    start_gate,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def reading(minute: float = 0, **changes: Any) -> Reading:
    facts: dict[str, Any] = {"systolic": 120, "diastolic": 80, "heart_rate": 70}
    return Reading(**{**facts, "taken_at": NOON + timedelta(minutes=minute), **changes})


def high(minute: float = 0) -> Reading:
    return reading(minute, systolic=145)


def gate(*readings: Reading, limits: PatientLimits = NO_LIMITS) -> Gate:
    return start_gate(readings, limits, programme())


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"systolic": 60, "diastolic": 30}, None, None),
        ({"systolic": 59, "diastolic": 30}, "systolic", "vitals.systolic_impossible"),
        ({"systolic": 260}, None, None),
        ({"systolic": 261}, "systolic", "vitals.systolic_impossible"),
        ({"diastolic": 29}, "diastolic", "vitals.diastolic_impossible"),
        ({"systolic": 200, "diastolic": 160}, None, None),
        ({"systolic": 200, "diastolic": 161}, "diastolic", "vitals.diastolic_impossible"),
        ({"systolic": 100, "diastolic": 99}, None, None),
        ({"systolic": 100, "diastolic": 100}, "diastolic", "vitals.diastolic_not_below_systolic"),
        ({"systolic": 100, "diastolic": 101}, "diastolic", "vitals.diastolic_not_below_systolic"),
        ({"heart_rate": 25}, None, None),
        ({"heart_rate": 24}, "heart_rate", "vitals.heart_rate_impossible"),
        ({"heart_rate": 220}, None, None),
        ({"heart_rate": 221}, "heart_rate", "vitals.heart_rate_impossible"),
        ({"oxygen_percent": 100}, None, None),
        ({"oxygen_percent": 101}, "oxygen_percent", "vitals.oxygen_impossible"),
        ({"oxygen_percent": 1}, None, None),
        ({"oxygen_percent": 0}, "oxygen_percent", "vitals.oxygen_impossible"),
        ({"red_flags": frozenset({"seizure", "chest_pain"})}, None, None),
        ({"red_flags": programme().choices("vitals.emergency.symptoms")}, None, None),
        ({"red_flags": frozenset({"chest pain"})}, "red_flags", None),
        ({"systolic": 261, "oxygen_percent": 101}, "systolic", "vitals.systolic_impossible"),
    ],
)
def test_an_impossible_reading_names_its_field(changes: dict[str, Any], field: str | None, rule: str | None) -> None:
    if field is None:
        check_reading(reading(**changes), programme())
        return
    with pytest.raises(InvalidInput) as refusal:
        check_reading(reading(**changes), programme())
    assert (refusal.value.field, refusal.value.rule) == (field, rule)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"systolic": 261}, "vitals.systolic_impossible"),
        ({"diastolic": 29}, "vitals.diastolic_impossible"),
        ({"heart_rate": 221}, "vitals.heart_rate_impossible"),
        ({"oxygen_percent": 101}, "vitals.oxygen_impossible"),
        ({"systolic": 90, "diastolic": 90}, "vitals.diastolic_not_below_systolic"),
    ],
)
def test_an_impossible_reading_names_the_rule(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_reading(reading(**changes), programme())
    assert refusal.value.rule == rule


@pytest.mark.parametrize(
    ("changes", "setting", "inputs"),
    [
        ({"systolic": 59, "diastolic": 30}, "vitals.plausible.systolic_least", {"measured": 59}),
        ({"systolic": 261}, "vitals.plausible.systolic_most", {"measured": 261}),
        ({"heart_rate": 24}, "vitals.plausible.heart_rate_least", {"measured": 24}),
        ({"heart_rate": 221}, "vitals.plausible.heart_rate_most", {"measured": 221}),
        ({"systolic": 90, "diastolic": 91}, None, {"systolic": 90, "diastolic": 91}),
        ({"oxygen_percent": 0}, None, {"measured": 0}),
    ],
)
def test_an_impossible_reading_tells_what_was_measured_and_what_it_was_held_against(
    changes: dict[str, int], setting: str | None, inputs: dict[str, int]
) -> None:
    ((_, finding),) = impossible_findings(reading(**changes), programme())
    assert (finding.setting, finding.inputs) == (setting, inputs)


@pytest.mark.parametrize(("minutes", "expected"), [(0, []), (30, []), (30.1, ["sessions.reading_old"])])
def test_an_old_reading_opens_no_session(minutes: float, expected: list[str]) -> None:
    found = age_findings(NOON, NOON + timedelta(minutes=minutes), programme())
    assert [finding.rule for finding in found] == expected


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        (None, ["sessions.vitals_not_current"]),
        (-30.1, ["sessions.vitals_not_current"]),
        (-30, []),
        (0, []),
        (0.1, ["sessions.vitals_not_current"]),
    ],
)
def test_the_first_dose_follows_the_vitals_that_passed(passed: float | None, expected: list[str]) -> None:
    passed_at = None if passed is None else NOON + timedelta(minutes=passed)
    assert [finding.rule for finding in first_dose_findings(passed_at, NOON, programme())] == expected


@pytest.mark.parametrize(
    ("changes", "outcome", "rule"),
    [
        ({}, GateOutcome.PASS, None),
        ({"systolic": 139, "diastolic": 89}, GateOutcome.PASS, None),
        ({"systolic": 140}, GateOutcome.REST_AND_REPEAT, "vitals.start_systolic_below"),
        ({"diastolic": 90}, GateOutcome.REST_AND_REPEAT, "vitals.start_diastolic_below"),
        ({"systolic": 159}, GateOutcome.REST_AND_REPEAT, "vitals.start_systolic_below"),
        ({"diastolic": 99}, GateOutcome.REST_AND_REPEAT, "vitals.start_diastolic_below"),
        ({"systolic": 160}, GateOutcome.CANCEL, "vitals.cancel_systolic"),
        ({"diastolic": 100}, GateOutcome.CANCEL, "vitals.cancel_diastolic"),
        ({"systolic": 179}, GateOutcome.CANCEL, "vitals.cancel_systolic"),
        ({"diastolic": 119}, GateOutcome.CANCEL, "vitals.cancel_diastolic"),
        ({"systolic": 180}, GateOutcome.EMERGENCY, "vitals.emergency_systolic"),
        ({"systolic": 150, "diastolic": 120}, GateOutcome.EMERGENCY, "vitals.emergency_diastolic"),
        ({"heart_rate": 50}, GateOutcome.PASS, None),
        ({"heart_rate": 49}, GateOutcome.REST_AND_REPEAT, "vitals.start_heart_rate_least"),
        ({"heart_rate": 100}, GateOutcome.PASS, None),
        ({"heart_rate": 101}, GateOutcome.REST_AND_REPEAT, "vitals.start_heart_rate_most"),
        ({"oxygen_percent": 94}, GateOutcome.PASS, None),
        ({"oxygen_percent": 93}, GateOutcome.REST_AND_REPEAT, "vitals.start_oxygen_least_percent"),
    ],
)
def test_the_start_gate_on_one_reading(changes: dict[str, Any], outcome: GateOutcome, rule: str | None) -> None:
    found = gate(reading(**changes))
    assert found.outcome is outcome
    assert [finding.rule for finding in found.findings] == ([rule] if rule else [])


@pytest.mark.parametrize("symptom", ["chest_pain", "breathlessness", "severe_headache", "visual_change", "seizure"])
def test_every_red_flag_is_an_emergency_with_perfect_numbers(symptom: str) -> None:
    found = gate(reading(red_flags=frozenset({symptom})))
    assert found.outcome is GateOutcome.EMERGENCY
    assert "call 911" in found.findings[0].sentence
    assert found.tell_prescriber


def test_resting_says_when_to_measure_again_and_how_often_still() -> None:
    found = gate(high())
    assert (found.repeat_at, found.readings_left) == (NOON + timedelta(minutes=10), 2)
    assert not found.tell_prescriber


def test_a_repeat_in_range_after_the_rest_passes() -> None:
    assert gate(high(), reading(10)).outcome is GateOutcome.PASS
    assert gate(high(), high(10), reading(20)).outcome is GateOutcome.PASS


def test_a_repeat_too_soon_does_not_count() -> None:
    found = gate(high(), reading(9.99))
    assert found.outcome is GateOutcome.REST_AND_REPEAT
    assert "vitals.rest_too_short" in [finding.rule for finding in found.findings]
    assert (found.repeat_at, found.readings_left) == (NOON + timedelta(minutes=10), 2)
    assert gate(high(), reading(5), reading(10)).outcome is GateOutcome.PASS
    assert gate(high(), high(10), reading(15)).outcome is GateOutcome.REST_AND_REPEAT


def test_the_third_reading_out_of_range_cancels_and_tells_the_prescriber() -> None:
    assert gate(high(), high(10)).outcome is GateOutcome.REST_AND_REPEAT
    found = gate(high(), high(10), high(20))
    assert (found.outcome, found.tell_prescriber, found.same_day_task) == (GateOutcome.CANCEL, True, False)
    assert found.findings[-1].rule == "vitals.readings_used_up"


def test_a_fourth_reading_no_longer_counts() -> None:
    assert gate(high(), high(10), high(20), reading(30)).outcome is GateOutcome.CANCEL


def test_readings_too_soon_use_none_up() -> None:
    assert gate(high(), high(1), high(2), high(3)).readings_left == 2


def test_a_pass_survives_a_second_good_look_and_not_a_bad_one() -> None:
    assert gate(reading(), reading(2)).outcome is GateOutcome.PASS
    assert gate(reading(), high(2)).outcome is GateOutcome.REST_AND_REPEAT
    assert gate(reading(), reading(2), high(4)).outcome is GateOutcome.REST_AND_REPEAT


def test_a_pressure_to_cancel_on_stays_so_and_becomes_a_same_day_task() -> None:
    found = gate(reading(systolic=165), reading(10))
    assert (found.outcome, found.tell_prescriber, found.same_day_task) == (GateOutcome.CANCEL, True, True)


def test_an_emergency_wins_over_everything_later() -> None:
    found = gate(reading(systolic=185), reading(systolic=165, minute=5), reading(20))
    assert (found.outcome, found.repeat_at, found.readings_left) == (GateOutcome.EMERGENCY, None, 0)
    assert (found.tell_prescriber, found.same_day_task) == (True, False)


@pytest.mark.parametrize(
    ("limits", "changes", "outcome"),
    [
        (PatientLimits(systolic_below=150), {"systolic": 149}, GateOutcome.PASS),
        (PatientLimits(systolic_below=150), {"systolic": 150}, GateOutcome.REST_AND_REPEAT),
        (PatientLimits(diastolic_below=100), {"diastolic": 99}, GateOutcome.PASS),
        (PatientLimits(diastolic_below=100), {"diastolic": 100}, GateOutcome.CANCEL),
        (PatientLimits(systolic_below=170), {"systolic": 150}, GateOutcome.REST_AND_REPEAT),
        (PatientLimits(diastolic_below=110), {"diastolic": 100}, GateOutcome.CANCEL),
        (PatientLimits(systolic_below=130), {"systolic": 130}, GateOutcome.REST_AND_REPEAT),
        (PatientLimits(heart_rate_most=110), {"heart_rate": 110}, GateOutcome.PASS),
        (PatientLimits(heart_rate_least=60), {"heart_rate": 59}, GateOutcome.REST_AND_REPEAT),
        (PatientLimits(oxygen_least_percent=96), {"oxygen_percent": 95}, GateOutcome.REST_AND_REPEAT),
    ],
)
def test_a_patients_own_limits_win_up_to_what_a_prescriber_may_allow(
    limits: PatientLimits, changes: dict[str, Any], outcome: GateOutcome
) -> None:
    assert gate(reading(**changes), limits=limits).outcome is outcome


def test_without_a_reading_there_is_no_gate() -> None:
    with pytest.raises(InvalidInput) as refusal:
        gate()
    assert refusal.value.field == "readings"


READINGS = st.lists(
    st.builds(
        reading,
        st.integers(min_value=0, max_value=60),
        systolic=st.integers(min_value=100, max_value=185),
        diastolic=st.integers(min_value=60, max_value=99),
        heart_rate=st.integers(min_value=45, max_value=105),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.taken_at,
)


@given(READINGS, st.randoms())
def test_the_order_of_recording_does_not_matter_and_no_pass_hides_a_bad_last_reading(
    readings: list[Reading], random: Any
) -> None:
    found = gate(*readings)
    shuffled = list(readings)
    random.shuffle(shuffled)
    assert gate(*shuffled) == found
    last = max(readings, key=lambda each: each.taken_at)
    if found.outcome is GateOutcome.PASS:
        assert last.systolic < 140
        assert last.diastolic < 90
        assert 50 <= last.heart_rate <= 100
        assert max(each.systolic for each in readings) < 160
    json.dumps([finding.as_dict() for finding in found.findings])


def leaving(at_minute: float = 120, **changes: Any) -> list[str]:
    """The rules against going home, the last dose having been taken at noon."""
    at = NOON + timedelta(minutes=at_minute)
    limits = changes.pop("limits", NO_LIMITS)
    facts: dict[str, Any] = {
        "at": at,
        "last_dose_at": NOON,
        "reading": reading(at_minute),
        "oriented": True,
        "walks_unaided": True,
        "vomiting": False,
        "escort_present": True,
    }
    return [finding.rule for finding in discharge_gate(DischargeFacts(**{**facts, **changes}), limits, programme())]


@pytest.mark.parametrize(
    ("minute", "changes", "expected"),
    [
        (120, {}, []),
        (119.9, {}, ["vitals.discharge_too_soon"]),
        (10, {"last_dose_at": None}, []),
        (120, {"reading": None}, ["vitals.discharge_no_reading"]),
        (120, {"reading": reading(-1)}, ["vitals.discharge_no_reading"]),
        (20, {"reading": reading(0)}, ["vitals.discharge_too_soon", "vitals.discharge_no_reading"]),
        (20, {"reading": reading(0.1)}, ["vitals.discharge_too_soon"]),
        (120, {"reading": reading(90)}, []),
        (120, {"reading": reading(89.9)}, ["vitals.discharge_reading_old"]),
        (120, {"reading": reading(120, systolic=139, diastolic=89)}, []),
        (120, {"reading": reading(120, systolic=140)}, ["vitals.start_systolic_below"]),
        (120, {"reading": reading(120, diastolic=90)}, ["vitals.start_diastolic_below"]),
        (120, {"reading": reading(120, systolic=145), "limits": PatientLimits(systolic_below=150)}, []),
        (120, {"reading": reading(120, heart_rate=110)}, []),
        (120, {"reading": reading(120, systolic=180)}, ["vitals.emergency_systolic", "vitals.start_systolic_below"]),
        (120, {"reading": reading(120, red_flags=frozenset({"seizure"}))}, ["vitals.red_flag"]),
        (120, {"oriented": False}, ["vitals.discharge_not_oriented"]),
        (120, {"walks_unaided": False}, ["vitals.discharge_not_walking"]),
        (120, {"vomiting": True}, ["vitals.discharge_vomiting"]),
        (120, {"escort_present": False}, ["vitals.discharge_no_escort"]),
    ],
)
def test_each_unmet_condition_for_going_home_is_named(
    minute: float, changes: dict[str, Any], expected: list[str]
) -> None:
    assert leaving(minute, **changes) == expected


def test_all_unmet_conditions_are_named_at_once() -> None:
    unmet = {"reading": None, "oriented": False, "walks_unaided": False, "vomiting": True, "escort_present": False}
    assert len(leaving(1, **unmet)) == 6


def test_the_times_of_monitoring_are_the_references() -> None:
    assert discharge_from(NOON, programme()) == NOON + timedelta(minutes=120)
    assert blood_pressure_due_at(NOON, programme()) == NOON + timedelta(minutes=40)
    assert next_check_at(NOON, programme()) == NOON + timedelta(minutes=15)


@pytest.mark.parametrize(
    ("latest", "expected"),
    [
        (None, []),
        (reading(systolic=159, diastolic=99), []),
        (reading(systolic=160), ["vitals.no_more_systolic"]),
        (reading(diastolic=100), ["vitals.no_more_diastolic"]),
        (reading(systolic=180, diastolic=120), ["vitals.no_more_systolic", "vitals.no_more_diastolic"]),
    ],
)
def test_after_a_pressure_that_would_have_cancelled_nothing_more_is_taken(
    latest: Reading | None, expected: list[str]
) -> None:
    assert [finding.rule for finding in further_dose_findings(latest, programme())] == expected


def test_an_ordinary_reading_is_no_emergency() -> None:
    assert emergency_findings(reading(systolic=179, diastolic=119), programme()) == []
