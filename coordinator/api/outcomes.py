"""Outcomes: scores and summaries, reported by the therapist or answered by the patient. The pharmacy sees none."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.answers import answers_schema
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, Moment, PersonalText, page_schema
from coordinator.api.screenings import CrisisResourceOut
from services.outcomes import reports
from services.outcomes.reports import ReadReport, Report
from services.people.access import Action
from services.screening.definitions import RiskLevel
from services.screening.instrument_files import load_instruments
from services.screening.scoring import OutcomeClass

blueprint = resource("outcomes", "Outcomes: scores and summaries, held against the time before the first dose.")

LONGEST_SUMMARY = 10_000


# Every instrument but the screener of the intake, which asks about a lifetime; what the programme uses is a rule.
REPORTED: Final = tuple(name for name in load_instruments() if name != "cssrs")
_FORMS: Final[dict[str, fields.Field[Any]]] = {
    name: fields.Nested(answers_schema(load_instruments()[name], f"Reported{name.title().replace('_', '')}In"))
    for name in REPORTED
}
ReportedAnswersIn = Schema.from_dict(dict(_FORMS), name="ReportedAnswersIn")


class OutcomeIn(Schema):
    """A report: answers, a summary, or both. ``answered_at`` is when the patient gave the answers, by default now."""

    answers = fields.Nested(ReportedAnswersIn, load_default=dict)
    summary = PersonalText(LONGEST_SUMMARY, load_default=None, allow_none=True)
    session_id = Id(load_default=None, allow_none=True)
    answered_at = Moment(load_default=None, allow_none=True)


class ChangeOut(Schema):
    """How a total moved since the baseline: ``drop`` in points and ``percent`` of it, above 0 for better.

    What the scale has no rule for is null.
    """

    drop = fields.Integer(required=True)
    percent = fields.Float(required=True)
    response = fields.Boolean(required=True)
    remission = fields.Boolean(required=True, allow_none=True)
    reliable = fields.Boolean(required=True, allow_none=True)
    clinically_significant = fields.Boolean(required=True, allow_none=True)


class ScaleOut(Schema):
    """What one scale gave. ``outcome`` compares ``total`` with ``baseline``, the last one before the first dose.

    Without a ``total`` ``unscorable_because`` says why; the C-SSRS has none by design.
    """

    scale = fields.String(required=True)
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
    change = fields.Nested(ChangeOut, required=True, allow_none=True)


class OutcomeOut(Schema):
    """A report by the therapist, or what an assessment gave that the patient completed.

    Whenever ``crisis_resources`` is not empty, show it at once and before everything else. ``cssrs_due_today``: a
    C-SSRS must be answered before the day ends.
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
    reported_by = fields.UUID(required=True, allow_none=True)
    assessment_id = fields.UUID(required=True, allow_none=True)
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
    return shown(reports.report_outcome(call.session, call.actor, episode_id, Report(**body)))


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
    return {**page, "items": [shown(read) for read in page["items"]]}


@endpoint(blueprint, "GET", "/outcomes/<uuid:outcome_id>", action=Action.READ_OUTCOME, answer=OutcomeOut)
def read_outcome(call: Call, outcome_id: UUID) -> dict[str, Any]:
    """One report."""
    return shown(reports.read_report(call.session, call.actor, outcome_id))


_OF_ROW: Final = (
    "id",
    "episode_id",
    "session_id",
    "programme_version",
    "answered_at",
    "reported_by",
    "assessment_id",
    "reported_at",
)


def shown(read: ReadReport) -> dict[str, Any]:
    """A report as ``OutcomeOut`` answers it."""
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
        "change": results.get("changes", {}).get(scale),
    }
