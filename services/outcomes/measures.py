"""What answers to instruments say: scores with their trace, the C-SSRS level, the triage, and the change since before.

Therapists report answers (``reports.py``) and patients give them (``assessments.py``); from here on both are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from services.core.errors import InvalidInput
from services.core.programme import Programme
from services.outcomes.baselines import baseline, first_dose_at
from services.outcomes.change_rules import change
from services.outcomes.report_rules import INSTRUMENT_NOT_OFFERED
from services.people.models import Episode
from services.screening import instruments
from services.screening.definitions import Answers
from services.screening.instruments import RiskLevel
from services.screening.rules import Triage, cssrs_level, triage_of
from services.screening.scoring import Score, score

SCREENER: Final = "cssrs_since_last_visit"


@dataclass(frozen=True, slots=True, repr=False)
class Measures:
    """Scores by instrument and what they demand. Clinical data: ``repr`` shows nothing.

    ``complete`` names the instruments that gave a result, in the order of the instruments.
    """

    answers: Mapping[str, Answers]
    scores: Mapping[str, Score]
    level: RiskLevel | None
    triage: Triage
    complete: tuple[str, ...]


def in_use(programme: Programme) -> tuple[str, ...]:
    """The instruments that a programme uses for outcomes (``outcomes.instruments``), in the order of the instruments.

    The screener that asks since the last visit is always among them: a positive item 9 demands it (DOMAIN 2.2).
    """
    return in_order({*programme.choices("outcomes.instruments"), SCREENER})


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Instruments in the order of their file. Raises ``InvalidInput`` for one that does not exist."""
    wanted = {instruments.get(name).id for name in names}
    return tuple(name for name in instruments.known() if name in wanted)


def check_offered(names: Iterable[str], programme: Programme, *, field: str | None = None) -> None:
    """Raise ``RuleRefused`` on the first instrument that the programme does not use, or on ``field``."""
    known = in_use(programme)
    for name in names:
        if name not in known:
            raise INSTRUMENT_NOT_OFFERED.refused(programme, field=field or f"answers.{name}", instrument=name)


def measure(answers: Mapping[str, Answers], programme: Programme, *, level_counts: bool = True) -> Measures:
    """Score ``answers`` by instrument and triage them.

    ``level_counts`` is False for a C-SSRS of an earlier day than the other answers: it does not satisfy the same-day
    duty. Raises ``InvalidInput`` as scoring does.
    """
    scores = {name: score(instruments.get(name), answers[name]) for name in in_order(answers)}
    counting = {name: given for name, given in answers.items() if level_counts or name != SCREENER}
    found = triage_of(counting, programme)
    complete = tuple(name for name in scores if is_complete(name, scores[name], answers[name]))
    return Measures({name: answers[name] for name in scores}, scores, found.level, found, complete)


def is_complete(name: str, found: Score, answers: Answers) -> bool:
    """Whether an instrument gave its result; the C-SSRS does with an answer to everything that had to be asked."""
    if name != SCREENER:
        return found.unscorable_because is None and (found.total is not None or found.complete)
    try:
        cssrs_level(answers, since_last_visit=True)
    except InvalidInput:
        return False
    return True


def results_of(
    session: Session, episode: Episode, measures: Measures, answered_at: datetime, programme: Programme
) -> dict[str, Any]:
    """What is kept of ``measures``, as plain JSON types, with the change since the last score before the first dose."""
    first_dose = first_dose_at(session, episode.id)
    before = baseline(session, episode.id) if first_dose is not None and answered_at > first_dose else {}
    compared = {name: before[name] for name in measures.scores if name in before}
    changes: dict[str, Any] = {}
    classes: dict[str, str | None] = {}
    for name, start in compared.items():
        current = measures.scores[name].total
        found = change(instruments.get(name), baseline=start.total, current=current, programme=programme)
        classes[name] = None if found is None else found.outcome.value
        changes[name] = None if found is None else found.as_dict()
    return {
        "scores": {
            name: {**found.as_dict(), "answers": measures.answers[name]} for name, found in measures.scores.items()
        },
        "cssrs_level": None if measures.level is None else measures.level.value,
        "baseline": {
            name: {"total": start.total, "answered_at": start.answered_at.isoformat()}
            for name, start in compared.items()
        },
        "classes": classes,
        "changes": changes,
        "triage": measures.triage.as_dict(),
    }
