"""Vitals of a dosing session: may it start, is this an emergency (DOMAIN 4). Going home is in ``discharge_rules``.

A prescriber's limits for one patient win over the programme's start limits, up to what any prescriber may allow.
Thresholds of cancelling and of emergencies are the same for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.prescribing.limits import PatientLimits

SOURCE = "DOMAIN 4"


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


def check_reading(reading: Reading, programme: Programme) -> None:
    """Refuse what no living patient's cuff shows. Raises ``InvalidInput`` naming the field and what is allowed."""
    for field, value in (
        ("systolic", reading.systolic),
        ("diastolic", reading.diastolic),
        ("heart_rate", reading.heart_rate),
    ):
        least = programme.whole(f"vitals.plausible.{field}_least")
        most = programme.whole(f"vitals.plausible.{field}_most")
        if not least <= value <= most:
            raise InvalidInput(
                f"This must be from {least} to {most}; measure again.", field=field, rule=f"vitals.{field}_impossible"
            )
    if reading.diastolic >= reading.systolic:
        raise InvalidInput(
            "The diastolic pressure must be below the systolic; measure again.",
            field="diastolic",
            rule="vitals.diastolic_not_below_systolic",
        )
    if reading.oxygen_percent is not None and not 0 < reading.oxygen_percent <= 100:
        raise InvalidInput("This is a percentage.", field="oxygen_percent", rule="vitals.oxygen_impossible")
    known = programme.choices("vitals.emergency.symptoms")
    if not reading.red_flags <= known:
        raise InvalidInput(f"Known red flags: {', '.join(sorted(known))}.", field="red_flags")


def emergency_findings(reading: Reading, programme: Programme) -> list[Finding]:
    """Why this reading is an emergency, at the start, during or after a session; empty when it is none."""
    findings = _pressure_findings(reading, "emergency", "This pressure is an emergency: call 911.", programme)
    if reading.red_flags:
        findings.append(
            _finding(
                "red_flag",
                "Red-flag symptoms are an emergency: call 911.",
                programme,
                "vitals.emergency.symptoms",
                red_flags=sorted(reading.red_flags),
            )
        )
    return findings


def out_of_range_findings(reading: Reading, limits: StartLimits, programme: Programme) -> list[Finding]:
    """What of a reading is outside a patient's start limits; empty when all is inside."""
    checks = [
        ("systolic", "systolic_below", reading.systolic < limits.systolic_below, "The systolic pressure is too high."),
        (
            "diastolic",
            "diastolic_below",
            reading.diastolic < limits.diastolic_below,
            "The diastolic pressure is too high.",
        ),
        (
            "heart_rate",
            "heart_rate_least",
            reading.heart_rate >= limits.heart_rate_least,
            "The heart is beating too slowly.",
        ),
        (
            "heart_rate",
            "heart_rate_most",
            reading.heart_rate <= limits.heart_rate_most,
            "The heart is beating too fast.",
        ),
        (
            "oxygen_percent",
            "oxygen_least_percent",
            reading.oxygen_percent is None or reading.oxygen_percent >= limits.oxygen_least_percent,
            "The oxygen saturation is too low.",
        ),
    ]
    return [
        _finding(
            f"start_{name}",
            sentence,
            programme,
            f"vitals.start.{name}",
            measured=getattr(reading, measured),
            limit=getattr(limits, name),
        )
        for measured, name, inside, sentence in checks
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
    words = "This pressure cancels the session; the prescriber looks at it the same day."
    cancelling = [finding for reading in ordered for finding in _pressure_findings(reading, "cancel", words, programme)]
    if cancelling:
        return Gate(GateOutcome.CANCEL, tuple(cancelling), tell_prescriber=True, same_day_task=True)
    return _gate_by_last(ordered, start_limits(limits, programme), programme)


def _gate_by_last(ordered: Sequence[Reading], limits: StartLimits, programme: Programme) -> Gate:
    rest = timedelta(minutes=programme.number("vitals.start.rest_minutes"))
    most = programme.whole("vitals.start.readings_at_most")
    counted = [ordered[0]]
    for reading in ordered[1:]:
        if reading.taken_at - counted[-1].taken_at >= rest:
            counted.append(reading)
    left = most - len(counted)
    repeat_at = counted[-1].taken_at + rest
    findings = out_of_range_findings(counted[-1], limits, programme)
    if left >= 0 and not findings and not out_of_range_findings(ordered[-1], limits, programme):
        return Gate(GateOutcome.PASS, readings_left=left)
    if left <= 0:
        setting = "vitals.start.readings_at_most"
        sentence = f"After {most} readings out of range the session is cancelled; tell the prescriber."
        findings.append(_finding("readings_used_up", sentence, programme, setting, readings=len(counted)))
        return Gate(GateOutcome.CANCEL, tuple(findings), tell_prescriber=True)
    if counted[-1] is not ordered[-1]:
        setting = "vitals.start.rest_minutes"
        sentence = f"Rest {programme.whole(setting)} minutes before measuring again; the last reading came too soon."
        findings.append(_finding("rest_too_short", sentence, programme, setting))
    return Gate(GateOutcome.REST_AND_REPEAT, tuple(findings), repeat_at=repeat_at, readings_left=left)


def _pressure_findings(reading: Reading, gate: str, sentence: str, programme: Programme) -> list[Finding]:
    """One finding for each pressure that reaches a threshold of ``vitals.cancel`` or ``vitals.emergency``."""
    return [
        _finding(f"{gate}_{name}", sentence, programme, setting, measured=measured)
        for name, measured in (("systolic", reading.systolic), ("diastolic", reading.diastolic))
        if measured >= programme.number(setting := f"vitals.{gate}.{name}_from")
    ]


def _finding(rule: str, sentence: str, programme: Programme, setting: str, **inputs: Any) -> Finding:
    return Finding(f"vitals.{rule}", Severity.STOP, SOURCE, sentence, setting, programme.value(setting), inputs)
