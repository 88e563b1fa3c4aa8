"""Medicine that the patient brings along: who carried it, sealed, counted before and after (DOMAIN 1 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.sessions.places import Site

TRANSPORT_MISSING: Final = declare(
    "sessions.transport_missing",
    Severity.STOP,
    "DOMAIN 1",
    "It is not on record who brought the medicine, and how many units.",
    setting="sessions.transport_sites",
)
TRANSPORT_UNSEALED: Final = declare(
    "sessions.transport_unsealed",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 8",
    "The medicine was not brought in a sealed container; do not take it, ask pharmacy and prescriber.",
    setting="sessions.transport_sites",
)
ARRIVAL_UNCOUNTED: Final = declare(
    "sessions.arrival_uncounted",
    Severity.STOP,
    "DOMAIN 1",
    "Count the units that arrived.",
    setting="sessions.transport_sites",
)
ARRIVAL_COUNT_DIFFERS: Final = declare(
    "sessions.arrival_count_differs",
    Severity.STOP,
    "DOMAIN 1, DOMAIN 4",
    "The units that arrived are not those that must be there; take nothing. The medical team reviews it.",
    setting="sessions.transport_sites",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """How the medicine travelled: sealed or not, units brought and units left at home."""

    sealed: bool
    units: Fraction
    left_at_home: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The count on arrival, and what by the ledger was the patient's to have just then."""

    units: Fraction
    expected_in_all: Fraction


def is_brought(site: Site, is_shipped: bool, programme: Programme) -> bool:
    """Whether the patient brings the medicine to a session: shipped home, and taken where the programme says so."""
    return is_shipped and site.value in programme.choices("sessions.transport_sites")


def transport_findings(carried: Carried | None, arrived: Arrived | None, programme: Programme) -> list[Finding]:
    """Why what was brought is not taken. Asked only where ``is_brought``."""
    if carried is None:
        return [TRANSPORT_MISSING.finding(programme, carried=None)]
    findings = [] if carried.sealed else [TRANSPORT_UNSEALED.finding(programme, sealed=False)]
    if arrived is None:
        return [*findings, ARRIVAL_UNCOUNTED.finding(programme, arrived=None)]
    in_all = arrived.units + carried.left_at_home
    if arrived.units != carried.units or in_all != arrived.expected_in_all:
        differs = ARRIVAL_COUNT_DIFFERS.finding(
            programme,
            carried=float(carried.units),
            arrived=float(arrived.units),
            left_at_home=float(carried.left_at_home),
            expected_in_all=float(arrived.expected_in_all),
        )
        findings.append(differs)
    return findings
