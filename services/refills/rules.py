"""The gate of a refill request and the way an approved one is supplied (DOMAIN 4 and 5).

The gate names every condition that is not met. Some are met by waiting, some by somebody doing something today, and
some have no date at all; ``earliest_date`` tells which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from math import ceil, isclose
from typing import Any, Final

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.prescribing.fill_rules import FillFacts, PrescriptionFacts, may_fill, remaining

# Halves of a unit are exact in a float; anything nearer than this is the same count.
_SAME_COUNT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A dosing session held under the supply in question."""

    held_on: date
    vitals_recorded: bool
    integration_done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillFacts:
    """What is known when a refill is asked for on ``on`` (a day where the patient is).

    Units are lozenges or tablets and may be halves: all ``dispensed`` ones must have been ``taken``, be ``remaining``
    or be recorded as ``wasted``, ``lost`` or ``returned``. ``units_per_session`` makes doses of what remains.
    ``scales_on`` names each scale of this episode with the day it was last answered. ``interval_days`` is the patient's
    own distance between sessions.
    Raises ``InvalidInput`` naming the field when a count is negative or ``units_per_session`` is not more than 0.
    """

    on: date
    maintenance: bool
    eligibility_current: bool
    has_therapist: bool
    dispensed_units: float
    taken_units: float
    remaining_units: float
    wasted_units: float
    units_per_session: float
    sessions: Sequence[SessionRecord]
    scales_on: Mapping[str, date | None]
    open_high_adverse_event: bool
    risk_flag: bool
    prescriber_contact_on: date | None
    pdmp_checked_on: date | None
    licence_valid: bool
    dea_valid: bool
    interval_days: int
    lost_units: float = 0
    returned_units: float = 0
    diversion_review_open: bool = False
    response_undecided: bool = False
    round_full: bool = False

    def __post_init__(self) -> None:
        for name in ("dispensed", "taken", "remaining", "wasted", "lost", "returned"):
            field = f"{name}_units"
            if getattr(self, field) < 0:
                raise InvalidInput("A count is not negative.", field=field)
        if self.units_per_session <= 0:
            raise InvalidInput("This must be more than 0.", field="units_per_session")

    @property
    def doses_left(self) -> float:
        """What remains, in sessions."""
        return self.remaining_units / self.units_per_session


_YES_OR_NO = "It holds or it does not; there is no number to set."


def _standing(rule_id: str, sentence: str, source: str = "DOMAIN 4") -> Rule:
    return declare(rule_id, Severity.STOP, source, sentence, fixed=_YES_OR_NO)


ELIGIBILITY_LAPSED = _standing("refills.eligibility_lapsed", "The eligibility decision is not current.")
NO_THERAPIST = _standing("refills.no_therapist", "There is no therapist of record.")
ADVERSE_EVENT_OPEN = _standing("refills.adverse_event_open", "A severe or serious adverse event is still open.")
SUICIDE_RISK_OPEN = _standing("refills.suicide_risk_open", "A suicide-risk flag is open.")
LICENCE_NOT_VALID = _standing(
    "refills.licence_not_valid", "The prescriber's licence does not hold in the patient's state.", "DOMAIN 4, DOMAIN 5"
)
DEA_NOT_VALID = _standing(
    "refills.dea_not_valid", "The prescriber's DEA registration does not hold in that state.", "DOMAIN 4, DOMAIN 5"
)
RESPONSE_UNDECIDED = _standing(
    "refills.response_undecided",
    "The treatment does not help so far, and nobody decided how it goes on.",
    "DOMAIN 1, DOMAIN 2.1",
)
ROUND_FULL = declare(
    "refills.round_full",
    Severity.STOP,
    "DOMAIN 4",
    "The round of {value} sessions is over: it takes an extension or a maintenance plan.",
    setting="sessions.round_sessions",
)
DIVERSION_REVIEW_OPEN = _standing(
    "refills.diversion_review_open", "A prescriber must end the diversion review first.", "DOMAIN 4, DOMAIN 8"
)
COUNT_OFF = _standing(
    "refills.count_off",
    "Taken, remaining, wasted, lost and returned units do not add up to what was dispensed.",
)
COUNT_MISSING = _standing("refills.count_missing", "Nobody has counted what is left since the last dose; count it.")
NOTHING_HANDED_OUT = _standing(
    "refills.nothing_handed_out", "Nothing was handed out yet; a refill follows a first supply."
)
FILL_OUTSTANDING = _standing(
    "refills.fill_outstanding", "What the prescriber authorized before has not been handed out yet."
)
VITALS_MISSING = _standing("refills.vitals_missing", "Vitals are not recorded for every dosing session.")
INTEGRATION_MISSING = _standing(
    "refills.integration_missing", "Integration is not done for every dosing session but the latest."
)
TOO_EARLY = declare(
    "refills.too_early",
    Severity.STOP,
    "DOMAIN 4",
    "Too early: more than {value} doses are left.",
    setting="refills.doses_left_at_most",
)
_SCALES = "Outcome scales must be answered within {value} days before the request."
SCALES_MISSING = declare(
    "refills.scales_missing", Severity.STOP, "DOMAIN 4", _SCALES, setting="refills.scales_valid_days"
)
SCALES_TOO_OLD = declare(
    "refills.scales_too_old", Severity.STOP, "DOMAIN 4", _SCALES, setting="refills.scales_valid_days"
)
CONTACT_TOO_OLD = declare(
    "refills.prescriber_contact_too_old",
    Severity.STOP,
    "DOMAIN 4",
    "The last contact with the prescriber is more than {value} days ago.",
    setting="refills.prescriber_contact_days",
)
PDMP_NOT_CURRENT = declare(
    "refills.pdmp_not_current",
    Severity.STOP,
    "DOMAIN 4, DOMAIN 5",
    "The PDMP was not checked in the last {value} days.",
    setting="prescribing.pdmp_valid_days",
)
NO_PRESCRIPTION = declare(
    "refills.no_prescription",
    Severity.INFORM,
    "DOMAIN 5",
    "There is no signed prescription to fill.",
    fixed=_YES_OR_NO,
)
PRESCRIPTION_CHANGED = declare(
    "refills.prescription_changed",
    Severity.INFORM,
    "DOMAIN 5",
    "What was signed cannot be changed; a new prescription is needed.",
    fixed="The law leaves no choice.",
)
EARLIEST_DATE = declare(
    "refills.earliest_date",
    Severity.INFORM,
    "DOMAIN 4",
    "It can pass on {day} at the earliest, if what is missing is done by then.",
    fixed="It follows from refills.too_early and the patient's own interval.",
)
REQUEST_OPEN: Final = declare(
    "refills.request_open",
    Severity.STOP,
    "DOMAIN 4",
    "A refill request of this episode is still undecided.",
    fixed="one request at a time",
)
TEXT_NEEDED: Final = declare(
    "refills.text_needed",
    Severity.STOP,
    "DOMAIN 4",
    "A text is needed here.",
    fixed="a text is there or it is not",
)
FORWARD_TO_COLLEAGUE: Final = declare(
    "refills.forward_to_colleague",
    Severity.STOP,
    "DOMAIN 4",
    "A request can be forwarded to another active prescriber of the episode's medical team.",
    fixed="who belongs to the team",
)

NO_DATE = frozenset(
    rule.id
    for rule in (
        ELIGIBILITY_LAPSED,
        NO_THERAPIST,
        ADVERSE_EVENT_OPEN,
        SUICIDE_RISK_OPEN,
        LICENCE_NOT_VALID,
        DEA_NOT_VALID,
        DIVERSION_REVIEW_OPEN,
        RESPONSE_UNDECIDED,
        ROUND_FULL,
    )
)
"""Conditions of which nobody can say when they will be met."""


def evaluate(facts: RefillFacts, programme: Programme) -> list[Finding]:
    """Every unmet condition of the gate, as a stop; empty when the prescriber may be asked."""
    return [
        *_standing_findings(facts),
        *_count_findings(facts, programme),
        *_session_findings(facts),
        *_scale_findings(facts, programme),
        *_contact_findings(facts, programme),
        *_pdmp_findings(facts, programme),
        *([ROUND_FULL.finding(programme, sessions_held=len(facts.sessions))] if facts.round_full else []),
    ]


def earliest_date(facts: RefillFacts, programme: Programme) -> date | None:
    """The first day on which the request can pass, if what can be done by then is done.

    ``None`` while something without a date stands in the way (``NO_DATE``). Waiting is needed for the supply alone:
    it runs down by one dose per interval.
    """
    if any(finding.rule in NO_DATE for finding in evaluate(facts, programme)):
        return None
    over = facts.doses_left - programme.number("refills.doses_left_at_most")
    if over <= _SAME_COUNT:
        return facts.on
    interval = timedelta(days=facts.interval_days)
    last = max((session.held_on for session in facts.sessions), default=None)
    next_session = facts.on if last is None else max(last + interval, facts.on)
    return next_session + (ceil(over - _SAME_COUNT) - 1) * interval


class Supply(StrEnum):
    """How an approved request is supplied."""

    NEXT_FILL = "next_fill"
    NEW_PRESCRIPTION = "new_prescription"


@dataclass(frozen=True, slots=True)
class SupplyDecision:
    """The way of supply: ``is_refill`` and ``units_at_most`` of the next fill, or the ``reasons`` why there is none."""

    supply: Supply
    is_refill: bool = False
    units_at_most: int = 0
    reasons: tuple[Finding, ...] = ()


def decide_supply(
    prescription: PrescriptionFacts | None,
    fills: Sequence[FillFacts],
    on: date,
    programme: Programme,
    *,
    units_wanted: int | None = None,
    changed: bool = False,
) -> SupplyDecision:
    """Whether the signed prescription still allows a fill on ``on``, or a new one is needed.

    What is left of a fill handed out in part comes first and is no refill. ``units_wanted`` beyond what the next fill
    may hold, or anything ``changed`` (dose, strength, directions), needs a new prescription, as does ``prescription``
    being ``None``: cancelled, or never there. Raises ``InvalidInput`` when ``units_wanted`` is less than 1.
    """
    if prescription is None:
        return _new(NO_PRESCRIPTION, prescription=None)
    if changed:
        return _new(PRESCRIPTION_CHANGED, changed=True)
    left = remaining(prescription, fills, programme)
    is_refill = left.units_left_in_current_fill == 0
    units = prescription.quantity_units if is_refill else left.units_left_in_current_fill
    wanted = units if units_wanted is None else units_wanted
    reasons = may_fill(prescription, fills, wanted, on, is_refill, programme)
    if reasons:
        return SupplyDecision(Supply.NEW_PRESCRIPTION, reasons=tuple(reasons))
    return SupplyDecision(Supply.NEXT_FILL, is_refill, units)


def _new(why: Rule, **looked_at: Any) -> SupplyDecision:
    return SupplyDecision(Supply.NEW_PRESCRIPTION, reasons=(why.finding(**looked_at),))


# Rule, the fact it looks at, and what that must be.
_CONDITIONS: Final = (
    (ELIGIBILITY_LAPSED, "eligibility_current", True),
    (NO_THERAPIST, "has_therapist", True),
    (ADVERSE_EVENT_OPEN, "open_high_adverse_event", False),
    (SUICIDE_RISK_OPEN, "risk_flag", False),
    (LICENCE_NOT_VALID, "licence_valid", True),
    (DEA_NOT_VALID, "dea_valid", True),
    (DIVERSION_REVIEW_OPEN, "diversion_review_open", False),
    (RESPONSE_UNDECIDED, "response_undecided", False),
)


def _standing_findings(facts: RefillFacts) -> list[Finding]:
    found = ((rule, name, getattr(facts, name), wanted) for rule, name, wanted in _CONDITIONS)
    return [rule.finding(**{name: value}) for rule, name, value, wanted in found if value is not wanted]


def _count_findings(facts: RefillFacts, programme: Programme) -> list[Finding]:
    findings = []
    accounted = facts.taken_units + facts.remaining_units + facts.wasted_units + facts.lost_units + facts.returned_units
    if not isclose(accounted, facts.dispensed_units, abs_tol=_SAME_COUNT, rel_tol=0):
        findings.append(COUNT_OFF.finding(accounted_units=accounted, dispensed_units=facts.dispensed_units))
    if facts.doses_left > programme.number("refills.doses_left_at_most") + _SAME_COUNT:
        findings.append(TOO_EARLY.finding(programme, doses_left=facts.doses_left))
    return findings


def _session_findings(facts: RefillFacts) -> list[Finding]:
    ordered = sorted(facts.sessions, key=lambda session: session.held_on)
    unmeasured = [_iso(session.held_on) for session in ordered if not session.vitals_recorded]
    open_ones = [_iso(session.held_on) for session in ordered[:-1] if not session.integration_done]
    return [
        *([VITALS_MISSING.finding(sessions=unmeasured)] if unmeasured else []),
        *([INTEGRATION_MISSING.finding(sessions=open_ones)] if open_ones else []),
    ]


def _scale_findings(facts: RefillFacts, programme: Programme) -> list[Finding]:
    setting = _by_phase("refills.scales_valid_days", facts)
    if not facts.scales_on:
        return [SCALES_MISSING.finding(programme, setting=setting, scales=[])]
    old = sorted(scale for scale, on in facts.scales_on.items() if not _within(on, facts.on, programme.whole(setting)))
    return [SCALES_TOO_OLD.finding(programme, setting=setting, scales=old)] if old else []


def _contact_findings(facts: RefillFacts, programme: Programme) -> list[Finding]:
    setting = _by_phase("refills.prescriber_contact_days", facts)
    if _within(facts.prescriber_contact_on, facts.on, programme.whole(setting)):
        return []
    return [CONTACT_TOO_OLD.finding(programme, setting=setting, last_on=_iso(facts.prescriber_contact_on))]


def _pdmp_findings(facts: RefillFacts, programme: Programme) -> list[Finding]:
    if _within(facts.pdmp_checked_on, facts.on, programme.whole("prescribing.pdmp_valid_days")):
        return []
    return [PDMP_NOT_CURRENT.finding(programme, last_on=_iso(facts.pdmp_checked_on))]


def _by_phase(setting: str, facts: RefillFacts) -> str:
    return f"{setting}_maintenance" if facts.maintenance else setting


def _within(day: date | None, on: date, days: int) -> bool:
    """Whether ``day`` is known, not in the future, and at most ``days`` before ``on``."""
    return day is not None and 0 <= (on - day).days <= days


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
