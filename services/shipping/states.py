"""How a parcel moves, how its tracker is registered, and how its receipt is settled.

A parcel's state is its stage. Which stage a carrier's report means is a question for ``rules.py``; the table here says
that reports move only what has not ended, and that a person alone moves a delivered parcel to returned or lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from services.core.actors import Role
from services.core.states import Transitions, by
from services.shipping.statuses import TERMINAL, Stage


class ShipmentStep(StrEnum):
    """What moves a parcel: the carrier's report of a stage (or its silence), or a person."""

    REPORT_UNKNOWN = "report_unknown"
    REPORT_PRE_TRANSIT = "report_pre_transit"
    REPORT_IN_TRANSIT = "report_in_transit"
    REPORT_OUT_FOR_DELIVERY = "report_out_for_delivery"
    REPORT_AVAILABLE_FOR_PICKUP = "report_available_for_pickup"
    REPORT_DELAYED = "report_delayed"
    REPORT_ADDRESS_PROBLEM = "report_address_problem"
    REPORT_DAMAGED = "report_damaged"
    REPORT_FAILED = "report_failed"
    REPORT_CANCELLED = "report_cancelled"
    REPORT_LOST = "report_lost"
    REPORT_RETURNED = "report_returned"
    REPORT_DELIVERED = "report_delivered"
    MARK_RETURNED = "mark_returned"
    MARK_LOST = "mark_lost"


REPORTS: Final[Mapping[Stage, ShipmentStep]] = MappingProxyType(
    {stage: ShipmentStep(f"report_{stage}") for stage in Stage if stage is not Stage.REGISTERED}
)
"""The step that a report of each stage takes."""

PERSON_STEPS: Final[Mapping[ShipmentStep, Stage]] = MappingProxyType(
    {ShipmentStep.MARK_RETURNED: Stage.RETURNED, ShipmentStep.MARK_LOST: Stage.LOST}
)
"""What a pharmacist establishes, with a reason."""

_UNDER_WAY = [stage for stage in Stage if stage not in TERMINAL]

SHIPMENT_TRANSITIONS: Final = Transitions(
    "shipment",
    {
        (before, step): (after, by(Role.SYSTEM))
        for before in _UNDER_WAY
        for after, step in REPORTS.items()
        if after is not before
    }
    | {
        (before, step): (after, by(Role.PHARMACIST))
        for before in (*_UNDER_WAY, Stage.DELIVERED)
        for step, after in PERSON_STEPS.items()
    },
)


class TrackerState(StrEnum):
    """How far a parcel's registration at the carrier service got. ``asking``: a request is, or was, under way."""

    PENDING = "pending"
    ASKING = "asking"
    UNKNOWN = "unknown"
    REGISTERED = "registered"
    REFUSED = "refused"


class TrackerStep(StrEnum):
    """What moves a registration."""

    ASK = "ask"
    REGISTER = "register"
    LOSE = "lose"
    POSTPONE = "postpone"
    REFUSE = "refuse"


_SYSTEM = by(Role.SYSTEM)
_S, _T = TrackerState, TrackerStep

TRACKER_TRANSITIONS: Final = Transitions(
    "tracker",
    {
        (_S.PENDING, _T.ASK): (_S.ASKING, _SYSTEM),
        (_S.UNKNOWN, _T.ASK): (_S.ASKING, _SYSTEM),
        # The process that asked was cut off; whether the request arrived is looked up first.
        (_S.ASKING, _T.ASK): (_S.ASKING, _SYSTEM),
        (_S.ASKING, _T.REGISTER): (_S.REGISTERED, _SYSTEM),
        (_S.ASKING, _T.LOSE): (_S.UNKNOWN, _SYSTEM),
        (_S.ASKING, _T.POSTPONE): (_S.PENDING, _SYSTEM),
        (_S.ASKING, _T.REFUSE): (_S.REFUSED, _SYSTEM),
    },
)


class DiversionState(StrEnum):
    """Where a diversion review stands. While it is open nothing is dosed, shipped or refilled."""

    OPEN = "open"
    RESOLVED = "resolved"


class DiversionStep(StrEnum):
    """What ends a diversion review."""

    RESOLVE = "resolve"


DIVERSION_TRANSITIONS: Final = Transitions(
    "diversion review",
    {(DiversionState.OPEN, DiversionStep.RESOLVE): (DiversionState.RESOLVED, by(Role.PRESCRIBER))},
)


class ReceiptState(StrEnum):
    """What is known of a parcel's receipt. Only ``confirmed`` lets a dosing session begin."""

    AWAITED = "awaited"
    CONFIRMED = "confirmed"
    DISPUTED = "disputed"


class ReceiptStep(StrEnum):
    """What settles a receipt."""

    CONFIRM = "confirm"
    DISPUTE = "dispute"
    RESOLVE = "resolve"


RECEIPT_TRANSITIONS: Final = Transitions(
    "receipt",
    {
        (ReceiptState.AWAITED, ReceiptStep.CONFIRM): (ReceiptState.CONFIRMED, by(Role.PATIENT)),
        (ReceiptState.AWAITED, ReceiptStep.DISPUTE): (ReceiptState.DISPUTED, by(Role.PATIENT)),
        # A miscount or a mistyped text: the pharmacy speaks with the patient and puts the right answer on record.
        (ReceiptState.DISPUTED, ReceiptStep.RESOLVE): (ReceiptState.CONFIRMED, by(Role.PHARMACIST)),
    },
)
