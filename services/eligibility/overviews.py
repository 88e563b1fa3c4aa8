"""An episode at a glance: where it stands, who cares for the patient, and what is held up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor, Role
from services.core.errors import NotFound
from services.eligibility.reviews import decision_on, latest_review
from services.eligibility.states import ReviewState
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.screening import risk
from services.screening.risk import RiskBlock

CARE_TEAM = frozenset({Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF})


@dataclass(frozen=True, slots=True)
class Overview:
    """An episode as its reader may see it.

    ``risk`` is for therapist and medical team only; ``eligibility`` also for the patient, who is told of the decision;
    both are None for everybody else and ``eligibility`` before anything was submitted.
    """

    episode: Episode
    eligibility: ReviewState | None
    eligible_until: date | None
    risk: RiskBlock | None


def read_overview(session: Session, actor: Actor, episode_id: UUID) -> Overview:
    """One episode at a glance; an audited read. Raises as ``authorize`` does."""
    episode = visible_episode(session, actor, Action.READ_EPISODE, episode_id)
    record(session, actor, "episode.read", "episode", episode.id, episode_id=episode.id)
    in_care = actor.role in CARE_TEAM
    state, until = _eligibility(session, episode.id) if in_care or actor.role is Role.PATIENT else (None, None)
    return Overview(episode, state, until, risk.blocking(session, episode.id) if in_care else None)


def _eligibility(session: Session, episode_id: UUID) -> tuple[ReviewState | None, date | None]:
    try:
        review = latest_review(session, episode_id)
    except NotFound:
        return None, None
    decision = decision_on(session, review.id) if review.state == ReviewState.APPROVED else None
    return ReviewState(review.state), None if decision is None else decision.valid_until
