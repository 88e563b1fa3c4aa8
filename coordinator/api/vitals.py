"""Vital signs of a dosing session, each with the gate's answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.dosing import red_flags_field
from coordinator.api.endpoints import Call, IfMatch, endpoint, resource
from coordinator.api.fields import Choice, Moment, Whole, page_schema
from coordinator.api.findings import FindingOut
from coordinator.api.sessions import AdviceOut
from services.core import clock
from services.core.programme import programme
from services.people.access import Action
from services.sessions import vitals
from services.sessions.states import SessionState
from services.sessions.vitals import Measured, Outcome, Phase
from services.sessions.vitals_rules import Reading

blueprint = resource("vitals", "Vital signs of dosing sessions, and what the gates say to them.")


def _plausible(name: str) -> Whole:
    """What a living patient's cuff can show, by the default programme; the rules go by the running one."""
    least, most = (programme().whole(f"vitals.plausible.{name}_{end}") for end in ("least", "most"))
    return Whole(least, most, required=True)


class VitalsIn(Schema):
    """A reading: pressures in mmHg, heart beats per minute, oxygen in per cent if taken. ``taken_at``: default now.

    ``red_flags`` names the symptoms that there are; ask for them, an empty list says that there are none.
    """

    phase = Choice(Phase, required=True)
    systolic = _plausible("systolic")
    diastolic = _plausible("diastolic")
    heart_rate = _plausible("heart_rate")
    oxygen_percent = Whole(1, 100, allow_none=True)
    red_flags = red_flags_field(required=True)
    taken_at = Moment()


class VitalsOut(Schema):
    """A reading and what it led to. With ``emergency`` not null, show it first.

    ``rest_and_repeat``: let the patient rest, measure again from ``repeat_at`` on, ``readings_left`` times at most.
    ``session_state`` is where the session stands now.
    """

    id = fields.UUID(required=True)
    session_id = fields.UUID(required=True)
    phase = Choice(Phase, required=True)
    taken_at = fields.AwareDateTime(required=True)
    systolic = fields.Integer(required=True)
    diastolic = fields.Integer(required=True)
    heart_rate = fields.Integer(required=True)
    oxygen_percent = fields.Integer(required=True, allow_none=True)
    red_flags = fields.List(fields.String(), required=True)
    outcome = Choice(Outcome, required=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)
    emergency = fields.Nested(AdviceOut, required=True, allow_none=True)
    repeat_at = fields.AwareDateTime(required=True, allow_none=True)
    readings_left = fields.Integer(required=True, allow_none=True)
    session_state = Choice(SessionState, required=True)
    recorded_by = fields.UUID(required=True)
    recorded_at = fields.AwareDateTime(required=True)


@endpoint(
    blueprint,
    "POST",
    "/sessions/<uuid:session_id>/vitals",
    action=Action.RECORD_VITALS,
    body=VitalsIn,
    answer=VitalsOut,
    status=201,
    if_match=IfMatch.TAKEN,  # of the session
)
def record_vitals(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Record a reading. Before the start the gate answers: pass, rest and repeat, cancel, or an emergency."""
    reading = Reading(
        systolic=body["systolic"],
        diastolic=body["diastolic"],
        heart_rate=body["heart_rate"],
        oxygen_percent=body.get("oxygen_percent"),
        red_flags=frozenset(body["red_flags"]),
        taken_at=body.get("taken_at") or clock.now(),
    )
    measured = vitals.record_vitals(call.session, call.actor, session_id, body["phase"], reading, version=call.version)
    return _shown(measured)


@endpoint(
    blueprint,
    "GET",
    "/sessions/<uuid:session_id>/vitals",
    action=Action.READ_VITALS,
    query=cursors.PageIn,
    answer=page_schema(VitalsOut, "VitalsPageOut"),
)
def list_vitals(call: Call, query: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """The readings of a session, oldest first."""
    after = cursors.decode(query.get("cursor"))
    found = vitals.list_vitals(call.session, call.actor, session_id, after=after, limit=query["limit"] + 1)
    page = cursors.page(found, query["limit"], lambda each: (each.vitals.taken_at, each.vitals.id))
    return {**page, "items": [_shown(each) for each in page["items"]]}


def _shown(measured: Measured) -> dict[str, Any]:
    row, reading = measured.vitals, measured.reading.reveal()
    return {
        **{name: getattr(row, name) for name in ("id", "session_id", "phase", "recorded_by", "recorded_at")},
        "taken_at": reading.taken_at,
        "systolic": reading.systolic,
        "diastolic": reading.diastolic,
        "heart_rate": reading.heart_rate,
        "oxygen_percent": reading.oxygen_percent,
        "red_flags": sorted(reading.red_flags),
        "outcome": measured.outcome,
        "findings": measured.findings,
        "emergency": measured.advice,
        "repeat_at": measured.repeat_at,
        "readings_left": measured.readings_left,
        "session_state": measured.state,
    }
