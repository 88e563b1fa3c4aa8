"""Rules of what follows a round: a maintenance plan, and the end of an episode (DOMAIN 1 and 4)."""

from __future__ import annotations

from dataclasses import dataclass

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

_YES_OR_NO = "It was done or it was not; there is no number to set."

MAINTENANCE_TOO_SOON = declare(
    "refills.maintenance_too_soon",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "Maintenance follows a round: {value} dosing sessions come first.",
    setting="sessions.round_sessions_least",
)
INTERVAL_TOO_SHORT = declare(
    "refills.maintenance_interval_too_short",
    Severity.STOP,
    "DOMAIN 4",
    "Maintenance sessions lie {value} days apart at least.",
    setting="maintenance.interval_least_days",
)
INTERVAL_TOO_LONG = declare(
    "refills.maintenance_interval_too_long",
    Severity.STOP,
    "DOMAIN 4",
    "Maintenance sessions lie {value} days apart at most.",
    setting="maintenance.interval_most_days",
)
MAINTENANCE_UNDECIDED = declare(
    "refills.maintenance_undecided",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 2.1",
    "The treatment does not help so far: decide first how it goes on.",
    fixed=_YES_OR_NO,
)
MAINTENANCE_UNPLANNED = declare(
    "refills.maintenance_unplanned",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "Before the first dose after an approval, maintenance goes on only where a plan was agreed.",
    fixed=_YES_OR_NO,
)
NOTHING_TO_DISCONTINUE = declare(
    "refills.nothing_to_discontinue",
    Severity.STOP,
    "DOMAIN 4",
    "Nothing was prescribed or taken: close the episode.",
    fixed=_YES_OR_NO,
)
DISCONTINUE_FIRST = declare(
    "refills.close_discontinue_first",
    Severity.STOP,
    "DOMAIN 4",
    "Something was prescribed or taken: discontinue first, with a closing follow-up.",
    fixed=_YES_OR_NO,
)
FOLLOW_UP_MISSING = declare(
    "refills.close_follow_up_missing",
    Severity.STOP,
    "DOMAIN 4",
    "The prescriber has not spoken with the patient since it was discontinued.",
    fixed=_YES_OR_NO,
)
STOCK_LEFT = declare(
    "refills.close_stock_left",
    Severity.STOP,
    "DOMAIN 5",
    "Units are left or on their way: count them and attest their disposal.",
    fixed=_YES_OR_NO,
)
REVIEW_OPEN = declare(
    "refills.close_review_open",
    Severity.STOP,
    "DOMAIN 8",
    "A prescriber must end the diversion review first.",
    fixed=_YES_OR_NO,
)
ADVERSE_EVENT_OPEN = declare(
    "refills.close_adverse_event_open",
    Severity.STOP,
    "DOMAIN 4",
    "A severe or serious adverse event is still open.",
    fixed=_YES_OR_NO,
)


def plan_findings(
    interval_days: int,
    sessions_held: int,
    undecided: bool,
    programme: Programme,
    *,
    first: bool,
    unplanned: bool,
) -> list[Finding]:
    """Why a plan of one session every ``interval_days`` cannot be agreed; ``first``: maintenance begins with it.

    ``unplanned``: it would go on after a renewed approval, and none was agreed before.
    """
    findings = []
    if unplanned:
        findings.append(MAINTENANCE_UNPLANNED.finding(plan_agreed=False))
    if first and sessions_held < programme.whole("sessions.round_sessions_least"):
        findings.append(MAINTENANCE_TOO_SOON.finding(programme, sessions_held=sessions_held))
    if undecided:
        findings.append(MAINTENANCE_UNDECIDED.finding(undecided=True))
    if interval_days < programme.whole("maintenance.interval_least_days"):
        findings.append(INTERVAL_TOO_SHORT.finding(programme, interval_days=interval_days))
    if interval_days > programme.whole("maintenance.interval_most_days"):
        findings.append(INTERVAL_TOO_LONG.finding(programme, interval_days=interval_days))
    return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingFacts:
    """What is known when somebody wants to close. ``is_treated``: anything was prescribed, handed out or taken."""

    is_treated: bool
    is_discontinued: bool
    is_followed_up: bool
    units_left: float
    review_open: bool
    adverse_event_open: bool


def closing_findings(facts: ClosingFacts) -> list[Finding]:
    """Everything that is missing before an episode can be closed. Who was never treated needs none of it."""
    findings = []
    if facts.is_treated and not facts.is_discontinued:
        findings.append(DISCONTINUE_FIRST.finding(is_treated=True, is_discontinued=False))
    if facts.is_discontinued and not facts.is_followed_up:
        findings.append(FOLLOW_UP_MISSING.finding(is_discontinued=True, is_followed_up=False))
    if facts.review_open:
        findings.append(REVIEW_OPEN.finding(review_open=True))
    if facts.adverse_event_open:
        findings.append(ADVERSE_EVENT_OPEN.finding(adverse_event_open=True))
    if facts.units_left > 0:
        findings.append(STOCK_LEFT.finding(units_left=facts.units_left))
    return findings
