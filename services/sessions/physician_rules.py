"""Does the physician check in at the start of a session, depending on its dose (DOMAIN 1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

PHYSICIAN_MISSING: Final = declare(
    "sessions.physician_missing",
    Severity.STOP,
    "DOMAIN 1",
    "The physician has not checked in at the start; over {value} mg in a session that must be.",
    setting="sessions.physician_check_in_over_mg",
)


def is_physician_needed(session_mg: int, programme: Programme) -> bool:
    """Whether a session that takes ``session_mg`` in all needs the physician at its start."""
    over = programme.number("sessions.physician_check_in_over_mg")
    return programme.flag("sessions.physician_check_in") and session_mg > over


def physician_findings(
    session_mg: int, checked_in_at: datetime | None, at: datetime, programme: Programme
) -> list[Finding]:
    """Why ``session_mg`` may not be reached at ``at``; a check-in counts as long as the readiness found does."""
    valid = timedelta(hours=programme.number("sessions.readiness_valid_hours"))
    if not is_physician_needed(session_mg, programme):
        return []
    if checked_in_at is not None and checked_in_at <= at <= checked_in_at + valid:
        return []
    return [PHYSICIAN_MISSING.finding(programme, session_mg=session_mg)]
