"""Rules around a dosing session: readiness, cadence, the way home, what is due afterwards (DOMAIN 1 and 4).

Vitals are in ``vitals_rules``, going home in ``discharge_rules``, what may be taken in ``dose_rules``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.prescribing.limits import PatientLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaperoneFacts:
    """The sober adult who stays with the patient. ``sober_attested`` is the chaperone's or therapist's word for it."""

    named: bool
    age_years: int | None
    phone_exchanged: bool
    present: bool
    sober_attested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFacts:
    """What a session without the therapist in the room needs as well."""

    therapist_on_video: bool
    blood_pressure_cuff: bool
    emergency_address_confirmed: bool
    emergency_phone_confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessFacts:
    """What is known when a dosing session is about to begin at ``at``.

    ``receipt_confirmed`` is true where nothing is shipped. ``chaperone`` is ``None`` while there is none, ``remote``
    when everybody is in the room. Times of the last food and water are aware, ``None`` when nobody asked.
    ``risk_blocked`` is an open high suicide risk, ``therapist_trained`` KAP training on record.
    """

    at: datetime
    receipt_confirmed: bool
    treatment_consent: bool
    chaperone: ChaperoneFacts | None
    last_food_at: datetime | None
    last_water_at: datetime | None
    remote: RemoteFacts | None = None
    risk_blocked: bool = False
    therapist_trained: bool = True


def readiness_findings(facts: ReadinessFacts, programme: Programme) -> list[Finding]:
    """Each condition for starting that is not met, as a stop; empty when vitals may be taken."""
    words = (
        ("receipt_missing", facts.receipt_confirmed, "The patient has not confirmed receipt, count and seal."),
        ("consent_missing", facts.treatment_consent, "There is no consent to the treatment."),
        ("training_missing", facts.therapist_trained, "No KAP training of the therapist is on record."),
        ("suicide_risk_open", not facts.risk_blocked, "A high suicide risk is open; a prescriber must clear it."),
    )
    return [
        *_unmet(words),
        *_chaperone_findings(facts.chaperone, programme),
        *_fasting_findings("food", facts.last_food_at, facts.at, programme),
        *_fasting_findings("water", facts.last_water_at, facts.at, programme),
        *(_remote_findings(facts.remote) if facts.remote is not None else ()),
    ]


def cadence_findings(
    on: date,
    others: Iterable[date],
    limits: PatientLimits,
    round_number: int,
    round_extended_to: int | None,
    programme: Programme,
) -> list[Finding]:
    """Why a dosing session may not be on ``on``; days are the patient's.

    ``others`` are the days of all other dosing sessions, held or booked. ``round_number`` counts this one from 1 in its
    round, ``round_extended_to`` is how far the prescriber extended the round, if at all.
    """
    apart = sorted((abs((on - other).days), other) for other in others)
    findings = []
    setting = "sessions.interval_days"
    interval = interval_days(limits, programme)
    if apart and apart[0][0] < interval:
        sentence = f"Dosing sessions are {interval} days apart for this patient; another one is closer."
        findings.append(_stop("interval_too_short", sentence, programme, setting, days=apart[0][0], interval=interval))
    setting = "sessions.per_week_at_most"
    if _fullest_week(on, [other for _, other in apart]) > programme.whole(setting):
        sentence = f"There are {programme.whole(setting)} dosing sessions in seven days at most."
        findings.append(_stop("week_full", sentence, programme, setting))
    setting = "sessions.round_sessions"
    if round_number > max(programme.whole(setting), round_extended_to or 0):
        sentence = f"A round has {programme.whole(setting)} dosing sessions; only the prescriber extends it."
        findings.append(_stop("round_full", sentence, programme, setting, round_number=round_number))
    return findings


def interval_days(limits: PatientLimits, programme: Programme) -> int:
    """The days between two dosing sessions of a patient: the prescriber's, not below what a prescriber may allow."""
    if limits.interval_days is None:
        return programme.whole("sessions.interval_days")
    return max(limits.interval_days, programme.whole("sessions.interval_least_days"))


def may_drive_at(last_dose_at: datetime, zone: ZoneInfo, programme: Programme) -> datetime:
    """When a patient may drive again, in UTC: the next calendar day in ``zone`` and twelve hours, the later of both."""
    local = last_dose_at.astimezone(zone)
    next_day = datetime(local.year, local.month, local.day, tzinfo=zone) + timedelta(days=1)
    rested = last_dose_at.astimezone(UTC) + timedelta(hours=programme.number("sessions.no_driving_hours"))
    return max(next_day.astimezone(UTC), rested)


@dataclass(frozen=True, slots=True)
class AfterwardTimes:
    """What is due after a dosing session, counted from its end."""

    check_in_by: datetime
    integration_from: datetime
    integration_overdue_at: datetime
    integration_escalated_at: datetime


class IntegrationState(StrEnum):
    """How an integration session stands against its window."""

    NOT_YET_DUE = "not_yet_due"
    DUE = "due"
    OVERDUE = "overdue"
    ESCALATED = "escalated"
    DONE = "done"


def afterward_times(ended_at: datetime, programme: Programme) -> AfterwardTimes:
    """The check-in and the integration window after a session that ended at ``ended_at``."""

    def after(setting: str) -> datetime:
        return ended_at + timedelta(hours=programme.number(f"sessions.{setting}"))

    return AfterwardTimes(
        check_in_by=after("check_in_within_hours"),
        integration_from=after("integration_from_hours"),
        integration_overdue_at=after("integration_overdue_hours"),
        integration_escalated_at=after("integration_escalated_hours"),
    )


def integration_state(ended_at: datetime, now: datetime, done: bool, programme: Programme) -> IntegrationState:
    """Where the integration of a session stands at ``now``."""
    times = afterward_times(ended_at, programme)
    if done:
        return IntegrationState.DONE
    if now >= times.integration_escalated_at:
        return IntegrationState.ESCALATED
    if now >= times.integration_overdue_at:
        return IntegrationState.OVERDUE
    return IntegrationState.DUE if now >= times.integration_from else IntegrationState.NOT_YET_DUE


def integration_booking_findings(at: datetime, dosing_ended_at: datetime, programme: Programme) -> list[Finding]:
    """A note when an integration session is booked outside 24 to 48 hours; it is better late than not at all."""
    times = afterward_times(dosing_ended_at, programme)
    if times.integration_from <= at <= times.integration_overdue_at:
        return []
    setting = "sessions.integration_from_hours" if at < times.integration_from else "sessions.integration_overdue_hours"
    sentence = "Integration follows a dosing session after 24 to 48 hours."
    value = programme.value(setting)
    return [Finding("sessions.integration_outside_window", Severity.INFORM, "DOMAIN 1", sentence, setting, value)]


class Grade(StrEnum):
    """How bad an adverse event is, mildest first."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"
    SERIOUS = "serious"


HIGH_GRADES = frozenset({Grade.SEVERE, Grade.SERIOUS})
"""While one of these is open, nothing is refilled (DOMAIN 4)."""

PAGED_GRADES = frozenset({Grade.SERIOUS})
"""These page the medical team at once (DOMAIN 4)."""


def _fullest_week(on: date, others: Sequence[date]) -> int:
    """The most sessions in any seven days in a row that hold ``on``, itself included."""
    starts = [on - timedelta(days=back) for back in range(7)]
    return max(1 + sum(start <= other < start + timedelta(days=7) for other in others) for start in starts)


def _chaperone_findings(chaperone: ChaperoneFacts | None, programme: Programme) -> list[Finding]:
    if chaperone is None:
        return _unmet([("chaperone_missing", False, "There is no chaperone; without one there is no session.")])
    findings = _unmet(
        (
            ("chaperone_unnamed", chaperone.named, "The chaperone's name is not on record."),
            ("chaperone_phone_missing", chaperone.phone_exchanged, "The chaperone's phone was not exchanged."),
            ("chaperone_absent", chaperone.present, "The chaperone is not present."),
            ("chaperone_not_sober", chaperone.sober_attested, "Nobody attested that the chaperone is sober."),
        )
    )
    setting = "sessions.chaperone_age_least"
    if chaperone.age_years is None or chaperone.age_years < programme.whole(setting):
        sentence = f"The chaperone must be {programme.whole(setting)} or older."
        findings.append(_stop("chaperone_too_young", sentence, programme, setting))
    return findings


def _fasting_findings(what: str, last_at: datetime | None, at: datetime, programme: Programme) -> list[Finding]:
    setting = f"sessions.fasting_{what}_hours"
    if last_at is not None and at - last_at >= timedelta(hours=programme.number(setting)):
        return []
    sentence = f"No {what} for {programme.number(setting):g} h before the dose; ask when the last was, or wait."
    return [_stop(f"fasting_{what}", sentence, programme, setting)]


def _remote_findings(remote: RemoteFacts) -> list[Finding]:
    return _unmet(
        (
            ("remote_video_missing", remote.therapist_on_video, "The therapist is not on video."),
            ("remote_cuff_missing", remote.blood_pressure_cuff, "There is no blood-pressure cuff."),
            ("remote_address_missing", remote.emergency_address_confirmed, "Confirm the address for an emergency."),
            ("remote_phone_missing", remote.emergency_phone_confirmed, "Confirm the phone for an emergency."),
        )
    )


def _unmet(conditions: Iterable[tuple[str, bool, str]]) -> list[Finding]:
    return [
        Finding(f"sessions.{name}", Severity.STOP, "DOMAIN 4", sentence)
        for name, met, sentence in conditions
        if not met
    ]


def _stop(name: str, sentence: str, programme: Programme, setting: str, **inputs: Any) -> Finding:
    return Finding(f"sessions.{name}", Severity.STOP, "DOMAIN 4", sentence, setting, programme.value(setting), inputs)
