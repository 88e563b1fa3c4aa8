"""Medicines on the day of a session: what must be held was held, and what changed was looked at (DOMAIN 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.eligibility.holds import Hold

HOLD_UNANSWERED: Final = declare(
    "sessions.hold_unanswered",
    Severity.STOP,
    "DOMAIN 3.2",
    "Something is held before a session; ask when it was last taken.",
    setting="eligibility.medicines.benzodiazepine_hold_hours",
)
MEDICINE_NOT_HELD: Final = declare(
    "sessions.medicine_not_held",
    Severity.STOP,
    "DOMAIN 3.2",
    "What is held before a session was not; move the session. Some medicines the prescriber may allow, with a reason.",
    setting="eligibility.medicines.benzodiazepine_hold_hours",
)
HOLD_STANDS: Final = declare(
    "sessions.hold_stands",
    Severity.STOP,
    "DOMAIN 3.2",
    "Alcohol and THC are held by everybody before a session; nobody allows them all the same.",
    setting="eligibility.medicines.alcohol_thc_free_hours",
)
LAST_INTAKE_AHEAD: Final = declare(
    "sessions.last_intake_ahead",
    Severity.STOP,
    "DOMAIN 3.2",
    "The last intake cannot lie in the future.",
    fixed="the clock",
)
NOT_RECONCILED: Final = declare(
    "sessions.medicines_not_reconciled",
    Severity.STOP,
    "DOMAIN 1",
    "Confirm or change the list of medicines today, before the session.",
    setting="sessions.reconcile_medicines",
)
UNDECIDED: Final = declare(
    "sessions.medicines_undecided",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 3.2",
    "The list of medicines changed so that a prescriber must decide first.",
    fixed="a decision, made or not",
)
REFUSED: Final = declare(
    "sessions.medicines_refused",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 3.2",
    "The prescriber decided that with these medicines there is no session.",
    fixed="a decision of the prescriber",
)
NOTHING_TO_DECIDE: Final = declare(
    "sessions.medicines_nothing_to_decide",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 3.2",
    "There is no change of medicines that waits for a decision.",
    fixed="a decision, asked for or not",
)
STOP_STANDS: Final = declare(
    "sessions.medicines_stop_stands",
    Severity.STOP,
    "DOMAIN 3.2",
    "One of these medicines is a hard stop that nobody may override.",
    fixed="the table of interactions says what may be overridden",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """When something that is held was last taken (aware); ``None`` when there was no intake since it was prescribed."""

    last_taken_at: datetime | None


def hold_findings(
    holds: Iterable[Hold],
    intakes: Mapping[str, Intake],
    allowed: Collection[str],
    at: datetime,
    zone: ZoneInfo,
    programme: Programme,
) -> list[Finding]:
    """What was not held before a session at ``at``, by the rule ids of the classes that are to be held.

    ``intakes`` are the answers by rule id, ``allowed`` those that the prescriber let be taken all the same; what
    everybody holds is not among them, whatever was allowed.
    """
    findings = []
    for each in holds:
        intake = intakes.get(each.rule)
        if intake is None:
            findings.append(HOLD_UNANSWERED.finding(programme, setting=each.setting, rule_of_class=each.rule))
        elif not each.was_kept(intake.last_taken_at, at, zone) and (each.of_everybody or each.rule not in allowed):
            taken = None if intake.last_taken_at is None else intake.last_taken_at.isoformat()
            facts: dict[str, Any] = {"last_taken_at": taken, "held_from": each.begins_at(at, zone).isoformat()}
            findings.append(
                MEDICINE_NOT_HELD.finding(programme, setting=each.setting, rule_of_class=each.rule, **facts)
            )
    return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The list of medicines as it stands for a session.

    ``today``: confirmed or changed on the day of the session. ``must_decide``: it brought a new stop or review, and
    ``allowed`` what the prescriber said to that, ``None`` so far.
    """

    today: bool
    must_decide: bool
    allowed: bool | None


def reconciliation_findings(done: Reconciled | None, programme: Programme) -> list[Finding]:
    """Why a session does not begin with the medicines as they are; ``None``: nobody looked at the list."""
    findings = []
    if programme.flag("sessions.reconcile_medicines") and (done is None or not done.today):
        findings.append(NOT_RECONCILED.finding(programme, gone_through_today=False))
    if done is not None and done.must_decide and done.allowed is None:
        findings.append(UNDECIDED.finding(allowed=None))
    if done is not None and done.must_decide and done.allowed is False:
        findings.append(REFUSED.finding(allowed=False))
    return findings
