"""Vitals of a dosing session: may it start, is this an emergency (DOMAIN 4). Going home is in ``discharge_rules``.

A prescriber's limits for one patient win over the programme's start limits, up to what any prescriber may allow.
Thresholds of cancelling and of emergencies are the same for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from services.core.clock import in_minutes
from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.prescribing.limits import PatientLimits

SOURCE: Final = "DOMAIN 4"


def _gate(rule_id: str, sentence: str, setting: str) -> Rule:
    """A rule of a gate: it stops, and a number of the programme says when."""
    return declare(rule_id, Severity.STOP, SOURCE, sentence, setting=setting)


_EMERGENCY: Final = "This pressure is an emergency: call 911."
_CANCEL: Final = "This pressure cancels the session; the prescriber looks at it the same day."
EMERGENCY_SYSTOLIC: Final = _gate("vitals.emergency_systolic", _EMERGENCY, "vitals.emergency.systolic_from")
EMERGENCY_DIASTOLIC: Final = _gate("vitals.emergency_diastolic", _EMERGENCY, "vitals.emergency.diastolic_from")
RED_FLAG: Final = _gate("vitals.red_flag", "Red-flag symptoms are an emergency: call 911.", "vitals.emergency.symptoms")
CANCEL_SYSTOLIC: Final = _gate("vitals.cancel_systolic", _CANCEL, "vitals.cancel.systolic_from")
CANCEL_DIASTOLIC: Final = _gate("vitals.cancel_diastolic", _CANCEL, "vitals.cancel.diastolic_from")
_NO_MORE: Final = "With this pressure nothing more is taken; the prescriber looks at it the same day."
NO_MORE_SYSTOLIC: Final = _gate("vitals.no_more_systolic", _NO_MORE, "vitals.cancel.systolic_from")
NO_MORE_DIASTOLIC: Final = _gate("vitals.no_more_diastolic", _NO_MORE, "vitals.cancel.diastolic_from")
START_SYSTOLIC_BELOW: Final = _gate(
    "vitals.start_systolic_below", "The systolic pressure is too high.", "vitals.start.systolic_below"
)
START_DIASTOLIC_BELOW: Final = _gate(
    "vitals.start_diastolic_below", "The diastolic pressure is too high.", "vitals.start.diastolic_below"
)
START_HEART_RATE_LEAST: Final = _gate(
    "vitals.start_heart_rate_least", "The heart is beating too slowly.", "vitals.start.heart_rate_least"
)
START_HEART_RATE_MOST: Final = _gate(
    "vitals.start_heart_rate_most", "The heart is beating too fast.", "vitals.start.heart_rate_most"
)
START_OXYGEN_LEAST_PERCENT: Final = _gate(
    "vitals.start_oxygen_least_percent", "The oxygen saturation is too low.", "vitals.start.oxygen_least_percent"
)
READINGS_USED_UP: Final = _gate(
    "vitals.readings_used_up",
    "After {value} readings out of range the session is cancelled; tell the prescriber.",
    "vitals.start.readings_at_most",
)
REST_TOO_SHORT: Final = _gate(
    "vitals.rest_too_short",
    "Rest {value} minutes before measuring again; the last reading came too soon.",
    "vitals.start.rest_minutes",
)
READING_OLD: Final = _gate(
    "sessions.reading_old",
    "A reading older than {value} minutes opens no session; measure again.",
    "vitals.start.reading_valid_minutes",
)
VITALS_NOT_CURRENT: Final = _gate(
    "sessions.vitals_not_current",
    "The first dose follows within {value} minutes after vitals that passed.",
    "vitals.start.reading_valid_minutes",
)
IN_THE_FUTURE: Final = declare(
    "sessions.in_the_future", Severity.STOP, SOURCE, "This lies in the future.", fixed="the clock"
)
BEFORE_THE_DOSE: Final = declare(
    "sessions.before_the_dose",
    Severity.STOP,
    SOURCE,
    "This was measured before the first dose.",
    fixed="the order of what happened",
)
_IMPOSSIBLE: Final = "This must be from {least} to {most}; measure again."
SYSTOLIC_IMPOSSIBLE: Final = _gate("vitals.systolic_impossible", _IMPOSSIBLE, "vitals.plausible.systolic_most")
DIASTOLIC_IMPOSSIBLE: Final = _gate("vitals.diastolic_impossible", _IMPOSSIBLE, "vitals.plausible.diastolic_most")
HEART_RATE_IMPOSSIBLE: Final = _gate("vitals.heart_rate_impossible", _IMPOSSIBLE, "vitals.plausible.heart_rate_most")
DIASTOLIC_NOT_BELOW_SYSTOLIC: Final = declare(
    "vitals.diastolic_not_below_systolic",
    Severity.STOP,
    SOURCE,
    "The diastolic pressure must be below the systolic; measure again.",
    fixed="what the two pressures are",
)
OXYGEN_IMPOSSIBLE: Final = declare(
    "vitals.oxygen_impossible", Severity.STOP, SOURCE, "This is a percentage.", fixed="what a percentage is"
)
_PLAUSIBLE: Final = {
    "systolic": SYSTOLIC_IMPOSSIBLE,
    "diastolic": DIASTOLIC_IMPOSSIBLE,
    "heart_rate": HEART_RATE_IMPOSSIBLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measurement. Pressures in mmHg, heart rate in beats per minute, oxygen saturation in per cent if taken.

    ``red_flags`` are names of ``vitals.emergency.symptoms``; any of them is an emergency. ``taken_at`` is aware.
    """

    systolic: int
    diastolic: int
    heart_rate: int
    taken_at: datetime
    oxygen_percent: int | None = None
    red_flags: frozenset[str] = frozenset()


class GateOutcome(StrEnum):
    """What the start gate says."""

    PASS = "pass"  # noqa: S105 - a gate is passed, this is no password
    REST_AND_REPEAT = "rest_and_repeat"
    CANCEL = "cancel"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Gate:
    """The start gate's answer.

    ``repeat_at`` is the earliest next reading when resting. ``tell_prescriber`` on every cancelled session,
    ``same_day_task`` when the pressure alone cancelled it.
    """

    outcome: GateOutcome
    findings: tuple[Finding, ...] = ()
    repeat_at: datetime | None = None
    readings_left: int = 0
    tell_prescriber: bool = False
    same_day_task: bool = False


@dataclass(frozen=True, slots=True)
class StartLimits:
    """The limits that hold for one patient: pressures must be below, the others may equal them."""

    systolic_below: float
    diastolic_below: float
    heart_rate_least: float
    heart_rate_most: float
    oxygen_least_percent: float


def start_limits(limits: PatientLimits, programme: Programme) -> StartLimits:
    """A patient's own limits where set, else the programme's; never above what a prescriber may allow."""

    def either(name: str, given: int | None) -> float:
        return programme.number(f"vitals.start.{name}") if given is None else given

    return StartLimits(
        systolic_below=min(
            either("systolic_below", limits.systolic_below), programme.number("vitals.start.systolic_prescriber_up_to")
        ),
        diastolic_below=min(
            either("diastolic_below", limits.diastolic_below),
            programme.number("vitals.start.diastolic_prescriber_up_to"),
        ),
        heart_rate_least=either("heart_rate_least", limits.heart_rate_least),
        heart_rate_most=either("heart_rate_most", limits.heart_rate_most),
        oxygen_least_percent=either("oxygen_least_percent", limits.oxygen_least_percent),
    )


def impossible_findings(reading: Reading, programme: Programme) -> list[tuple[str, Finding]]:
    """What no living patient's cuff shows, each with the field that it is about."""
    found = []
    for field, rule in _PLAUSIBLE.items():
        measured = getattr(reading, field)
        least, most = (programme.whole(f"vitals.plausible.{field}_{end}") for end in ("least", "most"))
        for end, is_beyond in (("least", measured < least), ("most", measured > most)):
            if is_beyond:
                setting, says = f"vitals.plausible.{field}_{end}", {"least": least, "most": most}
                found.append((field, rule.finding(programme, setting=setting, says=says, measured=measured)))
    if reading.diastolic >= reading.systolic:
        pressures: dict[str, Any] = {"systolic": reading.systolic, "diastolic": reading.diastolic}
        found.append(("diastolic", DIASTOLIC_NOT_BELOW_SYSTOLIC.finding(**pressures)))
    if reading.oxygen_percent is not None and not 0 < reading.oxygen_percent <= 100:
        found.append(("oxygen_percent", OXYGEN_IMPOSSIBLE.finding(measured=reading.oxygen_percent)))
    return found


def check_reading(reading: Reading, programme: Programme) -> None:
    """Refuse an impossible reading. Raises ``InvalidInput`` naming the first field and what is allowed."""
    impossible = impossible_findings(reading, programme)
    if impossible:
        field, finding = impossible[0]
        raise InvalidInput(finding.sentence, [each for _, each in impossible], field=field)
    known = programme.choices("vitals.emergency.symptoms")
    if not reading.red_flags <= known:
        raise InvalidInput(f"Known red flags: {', '.join(sorted(known))}.", field="red_flags")


def emergency_findings(reading: Reading, programme: Programme) -> list[Finding]:
    """Why this reading is an emergency, at the start, during or after a session; empty when it is none."""
    findings = _pressure_findings(reading, EMERGENCY_SYSTOLIC, EMERGENCY_DIASTOLIC, programme)
    if reading.red_flags:
        findings.append(RED_FLAG.finding(programme, red_flags=sorted(reading.red_flags)))
    return findings


def out_of_range_findings(reading: Reading, limits: StartLimits, programme: Programme) -> list[Finding]:
    """What of a reading is outside a patient's start limits; empty when all is inside."""
    oxygen = reading.oxygen_percent
    checks: tuple[tuple[Rule, bool, int | None, float], ...] = (
        (
            START_SYSTOLIC_BELOW,
            reading.systolic < limits.systolic_below,
            reading.systolic,
            limits.systolic_below,
        ),
        (
            START_DIASTOLIC_BELOW,
            reading.diastolic < limits.diastolic_below,
            reading.diastolic,
            limits.diastolic_below,
        ),
        (
            START_HEART_RATE_LEAST,
            reading.heart_rate >= limits.heart_rate_least,
            reading.heart_rate,
            limits.heart_rate_least,
        ),
        (
            START_HEART_RATE_MOST,
            reading.heart_rate <= limits.heart_rate_most,
            reading.heart_rate,
            limits.heart_rate_most,
        ),
        (
            START_OXYGEN_LEAST_PERCENT,
            oxygen is None or oxygen >= limits.oxygen_least_percent,
            oxygen,
            limits.oxygen_least_percent,
        ),
    )
    return [
        rule.finding(programme, measured=measured, limit=limit)
        for rule, inside, measured, limit in checks
        if not inside
    ]


def start_gate(readings: Sequence[Reading], limits: PatientLimits, programme: Programme) -> Gate:
    """May the session start, after these readings of the day? Raises ``InvalidInput`` when there is none.

    One emergency or one reading to cancel on stays so, whatever is measured later. A repeat counts after the rest; one
    taken sooner does not count, and the gate asks for another.
    """
    if not readings:
        raise InvalidInput("Measure before the session starts.", field="readings")
    ordered = sorted(readings, key=lambda reading: reading.taken_at)
    emergencies = [finding for reading in ordered for finding in emergency_findings(reading, programme)]
    if emergencies:
        return Gate(GateOutcome.EMERGENCY, tuple(emergencies), tell_prescriber=True)
    cancelling = [
        finding
        for reading in ordered
        for finding in _pressure_findings(reading, CANCEL_SYSTOLIC, CANCEL_DIASTOLIC, programme)
    ]
    if cancelling:
        return Gate(GateOutcome.CANCEL, tuple(cancelling), tell_prescriber=True, same_day_task=True)
    return _gate_by_last(ordered, start_limits(limits, programme), programme)


def _gate_by_last(ordered: Sequence[Reading], limits: StartLimits, programme: Programme) -> Gate:
    rest = timedelta(minutes=programme.number("vitals.start.rest_minutes"))
    most = programme.whole("vitals.start.readings_at_most")
    counted: list[Reading] = []
    for reading in ordered:
        if not counted or reading.taken_at - counted[-1].taken_at >= rest:
            counted.append(reading)
    last, latest = counted[-1], ordered[-1]
    left = most - len(counted)
    findings = out_of_range_findings(last, limits, programme)
    if left >= 0 and not findings and not out_of_range_findings(latest, limits, programme):
        return Gate(GateOutcome.PASS, readings_left=left)
    if left <= 0:
        findings.append(READINGS_USED_UP.finding(programme, readings=len(counted)))
        return Gate(GateOutcome.CANCEL, tuple(findings), tell_prescriber=True)
    if last is not latest:
        rested = in_minutes(latest.taken_at - last.taken_at)
        findings.append(REST_TOO_SHORT.finding(programme, rested_minutes=rested))
    return Gate(GateOutcome.REST_AND_REPEAT, tuple(findings), repeat_at=last.taken_at + rest, readings_left=left)


def _pressure_findings(reading: Reading, systolic: Rule, diastolic: Rule, programme: Programme) -> list[Finding]:
    """One finding for each pressure that reaches the threshold of its rule."""
    return [
        rule.finding(programme, measured=measured)
        for rule, measured in ((systolic, reading.systolic), (diastolic, reading.diastolic))
        if measured >= programme.number(str(rule.setting))
    ]


def age_findings(taken_at: datetime, now: datetime, programme: Programme) -> list[Finding]:
    """Why a reading taken before the start says nothing about ``now``."""
    if now - taken_at > timedelta(minutes=programme.number("vitals.start.reading_valid_minutes")):
        return [READING_OLD.finding(programme, minutes_ago=in_minutes(now - taken_at))]
    return []


def first_dose_findings(passed_at: datetime | None, dose_at: datetime, programme: Programme) -> list[Finding]:
    """The first dose follows the reading that passed, soon. ``None``: none passed."""
    valid = timedelta(minutes=programme.number("vitals.start.reading_valid_minutes"))
    if passed_at is not None and timedelta(0) <= dose_at - passed_at <= valid:
        return []
    after = None if passed_at is None else in_minutes(dose_at - passed_at)
    return [VITALS_NOT_CURRENT.finding(programme, minutes_after=after)]


def further_dose_findings(latest: Reading | None, programme: Programme) -> list[Finding]:
    """Why nothing more is taken after the ``latest`` reading: a pressure that would have cancelled the session."""
    if latest is None:
        return []
    return _pressure_findings(latest, NO_MORE_SYSTOLIC, NO_MORE_DIASTOLIC, programme)
