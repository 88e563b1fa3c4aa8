"""Daily reviews of security events, for the operations desk."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, page_schema
from services.people.access import Action
from services.prescribing import security_reviews
from services.prescribing.models import SecurityReview
from services.prescribing.security_reviews import SecurityEvent

blueprint = resource("security-reviews", "Daily reviews of security events.")


class SecurityReviewSummaryOut(Schema):
    """A review of what happened from ``since`` up to ``until``; ``day`` is the last day it covers."""

    id = fields.UUID(required=True)
    day = fields.Date(required=True)
    since = fields.AwareDateTime(required=True)
    until = fields.AwareDateTime(required=True)
    opened_at = fields.AwareDateTime(required=True)
    reviewed_by = fields.UUID(required=True, allow_none=True)
    reviewed_at = fields.AwareDateTime(required=True, allow_none=True)


class EventCountOut(Schema):
    """How many events of a kind there were."""

    kind = Choice(SecurityEvent, required=True)
    count = fields.Integer(required=True)


class SecurityReviewOut(SecurityReviewSummaryOut):
    """A review, how many events of each kind it holds, and the remark of whoever looked at them."""

    counts = fields.List(fields.Nested(EventCountOut), required=True)
    remark = PersonalText(2000, required=True, allow_none=True)


class SecurityEventOut(Schema):
    """One event: who did what to what, when, with which outcome. Codes and ids only."""

    kind = Choice(SecurityEvent, required=True)
    id = fields.UUID(required=True)
    at = fields.AwareDateTime(required=True)
    actor_id = fields.UUID(required=True)
    actor_role = fields.String(required=True)
    action = fields.String(required=True)
    subject_kind = fields.String(required=True)
    subject_id = fields.UUID(required=True, allow_none=True)
    outcome = fields.String(required=True)


class SecurityReviewIn(Schema):
    """That you have looked at the events, and what is to be said about them."""

    remark = PersonalText(2000, load_default=None, allow_none=True)


@endpoint(
    blueprint,
    "GET",
    "/security-reviews",
    action=Action.READ_SECURITY_REVIEW,
    query=cursors.PageIn,
    answer=page_schema(SecurityReviewSummaryOut, "SecurityReviewPageOut"),
)
def list_reviews(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """All reviews, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = security_reviews.list_reviews(call.session, call.actor, after=after and after[1], limit=query["limit"] + 1)
    return cursors.page(found, query["limit"], lambda row: (row.opened_at, row.id))


@endpoint(
    blueprint,
    "GET",
    "/security-reviews/<uuid:review_id>",
    action=Action.READ_SECURITY_REVIEW,
    answer=SecurityReviewOut,
)
def read_review(call: Call, review_id: UUID) -> dict[str, Any]:
    """One review with its counts."""
    return _shown(call, security_reviews.read_review(call.session, call.actor, review_id))


@endpoint(
    blueprint,
    "GET",
    "/security-reviews/<uuid:review_id>/events",
    action=Action.READ_SECURITY_REVIEW,
    query=cursors.PageIn,
    answer=page_schema(SecurityEventOut, "SecurityEventPageOut"),
)
def list_events(call: Call, query: dict[str, Any], review_id: UUID) -> dict[str, Any]:
    """The events that a review holds, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = security_reviews.list_events(call.session, call.actor, review_id, after=after, limit=query["limit"] + 1)
    page = cursors.page(found, query["limit"], lambda each: (each.record.at, each.record.id))
    return {**page, "items": [_event(each) for each in page["items"]]}


@endpoint(
    blueprint,
    "POST",
    "/security-reviews/<uuid:review_id>/review",
    action=Action.REVIEW_SECURITY,
    body=SecurityReviewIn,
    answer=SecurityReviewOut,
)
def review(call: Call, body: dict[str, Any], review_id: UUID) -> dict[str, Any]:
    """Say on record that you have looked at the events."""
    return _shown(call, security_reviews.review(call.session, call.actor, review_id, body["remark"]))


_SUMMARY = tuple(SecurityReviewSummaryOut().fields)


def _shown(call: Call, row: SecurityReview) -> dict[str, Any]:
    counts = security_reviews.counts_of(call.session, row)
    return {
        **{name: getattr(row, name) for name in _SUMMARY},
        "counts": [{"kind": kind, "count": number} for kind, number in sorted(counts.items())],
        "remark": security_reviews.remark_of(call.session, row),
    }


def _event(each: security_reviews.FoundEvent) -> dict[str, Any]:
    names = [name for name in SecurityEventOut().fields if name != "kind"]
    return {"kind": each.kind, **{name: getattr(each.record, name) for name in names}}
