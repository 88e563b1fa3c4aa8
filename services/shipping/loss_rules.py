"""Rules of losses and thefts: the pharmacy's two timers, and when a loss is one too many (DOMAIN 5 and 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from services.core.business_days import add_business_days
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

DEA_NOTICE_OVERDUE = declare(
    "shipping.dea_notice_overdue",
    Severity.REVIEW,
    "21 CFR 1301.76(b), DOMAIN 5",
    "The pharmacy notifies DEA within {value} business day of discovering a loss; that time is over.",
    setting="sla.dea_notice_business_days",
)
FORM_106_OVERDUE = declare(
    "shipping.form_106_overdue",
    Severity.REVIEW,
    "21 CFR 1301.76(b), DOMAIN 5",
    "The pharmacy files DEA Form 106 within {value} calendar days of discovering a loss; that time is over.",
    setting="sla.form_106_days",
)
DIVERSION_REVIEW = declare(
    "shipping.diversion_review",
    Severity.REVIEW,
    "DOMAIN 8",
    "This is not the first loss: review for diversion before anything is replaced.",
    setting="shipping.losses_before_diversion_review",
)
LOSS_OUT_OF_TIME = declare(
    "shipping.loss_out_of_time",
    Severity.STOP,
    "DOMAIN 5",
    "A loss is discovered in the past, and after the episode began.",
    fixed="Nothing is discovered before it is there, or tomorrow.",
)
DUTY_OUT_OF_TIME = declare(
    "shipping.loss_duty_out_of_time",
    Severity.STOP,
    "DOMAIN 5",
    "DEA hears of a loss after its discovery, and not tomorrow.",
    fixed="Nothing is reported before it is known, or tomorrow.",
)
DUTY_DONE = declare(
    "shipping.loss_duty_done",
    Severity.STOP,
    "DOMAIN 5",
    "This is on record already and stands as it is.",
    fixed="What was told to an authority is not told anew.",
)
FILL_HAS_LEFT = declare(
    "shipping.fill_has_left",
    Severity.STOP,
    "DOMAIN 5",
    "This fill is in a parcel or was lost before; what is lost on the way is established on the parcel.",
    fixed="A fill is in one place.",
)


@dataclass(frozen=True, slots=True)
class LossTimers:
    """When the pharmacy must have notified DEA and filed Form 106; both in UTC."""

    dea_due_at: datetime
    form_106_due_at: datetime


def loss_timers(discovered_at: datetime, programme: Programme, zone: tzinfo, state: str | None) -> LossTimers:
    """Both timers from the moment of discovery, by the calendar and the clock of the pharmacy.

    Business days leave out weekends, the federal holidays and those of ``state``, the pharmacy's.
    """
    here = discovered_at.astimezone(zone)
    dea_due = add_business_days(here, programme.whole("sla.dea_notice_business_days"), state)
    form_106_due = here + timedelta(days=programme.whole("sla.form_106_days"))
    return LossTimers(dea_due.astimezone(UTC), form_106_due.astimezone(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyFacts:
    """How far the two duties got; a time that is None has not come."""

    dea_due_at: datetime
    dea_notified_at: datetime | None
    form_106_due_at: datetime
    form_106_filed_at: datetime | None
    found: bool = False


def duty_findings(facts: DutyFacts, at: datetime, programme: Programme) -> list[Finding]:
    """Which of the two duties was, or is at ``at``, late. What turned up again is no loss any more."""
    findings = []
    if _is_late(facts.dea_due_at, facts.dea_notified_at, at, facts.found):
        findings.append(DEA_NOTICE_OVERDUE.finding(programme, due_at=facts.dea_due_at.isoformat()))
    if _is_late(facts.form_106_due_at, facts.form_106_filed_at, at, facts.found):
        findings.append(FORM_106_OVERDUE.finding(programme, due_at=facts.form_106_due_at.isoformat()))
    return findings


def _is_late(due_at: datetime, done_at: datetime | None, at: datetime, found: bool) -> bool:
    return (done_at or at) > due_at and not (found and done_at is None)


def diversion_findings(losses: int, programme: Programme) -> list[Finding]:
    """A review when there were ``losses`` of a patient's units, the latest counted, and that is one too many."""
    if losses < programme.whole("shipping.losses_before_diversion_review"):
        return []
    return [DIVERSION_REVIEW.finding(programme, losses=losses)]
