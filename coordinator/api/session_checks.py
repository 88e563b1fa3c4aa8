"""What is noted with a dosing session beside doses and vitals: medicines, transport, ratings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.answers import answers_schema
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Flag, Measure, PersonalText, Text
from coordinator.api.sessions import SessionOut, after_step
from services.core.personal import Personal
from services.people.access import Action
from services.screening.instrument_files import load_instruments
from services.sessions import medicine_checks, ratings, transports
from services.sessions.medicine_checks import Decision
from services.sessions.transports import Transport

blueprint = resource("session-checks", "Medicines, transport and ratings of dosing sessions.")


class MedicinesIn(Schema):
    """The list of medicines as it is today; null or left out: it is still the list that is on record."""

    medicines = fields.List(Text(120), allow_none=True, validate=validate.Length(max=60))


class MedicinesDecisionIn(Schema):
    """Whether the session may be held with the changed medicines, and why."""

    allowed = Flag(required=True)
    reason = PersonalText(1000, required=True)


class UnheldIn(Schema):
    """The class of medicines that may be taken on, by its eligibility rule, and why."""

    rule = Text(80, pattern=r"^eligibility\.medicine_[a-z0-9_]{1,50}$", required=True)
    reason = PersonalText(1000, required=True)


class TransportIn(Schema):
    """Who carries the medicine, whether its container is sealed, and the units counted before leaving home."""

    carried_by = PersonalText(120, required=True)
    sealed = Flag(required=True)
    units = Measure(0, 1000, required=True)
    left_at_home = Measure(0, 1000, load_default=0.0)


class ArrivalIn(Schema):
    """The units that the therapist counts on arrival."""

    units = Measure(0, 1000, required=True)


class SessionRatingsIn(Schema):
    """The answers to the instruments that a session is rated by, those that the programme asks for."""

    session_ratings = fields.Nested(answers_schema(load_instruments()["session_ratings"], "SessionRatingAnswersIn"))
    meq30 = fields.Nested(answers_schema(load_instruments()["meq30"], "SessionMeq30AnswersIn"))


def _step(path: str, body: type[Schema], action: Action) -> Any:
    return endpoint(
        blueprint, "POST", f"/sessions/<uuid:session_id>/{path}", action=action, body=body, answer=SessionOut
    )


@_step("medicines", MedicinesIn, Action.RUN_SESSION)
def reconcile_medicines(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Go through the list of medicines with the patient. What is new and interacts asks the prescriber."""
    given = body.get("medicines")
    medicines = None if given is None else Personal(tuple(given))
    row = medicine_checks.reconcile_medicines(call.session, call.actor, session_id, medicines, version=call.version)
    return after_step(call, row)


@_step("medicines-decision", MedicinesDecisionIn, Action.DECIDE_MEDICINES)
def decide_medicines(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """You decide on medicines that changed on the day of a session."""
    decision = Decision(body["allowed"], body["reason"])
    row = medicine_checks.decide_medicines(call.session, call.actor, session_id, decision, version=call.version)
    return after_step(call, row)


@_step("unheld-medicines", UnheldIn, Action.DECIDE_MEDICINES)
def allow_unheld(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """You let a medicine be taken on that is otherwise held before a session."""
    row = medicine_checks.allow_unheld(
        call.session, call.actor, session_id, body["rule"], body["reason"], version=call.version
    )
    return after_step(call, row)


@_step("transport", TransportIn, Action.RECORD_TRANSPORT)
def record_transport(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Note how the medicine travels to the session."""
    row = transports.record_transport(call.session, call.actor, session_id, Transport(**body), version=call.version)
    return after_step(call, row)


@_step("arrival-count", ArrivalIn, Action.RUN_SESSION)
def count_arrival(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Count what arrived. A number that is not what must be there blocks the session and is reviewed."""
    row = transports.count_arrival(call.session, call.actor, session_id, body["units"], version=call.version)
    return after_step(call, row)


@_step("ratings", SessionRatingsIn, Action.RATE_SESSION)
def rate_session(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Rate a session once it was had, by the instruments that the programme asks for."""
    return after_step(call, ratings.rate_session(call.session, call.actor, session_id, body, version=call.version))
