"""What keeps an assessment from being handed in: answers that are missing, old, or ask for a screener of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.core.programme import programme
from services.outcomes.answer_rules import gaps
from services.outcomes.measures import measure

NOW = datetime(2026, 6, 10, 17, 0, tzinfo=UTC)
PROGRAMME = programme()
TITLES = {"phq9": "PHQ-9", "gad7": "GAD-7"}
WELL = {"q1": False, "q2": False, "q6": False}


def phq9(**changes: int | None) -> dict[str, int]:
    given = {f"q{number}": 1 for number in range(1, 9)} | {"q9": 0} | changes
    return {name: value for name, value in given.items() if value is not None}


GAD7 = {f"q{number}": 1 for number in range(1, 8)}


def missing(answers: dict[str, Any], *, days: float = 0, screener_counts: bool = True) -> list[tuple[str, str, str]]:
    """Rule, instrument and sentence of what is missing when the PHQ-9 is so many days old."""
    at = dict.fromkeys(answers, NOW)
    if "phq9" in at:
        at["phq9"] = NOW - timedelta(days=days)
    found = gaps(
        ["phq9", "gad7"], TITLES, measure(answers, PROGRAMME, level_counts=screener_counts), at, NOW, PROGRAMME
    )
    return [(finding.rule, finding.inputs["instrument"], finding.sentence) for finding in found]


def test_nothing_is_missing_when_all_is_answered_today() -> None:
    assert missing({"phq9": phq9(), "gad7": GAD7}) == []


def test_each_instrument_without_a_result_is_named_by_its_title() -> None:
    assert missing({"phq9": phq9(q9=None)}) == [
        ("outcomes.scale_unanswered", "phq9", "Not answered yet: PHQ-9."),
        ("outcomes.scale_unanswered", "gad7", "Not answered yet: GAD-7."),
    ]


@pytest.mark.parametrize(("days", "is_old"), [(0, False), (3, False), (3.001, True)])
def test_answers_older_than_three_days_are_given_again(days: float, is_old: bool) -> None:
    sentence = "These answers are older than 3 days and must be given again: PHQ-9."
    expected = [("outcomes.answers_outdated", "phq9", sentence)] if is_old else []
    assert missing({"phq9": phq9(), "gad7": GAD7}, days=days) == expected


def test_a_positive_item_9_asks_for_a_screener_of_the_day() -> None:
    positive = {"phq9": phq9(q9=1), "gad7": GAD7}
    (found,) = missing(positive)
    assert found[:2] == ("outcomes.cssrs_same_day", "cssrs_since_last_visit")
    assert missing({**positive, "cssrs_since_last_visit": WELL}) == []
    assert len(missing({**positive, "cssrs_since_last_visit": WELL}, screener_counts=False)) == 1
