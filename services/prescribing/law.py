"""What federal law fixes about ketamine prescriptions (DOMAIN 5). Data, not settings: no clinic may loosen these.

A programme may be stricter; rules always take the stricter of the two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """The limits of one schedule of controlled substances, with the section each comes from."""

    schedule: str
    schedule_source: str
    refills_at_most: int
    months_to_fill: int
    refill_source: str
    partial_fill_source: str


SCHEDULE_III = ScheduleFacts(
    schedule="III",
    schedule_source="21 CFR 1308.13",
    refills_at_most=5,
    months_to_fill=6,
    refill_source="21 CFR 1306.22",
    partial_fill_source="21 CFR 1306.23",
)
"""Ketamine's schedule. A partial fill is recorded like a refill and is not one."""

REQUIRED_FIELDS_SOURCE = "21 CFR 1306.05"

SIGNING_STATEMENT = (
    "By completing the two-factor authentication protocol at this time, you are legally signing the prescription(s) "
    "and authorizing the transmission of the above information to the pharmacy for dispensing. The two-factor "
    "authentication protocol may only be completed by the practitioner whose name and DEA registration number appear "
    "above."
)
"""Shown, word for word, beside the prescription before the second factor is asked for."""

SIGNING_STATEMENT_SOURCE = "21 CFR 1311.140(a)(3)"
