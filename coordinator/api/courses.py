"""The course of an episode: maintenance plans, discontinuation with its closing follow-up, discharge."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api.endpoints import Call, IfMatch, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, Revealed, Whole
from services.people.access import Action
from services.refills import courses
from services.refills.courses import Cause, ReadDecision
from services.sessions.rounds import CourseKind

blueprint = resource("courses", "The course of an episode: maintenance, discontinuation, discharge.")

LONGEST_TEXT = 4000


class MaintenanceIn(Schema):
    """One session every so many days, and what is taken where."""

    interval_days = Whole(1, 365, required=True)
    plan = PersonalText(LONGEST_TEXT, required=True)


class DiscontinueIn(Schema):
    """Why the treatment ends."""

    cause = Choice(Cause, required=True)
    reason = PersonalText(LONGEST_TEXT, required=True)


class CloseIn(Schema):
    """The discharge summary: ordinary record, read by therapist, medical team and patient."""

    summary = PersonalText(LONGEST_TEXT, required=True)


class CourseDecisionOut(Schema):
    """A decision. ``content`` holds ``text``, of a plan ``interval_days``, of a discontinuation its ``cause``."""

    id = fields.UUID(required=True, attribute="row.id")
    episode_id = fields.UUID(required=True, attribute="row.episode_id")
    kind = Choice(CourseKind, required=True, attribute="row.kind")
    decided_by = fields.UUID(required=True, attribute="row.decided_by")
    decided_at = fields.AwareDateTime(required=True, attribute="row.decided_at")
    content = Revealed(fields.Dict(keys=fields.String()), required=True)


class CourseDecisionsOut(Schema):
    """All decisions on the course, newest first."""

    items = fields.List(fields.Nested(CourseDecisionOut), required=True)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/course",
    action=Action.READ_COURSE,
    answer=CourseDecisionsOut,
)
def read_course(call: Call, episode_id: UUID) -> dict[str, Any]:
    """What was decided on how the treatment goes on, and how it ended."""
    return {"items": courses.list_decisions(call.session, call.actor, episode_id)}


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/maintenance-plans",
    action=Action.DECIDE_COURSE,
    body=MaintenanceIn,
    answer=CourseDecisionOut,
    status=201,
)
def agree_maintenance(call: Call, body: dict[str, Any], episode_id: UUID) -> ReadDecision:
    """Agree a maintenance plan after a round, or change it."""
    return courses.agree_maintenance(call.session, call.actor, episode_id, body["interval_days"], body["plan"])


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/discontinue",
    action=Action.DECIDE_COURSE,
    body=DiscontinueIn,
    answer=CourseDecisionOut,
    if_match=IfMatch.REFUSED,
)
def discontinue(call: Call, body: dict[str, Any], episode_id: UUID) -> ReadDecision:
    """End the treatment: prescriptions and sessions are cancelled, leftovers and a closing follow-up are asked for."""
    return courses.discontinue(call.session, call.actor, episode_id, body["cause"], body["reason"])


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/close",
    action=Action.CLOSE_EPISODE,
    body=CloseIn,
    answer=CourseDecisionOut,
    if_match=IfMatch.REFUSED,
)
def close_episode(call: Call, body: dict[str, Any], episode_id: UUID) -> ReadDecision:
    """Discharge: close the episode with a summary. A refusal names what is missing."""
    return courses.close_episode(call.session, call.actor, episode_id, body["summary"])
