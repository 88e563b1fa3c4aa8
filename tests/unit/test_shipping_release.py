"""What must hold before a parcel leaves, and what the patient's own count means."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.core.errors import InvalidInput
from services.core.findings import Severity
from services.core.programme import programme
from services.shipping.release_rules import (
    ReleaseFacts,
    confirmation_findings,
    day_findings,
    receipt_findings,
    receipt_times,
    release_findings,
    required_confirmation,
)


def release(**changes: bool) -> list[str]:
    facts = {
        "prescription_signed": True,
        "fill_recorded": True,
        "eligible": True,
        "has_therapist": True,
        "risk_signed_off": True,
    }
    return [finding.rule for finding in release_findings(ReleaseFacts(**{**facts, **changes}))]


def test_what_was_filled_in_time_leaves_on_the_last_day_and_not_after_it() -> None:
    last_day = date(2026, 8, 28)
    assert day_findings(last_day, last_day) == []
    assert day_findings(last_day, None) == []
    (finding,) = day_findings(last_day + timedelta(days=1), last_day)
    assert (finding.rule, finding.severity) == ("shipping.prescription_over", Severity.STOP)


def test_a_filled_prescription_of_a_patient_in_therapy_ships() -> None:
    assert release() == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"prescription_signed": False}, "shipping.not_signed"),
        ({"fill_recorded": False}, "shipping.not_filled"),
        ({"eligible": False}, "shipping.not_eligible"),
        ({"has_therapist": False}, "shipping.no_therapist"),
        ({"risk_signed_off": False}, "shipping.risk_open"),
        ({"refill_undecided": True}, "shipping.refill_undecided"),
        ({"given_in_clinic": True}, "shipping.given_in_clinic"),
        ({"diversion_open": True}, "shipping.diversion_review_open"),
    ],
)
def test_each_condition_for_shipping_is_named(change: dict[str, bool], rule: str) -> None:
    assert release(**change) == [rule]


@pytest.mark.parametrize(
    ("carrier", "confirmation", "rule"),
    [
        ("UPS", "ADULT_SIGNATURE", None),
        ("FedEx", "ADULT_SIGNATURE", None),
        ("USPS", "ADULT_SIGNATURE_RESTRICTED", None),
        (" usps ", "ADULT_SIGNATURE_RESTRICTED", None),
        ("USPS", "ADULT_SIGNATURE", "shipping.confirmation_other"),
        ("UPS", "SIGNATURE", "shipping.confirmation_other"),
        ("UPS", "adult_signature", "shipping.confirmation_other"),
        ("UPS", "", "shipping.confirmation_other"),
        ("UPS", None, "shipping.confirmation_other"),
        ("UPS", "NO_SIGNATURE", "shipping.confirmation_refused"),
        ("USPS", "INDIRECT_SIGNATURE", "shipping.confirmation_refused"),
    ],
)
def test_an_adult_signs_for_every_parcel(carrier: str, confirmation: str | None, rule: str | None) -> None:
    found = confirmation_findings(carrier, confirmation, programme())
    assert [finding.rule for finding in found] == ([rule] if rule else [])
    assert all(finding.severity is Severity.STOP for finding in found)


def test_the_postal_service_has_its_own_word() -> None:
    assert required_confirmation("USPS", programme()) == "ADULT_SIGNATURE_RESTRICTED"
    assert required_confirmation("UPS", programme()) == "ADULT_SIGNATURE"


def test_an_unconfirmed_delivery_is_followed_up_after_a_day_and_after_two() -> None:
    delivered_at = datetime(2026, 11, 20, 15, tzinfo=UTC)
    times = receipt_times(delivered_at, programme())
    assert (times.remind_at, times.call_at) == (delivered_at + timedelta(hours=24), delivered_at + timedelta(hours=48))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"received": False, "counted_units": 0}, ["shipping.not_received"]),
        ({"seal_intact": False}, ["shipping.seal_broken"]),
        ({"counted_units": 7}, ["shipping.count_short"]),
        ({"counted_units": 9}, ["shipping.count_over"]),
        ({"seal_intact": False, "counted_units": 7}, ["shipping.seal_broken", "shipping.count_short"]),
    ],
)
def test_the_patients_count_is_taken_at_its_word(change: dict[str, Any], expected: list[str]) -> None:
    facts = {"received": True, "seal_intact": True, "counted_units": 8, "shipped_units": 8, **change}
    found = receipt_findings(**facts)
    assert [finding.rule for finding in found] == expected
    assert all((finding.severity is Severity.REVIEW) is (finding.rule == "shipping.count_over") for finding in found)


def test_a_negative_count_names_its_field() -> None:
    with pytest.raises(InvalidInput) as refusal:
        receipt_findings(received=True, seal_intact=True, counted_units=-1, shipped_units=8)
    assert refusal.value.field == "counted_units"
