"""Losses and thefts: reported by whoever finds out, told to DEA by the pharmacy."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Measure, Moment, PersonalText, Revealed, page_schema
from coordinator.api.problem_schemas import FindingOut
from coordinator.api.screenings import CrisisResourceOut
from coordinator.api.stock import MOST_UNITS
from services.people.access import Action
from services.screening.written_texts import shown_to
from services.sessions import reconciliations
from services.shipping import losses
from services.shipping.losses import Discovery, Duty, ReadLoss, Whereabouts

blueprint = resource("losses", "Losses and thefts, and what the pharmacy told DEA about them.")

LONGEST_TEXT: Final = 4000


class LossIn(Schema):
    """What is missing. ``discovered_at`` starts both timers; leave ``is_theft`` false where nobody knows."""

    units = Measure(0.01, MOST_UNITS, required=True)
    what_happened = PersonalText(LONGEST_TEXT, required=True)
    discovered_at = Moment(required=True)
    is_theft = Flag(load_default=False)


class PharmacyLossIn(Schema):
    """A fill that was lost or stolen before it left. All of it counts as lost."""

    what_happened = PersonalText(LONGEST_TEXT, required=True)
    discovered_at = Moment(required=True)
    is_theft = Flag(load_default=False)


class DutyIn(Schema):
    """What was done: when (now, if left out) and under which reference."""

    reference = PersonalText(200, required=True)
    done_at = Moment(load_default=None, allow_none=True)


class LossSummaryOut(Schema):
    """A loss without its content. The two ``…_due_at`` are the law's; ``found_at``: it was there after all."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    shipment_id = fields.UUID(required=True, allow_none=True)
    fill_id = fields.UUID(required=True, allow_none=True)
    whereabouts = Choice(Whereabouts, required=True)
    is_theft = fields.Boolean(required=True)
    discovered_at = fields.AwareDateTime(required=True)
    reported_by = fields.UUID(required=True)
    reported_at = fields.AwareDateTime(required=True)
    dea_due_at = fields.AwareDateTime(required=True)
    dea_notified_at = fields.AwareDateTime(required=True, allow_none=True)
    dea_notified_by = fields.UUID(required=True, allow_none=True)
    form_106_due_at = fields.AwareDateTime(required=True)
    form_106_filed_at = fields.AwareDateTime(required=True, allow_none=True)
    form_106_filed_by = fields.UUID(required=True, allow_none=True)
    found_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class LossOut(LossSummaryOut):
    """A loss as your role sees it: what happened, what was told to DEA, and which of the two duties is late."""

    details = Revealed(fields.Dict(keys=fields.String()), required=True, allow_none=True)
    dea_reference = PersonalText(200, required=True, allow_none=True)
    form_106_reference = PersonalText(200, required=True, allow_none=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)


class ReportedLossOut(LossOut):
    """The loss. Whenever ``crisis_resources`` is not empty, show it at once and before everything else."""

    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/losses",
    action=Action.REPORT_LOSS,
    body=LossIn,
    answer=ReportedLossOut,
    status=201,
    located="/losses/{id}",
)
def report_loss(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Report units lost or stolen at home. The pharmacy notifies DEA; a prescriber decides what follows."""
    made = reconciliations.report_home_loss(call.session, call.actor, episode_id, Discovery(**body))
    shown = shown_to(call.session, call.actor, episode_id, body["what_happened"])
    return {**_shown(made), "crisis_resources": shown}


@endpoint(
    blueprint,
    "POST",
    "/fills/<uuid:fill_id>/losses",
    action=Action.RECORD_LOSS,
    body=PharmacyLossIn,
    answer=LossOut,
    status=201,
    located="/losses/{id}",
)
def report_pharmacy_loss(call: Call, body: dict[str, Any], fill_id: UUID) -> dict[str, Any]:
    """Report a fill lost or stolen before it left the pharmacy; it cannot be shipped any more."""
    return _shown(losses.report_in_pharmacy(call.session, call.actor, fill_id, Discovery(units=0, **body)))


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/losses",
    action=Action.READ_LOSS,
    query=cursors.PageIn,
    answer=page_schema(LossSummaryOut, "LossPageOut"),
)
def list_losses(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The losses of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = losses.list_losses(call.session, call.actor, episode_id, after=after and after[1], limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda row: (row.reported_at, row.id))


@endpoint(blueprint, "GET", "/losses/<uuid:loss_id>", action=Action.READ_LOSS, answer=LossOut)
def read_loss(call: Call, loss_id: UUID) -> dict[str, Any]:
    """One loss with both timers."""
    return _shown(losses.read_loss(call.session, call.actor, loss_id))


@endpoint(
    blueprint,
    "POST",
    "/losses/<uuid:loss_id>/dea-notice",
    action=Action.RECORD_LOSS,
    body=DutyIn,
    answer=LossOut,
)
def record_dea_notice(call: Call, body: dict[str, Any], loss_id: UUID) -> dict[str, Any]:
    """Put on record that DEA was notified; that timer stops."""
    return _done(call, loss_id, Duty.NOTIFY_DEA, body)


@endpoint(
    blueprint,
    "POST",
    "/losses/<uuid:loss_id>/form-106",
    action=Action.RECORD_LOSS,
    body=DutyIn,
    answer=LossOut,
)
def record_filed_form(call: Call, body: dict[str, Any], loss_id: UUID) -> dict[str, Any]:
    """Put on record that Form 106 was filed; that timer stops."""
    return _done(call, loss_id, Duty.FILE_FORM_106, body)


def _done(call: Call, loss_id: UUID, duty: Duty, body: dict[str, Any]) -> dict[str, Any]:
    return _shown(
        losses.record_duty(
            call.session, call.actor, loss_id, duty, body["reference"], at=body["done_at"], version=call.version
        )
    )


_SUMMARY: Final = tuple(LossSummaryOut().fields)


def _shown(read: ReadLoss) -> dict[str, Any]:
    return {
        **{name: getattr(read.loss, name) for name in _SUMMARY},
        "details": read.details,
        "dea_reference": read.dea_reference,
        "form_106_reference": read.form_106_reference,
        "findings": [finding.as_dict() for finding in read.findings],
    }
