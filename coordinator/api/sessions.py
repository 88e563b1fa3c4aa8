"""Sessions: booked, moved, cancelled, answered by the patient, held. Dosing sessions go on in ``dosing.py``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.comfort import ComfortOut
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Id, Moment, PersonalText, Revealed, Whole, page_schema
from coordinator.api.findings import FindingOut
from coordinator.api.tasks import StepIn
from services.people.access import Action
from services.prescribing.routes import Route
from services.sessions import afterwards, answers, bookings, histories, rounds
from services.sessions.bookings import LONGEST_MINUTES, SHORTEST_MINUTES, Booked, Booking, Move
from services.sessions.histories import SessionView
from services.sessions.models import RoundExtension, TherapySession
from services.sessions.places import Site
from services.sessions.states import SessionKind, SessionState

blueprint = resource("sessions", "Sessions: preparation, dosing, integration; booked, moved, answered, held.")


class BookingIn(Schema):
    """A session to book. Without ``minutes`` it is as long as the programme says; ``address`` only if it is another
    than the practice's or the patient's own, ``location_id`` where the practice has several, ``route`` where the plan
    has several. An integration session names the dosing session that it follows."""

    episode_id = Id(required=True)
    kind = Choice(SessionKind, required=True)
    starts_at = Moment(required=True)
    minutes = Whole(SHORTEST_MINUTES, LONGEST_MINUTES)
    site = Choice(Site, required=True)
    remote = Flag(required=True)
    address = PersonalText(200)
    location_id = Id()
    route = Choice(Route)
    integrates_id = Id()


class MoveIn(Schema):
    """What changes; what is left out stays."""

    starts_at = Moment()
    minutes = Whole(SHORTEST_MINUTES, LONGEST_MINUTES)
    site = Choice(Site)
    remote = Flag()
    address = PersonalText(200)
    location_id = Id()


class ReasonIn(Schema):
    """Why."""

    reason = PersonalText(1000, required=True)


class SessionsIn(cursors.PageIn):
    """Filters of the list."""

    kind = Choice(SessionKind)
    state = Choice(SessionState)


class SessionSummaryOut(Schema):
    """A session, without its content."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    therapist_id = fields.UUID(required=True)
    kind = Choice(SessionKind, required=True)
    state = Choice(SessionState, required=True)
    starts_at = fields.AwareDateTime(required=True)
    ends_at = fields.AwareDateTime(required=True)
    integrates_id = fields.UUID(required=True, allow_none=True)
    prescription_id = fields.UUID(required=True, allow_none=True)
    confirmed_at = fields.AwareDateTime(required=True, allow_none=True)
    reschedule_asked_at = fields.AwareDateTime(required=True, allow_none=True)
    dosed_at = fields.AwareDateTime(required=True, allow_none=True)
    last_dose_at = fields.AwareDateTime(required=True, allow_none=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    version = fields.Integer(required=True)


class AdviceOut(Schema):
    """An emergency: show this at once and before everything else."""

    call = fields.String(required=True)
    sentence = fields.String(required=True)


class WatchOut(Schema):
    """When the effect is expected to begin, when to look and to measure, and when the patient may go home."""

    onset_from = fields.AwareDateTime(required=True)
    onset_until = fields.AwareDateTime(required=True)
    next_check_at = fields.AwareDateTime(required=True)
    blood_pressure_due_at = fields.AwareDateTime(required=True)
    discharge_from = fields.AwareDateTime(required=True)


class ChaperoneOut(Schema):
    """The adult who stays with the patient."""

    name = PersonalText(120, required=True)
    age_years = fields.Integer(required=True)
    phone = PersonalText(40, required=True, allow_none=True)
    present = fields.Boolean(required=True)
    sober_attested = fields.Boolean(required=True)
    arrived_at = fields.AwareDateTime(required=True, allow_none=True)


class RemoteOut(Schema):
    """What a session needs when the therapist is not in the room."""

    therapist_on_video = fields.Boolean(required=True)
    blood_pressure_cuff = fields.Boolean(required=True)
    emergency_address_confirmed = fields.Boolean(required=True)
    emergency_phone_confirmed = fields.Boolean(required=True)


class ReadinessOut(Schema):
    """What was found before the start."""

    chaperone = fields.Nested(ChaperoneOut, required=True, allow_none=True)
    last_food_at = fields.AwareDateTime(required=True, allow_none=True)
    last_water_at = fields.AwareDateTime(required=True, allow_none=True)
    staff_stays = fields.Boolean(required=True)
    intakes = fields.Dict(keys=fields.String(), values=fields.AwareDateTime(allow_none=True), required=True)
    remote = fields.Nested(RemoteOut, required=True, allow_none=True)


class ReasonOut(Schema):
    """Why a session was cancelled or aborted, or what an emergency was and how it ended."""

    red_flags = fields.List(fields.String(), required=True)
    texts = fields.List(fields.String(), required=True)


class DoseOut(Schema):
    """Something taken. ``ended_at`` is when an infusion ended, null while it runs and for what is taken at once."""

    mg = fields.Integer(required=True)
    units = fields.Float(required=True)
    is_booster = fields.Boolean(required=True)
    at = fields.AwareDateTime(required=True)
    route = Choice(Route, required=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)


class CheckOut(Schema):
    """A look at the patient (``monitoring``), a call the day after (``check_in``), the medical team at the start
    (``physician_check_in``), or why something was missed (``explanation``)."""

    kind = fields.String(required=True)
    checked_at = fields.AwareDateTime(required=True)
    recorded_by = fields.UUID(required=True)
    recorded_at = fields.AwareDateTime(required=True)
    content = Revealed(fields.Dict(keys=fields.String()), required=True)


class SessionOut(SessionSummaryOut):
    """A session as you may see it; what your role does not see, or does not apply, is null.

    ``may_drive_at`` is in the patient's zone: no driving before. With ``emergency`` not null, show it first.
    ``findings`` are good to know after booking or moving, and say what is not as it must be just now.
    """

    site = Choice(Site, required=True)
    remote = fields.Boolean(required=True)
    address = PersonalText(200, required=True, allow_none=True)
    location_id = fields.UUID(required=True, allow_none=True)
    route = Choice(Route, required=True, allow_none=True)
    may_drive_at = fields.AwareDateTime(required=True, allow_none=True)
    emergency = fields.Nested(AdviceOut, required=True, allow_none=True)
    watch = fields.Nested(WatchOut, required=True, allow_none=True)
    readiness = Revealed(fields.Nested(ReadinessOut), required=True, allow_none=True)
    reason = Revealed(fields.Nested(ReasonOut), required=True, allow_none=True)
    doses = Revealed(fields.List(fields.Nested(DoseOut)), required=True, allow_none=True)
    checks = fields.List(fields.Nested(CheckOut), required=True, allow_none=True)
    comfort = Revealed(fields.Nested(ComfortOut), required=True, allow_none=True)
    findings = fields.List(fields.Nested(FindingOut), required=True)


class ExtensionIn(Schema):
    """How many dosing sessions the round has in all from now on, and why."""

    sessions = Whole(1, 100, required=True)
    reason = PersonalText(1000, required=True)


class ExtensionOut(Schema):
    """The decision, without its content."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    extended_by = fields.UUID(required=True)
    extended_at = fields.AwareDateTime(required=True)


@endpoint(
    blueprint,
    "POST",
    "/sessions",
    action=Action.BOOK_SESSION,
    body=BookingIn,
    answer=SessionOut,
    status=201,
    located="/sessions/{id}",
)
def book_session(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Book a session. A dosing session needs a signed prescription and current eligibility, and keeps its distance."""
    episode_id = body.pop("episode_id")
    return _booked(call, bookings.book_session(call.session, call.actor, episode_id, Booking(**body)))


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/sessions",
    action=Action.READ_SESSION,
    query=SessionsIn,
    answer=page_schema(SessionSummaryOut, "SessionPageOut"),
)
def list_sessions(call: Call, query: dict[str, Any], episode_id: UUID) -> dict[str, Any]:
    """The sessions of an episode, by their time."""
    found = histories.list_sessions(
        call.session,
        call.actor,
        episode_id,
        kind=query.get("kind"),
        state=query.get("state"),
        after=cursors.decode(query.get("cursor")),
        limit=query["limit"] + 1,
    )
    return cursors.page(found, query["limit"], lambda row: (row.starts_at, row.id))


@endpoint(blueprint, "GET", "/sessions/<uuid:session_id>", action=Action.READ_SESSION, answer=SessionOut)
def read_session(call: Call, session_id: UUID) -> dict[str, Any]:
    """One session as you may see it: to the patient when and where, and from when driving is allowed."""
    return shown(histories.read_session(call.session, call.actor, session_id))


@endpoint(
    blueprint,
    "PATCH",
    "/sessions/<uuid:session_id>",
    action=Action.CHANGE_SESSION,
    body=MoveIn,
    answer=SessionOut,
)
def move_session(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Give a planned session another time or place. The patient hears of a new time and is asked anew."""
    moved = bookings.move_session(call.session, call.actor, session_id, Move(**body), version=call.version)
    return _booked(call, moved)


@endpoint(
    blueprint,
    "POST",
    "/sessions/<uuid:session_id>/cancel",
    action=Action.CHANGE_SESSION,
    body=ReasonIn,
    answer=SessionOut,
)
def cancel_session(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Cancel a session in which nothing was taken yet."""
    row = bookings.cancel_session(call.session, call.actor, session_id, body["reason"], version=call.version)
    return after_step(call, row)


@endpoint(
    blueprint,
    "POST",
    "/sessions/<uuid:session_id>/confirm",
    action=Action.ANSWER_SESSION,
    body=StepIn,
    answer=SessionOut,
)
def confirm_session(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """You will come."""
    return after_step(call, answers.confirm_session(call.session, call.actor, session_id, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/sessions/<uuid:session_id>/ask-to-reschedule",
    action=Action.ANSWER_SESSION,
    body=StepIn,
    answer=SessionOut,
)
def ask_to_reschedule(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """You need another time. The session stands until your therapist moves or cancels it."""
    return after_step(call, answers.ask_to_reschedule(call.session, call.actor, session_id, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/sessions/<uuid:session_id>/hold",
    action=Action.RUN_SESSION,
    body=StepIn,
    answer=SessionOut,
)
def hold_session(call: Call, body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """A preparation or integration session was held. Integration closes its dosing session."""
    return after_step(call, afterwards.hold_session(call.session, call.actor, session_id, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/episodes/<uuid:episode_id>/round-extensions",
    action=Action.EXTEND_ROUND,
    body=ExtensionIn,
    answer=ExtensionOut,
    status=201,
)
def extend_round(call: Call, body: dict[str, Any], episode_id: UUID) -> RoundExtension:
    """Let this patient's round have more dosing sessions than usual."""
    return rounds.extend_round(call.session, call.actor, episode_id, body["sessions"], body["reason"])


def after_step(call: Call, row: TherapySession) -> dict[str, Any]:
    """The answer after a step: the session as the actor may see it."""
    return shown(histories.view_of(call.session, call.actor, row))


def _booked(call: Call, booked: Booked) -> dict[str, Any]:
    return {**after_step(call, booked.row), "findings": list(booked.findings)}


def shown(view: SessionView) -> dict[str, Any]:
    """What ``SessionOut`` writes."""
    return {
        **{name: getattr(view.row, name) for name in SessionSummaryOut().fields},
        "site": view.place.site,
        "remote": view.place.remote,
        "address": view.place.address,
        "location_id": view.place.location_id,
        "route": view.place.route,
        "may_drive_at": view.drives_from,
        "emergency": view.advice,
        "watch": view.watch,
        "readiness": view.readiness,
        "reason": view.reason,
        "doses": view.doses,
        "checks": None if view.checks is None else [_check(each) for each in view.checks],
        "comfort": view.comfort,
        "findings": list(view.findings),
    }


def _check(looked: histories.LookedAt) -> dict[str, Any]:
    row = looked.check
    return {
        "kind": row.kind,
        "checked_at": row.checked_at,
        "recorded_by": row.recorded_by,
        "recorded_at": row.recorded_at,
        "content": looked.content,
    }
