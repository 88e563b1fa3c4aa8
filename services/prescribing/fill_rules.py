"""Rules of filling: how much a prescription still allows, until when, and what a pharmacist may record (DOMAIN 5).

A *fill* hands out the prescribed quantity, in one go or in parts. A part is recorded like a refill and is not one: only
a fill marked ``is_refill`` starts the next refill. So a prescription with two refills holds three fills, each of which
may come in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.prescribing.calendar import calendar_months_after
from services.prescribing.law import SCHEDULE_III

FILL_OF_CLINIC_ORDER: Final = declare(
    "prescribing.fill_of_clinic_order",
    Severity.STOP,
    "DOMAIN 1",
    "The clinic gives this itself: a pharmacy neither fills nor ships it.",
    fixed="How a route is supplied is settled when it is prescribed.",
)
FILL_OVER_QUANTITY: Final = declare(
    "prescribing.fill_over_quantity",
    Severity.STOP,
    SCHEDULE_III.partial_fill_source,
    "This is more than the prescribed quantity leaves; all parts together must not exceed it.",
    fixed="The prescription says the quantity.",
)
FILL_BEFORE_ISSUE: Final = declare(
    "prescribing.fill_before_issue",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "Nothing is filled before the prescription's date of issue.",
    fixed="The law counts from the date of issue.",
)
FILL_AFTER_SIX_MONTHS: Final = declare(
    "prescribing.fill_after_six_months",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "Nothing is filled, refilled or part-filled more than six months after the date of issue.",
    setting="prescribing.months_to_fill",
)
REFILL_BEFORE_FILL: Final = declare(
    "prescribing.refill_before_fill",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "The first hand-out of a prescription is its fill, not a refill.",
    fixed="A partial fill is not a refill.",
)
FILL_NOT_COMPLETE: Final = declare(
    "prescribing.fill_not_complete",
    Severity.STOP,
    SCHEDULE_III.partial_fill_source,
    "The fill at hand is not complete; hand out its rest first.",
    fixed="A partial fill is not a refill.",
)
NO_REFILL_LEFT: Final = declare(
    "prescribing.no_refill_left",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "No refill is left on this prescription.",
    fixed="The prescription says its refills.",
)
REFILL_OVER_QUANTITY: Final = declare(
    "prescribing.refill_over_quantity",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "A refill is not larger than the prescribed quantity.",
    fixed="The prescription says the quantity.",
)


REFILL_NOT_AUTHORIZED: Final = declare(
    "prescribing.refill_not_authorized",
    Severity.STOP,
    "DOMAIN 4",
    "No approved refill request authorizes this refill.",
    fixed="An approval is there or it is not.",
)
NOT_IN_FORCE: Final = declare(
    "prescribing.not_in_force",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "The prescription is not in force; a new one is needed.",
    fixed="It is in force or it is not.",
)
NOT_SIGNED: Final = declare(
    "prescribing.not_signed",
    Severity.STOP,
    "21 CFR 1306.04",
    "Nothing is filled before it is signed.",
    fixed="The law leaves nothing to set.",
)
ONE_PRESCRIPTION: Final = declare(
    "prescribing.one_prescription",
    Severity.STOP,
    "DOMAIN 4",
    "This session has already taken from another prescription.",
    fixed="one prescription says how much a session takes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescriptionFacts:
    """What filling needs to know of a signed prescription. ``quantity_units`` is that of one fill.

    ``is_shipped`` False: the clinic gives it, so that nothing is ever filled.
    """

    quantity_units: int
    refills: int
    issued_on: date
    is_shipped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FillFacts:
    """One hand-out as recorded, whole or partial. ``is_refill`` marks the first hand-out of a refill."""

    quantity_units: int
    filled_on: date
    is_refill: bool = False


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a prescription still allows. ``expires_on`` is the last day for any hand-out, whole or partial."""

    units_left_in_current_fill: int
    refills_left: int
    expires_on: date

    def anything_on(self, on: date) -> bool:
        """Whether at least one unit may still be handed out on that day."""
        return on <= self.expires_on and (self.units_left_in_current_fill > 0 or self.refills_left > 0)


def last_fill_day(issued_on: date, programme: Programme) -> date:
    """The last day of filling: six calendar months after the issue, or sooner where the programme says so."""
    months = min(programme.whole("prescribing.months_to_fill"), SCHEDULE_III.months_to_fill)
    return calendar_months_after(issued_on, months)


def remaining(facts: PrescriptionFacts, fills: Sequence[FillFacts], programme: Programme) -> Remaining:
    """What is left after ``fills``, which must be in the order they were recorded."""
    handed_out = 0
    refills_used = 0
    for fill in fills:
        if fill.is_refill:
            refills_used += 1
            handed_out = 0
        handed_out += fill.quantity_units
    refills = min(facts.refills, SCHEDULE_III.refills_at_most)
    return Remaining(
        units_left_in_current_fill=max(facts.quantity_units - handed_out, 0),
        refills_left=max(refills - refills_used, 0),
        expires_on=last_fill_day(facts.issued_on, programme),
    )


def may_fill(
    facts: PrescriptionFacts,
    fills: Sequence[FillFacts],
    quantity: int,
    on: date,
    is_refill: bool,
    programme: Programme,
) -> list[Finding]:
    """Why ``quantity`` units may not be handed out on ``on``; empty when they may.

    ``is_refill`` says whether this starts the next refill or continues the fill at hand. Raises ``InvalidInput`` on
    ``quantity`` when it is not at least one unit.
    """
    if quantity < 1:
        raise InvalidInput("Hand out at least one unit.", field="quantity")
    if not facts.is_shipped:
        return [FILL_OF_CLINIC_ORDER.finding(is_shipped=False)]
    left = remaining(facts, fills, programme)
    findings = _day_findings(facts, left, on, programme)
    if is_refill:
        return [*findings, *_refill_findings(facts, fills, left, quantity)]
    if quantity > left.units_left_in_current_fill:
        findings.append(FILL_OVER_QUANTITY.finding(quantity=quantity, units_left=left.units_left_in_current_fill))
    return findings


def _day_findings(facts: PrescriptionFacts, left: Remaining, on: date, programme: Programme) -> list[Finding]:
    if on < facts.issued_on:
        return [FILL_BEFORE_ISSUE.finding(issued_on=facts.issued_on.isoformat(), on=on.isoformat())]
    if on > left.expires_on:
        return [FILL_AFTER_SIX_MONTHS.finding(programme, last_day=left.expires_on.isoformat(), on=on.isoformat())]
    return []


def _refill_findings(
    facts: PrescriptionFacts, fills: Sequence[FillFacts], left: Remaining, quantity: int
) -> list[Finding]:
    findings = []
    if not fills:
        findings.append(REFILL_BEFORE_FILL.finding(fills=0))
    elif left.units_left_in_current_fill > 0:
        findings.append(FILL_NOT_COMPLETE.finding(units_left=left.units_left_in_current_fill))
    if left.refills_left < 1:
        findings.append(NO_REFILL_LEFT.finding(refills=facts.refills))
    if quantity > facts.quantity_units:
        findings.append(REFILL_OVER_QUANTITY.finding(quantity=quantity, prescribed=facts.quantity_units))
    return findings
