"""Matches: a patient without a therapist is proposed some, chooses, and the therapist accepts or declines."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Id, PersonalText, page_schema
from coordinator.api.links import address_of
from coordinator.api.problem_schemas import FindingOut
from coordinator.api.tasks import StepIn
from services.eligibility.facts import Diagnosis
from services.matching import candidates, matches
from services.matching.candidates import ShownTherapist
from services.matching.matches import ReadMatch, ShownOption
from services.matching.models import Match
from services.matching.states import MatchState, OptionState
from services.people.access import Action

blueprint = resource("matches", "Finding a therapist: proposed by the medical team, chosen by the patient.")

MOST_OPTIONS = 20


class TherapistsIn(Schema):
    """Therapists, the best or the most wanted first."""

    therapist_ids = fields.List(Id(), required=True, validate=validate.Length(min=1, max=MOST_OPTIONS))


class DeclineMatchIn(Schema):
    """Why; only the medical team reads it."""

    reason = PersonalText(1000, required=True)


class ShownTherapistOut(Schema):
    """A therapist as a patient who chooses sees one."""

    therapist_id = fields.UUID(required=True)
    name = PersonalText(120, required=True)
    specialities = fields.List(Choice(Diagnosis), required=True)
    practice = fields.String(required=True)
    practice_state = fields.String(required=True)


class CandidateOut(ShownTherapistOut):
    """A therapist who fits, with the reasons for the place on the list."""

    findings = fields.List(fields.Nested(FindingOut), required=True)


class CandidatesOut(Schema):
    """Who could be proposed, best first. ``findings`` say why nobody can be proposed now."""

    findings = fields.List(fields.Nested(FindingOut), required=True)
    items = fields.List(fields.Nested(CandidateOut), required=True)


class OptionOut(ShownTherapistOut):
    """One therapist on a list. ``findings`` and ``reason`` (of declining) are for the medical team alone."""

    rank = fields.Integer(required=True)
    preference = fields.Integer(required=True, allow_none=True)
    state = Choice(OptionState, required=True)
    findings = fields.List(fields.Nested(FindingOut), required=True, allow_none=True)
    reason = PersonalText(1000, required=True, allow_none=True)


class MatchOut(Schema):
    """A search for a therapist."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    state = Choice(MatchState, required=True)
    created_at = fields.AwareDateTime(required=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class ProposedMatchOut(MatchOut):
    """A fresh list. ``link`` is the patient's personal link, shown only here; null when it goes by SMS."""

    link = fields.String(required=True, allow_none=True)


class OpenedMatchOut(MatchOut):
    """A match with its therapists. A therapist who was asked sees only that, the state and what is looked for."""

    options = fields.List(fields.Nested(OptionOut), required=True)
    patient_state = PersonalText(2, required=True, allow_none=True)
    indication = PersonalText(40, required=True, allow_none=True)


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/match-candidates",
    action=Action.PROPOSE_MATCH,
    answer=CandidatesOut,
)
def list_candidates(call: Call, episode_id: UUID) -> dict[str, Any]:
    """The therapists who fit a patient without one, best first, each with the reasons."""
    found = candidates.list_candidates(call.session, call.actor, episode_id)
    items = [{**_therapist(therapist), "findings": findings} for therapist, findings in found.candidates]
    return {"findings": found.findings, "items": items}


def _therapist(shown: ShownTherapist) -> dict[str, Any]:
    return {
        "therapist_id": shown.account_id,
        "name": shown.name,
        "specialities": shown.specialities,
        "practice": shown.practice,
        "practice_state": shown.practice_state,
    }


def _row(match: Match) -> dict[str, Any]:
    return {name: getattr(match, name) for name in MatchOut().fields}


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/matches",
    action=Action.PROPOSE_MATCH,
    body=TherapistsIn,
    answer=ProposedMatchOut,
    status=201,
    located="/matches/{id}",
)
def propose(call: Call, body: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """Propose therapists to a patient who has none. A list that is still under way ends with it."""
    made = matches.propose(call.session, call.actor, episode_id, body["therapist_ids"])
    call.session.flush()
    return {**_row(made.match), "link": None if made.link is None else address_of(made.link)}


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/matches",
    action=Action.READ_MATCH,
    query=cursors.PageIn,
    answer=page_schema(MatchOut, "MatchPageOut"),
)
def list_matches(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The searches for an episode's therapist, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = matches.list_matches(
        call.session, call.actor, episode_id, after=after[1] if after else None, limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda match: (match.created_at, match.id))


@endpoint(blueprint, "GET", "/matches/<uuid:match_id>", action=Action.READ_MATCH, answer=OpenedMatchOut)
def read_match(call: Call, match_id: UUID) -> dict[str, Any]:
    """One search: for the patient and the medical team the list, for a therapist who was asked what is looked for."""
    found: ReadMatch = matches.read_match(call.session, call.actor, match_id)
    return {
        **_row(found.match),
        "options": [_option(each) for each in found.options],
        "patient_state": found.patient_state,
        "indication": found.indication,
    }


def _option(shown: ShownOption) -> dict[str, Any]:
    row = shown.option
    own = {"rank": row.rank, "preference": row.preference, "state": row.state}
    return {**_therapist(shown.therapist), **own, "findings": shown.findings, "reason": shown.reason}


@endpoint(
    blueprint,
    "POST",
    "/matches/<uuid:match_id>/choose",
    action=Action.CHOOSE_THERAPIST,
    body=TherapistsIn,
    answer=MatchOut,
)
def choose(call: Call, body: dict[str, Any], match_id: UUID) -> Match:
    """The patient chooses: the first is asked, and each next one when the one before declines."""
    return matches.choose(call.session, call.actor, match_id, body["therapist_ids"], version=call.version)


@endpoint(
    blueprint, "POST", "/matches/<uuid:match_id>/accept", action=Action.ANSWER_MATCH, body=StepIn, answer=MatchOut
)
def accept(call: Call, body: dict[str, Any], match_id: UUID) -> Match:
    """The therapist who was asked takes the patient on, and is the therapist of record from now on."""
    return matches.accept(call.session, call.actor, match_id, version=call.version)


@endpoint(
    blueprint,
    "POST",
    "/matches/<uuid:match_id>/decline",
    action=Action.ANSWER_MATCH,
    body=DeclineMatchIn,
    answer=MatchOut,
)
def decline(call: Call, body: dict[str, Any], match_id: UUID) -> Match:
    """The therapist who was asked declines; the patient's next choice is asked."""
    return matches.decline(call.session, call.actor, match_id, body["reason"], version=call.version)


@endpoint(
    blueprint, "POST", "/matches/<uuid:match_id>/withdraw", action=Action.PROPOSE_MATCH, body=StepIn, answer=MatchOut
)
def withdraw(call: Call, body: dict[str, Any], match_id: UUID) -> Match:
    """End a search that is under way: nobody may choose from it or accept any more."""
    return matches.withdraw(call.session, call.actor, match_id, version=call.version)
