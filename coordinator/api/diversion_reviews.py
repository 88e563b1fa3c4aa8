"""Diversion reviews: counts that do not agree with the ledger, losses too many, and what a prescriber found."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, Revealed, page_schema
from services.people.access import Action
from services.sessions import reconciliations
from services.sessions.reconciliations import Outcome
from services.shipping import diversions
from services.shipping.diversions import Cause, ReadReview
from services.shipping.states import DiversionState

blueprint = resource("diversion-reviews", "Diversion reviews: units that are missing or too many.")


class ResolveIn(Schema):
    """What was found, and why. Missing units are lost or wasted, surplus ones found; all of them are booked so."""

    outcome = Choice(Outcome, required=True)
    reason = PersonalText(4000, required=True)


class ReviewSummaryOut(Schema):
    """A review without its content. While it is open nothing is dosed, shipped or refilled."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    state = Choice(DiversionState, required=True)
    cause = Choice(Cause, required=True)
    about_id = fields.UUID(required=True, allow_none=True)
    raised_by = fields.UUID(required=True)
    raised_at = fields.AwareDateTime(required=True)
    outcome = Choice(Outcome, required=True, allow_none=True)
    resolved_by = fields.UUID(required=True, allow_none=True)
    resolved_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class DiversionReviewOut(ReviewSummaryOut):
    """A review: what was expected and counted, and how it ended."""

    facts = Revealed(fields.Dict(keys=fields.String()), required=True)
    resolution = Revealed(fields.Dict(keys=fields.String()), required=True, allow_none=True)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/diversion-reviews",
    action=Action.READ_DIVERSION,
    query=cursors.PageIn,
    answer=page_schema(ReviewSummaryOut, "DiversionReviewPageOut"),
)
def list_reviews(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The diversion reviews of an episode, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = diversions.list_reviews(
        call.session, call.actor, episode_id, after=after and after[1], limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda row: (row.raised_at, row.id))


@endpoint(
    blueprint,
    "GET",
    "/diversion-reviews/<uuid:diversion_id>",
    action=Action.READ_DIVERSION,
    answer=DiversionReviewOut,
)
def read_review(call: Call, diversion_id: UUID) -> dict[str, Any]:
    """One diversion review."""
    return _shown(diversions.read_review(call.session, call.actor, diversion_id))


@endpoint(
    blueprint,
    "POST",
    "/diversion-reviews/<uuid:diversion_id>/resolve",
    action=Action.RESOLVE_DIVERSION,
    body=ResolveIn,
    answer=DiversionReviewOut,
)
def resolve_review(call: Call, body: dict[str, Any], diversion_id: UUID) -> dict[str, Any]:
    """End a review with a reason; the difference is booked."""
    return _shown(
        reconciliations.resolve_review(
            call.session, call.actor, diversion_id, body["outcome"], body["reason"], version=call.version
        )
    )


_SUMMARY: Final = tuple(ReviewSummaryOut().fields)


def _shown(read: ReadReview) -> dict[str, Any]:
    row = {name: getattr(read.review, name) for name in _SUMMARY}
    return {**row, "facts": read.facts, "resolution": read.resolution}
