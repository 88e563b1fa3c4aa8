"""What keeps an assessment from being completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.outcomes.measures import SCREENER, Measures

UNANSWERED = declare(
    "outcomes.scale_unanswered",
    Severity.STOP,
    "DOMAIN 2.1",
    "Not answered yet: {title}.",
    fixed="how many answers may be missing belongs to the instrument",
)
OUTDATED = declare(
    "outcomes.answers_outdated",
    Severity.STOP,
    "DOMAIN 2.1",
    "These answers are older than {value} days and must be given again: {title}.",
    setting="outcomes.cadence.answers_valid_days",
)
CSSRS_SAME_DAY = declare(
    "outcomes.cssrs_same_day",
    Severity.STOP,
    "DOMAIN 2.2",
    "The answers ask for a C-SSRS of the same day.",
    fixed="a positive answer about suicide always asks for it",
)


def gaps(
    asked: Sequence[str],
    titles: Mapping[str, str],
    measures: Measures,
    answered_at: Mapping[str, datetime],
    now: datetime,
    programme: Programme,
) -> list[Finding]:
    """What is missing before an assessment of the instruments ``asked`` can be completed; empty when nothing is."""
    found = []
    oldest = now - timedelta(days=programme.number(str(OUTDATED.setting)))
    for name in asked:
        if name not in measures.complete:
            found.append(UNANSWERED.finding(says={"title": titles[name]}, instrument=name))
        elif answered_at[name] < oldest:
            found.append(OUTDATED.finding(programme, says={"title": titles[name]}, instrument=name))
    if measures.triage.requires_cssrs_today:
        found.append(CSSRS_SAME_DAY.finding(instrument=SCREENER))
    return found
