"""The answers of one screening, part by part, each with the time it was last answered.

A sheet is filled in pieces: a part that is a form (history, instruments) takes single answers, a list (medicines,
readings) is replaced as a whole. ``gaps`` says what still keeps it from being completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.core.errors import InvalidInput, RuleRefused
from services.core.findings import Finding
from services.core.programme import Programme
from services.screening import instruments
from services.screening.answers import checked_answers
from services.screening.history import Condition, load_questions, read_history
from services.screening.instruments import RiskLevel
from services.screening.rules import Triage, cssrs_instrument, cssrs_level, triage
from services.screening.scoring import Score, score
from services.screening.sheet_rules import CSSRS_SAME_DAY, PART_MISSING, PART_OUTDATED, PART_UNFINISHED


class Part(StrEnum):
    """The parts of a screening, in the order of the form."""

    HISTORY = "history"
    STATEMENTS = "statements"
    MEDICINES = "medicines"
    PHQ9 = "phq9"
    GAD7 = "gad7"
    CSSRS = "cssrs"
    BLOOD_PRESSURES = "blood_pressures"


INSTRUMENTS: Final = (Part.PHQ9, Part.GAD7, Part.CSSRS)
REQUIRED: Final = tuple(part for part in Part if part is not Part.STATEMENTS)
_LISTS: Final = frozenset({Part.MEDICINES, Part.BLOOD_PRESSURES})


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

        Raises ``InvalidInput`` naming the answer that does not fit, ``RuleRefused`` for one that cannot be true.
        """
        value = given if part in _LISTS else _without_none({**self.values.get(part, {}), **given})
        checked = _checked(part, value, now, programme)
        return AnswerSheet(self.zone, {**self.values, part: checked}, {**self.answered_at, part: now})

    def score(self, part: Part) -> Score:
        """The score of an instrument; raises ``InvalidInput`` as scoring does."""
        return score(instruments.get(part.value), self.values.get(part, {}))

    def cssrs_level(self) -> RiskLevel | None:
        """The C-SSRS level; None while what is answered shows nothing that could not still change.

        A screener left halfway counts with what it says as soon as that asks for somebody: nobody escapes triage by
        not finishing a form.
        """
        given = self.values.get(Part.CSSRS)
        if given is None:
            return None
        try:
            return cssrs_level(given)
        except InvalidInput:
            asked = cssrs_instrument(since_last_visit=False).items
            levels = [item.level_if_yes for item in asked if item.level_if_yes and given.get(item.id) is True]
            highest = max(levels, key=lambda level: level.rank, default=RiskLevel.NONE)
            return highest if highest.rank >= RiskLevel.MODERATE.rank else None

    def triage(self, programme: Programme, parts: Iterable[Part] = INSTRUMENTS) -> Triage:
        """What the answers to ``parts`` demand (DOMAIN 2.2). A C-SSRS from a day before the PHQ-9 does not count."""
        considered = set(parts)
        item9 = self.values.get(Part.PHQ9, {}).get("q9") if Part.PHQ9 in considered else None
        counts = Part.CSSRS in considered and not (item9 is not None and self._cssrs_is_from_before())
        return triage(phq9_item9=item9, level=self.cssrs_level() if counts else None, programme=programme)

    def _cssrs_is_from_before(self) -> bool:
        """Whether the C-SSRS is of an earlier day than the PHQ-9, by the patient's own calendar."""
        screener, phq9 = self.answered_at.get(Part.CSSRS), self.answered_at.get(Part.PHQ9)
        return screener is not None and phq9 is not None and self._day(screener) < self._day(phq9)

    def _day(self, moment: datetime) -> Any:
        return moment.astimezone(self.zone).date()

    def gaps(self, now: datetime, programme: Programme) -> list[Finding]:
        """What is missing before the screening can be completed; empty when nothing is."""
        found = [self._gap(part, now, programme) for part in REQUIRED]
        gaps = [gap for gap in found if gap is not None]
        if self.triage(programme).requires_cssrs_today and not any(gap.inputs["part"] == Part.CSSRS for gap in gaps):
            gaps.append(CSSRS_SAME_DAY.finding(part=Part.CSSRS.value))
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
        """Scores with instrument version and trace, the C-SSRS level and the triage, as plain JSON types."""
        level = self.cssrs_level()
        scores: dict[str, Any] = {part.value: self.score(part).as_dict() for part in INSTRUMENTS}
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
        case Part.PHQ9 | Part.GAD7 | Part.CSSRS:
            return checked_answers(instruments.get(part.value), value)
        case Part.BLOOD_PRESSURES:
            return [_checked_reading(reading, now, programme) for reading in value]
        case Part.MEDICINES:
            return [_checked_medicine(name) for name in value]
        case Part.STATEMENTS:
            return value


def _checked_medicine(name: str) -> str:
    shown = " ".join(name.split())
    if not shown:
        raise RuleRefused("A medicine needs a name.", field="medicines", rule="screening.medicine_named")
    return shown


def _checked_reading(reading: Mapping[str, Any], now: datetime, programme: Programme) -> dict[str, Any]:
    """A blood pressure that can be real and says something about today (DOMAIN 4: impossible readings are refused)."""
    systolic, diastolic, taken_at = reading["systolic"], reading["diastolic"], reading["taken_at"]
    for name, value in (("systolic", systolic), ("diastolic", diastolic)):
        least, most = (programme.whole(f"vitals.plausible.{name}_{end}") for end in ("least", "most"))
        if not least <= value <= most:
            _refuse_reading(name, "reading_possible", f"A {name} pressure lies between {least} and {most} mmHg.")
    if diastolic >= systolic:
        _refuse_reading("diastolic", "reading_possible", "The diastolic pressure is lower than the systolic one.")
    days = programme.whole("screening.pressure_valid_days")
    if not now - timedelta(days=days) <= taken_at <= now + timedelta(minutes=5):
        _refuse_reading("taken_at", "reading_recent", f"A reading must be of the last {days} days.")
    return {"systolic": systolic, "diastolic": diastolic, "taken_at": taken_at.isoformat()}


def _refuse_reading(name: str, rule: str, sentence: str) -> None:
    raise RuleRefused(sentence, field=f"blood_pressures.{name}", rule=f"screening.{rule}")
