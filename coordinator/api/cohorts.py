"""Outcomes for the programme: what became of the patients of a medical team, in counts of many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Text, WholeText
from services.outcomes.cohort_reports import cohort_report, scope_of_team
from services.people.access import Action

blueprint = resource("cohorts", "Outcomes for the programme: what became of a medical team's patients, in counts.")


class CohortIn(Schema):
    """Which programme (by default the team's own) and which year of first doses (over; by default the last one)."""

    programme = Text(30, pattern=r"^[a-z][a-z0-9_]{0,29}$")
    year = WholeText(2000, 2199)


class RateOut(Schema):
    """``count`` of the ``of`` patients assessed, in percent with a confidence interval; null where too few to tell."""

    count = fields.Integer(required=True, allow_none=True)
    of = fields.Integer(required=True, allow_none=True)
    percent = fields.Float(required=True, allow_none=True)
    low = fields.Float(required=True, allow_none=True)
    high = fields.Float(required=True, allow_none=True)


class NamedRateOut(RateOut):
    """A rate by the table, row and name of its count."""

    table = fields.String(required=True)
    row = fields.String(required=True)
    name = fields.String(required=True)


class FigureOut(RateOut):
    """A published figure with ours beside it. ``assessed``: whether any patient was."""

    id = fields.String(required=True)
    says = fields.String(required=True)
    published_low = fields.Float(required=True)
    published_high = fields.Float(required=True)
    source = fields.String(required=True)
    assessed = fields.Boolean(required=True)


class MethodOut(Schema):
    """How it was counted."""

    interval = fields.String(required=True)
    confidence_percent = fields.Float(required=True)
    follow_up_days = fields.Integer(required=True)
    small_cells_up_to = fields.Integer(required=True)
    patients = fields.String(required=True)


class CohortOut(Schema):
    """A cohort. ``tables``: patients by table, row (indication or ``all``) and name; null is left out.

    Cells of few people are left out, and as many others as it takes that they cannot be reckoned. ``first_dose_days``:
    quartiles of the days from referral to first dose. ``message`` says so when there is nobody.
    """

    programme = fields.String(required=True)
    programme_version = fields.String(required=True)
    first_year = fields.Integer(required=True)
    last_year = fields.Integer(required=True)
    medical_team = fields.String(required=True, allow_none=True)
    method = fields.Nested(MethodOut, required=True)
    message = fields.String(required=True, allow_none=True)
    figures = fields.List(fields.Nested(FigureOut), required=True)
    tables = fields.Dict(keys=fields.String(), required=True)
    rates = fields.List(fields.Nested(NamedRateOut), required=True)
    first_dose_days = fields.Dict(keys=fields.String(), required=True)


@endpoint(
    blueprint,
    "GET",
    "/medical-teams/<uuid:team_id>/cohort-report",
    action=Action.READ_COHORT,
    query=CohortIn,
    answer=CohortOut,
)
def read_cohort(call: Call, query: dict[str, Any], team_id: UUID) -> dict[str, Any]:
    """The outcomes of the patients whose first dose lies in the year asked for, beside the published figures."""
    return cohort_report(call.session, call.actor, scope_of_team(call.session, team_id, **query))
