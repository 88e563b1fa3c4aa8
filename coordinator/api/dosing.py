"""What happens in a dosing session: readiness, doses, looks at the patient, the way home, emergencies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Flag, Moment, PersonalText, Text, Whole
from coordinator.api.sessions import ReasonIn, SessionOut, after_step
from coordinator.api.tasks import StepIn
from services.people.access import Action
from services.sessions import (
    afterwards,
    departures,
    dosing,
    emergencies,
    infusions,
    looks,
    physician_checks,
    readiness,
)
from services.sessions.departures import Departure
from services.sessions.looks import Look
from services.sessions.models import TherapySession
from services.sessions.readiness import Chaperone, Readiness
from services.sessions.readiness_rules import RemoteFacts

blueprint = resource("dosing", "Dosing sessions: readiness, doses, monitoring, discharge, emergencies.")

# A clinic may add symptoms to the default programme's; the use case knows those of the episode's programme.
RED_FLAG_PATTERN: Final = r"^[a-z][a-z0-9_]{0,49}$"
RED_FLAGS_MOST: Final = 30


def red_flags_field(**options: Any) -> fields.Field[Any]:
    """Symptoms of which any one is an emergency, by the names that the programme of the episode has for them."""
    flag = Text(50, pattern=RED_FLAG_PATTERN)
    return fields.List(flag, validate=validate.Length(max=RED_FLAGS_MOST), **options)


class ChaperoneIn(Schema):
    """The adult who stays with the patient. ``phone`` null: not exchanged. ``arrived_at`` null: nobody noted it."""

    name = PersonalText(120, required=True)
    age_years = Whole(0, 120, required=True)
    phone = PersonalText(40, required=True, allow_none=True)
    present = Flag(required=True)
    sober_attested = Flag(required=True)
    arrived_at = Moment(required=True, allow_none=True)


class RemoteIn(Schema):
    """What a session needs when the therapist is not in the room."""

    therapist_on_video = Flag(required=True)
    blood_pressure_cuff = Flag(required=True)
    emergency_address_confirmed = Flag(required=True)
    emergency_phone_confirmed = Flag(required=True)


class IntakeIn(Schema):
    """When something that is held before a session was last taken, by the eligibility rule of its class, or never."""

    rule = Text(80, pattern=r"^eligibility\.medicine_[a-z0-9_]{1,50}$", required=True)
    last_taken_at = Moment(required=True, allow_none=True)


class ReadinessIn(Schema):
    """What is found before the start. ``chaperone`` null: there is none. A time null: it could not be told.

    ``staff_stays``: where the programme needs no chaperone, somebody of the staff is with the patient all the time.
    ``intakes`` answers each hold before a session: that of alcohol and THC, which concerns everybody, and those of what
    the patient takes.
    """

    chaperone = fields.Nested(ChaperoneIn, required=True, allow_none=True)
    last_food_at = Moment(required=True, allow_none=True)
    last_water_at = Moment(required=True, allow_none=True)
    staff_stays = Flag(load_default=False)
    intakes = fields.List(fields.Nested(IntakeIn), load_default=[], validate=validate.Length(max=30))
    remote = fields.Nested(RemoteIn, load_default=None, allow_none=True)


class DoseIn(Schema):
    """Something taken: the whole dose, one of its halves, the booster, or an infusion that begins.

    ``taken_at`` is now when left out.
    """

    mg = Whole(1, 2000, required=True)
    is_booster = Flag(required=True)
    taken_at = Moment()


class InfusionEndIn(Schema):
    """The running infusion ended, now unless ``ended_at`` is given. ``mg``: if less was given than was begun."""

    mg = Whole(0, 2000)
    ended_at = Moment()


class StartNoteIn(Schema):
    """What there is to say, if anything."""

    note = PersonalText(1000)


class RatingsIn(Schema):
    """The session ratings, 0 none to 10 the most."""

    dissociation = Whole(0, 10, required=True)
    distress = Whole(0, 10, required=True)
    nausea = Whole(0, 10, required=True)
    sedation = Whole(0, 10, required=True)


class LookIn(Schema):
    """A look at the patient. ``concern``: something is not as it should be. Any red flag makes it an emergency.

    ``on_video`` is asked in a remote session: whether the patient was seen. Left out there, it counts as not.
    """

    concern = Flag(required=True)
    ratings = fields.Nested(RatingsIn)
    red_flags = red_flags_field()
    on_video = Flag()
    note = PersonalText(1000)
    checked_at = Moment()


class DepartureIn(Schema):
    """How the patient is when wanting to leave. ``missed_because``: why a look or a reading was missed, if one was."""

    oriented = Flag(required=True)
    walks_unaided = Flag(required=True)
    vomiting = Flag(required=True)
    escort_present = Flag(required=True)
    missed_because = PersonalText(1000)


class EmergencyIn(Schema):
    """What is happening, and which of the red flags there are, perhaps none."""

    red_flags = red_flags_field(required=True)
    description = PersonalText(1000, required=True)


class CheckInIn(Schema):
    """How the patient fares after the session. ``concern``: not all is well."""

    concern = Flag(required=True)
    note = PersonalText(1000)


def _step(
    path: str, body: type[Schema], action: Action = Action.RUN_SESSION
) -> Callable[[Callable[..., dict[str, Any]]], Callable[..., dict[str, Any]]]:
    return endpoint(
        blueprint, "POST", f"/sessions/<uuid:session_id>/{path}", action=action, body=body, answer=SessionOut
    )


@_step("readiness", ReadinessIn)
def record_readiness(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Record what is there. The session is ready when nothing is missing; the refusal names each unmet condition."""
    chaperone, remote = body["chaperone"], body["remote"]
    found = Readiness(
        chaperone=None if chaperone is None else Chaperone(**chaperone),
        last_food_at=body["last_food_at"],
        last_water_at=body["last_water_at"],
        staff_stays=body["staff_stays"],
        intakes={each["rule"]: each["last_taken_at"] for each in body["intakes"]},
        remote=None if remote is None else RemoteFacts(**remote),
    )
    row = readiness.record_readiness(call.session, call.actor, session_id, found, version=call.version)
    return after_step(call, row)


@_step("dose", DoseIn)
def record_dose(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Record a dose within the signed prescription, after vitals that passed."""
    row = dosing.record_dose(
        call.session,
        call.actor,
        session_id,
        body["mg"],
        is_booster=body["is_booster"],
        at=body.get("taken_at"),
        version=call.version,
    )
    return after_step(call, row)


@_step("infusion-end", InfusionEndIn)
def end_infusion(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """The infusion ended; the patient is observed from now on."""
    row = infusions.end_infusion(
        call.session, call.actor, session_id, body.get("mg"), body.get("ended_at"), version=call.version
    )
    return after_step(call, row)


@_step("physician-check-in", StartNoteIn, Action.ATTEND_START)
def check_in_at_start(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """You, the physician, saw or spoke with the patient at the start, as a session of this dose demands."""
    row = physician_checks.check_in_at_start(
        call.session, call.actor, session_id, body.get("note"), version=call.version
    )
    return after_step(call, row)


@_step("checks", LookIn)
def record_check(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Record a look at the patient, every 15 minutes while the medicine works; in a remote session on video.

    With lost video the answer's ``findings`` say what to do now.
    """
    look = Look(
        concern=body["concern"],
        ratings=body.get("ratings"),
        red_flags=body.get("red_flags", ()),
        note=body.get("note"),
        at=body.get("checked_at"),
        on_video=body.get("on_video"),
    )
    return after_step(call, looks.record_check(call.session, call.actor, session_id, look, version=call.version))


@_step("discharge-gate", DepartureIn)
def pass_discharge(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Ask whether the patient may go home; the refusal names each condition that is not met."""
    departure = Departure(**body)
    row = departures.pass_discharge(call.session, call.actor, session_id, departure, version=call.version)
    return after_step(call, row)


@_step("discharge", StepIn)
def discharge(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """The patient goes home with the escort. ``may_drive_at`` says from when driving is allowed again."""
    return after_step(call, departures.discharge(call.session, call.actor, session_id, version=call.version))


@_step("abort", ReasonIn)
def abort(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """The patient left before the discharge gate. The prescriber hears of it the same day."""
    row = departures.abort(call.session, call.actor, session_id, body["reason"], version=call.version)
    return after_step(call, row)


@_step("emergency", EmergencyIn)
def declare_emergency(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Somebody is in danger. Call first; the medical team is paged."""
    row: TherapySession = emergencies.declare_emergency(
        call.session, call.actor, session_id, body["red_flags"], body["description"], version=call.version
    )
    return after_step(call, row)


@_step("close-emergency", ReasonIn, Action.CLOSE_EMERGENCY)
def close_emergency(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """The prescriber has dealt with an emergency and says how."""
    row = emergencies.close_emergency(call.session, call.actor, session_id, body["reason"], version=call.version)
    return after_step(call, row)


@_step("check-in", CheckInIn)
def check_in(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """You spoke with the patient within a day after the session."""
    row = afterwards.record_check_in(
        call.session, call.actor, session_id, body["concern"], body.get("note"), version=call.version
    )
    return after_step(call, row)
