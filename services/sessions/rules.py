"""Rules around a dosing session: cadence, the way home, what is due afterwards (DOMAIN 1 and 4).

Booking is in ``booking_rules``, the start in ``readiness_rules``, vitals are in ``vitals_rules``, going home is in
``discharge_rules``, what may be taken in ``dose_rules``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from services.core.clock import in_hours
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.prescribing.limits import PatientLimits

INTERVAL_TOO_SHORT: Final = declare(
    "sessions.interval_too_short",
    Severity.STOP,
    "DOMAIN 4",
    "Dosing sessions are {interval} days apart for this patient; another one is closer.",
    setting="sessions.interval_days",
)
WEEK_FULL: Final = declare(
    "sessions.week_full",
    Severity.STOP,
    "DOMAIN 4",
    "There are {value} dosing sessions in seven days at most.",
    setting="sessions.per_week_at_most",
)
ROUND_FULL: Final = declare(
    "sessions.round_full",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "A round has {value} dosing sessions; only the prescriber extends it.",
    setting="sessions.round_sessions",
)
ROUND_LONG_ENOUGH: Final = declare(
    "sessions.round_long_enough",
    Severity.INFORM,
    "DOMAIN 1",
    "A round is {value} to {sessions.round_sessions} dosing sessions, this is number {number}: agree on what follows.",
    setting="sessions.round_sessions_least",
)
EXTENSION_TOO_SMALL: Final = declare(
    "sessions.extension_too_small",
    Severity.STOP,
    "DOMAIN 4",
    "A round has {value} dosing sessions anyway.",
    setting="sessions.round_sessions",
)
EXTENSION_NOT_YOURS: Final = declare(
    "sessions.extension_not_yours",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "In this programme a round is extended by: {value}.",
    setting="sessions.round_extended_by",
)
INTEGRATION_OUTSIDE_WINDOW: Final = declare(
    "sessions.integration_outside_window",
    Severity.INFORM,
    "DOMAIN 1",
    "Integration follows a dosing session after {sessions.integration_from_hours} to "
    "{sessions.integration_overdue_hours} hours.",
    setting="sessions.integration_overdue_hours",
)


RATING_NOT_ASKED: Final = declare(
    "sessions.rating_not_asked",
    Severity.STOP,
    "DOMAIN 2.1, DOMAIN 2.3",
    "A session is rated by what the programme lists and has texts for: {value}.",
    setting="sessions.session_instruments",
)


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
    interval = interval_days(limits, programme)
    if apart and apart[0][0] < interval:
        says = {"interval": interval}
        findings.append(INTERVAL_TOO_SHORT.finding(programme, says=says, days=apart[0][0], interval=interval))
    in_week = _fullest_week(on, [other for _, other in apart])
    if in_week > programme.whole("sessions.per_week_at_most"):
        findings.append(WEEK_FULL.finding(programme, in_seven_days=in_week))
    longest = programme.whole("sessions.round_sessions")
    if round_number > max(longest, round_extended_to or longest):
        findings.append(ROUND_FULL.finding(programme, round_number=round_number))
    return findings


def round_notes(round_number: int, programme: Programme) -> list[Finding]:
    """A note on a session beyond the shortest round: from now on the prescriber may be asked what follows."""
    if round_number <= programme.whole("sessions.round_sessions_least"):
        return []
    return [ROUND_LONG_ENOUGH.finding(programme, says={"number": round_number}, round_number=round_number)]


PLAN_INTERVAL = declare(
    "sessions.maintenance_interval",
    Severity.STOP,
    "DOMAIN 4",
    "By the maintenance plan sessions lie {interval} days apart.",
    fixed="The plan that prescriber and patient agreed says so.",
)


def plan_interval_findings(on: date, others: Iterable[date], interval: int | None) -> list[Finding]:
    """Why a maintenance session may not be on ``on``, by the plan's ``interval``; None when there is no plan."""
    nearest = min((abs((on - other).days) for other in others), default=None)
    if interval is None or nearest is None or nearest >= interval:
        return []
    return [PLAN_INTERVAL.finding(says={"interval": interval}, days=nearest)]


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


def onset_window(first_dose_at: datetime, programme: Programme) -> tuple[datetime, datetime]:
    """From when and until when the effect is expected to begin."""
    least, most = (programme.number(f"sessions.onset_{end}_minutes") for end in ("least", "most"))
    return first_dose_at + timedelta(minutes=least), first_dose_at + timedelta(minutes=most)


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
    """A note when an integration session is booked outside its window; it is better late than not at all."""
    times = afterward_times(dosing_ended_at, programme)
    if at < times.integration_from:
        setting = "sessions.integration_from_hours"
    elif at > times.integration_overdue_at:
        setting = "sessions.integration_overdue_hours"
    else:
        return []
    return [INTEGRATION_OUTSIDE_WINDOW.finding(programme, setting=setting, hours_after=in_hours(at - dosing_ended_at))]


def _fullest_week(on: date, others: Sequence[date]) -> int:
    """The most sessions in any seven days in a row that hold ``on``, itself included."""
    starts = [on - timedelta(days=back) for back in range(7)]
    return max(1 + sum(start <= other < start + timedelta(days=7) for other in others) for start in starts)
