"""Episodes of care: where they stand, the care team, the consents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, Text, page_schema
from services.core.errors import StaleVersion
from services.eligibility.overviews import Overview, read_overview
from services.eligibility.states import ReviewState
from services.matching import matches
from services.people import consents, episodes
from services.people.access import Action, visible_episode
from services.people.consents import ConsentKind, ConsentSource
from services.people.models import Consent, Episode
from services.people.states import EpisodeState
from services.screening import agreements

blueprint = resource("episodes", "Episodes of care: where they stand, the care team, the consents.")


class EpisodeOut(Schema):
    """An episode and its care team, by ids."""

    id = fields.UUID(required=True)
    patient_id = fields.UUID(required=True)
    state = Choice(EpisodeState, required=True)
    practice_id = fields.UUID(required=True, allow_none=True)
    therapist_id = fields.UUID(required=True, allow_none=True)
    medical_team_id = fields.UUID(required=True)
    prescriber_id = fields.UUID(required=True, allow_none=True)
    pharmacy_id = fields.UUID(required=True)
    opened_at = fields.AwareDateTime(required=True)
    closed_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class RiskBlockOut(Schema):
    """What standing suicide-risk flags hold up."""

    flags = fields.List(fields.UUID(), required=True)
    blocks_shipping = fields.Boolean(required=True)
    blocks_treatment = fields.Boolean(required=True)


class OverviewOut(EpisodeOut):
    """An episode at a glance. ``risk`` is for therapist and medical team, ``eligibility`` also for the patient."""

    eligibility = Choice(ReviewState, required=True, allow_none=True)
    eligible_until = fields.Date(required=True, allow_none=True)
    risk = fields.Nested(RiskBlockOut, required=True, allow_none=True)


class EpisodesIn(cursors.PageIn):
    """Filter of the list."""

    state = Choice(EpisodeState)


class CareTeamIn(Schema):
    """The new prescriber or therapist; what is left out stays. ``therapist_id`` null: there is none at present."""

    prescriber_id = Id()
    therapist_id = Id(allow_none=True)


class ConsentIn(Schema):
    """The text that was read and agreed to, by its version."""

    kind = Choice(ConsentKind, required=True)
    text_version = Text(40, required=True)


class ConsentKindIn(Schema):
    """Which consent is taken back."""

    kind = Choice(ConsentKind, required=True)


class ConsentOut(Schema):
    """A consent, without its wording."""

    id = fields.UUID(required=True)
    kind = Choice(ConsentKind, required=True)
    text_version = fields.String(required=True)
    source = Choice(ConsentSource, required=True)
    taken_by = fields.UUID(required=True)
    given_at = fields.AwareDateTime(required=True)
    withdrawn_at = fields.AwareDateTime(required=True, allow_none=True)


class ConsentsOut(Schema):
    """All consents of the patient, newest first."""

    items = fields.List(fields.Nested(ConsentOut), required=True)


class ConsentTextOut(Schema):
    """A text to agree to."""

    kind = Choice(ConsentKind, required=True)
    version = fields.String(required=True)
    title = fields.String(required=True)
    wording = fields.String(required=True)


class ConsentTextsOut(Schema):
    """The texts given today."""

    items = fields.List(fields.Nested(ConsentTextOut), required=True)


@endpoint(
    blueprint,
    "GET",
    "/episodes",
    action=Action.READ_EPISODE,
    query=EpisodesIn,
    answer=page_schema(EpisodeOut, "EpisodePageOut"),
)
def list_episodes(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """The episodes you can see, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = episodes.list_episodes(
        call.session,
        call.actor,
        state=query.get("state"),
        after=after[1] if after else None,
        limit=query["limit"] + 1,
    )
    return cursors.page(found, query["limit"], lambda episode: (episode.opened_at, episode.id))


@endpoint(blueprint, "GET", "/episodes/<uuid:episode_id>", action=Action.READ_EPISODE, answer=OverviewOut)
def read_episode(call: Call, episode_id: UUID) -> dict[str, Any]:
    """One episode: its state, its care team, and what is held up."""
    return _overview(read_overview(call.session, call.actor, episode_id))


def _overview(overview: Overview) -> dict[str, Any]:
    row = {name: getattr(overview.episode, name) for name in EpisodeOut().fields}
    own = {"eligibility": overview.eligibility, "eligible_until": overview.eligible_until, "risk": overview.risk}
    return {**row, **own}


@endpoint(
    blueprint,
    "PATCH",
    "/episodes/<uuid:episode_id>",
    action=Action.CHANGE_EPISODE,
    body=CareTeamIn,
    answer=EpisodeOut,
)
def change_care_team(call: Call, body: dict[str, Any], episode_id: UUID) -> Episode:
    """Name another prescriber of the medical team, or hand the patient over to another therapist."""
    episode = visible_episode(call.session, call.actor, Action.CHANGE_EPISODE, episode_id)
    if call.version not in (None, episode.version):
        raise StaleVersion("Somebody else changed this episode since you read it.", field="version")
    if body.get("therapist_id") is not None:
        matches.end_searches(call.session, call.actor, episode)
    if "prescriber_id" in body:
        episode = episodes.assign_prescriber(
            call.session, call.actor, episode_id, body["prescriber_id"], version=call.version
        )
    if "therapist_id" in body:
        episode = episodes.change_therapist(
            call.session, call.actor, episode_id, body["therapist_id"], version=call.version
        )
    call.session.flush()
    return episode


@endpoint(blueprint, "GET", "/consent-texts", action=Action.READ_CONSENT, answer=ConsentTextsOut)
def list_consent_texts(call: Call) -> dict[str, Any]:
    """The texts that patients are given to agree to today; for a patient, those of their own programme."""
    return {"items": list(agreements.texts_for(call.session, call.actor).values())}


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/consents",
    action=Action.READ_CONSENT,
    answer=ConsentsOut,
)
def list_consents(call: Call, episode_id: UUID) -> dict[str, Sequence[Consent]]:
    """What the patient agreed to, when, and what was taken back."""
    episode = visible_episode(call.session, call.actor, Action.READ_CONSENT, episode_id)
    return {"items": consents.list_consents(call.session, call.actor, episode)}


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/consents",
    action=Action.GIVE_CONSENT,
    body=ConsentIn,
    answer=ConsentOut,
    status=201,
)
def give_consent(call: Call, body: dict[str, Any], episode_id: UUID) -> Consent:
    """The patient agrees to a text as it is given today."""
    return agreements.agree(call.session, call.actor, episode_id, body["kind"], body["text_version"])


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/consents/withdraw",
    action=Action.READ_CONSENT,
    body=ConsentKindIn,
    answer=ConsentsOut,
)
def withdraw_consent(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Sequence[Consent]]:
    """Take a consent back, at once: the patient does, or the care team takes down what the patient said."""
    agreements.take_back(call.session, call.actor, episode_id, body["kind"])
    return list_consents(call, episode_id)
