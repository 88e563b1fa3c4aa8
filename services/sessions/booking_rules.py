"""When and where a session may be booked (DOMAIN 1 and 4). The cadence of dosing sessions is in ``rules``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.core.clock import in_minutes
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.sessions.places import Site
from services.sessions.rules import INTERVAL_TOO_SHORT, WEEK_FULL

EPISODE_CLOSED: Final = declare(
    "sessions.episode_closed",
    Severity.STOP,
    "DOMAIN 4",
    "In a closed episode nothing is booked.",
    fixed="a state of the episode",
)
REMOTE_FROM_HOME: Final = declare(
    "sessions.remote_from_home",
    Severity.STOP,
    "DOMAIN 4",
    "In a remote session the patient is at home.",
    fixed="what remote means",
)
LOCATION_UNKNOWN: Final = declare(
    "sessions.location_unknown",
    Severity.STOP,
    "DOMAIN 1",
    "The practice does not treat at that location.",
    fixed="the practice's own list",
)
LOCATION_MISSING: Final = declare(
    "sessions.location_missing",
    Severity.STOP,
    "DOMAIN 1",
    "The practice treats at several locations: say at which.",
    fixed="the practice's own list",
)
IN_THE_PAST: Final = declare(
    "sessions.in_the_past", Severity.STOP, "DOMAIN 4", "The time of this session has passed.", fixed="the clock"
)
TOO_FAR_AHEAD: Final = declare(
    "sessions.too_far_ahead",
    Severity.STOP,
    "DOMAIN 4",
    "Sessions are booked {value} days ahead at most.",
    setting="sessions.book_ahead_days",
)
THERAPIST_OVERLAP: Final = declare(
    "sessions.therapist_overlap",
    Severity.STOP,
    "DOMAIN 1",
    "You have another session at that time.",
    fixed="nobody is in two places",
)
TOO_SHORT: Final = declare(
    "sessions.too_short",
    Severity.STOP,
    "DOMAIN 4",
    "A dosing session lasts {value} minutes at least: so long the patient is observed.",
    setting="vitals.discharge.after_last_dose_minutes",
)
SITE_NOT_OFFERED: Final = declare(
    "sessions.site_not_offered",
    Severity.STOP,
    "DOMAIN 1",
    "In this programme dosing sessions are held here: {value}.",
    setting="sessions.dosing_sites",
)
ROUTE_NOT_HERE: Final = declare(
    "sessions.route_not_here",
    Severity.STOP,
    "DOMAIN 1",
    "What the clinic gives itself is given here only: {value}.",
    setting="sessions.clinic_route_sites",
)
SCREENING_MISSING: Final = declare(
    "sessions.screening_missing",
    Severity.STOP,
    "DOMAIN 1",
    "The patient completes the screening paperwork before the first session is booked.",
    setting="sessions.screening_before_booking",
)
PREPARATION_MISSING: Final = declare(
    "sessions.preparation_missing",
    Severity.STOP,
    "DOMAIN 1",
    "Before the first dose {value} preparation sessions are held; {held} were.",
    setting="sessions.preparation_before_first_dose",
)
INTEGRATES_NOTHING: Final = declare(
    "sessions.integrates_nothing",
    Severity.STOP,
    "DOMAIN 1",
    "Only an integration session follows a dosing session.",
    fixed="what integration means",
)
INTEGRATES_MISSING: Final = declare(
    "sessions.integrates_missing",
    Severity.STOP,
    "DOMAIN 1",
    "An integration session names a dosing session of the same episode.",
    fixed="what integration means",
)
INTEGRATES_CANCELLED: Final = declare(
    "sessions.integrates_cancelled",
    Severity.STOP,
    "DOMAIN 1",
    "That dosing session was cancelled; there is nothing to integrate.",
    fixed="what integration means",
)
TALK_NOT_BEGUN: Final = declare(
    "sessions.talk_not_begun",
    Severity.STOP,
    "DOMAIN 1",
    "The time of this session has not come; move it first.",
    fixed="the clock",
)
INTEGRATES_UNFINISHED: Final = declare(
    "sessions.integrates_unfinished",
    Severity.STOP,
    "DOMAIN 4",
    "The dosing session is not over, or its emergency was not closed by the prescriber.",
    fixed="a state of the session",
)

# Refusals that another time can mend.
ABOUT_TIME: Final = frozenset({THERAPIST_OVERLAP.id, INTERVAL_TOO_SHORT.id, WEEK_FULL.id})


def start_findings(starts_at: datetime, now: datetime, programme: Programme) -> list[Finding]:
    """Before anything is reckoned with a time, it must lie between ``now`` and the furthest that is booked."""
    if starts_at < now:
        return [IN_THE_PAST.finding(starts_at=starts_at.isoformat(), now=now.isoformat())]
    if starts_at - now > timedelta(days=programme.whole("sessions.book_ahead_days")):
        return [TOO_FAR_AHEAD.finding(programme, days_ahead=(starts_at - now).days)]
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What was done so far in an episode: preparation sessions held, and whether anything was taken."""

    held: int
    is_dosed: bool


def preparation_findings(done: Preparation, programme: Programme) -> list[Finding]:
    """The first dosing session is neither booked nor begun before the preparation that the programme wants was held."""
    if done.is_dosed or done.held >= programme.whole("sessions.preparation_before_first_dose"):
        return []
    return [PREPARATION_MISSING.finding(programme, says={"held": done.held}, held=done.held)]


def paperwork_findings(screening_completed: bool, programme: Programme) -> list[Finding]:
    """Where a programme wants it so, no session of any kind is booked before the screening is completed."""
    if screening_completed or not programme.flag("sessions.screening_before_booking"):
        return []
    return [SCREENING_MISSING.finding(programme, screening_completed=False)]


def site_findings(site: Site, programme: Programme) -> list[Finding]:
    """Dosing sessions are held where the programme says; talks are held where people like."""
    if site.value in programme.choices("sessions.dosing_sites"):
        return []
    return [SITE_NOT_OFFERED.finding(programme, site=site.value)]


def route_findings(site: Site, is_shipped: bool, programme: Programme) -> list[Finding]:
    """What the clinic gives (nasal, intramuscular, intravenous) is never given outside the prescribed setting."""
    if is_shipped or site.value in programme.choices("sessions.clinic_route_sites"):
        return []
    return [ROUTE_NOT_HERE.finding(programme, site=site.value)]


def length_findings(length: timedelta, programme: Programme) -> list[Finding]:
    """A dosing session that would end while the patient is still observed."""
    if length < timedelta(minutes=programme.number("vitals.discharge.after_last_dose_minutes")):
        return [TOO_SHORT.finding(programme, minutes=in_minutes(length))]
    return []
