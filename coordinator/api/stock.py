"""Stock: what was dispensed, taken, wasted and is left at the patient's home."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Measure, PersonalText
from coordinator.api.screenings import CrisisResourceOut
from services.people.access import Action
from services.screening.written_texts import shown_to
from services.sessions import ledgers
from services.sessions.ledgers import Ledger

blueprint = resource("stock", "Stock: what was dispensed, taken, wasted and is left.")

MOST_UNITS = 1000


class WasteIn(Schema):
    """Units that nobody will take, parts of one included, and why."""

    units = Measure(0.01, MOST_UNITS, required=True)
    reason = PersonalText(1000, required=True)


class CountIn(Schema):
    """Units counted at home."""

    units = Measure(0, MOST_UNITS, required=True)


class LedgerOut(Schema):
    """All units of the episode. ``remaining_reported`` is null when nobody counted since the last dose or waste."""

    dispensed = fields.Float(required=True)
    taken = fields.Float(required=True)
    wasted = fields.Float(required=True)
    remaining_expected = fields.Float(required=True)
    remaining_reported = fields.Float(required=True, allow_none=True)
    counted_at = fields.AwareDateTime(required=True, allow_none=True)


class WasteOut(LedgerOut):
    """The ledger after it. Whenever ``crisis_resources`` is not empty, show it at once and before everything else."""

    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)


@endpoint(blueprint, "GET", "/episodes/<uuid:episode_id>/stock", action=Action.READ_STOCK, answer=LedgerOut)
def read_ledger(call: Call, episode_id: UUID) -> Ledger:
    """The ledger: dispensed = taken + wasted + what is left."""
    return ledgers.read_ledger(call.session, call.actor, episode_id)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/stock/wastes",
    action=Action.RECORD_STOCK,
    body=WasteIn,
    answer=WasteOut,
    status=201,
)
def record_waste(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Put units on record that were spoilt, lost or disposed of."""
    after = ledgers.record_waste(call.session, call.actor, episode_id, body["units"], body["reason"])
    return {
        **{name: getattr(after, name) for name in LedgerOut().fields},
        "crisis_resources": shown_to(call.session, call.actor, episode_id, body["reason"]),
    }


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/stock/counts",
    action=Action.RECORD_STOCK,
    body=CountIn,
    answer=LedgerOut,
    status=201,
)
def record_count(call: Call, body: dict[str, Any], episode_id: UUID) -> Ledger:
    """Put on record how many units were counted at home."""
    return ledgers.record_count(call.session, call.actor, episode_id, body["units"])
