"""How a patient is watched while the medicine works: looks, the pressure at its peak, vitals through an infusion.

What was missed cannot be made up for. It holds the discharge until somebody says why (DOMAIN 1 and 4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from services.core.clock import in_minutes
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

CHECKS_MISSED: Final = declare(
    "vitals.checks_missed",
    Severity.STOP,
    "DOMAIN 4",
    "The patient was not looked at every {value} minutes; say why.",
    setting="vitals.monitor.check_every_minutes",
)
PEAK_READING_MISSED: Final = declare(
    "vitals.peak_reading_missed",
    Severity.STOP,
    "DOMAIN 4",
    "No pressure was measured about {value} minutes after the first dose; say why.",
    setting="vitals.monitor.after_dose_minutes",
)
SERIES_MISSED: Final = declare(
    "vitals.series_missed",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "Vitals were not taken every {value} minutes through the infusion; say why.",
    setting="vitals.infusion.check_every_minutes",
)
INFUSION_RUNNING: Final = declare(
    "vitals.infusion_running",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "The infusion has not ended.",
    fixed="a state of the infusion",
)


VIDEO_OFF: Final = declare(
    "sessions.video_off",
    Severity.STOP,
    "DOMAIN 4",
    "The patient of this remote session was not on video at the latest look: bring it back now, or reach the chaperone"
    " by phone and abort the session, or declare an emergency.",
    fixed="a yes or no",
)
VIDEO_MISSED: Final = declare(
    "sessions.video_missed",
    Severity.STOP,
    "DOMAIN 4",
    "The session is remote, and at a look the patient was not on video; say why.",
    fixed="a yes or no",
)
_NOW: Final = frozenset({INFUSION_RUNNING.id, VIDEO_OFF.id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Infusion:
    """One infusion, from its start to its end; ``None`` while it runs."""

    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFacts:
    """What was done since the first dose, at ``at``: looks at the patient, and readings of the vitals, by their times.

    A reading is a look as well, but not in a ``remote`` session: there only a look on video is one, and ``off_video``
    are those at which it was off.
    """

    at: datetime
    first_dose_at: datetime
    looks: Collection[datetime]
    readings: Collection[datetime]
    infusions: Collection[Infusion] = ()
    remote: bool = False
    off_video: Collection[datetime] = ()

    @property
    def seen(self) -> list[datetime]:
        """When somebody saw the patient."""
        return [*self.looks] if self.remote else [*self.looks, *self.readings]


def video_findings(facts: WatchFacts) -> list[Finding]:
    """Whether the patient of a remote session is out of sight now, as the latest look says; at one time both: out."""
    latest = max(facts.off_video, default=None)
    if latest is None or any(at > latest for at in facts.looks):
        return []
    return [VIDEO_OFF.finding(off_video_at=latest.isoformat())]


def _missed_video_findings(facts: WatchFacts) -> list[Finding]:
    if not facts.off_video:
        return []
    return [VIDEO_MISSED.finding(off_video_at=[at.isoformat() for at in sorted(facts.off_video)])]


def watch_findings(facts: WatchFacts, programme: Programme) -> list[Finding]:
    """What of the watching was missed so far, each as a stop until it is explained."""
    running = [each.started_at for each in facts.infusions if each.ended_at is None]
    findings = [INFUSION_RUNNING.finding(started_at=started_at.isoformat()) for started_at in running]
    findings += video_findings(facts) or _missed_video_findings(facts)
    grace = timedelta(minutes=programme.number("vitals.monitor.grace_minutes"))
    every = timedelta(minutes=programme.number("vitals.monitor.check_every_minutes"))
    longest = _longest(facts.seen, facts.first_dose_at, facts.at)
    if longest > every + grace:
        findings.append(CHECKS_MISSED.finding(programme, longest_minutes=in_minutes(longest)))
    if _is_peak_missed(facts, programme):
        measured = [in_minutes(at - facts.first_dose_at) for at in sorted(facts.readings)]
        findings.append(PEAK_READING_MISSED.finding(programme, measured_after_minutes=measured))
    if any(_is_series_missed(each, facts, grace, programme) for each in facts.infusions):
        unmeasured = max(_longest_unmeasured(each, facts) for each in facts.infusions)
        findings.append(SERIES_MISSED.finding(programme, longest_minutes=in_minutes(unmeasured)))
    return findings


def can_be_explained(findings: Iterable[Finding]) -> bool:
    """Whether a word on why can settle all of it: what was missed is past; a running infusion or lost video is not."""
    return all(finding.rule not in _NOW for finding in findings)


def next_due_at(facts: WatchFacts, programme: Programme) -> datetime:
    """By when somebody must have looked or measured next; later than that it shows itself."""
    grace = timedelta(minutes=programme.number("vitals.monitor.grace_minutes"))
    last_look = max([facts.first_dose_at, *facts.seen])
    due = [last_look + timedelta(minutes=programme.number("vitals.monitor.check_every_minutes")) + grace]
    window = _peak_window(facts.first_dose_at, programme)
    if facts.at <= window[1] and not any(window[0] <= at <= window[1] for at in facts.readings):
        due.append(window[1])
    every = _series_interval(programme)
    for infusion in facts.infusions:
        if infusion.ended_at is None and every is not None:
            last_reading = max([infusion.started_at, *facts.readings])
            due.append(last_reading + every + grace)
    return min(due)


def _longest(times: Iterable[datetime], start: datetime, end: datetime) -> timedelta:
    """The longest time without one of ``times`` between ``start`` and ``end``."""
    inside = sorted(min(max(at, start), end) for at in [start, *times, end])
    return max(later - earlier for earlier, later in pairwise(inside))


def _peak_window(first_dose_at: datetime, programme: Programme) -> tuple[datetime, datetime]:
    peak = first_dose_at + timedelta(minutes=programme.number("vitals.monitor.after_dose_minutes"))
    about = timedelta(minutes=programme.number("vitals.monitor.after_dose_about_minutes"))
    return peak - about, peak + about


def _is_peak_missed(facts: WatchFacts, programme: Programme) -> bool:
    earliest, latest = _peak_window(facts.first_dose_at, programme)
    return facts.at > latest and not any(earliest <= at <= latest for at in facts.readings)


def _series_interval(programme: Programme) -> timedelta | None:
    minutes = programme.number("vitals.infusion.check_every_minutes")
    return timedelta(minutes=minutes) if minutes else None


def _is_series_missed(infusion: Infusion, facts: WatchFacts, grace: timedelta, programme: Programme) -> bool:
    every = _series_interval(programme)
    return every is not None and _longest_unmeasured(infusion, facts) > every + grace


def _longest_unmeasured(infusion: Infusion, facts: WatchFacts) -> timedelta:
    return _longest(facts.readings, infusion.started_at, infusion.ended_at or facts.at)
