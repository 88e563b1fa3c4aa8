"""Stock: where every unit is that was dispensed, what was counted, wasted and disposed of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Measure, PersonalText
from coordinator.api.problem_schemas import FindingOut
from coordinator.api.screenings import CrisisResourceOut
from services.people.access import Action
from services.screening.written_texts import shown_to
from services.sessions import ledgers
from services.sessions.ledger_rules import Movement
from services.sessions.ledgers import Attestation, Disposal, Ledger, Occasion

blueprint = resource("stock", "Stock: where every unit is that was dispensed, and what was counted.")

MOST_UNITS = 1000


class WasteIn(Schema):
    """Units that nobody will take, parts of one included, and why."""

    units = Measure(0.01, MOST_UNITS, required=True)
    reason = PersonalText(1000, required=True)


class CountIn(Schema):
    """Units counted at home, or brought along: all that are there, damaged ones too."""

    units = Measure(0, MOST_UNITS, required=True)
    occasion = Choice(Occasion, load_default=Occasion.HOME)


class DisposalIn(Schema):
    """Leftovers disposed of: how many, how, and before whom. A patient cannot give them back to the pharmacy."""

    units = Measure(0.01, MOST_UNITS, required=True)
    method = Choice(Disposal, required=True)
    witness = PersonalText(200, required=True)
    attested = Flag(required=True)
    reason = PersonalText(1000, required=True)


class EntryOut(Schema):
    """One movement of the ledger."""

    movement = Choice(Movement, required=True)
    units = fields.Float(required=True)
    at = fields.AwareDateTime(required=True)


class LedgerOut(Schema):
    """All units of the episode: dispensed = in_transit + at_home + held + taken + wasted + returned + lost.

    ``held`` ones are at home and must not be taken. ``counted`` is null when nobody counted since anything changed
    there; ``findings`` tell that it is not what must be there. ``entries`` are in the order of their time.
    """

    dispensed = fields.Float(required=True)
    in_transit = fields.Float(required=True)
    at_home = fields.Float(required=True)
    held = fields.Float(required=True)
    taken = fields.Float(required=True)
    wasted = fields.Float(required=True)
    returned = fields.Float(required=True)
    lost = fields.Float(required=True)
    remaining_expected = fields.Float(required=True)
    remaining_reported = fields.Float(required=True, allow_none=True)
    counted = fields.Float(required=True, allow_none=True)
    counted_at = fields.AwareDateTime(required=True, allow_none=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)
    entries = fields.List(fields.Nested(EntryOut), required=True)


class WasteOut(LedgerOut):
    """The ledger after it. Whenever ``crisis_resources`` is not empty, show it at once and before everything else."""

    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)


@endpoint(blueprint, "GET", "/episodes/<uuid:episode_id>/stock", action=Action.READ_STOCK, answer=LedgerOut)
def read_ledger(call: Call, episode_id: UUID) -> dict[str, Any]:
    """The ledger, which always balances: its entries and what they add up to."""
    return _shown(ledgers.read_ledger(call.session, call.actor, episode_id))


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
    """Put units on record that were spoilt or spat out. What was lost or stolen is reported as a loss."""
    after = ledgers.record_waste(call.session, call.actor, episode_id, body["units"], body["reason"])
    return {**_shown(after), "crisis_resources": shown_to(call.session, call.actor, episode_id, body["reason"])}


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/stock/counts",
    action=Action.RECORD_STOCK,
    body=CountIn,
    answer=LedgerOut,
    status=201,
)
def record_count(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Put on record how many units were counted. Another number than the ledger's raises a diversion review."""
    return _shown(ledgers.record_count(call.session, call.actor, episode_id, body["units"], body["occasion"]))


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/stock/disposals",
    action=Action.RECORD_STOCK,
    body=DisposalIn,
    answer=WasteOut,
    status=201,
)
def record_disposal(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Attest that leftovers were disposed of, before a witness."""
    units = body.pop("units")
    after = ledgers.record_disposal(call.session, call.actor, episode_id, units, Attestation(**body))
    return {**_shown(after), "crisis_resources": shown_to(call.session, call.actor, episode_id, body["reason"])}


_PLACES = ("dispensed", "in_transit", "at_home", "held", "taken", "wasted", "returned", "lost")


def _shown(ledger: Ledger) -> dict[str, Any]:
    return {
        **{name: float(getattr(ledger.balance, name)) for name in _PLACES},
        "remaining_expected": ledger.remaining_expected,
        "remaining_reported": ledger.remaining_reported,
        "counted": None if ledger.counted is None else float(ledger.counted),
        "counted_at": ledger.counted_at,
        "findings": [finding.as_dict() for finding in ledger.count_findings],
        "entries": [{"movement": each.movement, "units": float(each.units), "at": each.at} for each in ledger.entries],
    }
