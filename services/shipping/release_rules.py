"""Rules before a parcel leaves and after it arrived: release, signature on delivery, receipt, losses (DOMAIN 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """What is known when the pharmacy wants to ship.

    ``risk_signed_off`` is false while an urgent suicide-risk task waits for a clinician. ``refill_undecided`` is true
    when the fill belongs to a refill request that nobody approved.
    """

    prescription_signed: bool
    fill_recorded: bool
    has_therapist: bool
    risk_signed_off: bool
    refill_undecided: bool = False


def release_findings(facts: ReleaseFacts) -> list[Finding]:
    """Every condition for shipping that is not met."""
    conditions = (
        ("not_signed", facts.prescription_signed, "21 CFR 1306.04", "Nothing ships without a signed prescription."),
        ("not_filled", facts.fill_recorded, "21 CFR 1306.22", "Record the fill before shipping it."),
        ("no_therapist", facts.has_therapist, "DOMAIN 3.1", "Without a therapist of record nothing ships."),
        ("risk_open", facts.risk_signed_off, "DOMAIN 2.2", "A clinician must sign off the suicide risk first."),
        ("refill_undecided", not facts.refill_undecided, "DOMAIN 4", "The refill request has not been approved."),
    )
    return [_stop(name, source, sentence) for name, met, source, sentence in conditions if not met]


def required_confirmation(carrier: str, programme: Programme) -> str:
    """EasyPost's ``delivery_confirmation`` for a carrier: an adult's signature, in the postal service's own word."""
    name = "usps" if carrier.strip().casefold() == "usps" else "default"
    return programme.text(f"shipping.confirmation_{name}")


def confirmation_findings(carrier: str, confirmation: str | None, programme: Programme) -> list[Finding]:
    """Why a parcel may not go with this ``delivery_confirmation``; empty when it is the required one."""
    required = required_confirmation(carrier, programme)
    if confirmation == required:
        return []
    refused = confirmation is not None and confirmation in programme.choices("shipping.confirmations_refused")
    return [
        Finding(
            rule="shipping.confirmation_refused" if refused else "shipping.confirmation_other",
            severity=Severity.STOP,
            source="DOMAIN 8",
            sentence=f"This carrier must deliver with {required}: an adult signs for the parcel.",
            setting="shipping.confirmations_refused" if refused else "shipping.confirmation_default",
            value=required,
        )
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
        return [_stop("not_received", "DOMAIN 8", "The patient did not receive the parcel: treat it as lost.")]
    findings = []
    if not seal_intact:
        sentence = "The seal was broken: do not take what is in the parcel; pharmacy and prescriber decide."
        findings.append(_stop("seal_broken", "DOMAIN 8", sentence))
    if counted_units < shipped_units:
        sentence = "Fewer units arrived than were shipped: do not take any; pharmacy and prescriber decide."
        findings.append(_stop("count_short", "DOMAIN 8", sentence))
    elif counted_units > shipped_units:
        sentence = "More units were counted than shipped: the pharmacy checks its record."
        findings.append(Finding("shipping.count_over", Severity.REVIEW, "DOMAIN 8", sentence))
    return findings


def diversion_findings(losses: int, programme: Programme) -> list[Finding]:
    """A review when a patient's parcels, ``losses`` of them counting the latest, were lost more often than once."""
    setting = "shipping.losses_before_diversion_review"
    if losses < programme.whole(setting):
        return []
    sentence = "This is not the first parcel lost: review for diversion before anything is replaced."
    return [
        Finding(
            rule="shipping.diversion_review",
            severity=Severity.REVIEW,
            source="DOMAIN 8",
            sentence=sentence,
            setting=setting,
            value=programme.whole(setting),
            inputs={"losses": losses},
        )
    ]


def _stop(name: str, source: str, sentence: str) -> Finding:
    return Finding(rule=f"shipping.{name}", severity=Severity.STOP, source=source, sentence=sentence)
