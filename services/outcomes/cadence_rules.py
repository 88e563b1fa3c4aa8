"""When a patient is asked how they are (DOMAIN 2.1): after listed sessions, before each prescription decision, monthly.

The screening is the assessment at intake. Everything else follows from what was recorded: a session that was moved
counts when it was held, and each treatment lets the month begin anew. Days are those of the patient's own calendar.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from services.core.errors import InvalidConfiguration
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

SOURCE = "DOMAIN 2.1"


class Occasion(StrEnum):
    """Why an assessment was asked for."""

    AFTER_SESSION = "after_session"
    BEFORE_DECISION = "before_decision"
    MONTHLY = "monthly"
    ON_REQUEST = "on_request"


AFTER_SESSION = declare(
    "outcomes.due_after_session",
    Severity.INFORM,
    SOURCE,
    "An assessment follows dosing session {number} (after sessions {value}).",
    setting="outcomes.cadence.after_sessions",
)
BEFORE_DECISION = declare(
    "outcomes.due_before_decision",
    Severity.INFORM,
    SOURCE,
    "A prescription decision is coming up and the last complete answers are older than {value} days.",
    setting="outcomes.cadence.before_decision_days",
)
MONTHLY = declare(
    "outcomes.due_monthly",
    Severity.INFORM,
    SOURCE,
    "{value} month(s) passed since the last treatment and the last answers.",
    setting="outcomes.cadence.monthly_months",
)
NOT_IN_CARE = declare(
    "outcomes.not_in_care",
    Severity.STOP,
    SOURCE,
    "Patients are asked from the approval of their eligibility until the episode ends.",
    fixed="Nobody follows the answers of patients who are not in care.",
)


@dataclass(frozen=True, slots=True)
class CadenceFacts:
    """What the schedule follows from; all times aware.

    ``sessions``: the first dose of each dosing session held, oldest first. ``complete_at``: when the oldest of the
    newest results of all instruments asked for was given, None while one is missing. ``decision_expected_since``: from
    when on a prescription decision is to be made, None while none is. ``asked``: when an assessment was last asked for,
    by occasion and number.
    """

    in_care: bool
    zone: ZoneInfo
    sessions: tuple[datetime, ...] = ()
    complete_at: datetime | None = None
    decision_expected_since: datetime | None = None
    asked: Mapping[tuple[Occasion, int | None], datetime] = field(default_factory=dict)

    def day(self, moment: datetime) -> date:
        """The day of a moment at the patient's home."""
        return moment.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True)
class Due:
    """An assessment that falls due ``at``; ``number`` is the dosing session that it follows, if it follows one."""

    occasion: Occasion
    number: int | None
    at: datetime
    finding: Finding


def next_due(facts: CadenceFacts, programme: Programme) -> Due | None:
    """The assessment that falls due next, perhaps in the past; None when none ever does on these facts."""
    if not facts.in_care:
        return None
    candidates = (_after_session(facts, programme), _before_decision(facts, programme), _monthly(facts, programme))
    return min((each for each in candidates if each is not None), key=lambda due: due.at, default=None)


def _after_session(facts: CadenceFacts, programme: Programme) -> Due | None:
    """Only the last of the listed sessions counts: answers given now say nothing about the weeks before it."""
    listed = [number for number in _sessions_listed(programme) if number <= len(facts.sessions)]
    if not listed:
        return None
    number = max(listed)
    held_at = facts.sessions[number - 1]
    if (Occasion.AFTER_SESSION, number) in facts.asked or _is_after(facts.complete_at, held_at):
        return None
    day = facts.day(held_at) + timedelta(days=programme.whole("outcomes.cadence.after_session_days"))
    finding = AFTER_SESSION.finding(programme, says={"number": number}, session=number)
    return Due(Occasion.AFTER_SESSION, number, at_hour(day, facts.zone, programme), finding)


def _sessions_listed(programme: Programme) -> list[int]:
    listed = programme.value("outcomes.cadence.after_sessions")
    if not isinstance(listed, list) or any(type(number) is not int or number < 1 for number in listed):
        raise InvalidConfiguration("The setting 'outcomes.cadence.after_sessions' must list numbers of sessions.")
    return listed


def _is_after(moment: datetime | None, other: datetime) -> bool:
    return moment is not None and moment > other


def _before_decision(facts: CadenceFacts, programme: Programme) -> Due | None:
    """On the first day on which the answers are too old for the decision that is coming up."""
    if facts.decision_expected_since is None:
        return None
    day = facts.day(facts.decision_expected_since)
    if facts.sessions:  # a treatment brought it about: not before the patient is asked about that as well
        day += timedelta(days=programme.whole("outcomes.cadence.after_session_days"))
    if facts.complete_at is not None:
        fresh_days = programme.whole("outcomes.cadence.before_decision_days")
        day = max(day, facts.day(facts.complete_at) + timedelta(days=fresh_days + 1))
    asked_at = facts.asked.get((Occasion.BEFORE_DECISION, None))
    if asked_at is not None and not _is_after(facts.complete_at, asked_at):
        # Nobody answered: the therapist knows. The patient is not asked again before that one has lapsed.
        day = max(day, facts.day(asked_at) + timedelta(days=programme.whole("outcomes.cadence.lapse_after_days")))
    return Due(Occasion.BEFORE_DECISION, None, at_hour(day, facts.zone, programme), BEFORE_DECISION.finding(programme))


def _monthly(facts: CadenceFacts, programme: Programme) -> Due | None:
    """The clock begins anew with each treatment, and with whatever was answered or asked since."""
    if not facts.sessions:
        return None
    moments = [facts.sessions[-1], *facts.asked.values(), *filter(None, [facts.complete_at])]
    day = months_later(facts.day(max(moments)), programme.whole("outcomes.cadence.monthly_months"))
    return Due(Occasion.MONTHLY, None, at_hour(day, facts.zone, programme), MONTHLY.finding(programme))


def months_later(day: date, months: int) -> date:
    """The same day of the month so many months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def at_hour(day: date, zone: ZoneInfo, programme: Programme) -> datetime:
    """The moment (UTC) at which the patient's clock shows ``outcomes.cadence.ask_at_hour`` on a day of theirs."""
    return datetime.combine(day, time(programme.whole("outcomes.cadence.ask_at_hour")), zone).astimezone(UTC)


def supersedes(due: Due, requested_at: datetime, facts: CadenceFacts) -> bool:
    """Whether ``due`` takes the place of an assessment that was asked for before: a later session changes the answers.

    What else falls due meanwhile, the open one answers as well.
    """
    return due.number is not None and requested_at < facts.sessions[due.number - 1]


@dataclass(frozen=True, slots=True)
class Chase:
    """What follows an assessment that nobody answers; all of it ends on completion.

    ``texts_at``: when the patient is texted again, after the text with which it was asked for; ``therapist_at``: when
    the therapist has the task to speak with the patient; ``lapses_at``: when it takes no more answers.
    """

    texts_at: tuple[datetime, ...]
    therapist_at: datetime
    lapses_at: datetime


def chase(requested_at: datetime, zone: ZoneInfo, programme: Programme) -> Chase:
    """The reminders of an assessment: once a day on ``outcomes.cadence.text_days``, then a person, then its end."""
    first = requested_at.astimezone(zone).date()

    def on(days: int) -> datetime:
        return at_hour(first + timedelta(days=days), zone, programme)

    days = programme.whole("outcomes.cadence.text_days")
    return Chase(
        texts_at=tuple(on(day) for day in range(1, days)),
        therapist_at=on(days),
        lapses_at=on(programme.whole("outcomes.cadence.lapse_after_days")),
    )
