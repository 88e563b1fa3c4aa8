"""Eligibility: what the rules found and what a prescriber decided."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.endpoints import Call, IfMatch, endpoint, resource
from coordinator.api.fields import Choice, PersonalText, Revealed, Text
from coordinator.api.findings import FindingsOut, by_weight
from coordinator.api.screenings import RoundOut
from services.eligibility import decisions, reviews
from services.eligibility.decisions import Decision, Verdict
from services.eligibility.reviews import ReadReview
from services.eligibility.states import ReviewState
from services.matching import matches
from services.people.access import Action, visible_episode
from services.screening.models import Screening

blueprint = resource("eligibility", "Eligibility: what the rules found and what a prescriber decided.")


class ReviewOut(Schema):
    """The newest review of an episode.

    The medical team sees ``findings`` and the ``reasons`` for each; the therapist the outcome and its ``reason``.
    """

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    screening_id = fields.UUID(required=True)
    state = Choice(ReviewState, required=True)
    findings = fields.Nested(FindingsOut, required=True, allow_none=True)
    programme_version = fields.String(required=True)
    rule_set_version = fields.String(required=True)
    evaluated_at = fields.AwareDateTime(required=True)
    decided_by = fields.UUID(required=True, allow_none=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)
    valid_until = fields.Date(required=True, allow_none=True)
    reason = PersonalText(4000, required=True, allow_none=True)
    reasons = Revealed(fields.Dict(keys=fields.String()), required=True, allow_none=True)
    version = fields.Integer(required=True)


class FindingReasonIn(Schema):
    """Why one finding does not stand in the way; for a stop that may be overridden, why it is."""

    rule = Text(80, pattern=r"^[a-z0-9_.]+$", required=True)
    reason = PersonalText(4000, required=True)


class DecisionIn(Schema):
    """A decision. Approving needs a reason for each finding for review; declining and asking need ``reason``."""

    decision = Choice(Decision, required=True)
    reason = PersonalText(4000, load_default=None, allow_none=True)
    reasons = fields.List(fields.Nested(FindingReasonIn), load_default=list, validate=validate.Length(max=150))


class RescreenIn(Schema):
    """Why the patient is screened again; the patient reads it."""

    reason = PersonalText(4000, required=True)


@endpoint(blueprint, "GET", "/episodes/<uuid:episode_id>/eligibility", action=Action.READ_ELIGIBILITY, answer=ReviewOut)
def read_eligibility(call: Call, episode_id: UUID) -> dict[str, Any]:
    """The newest review of an episode, with its findings and the decision."""
    return _shown(reviews.read_review(call.session, call.actor, episode_id))


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/eligibility/decision",
    action=Action.DECIDE_ELIGIBILITY,
    body=DecisionIn,
    answer=ReviewOut,
)
def decide(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Approve, decline, or ask the patient for more. You must be licensed in the patient's state today."""
    verdict = Verdict(
        decision=body["decision"],
        reason=body["reason"],
        reasons={given["rule"]: given["reason"] for given in body["reasons"]},
    )
    if verdict.decision is Decision.DECLINE:
        episode = visible_episode(call.session, call.actor, Action.DECIDE_ELIGIBILITY, episode_id)
        matches.end_searches(call.session, call.actor, episode)
    return _shown(decisions.decide(call.session, call.actor, episode_id, verdict, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/eligibility/rescreen",
    action=Action.DECIDE_ELIGIBILITY,
    body=RescreenIn,
    answer=RoundOut,
    status=201,
    located="/screenings/{id}",
    if_match=IfMatch.TAKEN,  # of the review
)
def screen_again(call: Call, body: dict[str, Any], episode_id: UUID) -> Screening:
    """Look at a decision anew: it stops counting, and the patient is screened again."""
    return decisions.screen_again(call.session, call.actor, episode_id, body["reason"], version=call.version)


_REVIEW = (
    "id",
    "episode_id",
    "screening_id",
    "state",
    "programme_version",
    "rule_set_version",
    "evaluated_at",
    "version",
)
_DECISION = ("decided_by", "decided_at", "valid_until")


def _shown(found: ReadReview) -> dict[str, Any]:
    return {
        **{name: getattr(found.review, name) for name in _REVIEW},
        **{name: getattr(found.decision, name, None) for name in _DECISION},
        "findings": None if found.findings is None else by_weight(found.findings),
        "reason": found.reason,
        "reasons": found.reasons,
    }
