"""Outcomes: scores and summaries that the therapist reports. The pharmacy never sees them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Id, Moment, PersonalText, Whole, page_schema
from coordinator.api.screenings import CrisisResourceOut
from services.outcomes import reports
from services.outcomes.reports import ReadReport, Report, Scale
from services.people.access import Action
from services.screening.instruments import Instrument, Kind, RiskLevel, get
from services.screening.scoring import OutcomeClass

blueprint = resource("outcomes", "Outcomes: scores and summaries, held against the time before the first dose.")

LONGEST_SUMMARY = 10_000


def _form(instrument: Instrument) -> type[Schema]:
    """The answers to an instrument: its items with their ranges, null or absent for not answered."""
    items: dict[str, fields.Field[Any]] = {}
    for item in instrument.items:
        if item.kind is Kind.YES_NO:
            items[item.id] = Flag(allow_none=True)
        else:
            items[item.id] = Whole(item.low, item.high, allow_none=True)
    return Schema.from_dict(dict(items), name=f"Reported{instrument.id.title().replace('_', '')}In")


_FORMS: Final[dict[str, fields.Field[Any]]] = {scale.value: fields.Nested(_form(get(scale))) for scale in Scale}
ReportedAnswersIn = Schema.from_dict(dict(_FORMS), name="ReportedAnswersIn")


class OutcomeIn(Schema):
    """A report: answers, a summary, or both. ``answered_at`` is when the patient gave the answers, by default now."""

    answers = fields.Nested(ReportedAnswersIn, load_default=dict)
    summary = PersonalText(LONGEST_SUMMARY, load_default=None, allow_none=True)
    session_id = Id(load_default=None, allow_none=True)
    answered_at = Moment(load_default=None, allow_none=True)


class ScaleOut(Schema):
    """What one scale gave. ``outcome`` compares ``total`` with ``baseline``, the last one before the first dose.

    Without a ``total`` ``unscorable_because`` says why; the C-SSRS has none by design.
    """

    scale = Choice(Scale, required=True)
    instrument_version = fields.String(required=True)
    total = fields.Integer(required=True, allow_none=True)
    band = fields.String(required=True, allow_none=True)
    prorated = fields.Boolean(required=True)
    missing = fields.List(fields.String(), required=True)
    unscorable_because = fields.String(required=True, allow_none=True)
    answers = fields.Dict(keys=fields.String(), required=True)
    trace = fields.Dict(keys=fields.String(), required=True)
    baseline = fields.Integer(required=True, allow_none=True)
    baseline_answered_at = fields.String(required=True, allow_none=True)
    outcome = Choice(OutcomeClass, required=True, allow_none=True)


class OutcomeOut(Schema):
    """A report. Whenever ``crisis_resources`` is not empty, show it at once and before everything else.

    ``cssrs_due_today``: a C-SSRS must be answered before the day ends.
    """

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    session_id = fields.UUID(required=True, allow_none=True)
    scales = fields.List(fields.Nested(ScaleOut), required=True)
    cssrs_level = Choice(RiskLevel, required=True, allow_none=True)
    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)
    cssrs_due_today = fields.Boolean(required=True)
    summary = PersonalText(LONGEST_SUMMARY, required=True, allow_none=True)
    programme_version = fields.String(required=True)
    answered_at = fields.AwareDateTime(required=True)
    reported_by = fields.UUID(required=True)
    reported_at = fields.AwareDateTime(required=True)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/outcomes",
    action=Action.REPORT_OUTCOME,
    body=OutcomeIn,
    answer=OutcomeOut,
    status=201,
    located="/outcomes/{id}",
)
def report_outcome(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Report scores, a summary, or both. A suicide risk in the answers alerts the care team at once."""
    answers = {Scale(name): given for name, given in body.pop("answers").items()}
    return _shown(reports.report_outcome(call.session, call.actor, episode_id, Report(answers=answers, **body)))


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/outcomes",
    action=Action.READ_OUTCOME,
    query=cursors.PageIn,
    answer=page_schema(OutcomeOut, "OutcomePageOut"),
)
def list_outcomes(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The reports of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = reports.list_reports(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    page = cursors.page(found, query["limit"], lambda read: (read.report.reported_at, read.report.id))
    return {**page, "items": [_shown(read) for read in page["items"]]}


@endpoint(blueprint, "GET", "/outcomes/<uuid:outcome_id>", action=Action.READ_OUTCOME, answer=OutcomeOut)
def read_outcome(call: Call, outcome_id: UUID) -> dict[str, Any]:
    """One report."""
    return _shown(reports.read_report(call.session, call.actor, outcome_id))


_OF_ROW: Final = ("id", "episode_id", "session_id", "programme_version", "answered_at", "reported_by", "reported_at")


def _shown(read: ReadReport) -> dict[str, Any]:
    results = read.results.reveal()
    row = {name: getattr(read.report, name) for name in _OF_ROW} | {"summary": read.summary}
    if results is None:
        return {**row, "scales": [], "cssrs_level": None, "crisis_resources": [], "cssrs_due_today": False}
    triage = results["triage"]
    return {
        **row,
        "scales": [_scale(scale, score, results) for scale, score in results["scores"].items()],
        "cssrs_level": results["cssrs_level"],
        "crisis_resources": read.crisis_resources,
        "cssrs_due_today": triage["requires_cssrs_today"],
    }


def _scale(scale: str, score: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    start = results["baseline"].get(scale, {})
    return {
        **score,
        "scale": scale,
        "instrument_version": score["version"],
        "baseline": start.get("total"),
        "baseline_answered_at": start.get("answered_at"),
        "outcome": results["classes"].get(scale),
    }
