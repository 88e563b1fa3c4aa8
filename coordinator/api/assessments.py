"""Assessments: what the patient is asked on an occasion, answered in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api import cursors, outcomes
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Revealed, page_schema
from coordinator.api.outcomes import REPORTED, OutcomeOut, ReportedAnswersIn
from coordinator.api.screenings import CrisisResourceOut, InstrumentOut
from coordinator.api.tasks import StepIn
from services.outcomes import assessments
from services.outcomes.assessments import ReadAssessment
from services.outcomes.cadence_rules import Occasion
from services.outcomes.models import Assessment
from services.outcomes.states import AssessmentState
from services.people.access import Action
from services.screening.instruments import get

blueprint = resource("assessments", "Assessments: what the patient is asked after sessions, before decisions, monthly.")


class AssessmentIn(Schema):
    """Which instruments to ask; by default those of the programme's cadence."""

    instruments = fields.List(
        fields.String(validate=validate.OneOf(REPORTED)),
        validate=validate.Length(min=1, max=len(REPORTED)),
        load_default=None,
        allow_none=True,
    )


class AssessmentAnswersIn(Schema):
    """Answers by instrument; null takes one back."""

    answers = fields.Nested(ReportedAnswersIn, required=True)


class AssessmentSummaryOut(Schema):
    """An assessment without its content. ``number`` is the dosing session that it follows, if it follows one."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    occasion = Choice(Occasion, required=True)
    number = fields.Integer(required=True, allow_none=True)
    instruments = fields.List(fields.String(), required=True)
    state = Choice(AssessmentState, required=True)
    requested_at = fields.AwareDateTime(required=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class MissingOut(Schema):
    """What is missing before it can be handed in."""

    rule = fields.String(required=True)
    instrument = fields.String(required=True)
    sentence = fields.String(required=True)


class AssessmentOut(AssessmentSummaryOut):
    """An assessment as you may see it; what your role does not need is null or empty.

    The patient sees ``forms`` with the texts of the items, the own ``answers`` and what is ``missing``; the care team
    sees the ``outcome`` once it is completed. Whenever ``crisis_resources`` is not empty, show it at once and before
    everything else. ``cssrs_due_today``: the C-SSRS must be answered before the day ends.
    """

    forms = fields.List(fields.Nested(InstrumentOut), required=True)
    answers = Revealed(fields.Dict(keys=fields.String()), required=True, allow_none=True)
    missing = fields.List(fields.Nested(MissingOut), required=True)
    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)
    cssrs_due_today = fields.Boolean(required=True)
    outcome = fields.Nested(OutcomeOut, required=True, allow_none=True)


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/assessments",
    action=Action.REQUEST_ASSESSMENT,
    body=AssessmentIn,
    answer=AssessmentOut,
    status=201,
    located="/assessments/{id}",
)
def request_assessment(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Ask the patient now, outside the cadence."""
    return _shown(assessments.request_assessment(call.session, call.actor, episode_id, body["instruments"]))


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/assessments",
    action=Action.READ_ASSESSMENT,
    query=cursors.PageIn,
    answer=page_schema(AssessmentSummaryOut, "AssessmentPageOut"),
)
def list_assessments(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The assessments of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = assessments.list_assessments(call.session, call.actor, episode_id, after=after, limit=query["limit"] + 1)
    page = cursors.page(found, query["limit"], lambda each: (each[0].requested_at, each[0].id))
    return {**page, "items": [_summary(row, instruments) for row, instruments in page["items"]]}


@endpoint(
    blueprint,
    "GET",
    "/assessments/<uuid:assessment_id>",
    action=Action.READ_ASSESSMENT,
    answer=AssessmentOut,
)
def read_assessment(call: Call, assessment_id: UUID) -> dict[str, Any]:
    """One assessment: to the patient what is asked and the own answers, to the care team what it gave."""
    return _shown(assessments.read_assessment(call.session, call.actor, assessment_id))


@endpoint(
    blueprint,
    "PATCH",
    "/assessments/<uuid:assessment_id>",
    action=Action.ANSWER_ASSESSMENT,
    body=AssessmentAnswersIn,
    answer=AssessmentOut,
)
def answer_assessment(call: Call, body: dict[str, Any], assessment_id: UUID) -> dict[str, Any]:
    """Save some answers. A suicide risk in them alerts the care team at once."""
    given = body["answers"]
    return _shown(assessments.answer_assessment(call.session, call.actor, assessment_id, given, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/assessments/<uuid:assessment_id>/complete",
    action=Action.ANSWER_ASSESSMENT,
    body=StepIn,
    answer=AssessmentOut,
)
def complete_assessment(call: Call, body: dict[str, Any], assessment_id: UUID) -> dict[str, Any]:
    """Hand the answers in. Nothing may be missing; they cannot be changed afterwards."""
    return _shown(assessments.complete_assessment(call.session, call.actor, assessment_id, version=call.version))


_OF_ROW: Final = tuple(name for name in AssessmentSummaryOut().fields if name != "instruments")


def _summary(row: Assessment, instruments: Sequence[str]) -> dict[str, Any]:
    return {**{name: getattr(row, name) for name in _OF_ROW}, "instruments": instruments}


def _shown(read: ReadAssessment) -> dict[str, Any]:
    return {
        **_summary(read.assessment, read.instruments),
        "forms": [get(name) for name in read.asked],
        "answers": read.answers,
        "missing": [
            {"rule": gap.rule, "instrument": gap.inputs["instrument"], "sentence": gap.sentence} for gap in read.gaps
        ],
        "crisis_resources": read.crisis_resources,
        "cssrs_due_today": read.cssrs_due_today,
        "outcome": None if read.report is None else outcomes.shown(read.report),
    }
