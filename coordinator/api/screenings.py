"""Screenings: the form, the patient's answers in parts, and suicide-risk flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from marshmallow import Schema, fields, validate

from coordinator.api.answers import answers_schema
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Flag, Moment, PersonalText, Revealed, Text, Whole
from coordinator.api.tasks import StepIn
from services.eligibility import reviews
from services.people.access import Action
from services.screening import risk, screenings
from services.screening.answer_sheets import INSTRUMENTS, Part
from services.screening.definitions import Kind
from services.screening.history import load_questions
from services.screening.instrument_files import load_instruments
from services.screening.instruments import offered
from services.screening.models import Screening
from services.screening.result_rules import Sex
from services.screening.risk import ReadFlag, RiskSource
from services.screening.screenings import ReadScreening
from services.screening.states import RiskState, ScreeningState

blueprint = resource("screenings", "Screenings: the form, the patient's answers, and suicide-risk flags.")


def _history_schema() -> type[Schema]:
    """One field for each condition, with the statuses it can have."""
    conditions: dict[str, fields.Field[Any]] = {
        condition.value: fields.String(
            validate=validate.OneOf([status.value for status in question.answers]), allow_none=True
        )
        for condition, question in load_questions().items()
    }
    return Schema.from_dict(dict(conditions), name="HistoryIn")


class StatementsIn(Schema):
    """What some answers ask for: full months in remission, effective contraception is used, the patient's sex.

    ``sex`` sets the cut-off of the questions about alcohol; whoever does not say gets the lower one.
    """

    remission_months = Whole(0, 1200, allow_none=True)
    contraception_stated = Flag(allow_none=True)
    sex = Choice(Sex, allow_none=True)


class PressureIn(Schema):
    """A blood-pressure reading in mmHg."""

    systolic = Whole(1, 400, required=True)
    diastolic = Whole(1, 400, required=True)
    taken_at = Moment(required=True)


# Their items are the same whoever words them, so this document does not depend on the operator's texts.
_ASKABLE: Final = [(part, load_instruments()[part.value]) for part in INSTRUMENTS]
_PARTS: Final[dict[str, fields.Field[Any]]] = {
    Part.HISTORY: fields.Nested(_history_schema()),
    Part.STATEMENTS: fields.Nested(StatementsIn),
    Part.MEDICINES: fields.List(Text(120), validate=validate.Length(max=60)),
    **{part.value: fields.Nested(answers_schema(ours, f"{ours.id.capitalize()}AnswersIn")) for part, ours in _ASKABLE},
    Part.BLOOD_PRESSURES: fields.List(fields.Nested(PressureIn), validate=validate.Length(max=20)),
}
AnswersIn = Schema.from_dict({str(name): field for name, field in _PARTS.items()}, name="AnswersIn")


class CrisisResourceOut(Schema):
    """Where help is to be had at once."""

    name = fields.String(required=True)
    reach = fields.String(required=True)
    number = fields.String(required=True)


class RoundOut(Schema):
    """One round of a screening, without its content."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    round = fields.Integer(required=True)
    state = Choice(ScreeningState, required=True)
    opened_at = fields.AwareDateTime(required=True)
    completed_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class GapOut(Schema):
    """What is missing before the screening can be completed."""

    rule = fields.String(required=True)
    part = fields.String(required=True, allow_none=True)
    sentence = fields.String(required=True)


class UnclearMedicineOut(Schema):
    """A medicine as it was given, and the listed ones that may be meant."""

    given = fields.String(required=True)
    did_you_mean = fields.List(fields.String(), required=True)


class ScreeningOut(RoundOut):
    """A round as you may see it; what your role does not need is null.

    ``request`` says what the medical team asked for. Whenever ``crisis_resources`` is not empty, show it at once and
    before everything else. ``cssrs_due_today``: the C-SSRS must be answered before the day ends. ``asked``: the parts
    that this programme asks for, in the order of the form. ``unclear_medicines``: ask whether the other name is meant;
    nothing is changed by itself.
    """

    asked = fields.List(fields.String(), required=True)
    request = PersonalText(4000, required=True, allow_none=True)
    answers = fields.Dict(keys=fields.String(), required=True, allow_none=True)
    results = Revealed(fields.Dict(keys=fields.String()), required=True, allow_none=True)
    missing = fields.List(fields.Nested(GapOut), required=True)
    crisis_resources = fields.List(fields.Nested(CrisisResourceOut), required=True)
    cssrs_due_today = fields.Boolean(required=True)
    unclear_medicines = fields.List(fields.Nested(UnclearMedicineOut), required=True)


class RoundsOut(Schema):
    """All rounds of an episode, newest first."""

    items = fields.List(fields.Nested(RoundOut), required=True)


class ItemOut(Schema):
    """One question. ``labels`` words the answers from ``low`` to ``high``; a yes/no item takes true and false.

    ``asked_when`` names the item that must be answered yes for this one to be asked, ``asked_from_yes`` how many of the
    yes/no items must be. Where ``may_not_apply``, "not_applicable" is an answer too.
    """

    id = fields.String(required=True)
    text = fields.String(required=True)
    kind = Choice(Kind, required=True)
    low = fields.Integer(required=True)
    high = fields.Integer(required=True)
    labels = fields.List(fields.String(), required=True)
    examples = fields.String(required=True, allow_none=True)
    asked_when = fields.String(required=True, allow_none=True)
    asked_from_yes = fields.Integer(required=True)
    may_not_apply = fields.Boolean(required=True)


class InstrumentOut(Schema):
    """An instrument as it is shown to the patient. Of each of ``alternatives`` one item is answered.

    ``loinc`` is the code of its total.
    """

    id = fields.String(required=True)
    title = fields.String(required=True)
    version = fields.String(required=True)
    window = fields.String(required=True)
    prompt = fields.String(required=True)
    licence = fields.String(required=True)
    credit = fields.String(required=True)
    loinc = fields.String(required=True, allow_none=True)
    alternatives = fields.List(fields.List(fields.String()), required=True)
    items = fields.List(fields.Nested(ItemOut), required=True)


class QuestionOut(Schema):
    """A question of the medical history and the wording of each answer."""

    condition = fields.String(required=True)
    text = fields.String(required=True)
    answers = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class InstrumentsOut(Schema):
    """The instruments that can be shown, and the questions of the medical history."""

    items = fields.List(fields.Nested(InstrumentOut), required=True)
    history = fields.List(fields.Nested(QuestionOut), required=True)


class FlagOut(Schema):
    """A suicide-risk flag. ``triage`` says what was found and what it holds up."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    source = Choice(RiskSource, required=True)
    subject_id = fields.UUID(required=True)
    state = Choice(RiskState, required=True)
    triage = Revealed(fields.Dict(keys=fields.String()), required=True)
    reason = PersonalText(4000, required=True, allow_none=True)
    raised_at = fields.AwareDateTime(required=True)
    cleared_at = fields.AwareDateTime(required=True, allow_none=True)
    cleared_by = fields.UUID(required=True, allow_none=True)
    version = fields.Integer(required=True)


class FlagsOut(Schema):
    """All flags of an episode, newest first."""

    items = fields.List(fields.Nested(FlagOut), required=True)


class ClearIn(Schema):
    """Why the flag can be put down."""

    reason = PersonalText(4000, required=True)


@endpoint(blueprint, "GET", "/instruments", action=Action.READ_SCREENING, answer=InstrumentsOut)
def list_instruments(call: Call) -> dict[str, Any]:
    """The instruments and the medical history as the patient is asked them.

    What a screening asks for is told by ``asked`` of that screening.
    """
    return {"items": offered(), "history": list(load_questions().values())}


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/screenings",
    action=Action.READ_SCREENING,
    answer=RoundsOut,
)
def list_screenings(call: Call, episode_id: UUID) -> dict[str, Sequence[Screening]]:
    """The rounds of screening of an episode."""
    return {"items": screenings.list_screenings(call.session, call.actor, episode_id)}


@endpoint(blueprint, "GET", "/screenings/<uuid:screening_id>", action=Action.READ_SCREENING, answer=ScreeningOut)
def read_screening(call: Call, screening_id: UUID) -> dict[str, Any]:
    """One round: to the patient the own answers, to the therapist the results, to the medical team both."""
    return _shown(call, screenings.read_screening(call.session, call.actor, screening_id))


@endpoint(
    blueprint,
    "PATCH",
    "/screenings/<uuid:screening_id>",
    action=Action.ANSWER_SCREENING,
    body=AnswersIn,
    answer=ScreeningOut,
)
def save_answers(call: Call, body: dict[str, Any], screening_id: UUID) -> dict[str, Any]:
    """Save some answers. In a form null takes an answer back; a list replaces the one before."""
    given = {Part(name): value for name, value in body.items()}
    return _shown(call, screenings.save_answers(call.session, call.actor, screening_id, given, version=call.version))


@endpoint(
    blueprint,
    "POST",
    "/screenings/<uuid:screening_id>/complete",
    action=Action.ANSWER_SCREENING,
    body=StepIn,
    answer=ScreeningOut,
)
def complete_screening(call: Call, body: dict[str, Any], screening_id: UUID) -> dict[str, Any]:
    """Hand the screening in. Nothing may be missing; it cannot be changed afterwards."""
    return _shown(call, reviews.submit_screening(call.session, call.actor, screening_id, version=call.version))


def _shown(call: Call, found: ReadScreening) -> dict[str, Any]:
    unclear = reviews.unclear_medicines(call.session, found)
    return {
        **{name: getattr(found.screening, name) for name in RoundOut().fields},
        "asked": [part.value for part in found.asked],
        "request": found.request,
        "answers": None if found.sheet is None else found.sheet.as_dict(),
        "results": found.results,
        "missing": [{"rule": gap.rule, "part": gap.inputs.get("part"), "sentence": gap.sentence} for gap in found.gaps],
        "crisis_resources": found.crisis_resources,
        "cssrs_due_today": found.triage is not None and found.triage.requires_cssrs_today,
        "unclear_medicines": [{"given": given, "did_you_mean": meant} for given, meant in unclear],
    }


@endpoint(
    blueprint,
    "GET",
    "/episodes/<uuid:episode_id>/risk-flags",
    action=Action.READ_ELIGIBILITY,
    answer=FlagsOut,
)
def list_flags(call: Call, episode_id: UUID) -> dict[str, Any]:
    """The suicide-risk flags of an episode, for therapist and medical team."""
    return {"items": [_flag(found) for found in risk.list_flags(call.session, call.actor, episode_id)]}


@endpoint(
    blueprint,
    "POST",
    "/risk-flags/<uuid:flag_id>/clear",
    action=Action.CLEAR_RISK,
    body=ClearIn,
    answer=FlagOut,
)
def clear_flag(call: Call, body: dict[str, Any], flag_id: UUID) -> dict[str, Any]:
    """Put a suicide-risk flag down, under your name and with the reason."""
    return _flag(risk.clear(call.session, call.actor, flag_id, body["reason"], version=call.version))


def _flag(found: ReadFlag) -> dict[str, Any]:
    row = {name: getattr(found.flag, name) for name in FlagOut().fields if name not in ("triage", "reason")}
    return {**row, "triage": found.triage, "reason": found.reason}
