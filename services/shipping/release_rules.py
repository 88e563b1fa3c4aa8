"""Rules before a parcel leaves and after it arrived: release, signature on delivery, receipt, losses (DOMAIN 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

_YES_OR_NO = "It is there or it is not; there is no number to set."
NOT_SIGNED = declare(
    "shipping.not_signed",
    Severity.STOP,
    "21 CFR 1306.04",
    "Nothing ships without a signed prescription.",
    fixed=_YES_OR_NO,
)
NOT_FILLED = declare(
    "shipping.not_filled", Severity.STOP, "21 CFR 1306.22", "Record the fill before shipping it.", fixed=_YES_OR_NO
)
PRESCRIPTION_OVER = declare(
    "shipping.prescription_over",
    Severity.STOP,
    "21 CFR 1306.22",
    "The prescription's last day is over: what was filled and not sent needs a new prescription.",
    fixed="The last day stands on the prescription.",
)
NOT_ELIGIBLE = declare(
    "shipping.not_eligible",
    Severity.STOP,
    "DOMAIN 3",
    "No current approval of eligibility stands: a prescriber must approve before anything ships.",
    fixed="The approval itself says how long it holds.",
)
NO_THERAPIST = declare(
    "shipping.no_therapist",
    Severity.STOP,
    "DOMAIN 3.1",
    "Without a therapist of record nothing ships.",
    fixed=_YES_OR_NO,
)
RISK_OPEN = declare(
    "shipping.risk_open",
    Severity.STOP,
    "DOMAIN 2.2",
    "A clinician must sign off the suicide risk first.",
    fixed=_YES_OR_NO,
)
DIVERSION_OPEN = declare(
    "shipping.diversion_review_open",
    Severity.STOP,
    "DOMAIN 8",
    "A prescriber must end the diversion review before anything ships.",
    fixed=_YES_OR_NO,
)
REFILL_UNDECIDED = declare(
    "shipping.refill_undecided",
    Severity.STOP,
    "DOMAIN 4",
    "The refill request has not been approved.",
    fixed=_YES_OR_NO,
)
GIVEN_IN_CLINIC = declare(
    "shipping.given_in_clinic",
    Severity.STOP,
    "DOMAIN 1",
    "The clinic gives this itself; it is not shipped.",
    fixed=_YES_OR_NO,
)
FILL_GONE = declare(
    "shipping.fill_gone",
    Severity.STOP,
    "DOMAIN 5",
    "This fill was lost or came back; nothing is sent again: a replacement takes a new prescription.",
    fixed=_YES_OR_NO,
)
NOTHING_TO_QUARANTINE = declare(
    "shipping.nothing_to_quarantine",
    Severity.STOP,
    "DOMAIN 5",
    "Only a parcel that came back is put away, and once.",
    fixed=_YES_OR_NO,
)
RECEIVED_ALREADY = declare(
    "shipping.received_already",
    Severity.STOP,
    "DOMAIN 8",
    "The patient confirmed this parcel; what is lost after that is reported as a loss at home.",
    fixed=_YES_OR_NO,
)
CONFIRMATION_REFUSED = declare(
    "shipping.confirmation_refused",
    Severity.STOP,
    "DOMAIN 8",
    "This carrier must deliver with {required}: an adult signs for the parcel.",
    setting="shipping.confirmations_refused",
)
CONFIRMATION_OTHER = declare(
    "shipping.confirmation_other",
    Severity.STOP,
    "DOMAIN 8",
    "This carrier must deliver with {required}: an adult signs for the parcel.",
    setting="shipping.confirmation_default",
)
NOT_RECEIVED = declare(
    "shipping.not_received",
    Severity.STOP,
    "DOMAIN 8",
    "The patient did not receive the parcel: treat it as lost.",
    fixed=_YES_OR_NO,
)
SEAL_BROKEN = declare(
    "shipping.seal_broken",
    Severity.STOP,
    "DOMAIN 8",
    "The seal was broken: do not take what is in the parcel; pharmacy and prescriber decide.",
    fixed=_YES_OR_NO,
)
COUNT_SHORT = declare(
    "shipping.count_short",
    Severity.STOP,
    "DOMAIN 8",
    "Fewer units arrived than were shipped: do not take any; pharmacy and prescriber decide.",
    fixed="The number shipped is what must arrive.",
)
COUNT_OVER = declare(
    "shipping.count_over",
    Severity.REVIEW,
    "DOMAIN 8",
    "More units were counted than shipped: the pharmacy checks its record.",
    fixed="The number shipped is what must arrive.",
)
ALREADY_SHIPPED = declare(
    "shipping.already_shipped",
    Severity.STOP,
    "DOMAIN 5",
    "This fill has been shipped already.",
    fixed="a fill travels once",
)
TRACKING_CODE_TAKEN = declare(
    "shipping.tracking_code_taken",
    Severity.STOP,
    "DOMAIN 8",
    "This tracking code belongs to another shipment.",
    fixed="a code is that of one parcel",
)
PARCEL_GONE = declare(
    "shipping.parcel_gone",
    Severity.STOP,
    "DOMAIN 8",
    "This parcel was lost, returned or cancelled; call the pharmacy.",
    fixed="a state of the parcel",
)
CARRIER_HAS_IT_NOT = declare(
    "shipping.not_handed_over",
    Severity.STOP,
    "DOMAIN 8",
    "The carrier does not have this parcel yet.",
    fixed="a state of the parcel",
)
NOT_DELIVERED_YET = declare(
    "shipping.not_delivered_yet",
    Severity.STOP,
    "DOMAIN 8",
    "The carrier has not delivered this parcel yet; there is nothing to miss.",
    fixed="a state of the parcel",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """What is known when the pharmacy wants to ship.

    ``eligible`` is whether an approval of eligibility stands today; it may have been taken back since the signature.
    ``risk_signed_off`` is false while an urgent suicide-risk task waits for a clinician. ``refill_undecided`` is true
    when the fill belongs to a refill request that nobody approved. ``given_in_clinic`` is true of an order that the
    clinic gives itself (DOMAIN 1: no shipment).
    """

    prescription_signed: bool
    fill_recorded: bool
    eligible: bool
    has_therapist: bool
    risk_signed_off: bool
    refill_undecided: bool = False
    given_in_clinic: bool = False
    diversion_open: bool = False


_CONDITIONS: Final = {
    NOT_SIGNED: ("prescription_signed", True),
    NOT_FILLED: ("fill_recorded", True),
    NOT_ELIGIBLE: ("eligible", True),
    NO_THERAPIST: ("has_therapist", True),
    RISK_OPEN: ("risk_signed_off", True),
    REFILL_UNDECIDED: ("refill_undecided", False),
    GIVEN_IN_CLINIC: ("given_in_clinic", False),
    DIVERSION_OPEN: ("diversion_open", False),
}


def day_findings(today: date, last_day: date | None) -> list[Finding]:
    """Why nothing leaves on ``today`` (the patient's day): filled in time is not enough when it is sent too late."""
    return (
        [PRESCRIPTION_OVER.finding(today=today.isoformat(), last_day=last_day.isoformat())]
        if last_day is not None and today > last_day
        else []
    )


def release_findings(facts: ReleaseFacts) -> list[Finding]:
    """Every condition for shipping that is not met."""
    findings = []
    for rule, (name, wanted) in _CONDITIONS.items():
        found: dict[str, Any] = {name: getattr(facts, name)}
        if found[name] is not wanted:
            findings.append(rule.finding(**found))
    return findings


def required_confirmation(carrier: str, programme: Programme) -> str:
    """EasyPost's ``delivery_confirmation`` for a carrier: an adult's signature, in the postal service's own word."""
    return programme.text(_confirmation_setting(carrier))


def _confirmation_setting(carrier: str) -> str:
    is_usps = carrier.strip().casefold() == "usps"
    return "shipping.confirmation_usps" if is_usps else "shipping.confirmation_default"


def confirmation_findings(carrier: str, confirmation: str | None, programme: Programme) -> list[Finding]:
    """Why a parcel may not go with this ``delivery_confirmation``; empty when it is the required one."""
    required = required_confirmation(carrier, programme)
    if confirmation == required:
        return []
    if confirmation in programme.choices("shipping.confirmations_refused"):
        return [CONFIRMATION_REFUSED.finding(programme, says={"required": required}, confirmation=confirmation)]
    setting = _confirmation_setting(carrier)
    return [
        CONFIRMATION_OTHER.finding(programme, setting=setting, says={"required": required}, confirmation=confirmation)
    ]


@dataclass(frozen=True, slots=True)
class ReceiptTimes:
    """When a delivery that the patient has not confirmed is followed up."""

    remind_at: datetime
    call_at: datetime


def receipt_times(delivered_at: datetime, programme: Programme) -> ReceiptTimes:
    """The reminder and the call task after a delivery."""
    return ReceiptTimes(
        remind_at=delivered_at + timedelta(hours=programme.number("shipping.receipt_reminder_hours")),
        call_at=delivered_at + timedelta(hours=programme.number("shipping.receipt_call_hours")),
    )


def receipt_findings(*, received: bool, seal_intact: bool, counted_units: int, shipped_units: int) -> list[Finding]:
    """What the patient's own count says; any stop means that nothing of the parcel may be taken.

    Raises ``InvalidInput`` on ``counted_units`` when it is negative.
    """
    if counted_units < 0:
        raise InvalidInput("A count is not negative.", field="counted_units")
    if not received:
        return [NOT_RECEIVED.finding(received=False)]
    findings = []
    if not seal_intact:
        findings.append(SEAL_BROKEN.finding(seal_intact=False))
    if counted_units < shipped_units:
        findings.append(COUNT_SHORT.finding(counted_units=counted_units, shipped_units=shipped_units))
    elif counted_units > shipped_units:
        findings.append(COUNT_OVER.finding(counted_units=counted_units, shipped_units=shipped_units))
    return findings
