"""The answers of one screening, part by part, each with the time it was last answered.

A sheet is filled in pieces: a part that is a form (history, instruments) takes single answers, a list (medicines,
readings) is replaced as a whole. ``gaps`` says what still keeps it from being completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfo

from services.core.errors import InvalidInput, RuleRefused
from services.core.findings import Finding
from services.core.programme import Programme
from services.screening import instruments
from services.screening.answers import checked_answers
from services.screening.history import Condition, load_questions, read_history
from services.screening.instruments import RiskLevel
from services.screening.result_rules import Result, Sex, read_result
from services.screening.rules import Triage, cssrs_level, level_so_far, risk_answer, triage_of
from services.screening.scoring import Score, score
from services.screening.sheet_rules import (
    CSSRS_SAME_DAY,
    MEDICINE_NAMED,
    PART_MISSING,
    PART_NOT_ASKED,
    PART_OUTDATED,
    PART_UNFINISHED,
    READING_IN_ORDER,
    READING_POSSIBLE,
    READING_RECENT,
)


class Part(StrEnum):
    """The parts of a screening, in the order of the form."""

    HISTORY = "history"
    STATEMENTS = "statements"
    MEDICINES = "medicines"
    PHQ9 = "phq9"
    GAD7 = "gad7"
    CSSRS = "cssrs"
    PCL5 = "pcl5"
    QIDS = "qids_sr16"
    AUDIT_C = "audit_c"
    DAST10 = "dast10"
    MDQ = "mdq"
    WSAS = "wsas"
    B_IPF = "b_ipf"
    PSS10 = "pss10"
    BLOOD_PRESSURES = "blood_pressures"


_LISTS: Final = frozenset({Part.MEDICINES, Part.BLOOD_PRESSURES})
_FORMS: Final = frozenset({Part.HISTORY, Part.STATEMENTS})
INSTRUMENTS: Final = tuple(part for part in Part if part not in _LISTS | _FORMS)
"""The instruments that a screening can ask for; ``screening.instruments`` of the programme says which it does."""

# Where triage finds an item on suicide.
_RISK_ITEMS: Final = (Part.PHQ9, Part.QIDS)


def asked_instruments(programme: Programme) -> tuple[Part, ...]:
    """The instruments that a screening asks for, in the order of the form. Raises as ``instruments.asked_by`` does."""
    asked = {instrument.id for instrument in instruments.asked_by(programme, "screening.instruments")}
    return tuple(part for part in INSTRUMENTS if part in asked)


def required_parts(programme: Programme) -> tuple[Part, ...]:
    """The parts without which a screening is not complete, in the order of the form."""
    asked = {Part.HISTORY, *_LISTS, *asked_instruments(programme)}
    return tuple(part for part in Part if part in asked)


@dataclass(frozen=True, slots=True, repr=False)
class AnswerSheet:
    """Health data: keep it sealed; ``repr`` shows nothing. ``zone`` is where the patient's days begin and end."""

    zone: ZoneInfo
    values: Mapping[Part, Any] = field(default_factory=dict)
    answered_at: Mapping[Part, datetime] = field(default_factory=dict)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any] | None, zone: ZoneInfo) -> AnswerSheet:
        """The sheet that ``as_dict`` gave; an empty one for None."""
        parts = {Part(name): part for name, part in (stored or {}).items()}
        return cls(
            zone,
            {name: part["value"] for name, part in parts.items()},
            {name: datetime.fromisoformat(part["answered_at"]) for name, part in parts.items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """The sheet as plain JSON types, for storing sealed."""
        return {
            part.value: {"value": value, "answered_at": self.answered_at[part].isoformat()}
            for part, value in self.values.items()
        }

    def answered(self, part: Part, given: Any, now: datetime, programme: Programme) -> AnswerSheet:
        """The sheet with ``given`` taken into ``part``; in a form None takes an answer back.

        Raises ``InvalidInput`` naming the answer that does not fit, ``RuleRefused`` for one that cannot be true and for
        an instrument that the programme does not ask for. A C-SSRS is always taken: triage may demand one.
        """
        if part in INSTRUMENTS and part not in (Part.CSSRS, *asked_instruments(programme)):
            _refuse(PART_NOT_ASKED.finding(programme, says={"part": part}, part=part.value), part.value)
        value = given if part in _LISTS else _without_none({**self.values.get(part, {}), **given})
        checked = _checked(part, value, now, programme)
        return AnswerSheet(self.zone, {**self.values, part: checked}, {**self.answered_at, part: now})

    def score(self, part: Part) -> Score:
        """The score of an instrument; raises ``InvalidInput`` as scoring does."""
        return score(instruments.get(part.value), self.values.get(part, {}))

    def result(self, part: Part, programme: Programme) -> Result:
        """What the score of an instrument means: positive or not, and the findings that say why."""
        sex = Sex(self.values.get(Part.STATEMENTS, {}).get("sex") or Sex.UNSPECIFIED)
        return read_result(instruments.get(part.value), self.score(part), programme, sex=sex)

    def cssrs_level(self) -> RiskLevel | None:
        """The C-SSRS level, of a screener left halfway as ``level_so_far`` says; None when there is none."""
        given = self.values.get(Part.CSSRS)
        return None if given is None else level_so_far(given)

    def triage(self, programme: Programme, parts: Iterable[Part] = INSTRUMENTS) -> Triage:
        """What the answers to ``parts`` demand (DOMAIN 2.2). A C-SSRS older than such an answer does not count."""
        considered = set(parts)
        answers = {part.value: self.values[part] for part in considered if part in self.values and part in INSTRUMENTS}
        if any(self._is_after_cssrs(part) for part in _RISK_ITEMS if part in considered):
            answers.pop(Part.CSSRS.value, None)
        return triage_of(answers, programme)

    def _is_after_cssrs(self, part: Part) -> bool:
        """Whether a positive item on suicide is of a later day than the C-SSRS, by the patient's own calendar."""
        screener, answered = self.answered_at.get(Part.CSSRS), self.answered_at.get(part)
        if screener is None or answered is None:
            return False
        return bool(self._answer_to(part)) and self._day(screener) < self._day(answered)

    def _answer_to(self, part: Part) -> int | None:
        return risk_answer(instruments.get(part.value), self.values.get(part, {}))

    def _day(self, moment: datetime) -> Any:
        return moment.astimezone(self.zone).date()

    def gaps(self, now: datetime, programme: Programme) -> list[Finding]:
        """What is missing before the screening can be completed; empty when nothing is."""
        found = [self._gap(part, now, programme) for part in required_parts(programme)]
        gaps = [gap for gap in found if gap is not None]
        demanded = self.triage(programme)
        if demanded.requires_cssrs_today and not any(gap.inputs["part"] == Part.CSSRS for gap in gaps):
            asking = next(part for part in _RISK_ITEMS if self._answer_to(part))
            says = {"instrument": instruments.get(asking.value).title}
            gaps.append(CSSRS_SAME_DAY.finding(says=says, part=Part.CSSRS.value))
        return gaps

    def _gap(self, part: Part, now: datetime, programme: Programme) -> Finding | None:
        if part not in self.values:
            return PART_MISSING.finding(says={"part": part}, part=part.value)
        unanswered = self._unanswered(part)
        if unanswered:
            return PART_UNFINISHED.finding(says={"part": part, "unanswered": unanswered}, part=part.value)
        setting = f"screening.{'pressure' if part is Part.BLOOD_PRESSURES else 'instruments'}_valid_days"
        days = programme.whole(setting)
        if any(moment < now - timedelta(days=days) for moment in self._moments(part)):
            return PART_OUTDATED.finding(programme, setting=setting, says={"part": part}, part=part.value)
        return None

    def _moments(self, part: Part) -> list[datetime]:
        """The times that tell whether a part still speaks of today; a history does not grow old that fast."""
        if part is Part.BLOOD_PRESSURES:
            return [datetime.fromisoformat(reading["taken_at"]) for reading in self.values[part]]
        return [self.answered_at[part]] if part in INSTRUMENTS else []

    def _unanswered(self, part: Part) -> list[str]:
        """The questions that must still be answered. What an instrument may prorate is not among them."""
        if part is Part.HISTORY:
            given = self.values[part]
            return [condition.value for condition in load_questions() if condition.value not in given]
        if part is Part.CSSRS:
            try:
                cssrs_level(self.values[part])
            except InvalidInput as error:
                return [str(error.field).rpartition(".")[2]]
        elif part in INSTRUMENTS:
            result = self.score(part)
            return list(result.missing) if result.unscorable_because else []
        return []

    def results(self, programme: Programme) -> dict[str, Any]:
        """Scores with instrument version, trace and meaning, the C-SSRS level and the triage, as plain JSON types."""
        level = self.cssrs_level()
        scores: dict[str, Any] = {
            part.value: {**self.score(part).as_dict(), **self.result(part, programme).as_dict()}
            for part in INSTRUMENTS
            if part in self.values
        }
        return {
            "scores": scores,
            "cssrs_level": None if level is None else level.value,
            "triage": self.triage(programme).as_dict(),
        }


def _without_none(answers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer for name, answer in answers.items() if answer is not None}


def _checked(part: Part, value: Any, now: datetime, programme: Programme) -> Any:
    match part:
        case Part.HISTORY:
            statuses = read_history(value)
            return {condition.value: statuses[condition].value for condition in Condition if condition in statuses}
        case Part.BLOOD_PRESSURES:
            return [_checked_reading(reading, now, programme) for reading in value]
        case Part.MEDICINES:
            return [_checked_medicine(name) for name in value]
        case Part.STATEMENTS:
            return {name: str(answer) if isinstance(answer, StrEnum) else answer for name, answer in value.items()}
    return checked_answers(instruments.get(part.value), value)


def _checked_medicine(name: str) -> str:
    shown = " ".join(name.split())
    if not shown:
        _refuse(MEDICINE_NAMED.finding(name=""), "medicines")
    return shown


def _checked_reading(reading: Mapping[str, Any], now: datetime, programme: Programme) -> dict[str, Any]:
    """A blood pressure that can be real and says something about today (DOMAIN 4: impossible readings are refused)."""
    systolic, diastolic, taken_at = reading["systolic"], reading["diastolic"], reading["taken_at"]
    for name, value in (("systolic", systolic), ("diastolic", diastolic)):
        least, most = (programme.whole(f"vitals.plausible.{name}_{end}") for end in ("least", "most"))
        if not least <= value <= most:
            setting = f"vitals.plausible.{name}_{'least' if value < least else 'most'}"
            says = {"quantity": name, "least": least, "most": most}
            _refuse(
                READING_POSSIBLE.finding(programme, setting=setting, says=says, measured=value),
                f"blood_pressures.{name}",
            )
    if diastolic >= systolic:
        _refuse(READING_IN_ORDER.finding(systolic=systolic, diastolic=diastolic), "blood_pressures.diastolic")
    days = programme.whole("screening.pressure_valid_days")
    if not now - timedelta(days=days) <= taken_at <= now + timedelta(minutes=5):
        _refuse(
            READING_RECENT.finding(programme, taken_at=taken_at.isoformat(), now=now.isoformat()),
            "blood_pressures.taken_at",
        )
    return {"systolic": systolic, "diastolic": diastolic, "taken_at": taken_at.isoformat()}


def _refuse(finding: Finding, field: str) -> NoReturn:
    raise RuleRefused(finding.sentence, [finding], field=field)
