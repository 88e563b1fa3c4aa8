"""The ledger of units as double entry: every movement takes units out of one place and puts them into another.

So it balances by construction: what was dispensed = in transit + at home + taken + wasted + returned + lost. Units are
lozenges or tablets and their parts, reckoned as fractions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from services.core.findings import Finding, Severity
from services.core.rules import declare

# Nobody tells parts of a unit apart more finely than this.
SMALLEST_PART: Final = 100


def part(units: float | Fraction) -> Fraction:
    """Units as the ledger reckons them."""
    return Fraction(units).limit_denominator(SMALLEST_PART)


class Place(StrEnum):
    """Where units are. ``held`` ones are at home and must not be taken: damaged, or their number was disputed."""

    OUTSIDE = "outside"
    IN_TRANSIT = "in_transit"
    AT_HOME = "at_home"
    HELD = "held"
    TAKEN = "taken"
    WASTED = "wasted"
    RETURNED = "returned"
    LOST = "lost"


class Movement(StrEnum):
    """What moves units. A fill that was handed out is in transit until the patient confirms its receipt."""

    DISPENSED = "dispensed"
    RECEIVED = "received"
    RECEIVED_HELD = "received_held"
    RETURNED = "returned"
    LOST_ON_THE_WAY = "lost_on_the_way"
    LOST_AT_HOME = "lost_at_home"
    LOST_OF_RETURN = "lost_of_return"
    TAKEN = "taken"
    WASTED = "wasted"
    DISPOSED = "disposed"
    FOUND = "found"
    FOUND_HELD = "found_held"
    FOUND_OF_RETURN = "found_of_return"


_P = Place

MOVES: Final[Mapping[Movement, tuple[tuple[Place, ...], Place]]] = MappingProxyType(
    {
        Movement.DISPENSED: ((), _P.IN_TRANSIT),
        Movement.RECEIVED: ((_P.IN_TRANSIT,), _P.AT_HOME),
        Movement.RECEIVED_HELD: ((_P.IN_TRANSIT,), _P.HELD),
        Movement.RETURNED: ((_P.IN_TRANSIT, _P.HELD), _P.RETURNED),
        Movement.LOST_ON_THE_WAY: ((_P.IN_TRANSIT, _P.HELD), _P.LOST),
        Movement.LOST_AT_HOME: ((_P.AT_HOME, _P.HELD, _P.IN_TRANSIT), _P.LOST),
        Movement.LOST_OF_RETURN: ((_P.RETURNED,), _P.LOST),
        Movement.TAKEN: ((_P.AT_HOME, _P.HELD, _P.IN_TRANSIT), _P.TAKEN),
        Movement.WASTED: ((_P.AT_HOME, _P.HELD, _P.IN_TRANSIT), _P.WASTED),
        # What must not be taken is what is disposed of first.
        Movement.DISPOSED: ((_P.HELD, _P.AT_HOME, _P.IN_TRANSIT), _P.WASTED),
        Movement.FOUND: ((_P.LOST,), _P.AT_HOME),
        Movement.FOUND_HELD: ((_P.LOST,), _P.HELD),
        Movement.FOUND_OF_RETURN: ((_P.LOST,), _P.RETURNED),
    }
)
"""From which places, in this order, each movement takes units, and where it puts them.

What those places do not hold comes from outside: it counts as dispensed too. A find beyond what was lost was more than
the pharmacy had recorded; anything else of that kind is ``overdrawn`` and must not be.
"""

_FINDS: Final = frozenset({Movement.FOUND, Movement.FOUND_HELD, Movement.FOUND_OF_RETURN})
_OF_A_PARCEL: Final = frozenset(
    {Movement.RECEIVED, Movement.RECEIVED_HELD, Movement.RETURNED, Movement.LOST_ON_THE_WAY}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of ``units`` at a moment (aware)."""

    movement: Movement
    units: Fraction
    at: datetime

    def __repr__(self) -> str:
        return f"<{self.movement.value}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Where all units are. ``at_home`` may be taken, ``held`` not; ``overdrawn`` was used and never dispensed."""

    dispensed: Fraction = Fraction()
    in_transit: Fraction = Fraction()
    at_home: Fraction = Fraction()
    held: Fraction = Fraction()
    taken: Fraction = Fraction()
    wasted: Fraction = Fraction()
    returned: Fraction = Fraction()
    lost: Fraction = Fraction()
    overdrawn: Fraction = Fraction()

    @property
    def in_the_house(self) -> Fraction:
        """What somebody who counts at home must find."""
        return self.at_home + self.held

    @property
    def remaining(self) -> Fraction:
        """What the patient has or will get."""
        return self.in_transit + self.at_home + self.held

    def __repr__(self) -> str:
        return "<balance>"


def _in_order(entry: Entry) -> tuple[bool, bool, datetime]:
    """Where a parcel is now stands before what was taken of it, whenever either was put on record."""
    return entry.movement is not Movement.DISPENSED, entry.movement not in _OF_A_PARCEL, entry.at


def balance(entries: Iterable[Entry]) -> Balance:
    """Where all units are after ``entries``, in whatever order they are given."""
    places = dict.fromkeys(Place, Fraction())
    overdrawn = Fraction()
    for entry in sorted(entries, key=_in_order):
        sources, target = MOVES[entry.movement]
        left = entry.units
        for source in sources:
            moved = min(left, places[source])
            places[source] -= moved
            left -= moved
        if entry.movement not in _FINDS and entry.movement is not Movement.DISPENSED:
            overdrawn += left
        places[Place.OUTSIDE] -= left
        places[target] += entry.units
    return Balance(
        dispensed=-places[Place.OUTSIDE],
        in_transit=places[Place.IN_TRANSIT],
        at_home=places[Place.AT_HOME],
        held=places[Place.HELD],
        taken=places[Place.TAKEN],
        wasted=places[Place.WASTED],
        returned=places[Place.RETURNED],
        lost=places[Place.LOST],
        overdrawn=overdrawn,
    )


_COUNTS: Final = "The ledger says how many there are."
COUNT_OFF = declare(
    "sessions.count_off",
    Severity.REVIEW,
    "DOMAIN 4",
    "What was counted is not what must be there by the ledger: a prescriber reviews it for diversion.",
    fixed=_COUNTS,
)
RECEIPT_FIRST = declare(
    "sessions.receipt_first",
    Severity.STOP,
    "DOMAIN 8",
    "A parcel was delivered and nobody confirmed it: confirm its receipt, then count.",
    fixed=_COUNTS,
)
WASTE_OVER_STOCK = declare(
    "sessions.waste_over_stock", Severity.STOP, "DOMAIN 4", "So many units are not left.", fixed=_COUNTS
)
LOSS_OVER_STOCK = declare(
    "sessions.loss_over_stock", Severity.STOP, "DOMAIN 4", "So many units are not at home.", fixed=_COUNTS
)
ATTESTATION_NEEDED = declare(
    "sessions.attestation_needed",
    Severity.STOP,
    "DOMAIN 5",
    "A disposal is attested, before a named witness.",
    fixed="The law lets a patient give nothing back.",
)
DIVERSION_OPEN = declare(
    "sessions.diversion_review_open",
    Severity.STOP,
    "DOMAIN 4, DOMAIN 8",
    "Units are missing or too many: nothing is taken before a prescriber ended the review.",
    fixed=_COUNTS,
)
RESOLUTION_DOES_NOT_FIT = declare(
    "sessions.resolution_does_not_fit",
    Severity.STOP,
    "DOMAIN 4",
    "Missing units are lost or wasted, surplus ones found; a miscount needs a count that agrees.",
    fixed=_COUNTS,
)


def count_findings(expected: Fraction, counted: Fraction) -> list[Finding]:
    """A review when ``counted`` units are not the ``expected`` ones."""
    if expected == counted:
        return []
    return [COUNT_OFF.finding(expected_units=float(expected), counted_units=float(counted))]
