"""When a patient is asked: the schedule as a pure function of what was recorded, on the patient's own calendar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.core.errors import InvalidConfiguration
from services.core.programme import Programme, programme
from services.outcomes.cadence_rules import (
    CadenceFacts,
    Occasion,
    chase,
    months_later,
    next_due,
    supersedes,
)

PROGRAMME = programme()
PACIFIC = ZoneInfo("America/Los_Angeles")
FIRST = datetime(2026, 6, 1, 18, 0, tzinfo=UTC)  # a Monday, 11:00 in California
WEEK = timedelta(days=7)


def weekly(number: int, first: datetime = FIRST) -> tuple[datetime, ...]:
    return tuple(first + index * WEEK for index in range(number))


def facts(**changes: Any) -> CadenceFacts:
    return CadenceFacts(**{"in_care": True, "zone": PACIFIC, **changes})


def due(**changes: Any) -> tuple[str, int | None, str] | None:
    """Occasion, session and local time of what is due next."""
    found = next_due(facts(**changes), PROGRAMME)
    if found is None:
        return None
    return found.occasion.value, found.number, found.at.astimezone(PACIFIC).strftime("%Y-%m-%d %H:%M")


def setting(**values: Any) -> Programme:
    changed = {f"outcomes.cadence.{name}": value for name, value in values.items()}
    return replace(PROGRAMME, settings={**PROGRAMME.settings, **changed})


def test_nothing_is_due_before_anything_happened() -> None:
    assert due() is None


def test_nothing_is_due_outside_of_care() -> None:
    assert due(in_care=False, sessions=weekly(2), decision_expected_since=FIRST) is None


@pytest.mark.parametrize("number", [2, 4, 6, 8])
def test_an_assessment_follows_the_listed_sessions_two_days_after(number: int) -> None:
    held = weekly(number)
    day = (held[-1] + timedelta(days=2)).strftime("%Y-%m-%d")
    assert due(sessions=held) == ("after_session", number, f"{day} 10:00")
    found = next_due(facts(sessions=held), PROGRAMME)
    assert found is not None
    assert (found.finding.rule, found.finding.setting) == (
        "outcomes.due_after_session",
        "outcomes.cadence.after_sessions",
    )


@pytest.mark.parametrize("number", [1, 3, 5, 7, 9])
def test_sessions_between_ask_for_nothing_once_the_last_listed_one_was_answered(number: int) -> None:
    held = weekly(number)
    answered = held[-1] - timedelta(days=3)
    asked = {(Occasion.AFTER_SESSION, number - 1): answered}
    found = due(sessions=held, complete_at=answered, asked=asked)
    assert found is not None
    assert found[0] == "monthly"


def test_answers_from_before_the_session_do_not_count_for_it() -> None:
    held = weekly(2)
    assert due(sessions=held, complete_at=held[1])[0] == "after_session"  # type: ignore[index]
    assert due(sessions=held, complete_at=held[1] + timedelta(minutes=1))[0] == "monthly"  # type: ignore[index]


def test_of_two_listed_sessions_only_the_later_is_asked_about() -> None:
    assert due(sessions=weekly(5)) == ("after_session", 4, "2026-06-24 10:00")


def test_what_was_asked_once_is_not_asked_again() -> None:
    held = weekly(2)
    asked_at = held[1] + timedelta(days=1)
    found = due(sessions=held, asked={(Occasion.AFTER_SESSION, 2): asked_at})
    assert found == ("monthly", None, "2026-07-09 10:00")


def test_a_session_that_was_moved_counts_when_it_was_held() -> None:
    first, second = weekly(2)
    moved = second + timedelta(days=9)
    assert due(sessions=(first, second)) == ("after_session", 2, "2026-06-10 10:00")
    assert due(sessions=(first, moved)) == ("after_session", 2, "2026-06-19 10:00")


def test_the_days_after_are_the_patients_own() -> None:
    late = datetime(2026, 6, 2, 5, 0, tzinfo=UTC)  # the first of June, 22:00 in California
    assert due(sessions=(FIRST - WEEK, late)) == ("after_session", 2, "2026-06-03 10:00")
    there = replace(facts(sessions=(FIRST - WEEK, late)), zone=ZoneInfo("America/New_York"))  # the second, 01:00
    found = next_due(there, PROGRAMME)
    assert found is not None
    assert found.at == datetime(2026, 6, 4, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (datetime(2026, 3, 6, 20, 0, tzinfo=UTC), datetime(2026, 3, 8, 17, 0, tzinfo=UTC)),  # clocks go forward
        (datetime(2026, 3, 5, 20, 0, tzinfo=UTC), datetime(2026, 3, 7, 18, 0, tzinfo=UTC)),
        (datetime(2026, 10, 30, 20, 0, tzinfo=UTC), datetime(2026, 11, 1, 18, 0, tzinfo=UTC)),  # and back
        (datetime(2026, 10, 29, 20, 0, tzinfo=UTC), datetime(2026, 10, 31, 17, 0, tzinfo=UTC)),
    ],
)
def test_the_clock_on_the_wall_shows_the_same_hour_whatever_it_did_overnight(
    held: datetime, expected: datetime
) -> None:
    found = next_due(facts(sessions=(held - WEEK, held)), PROGRAMME)
    assert found is not None
    assert found.at == expected


# ---- Before a prescription decision -------------------------------------------------------------------------------


def test_a_coming_decision_asks_at_once_where_nothing_complete_is_known() -> None:
    assert due(decision_expected_since=FIRST) == ("before_decision", None, "2026-06-01 10:00")
    found = next_due(facts(decision_expected_since=FIRST), PROGRAMME)
    assert found is not None
    assert (found.finding.rule, found.finding.value) == ("outcomes.due_before_decision", 7)


@pytest.mark.parametrize(
    ("days_old", "day"), [(3, "2026-06-06"), (7, "2026-06-02"), (8, "2026-06-01"), (30, "2026-06-01")]
)
def test_before_a_decision_answers_may_be_seven_days_old_and_no_older(days_old: int, day: str) -> None:
    answered = FIRST - timedelta(days=days_old)
    assert due(decision_expected_since=FIRST, complete_at=answered) == ("before_decision", None, f"{day} 10:00")


def test_nobody_is_asked_anew_for_a_decision_before_the_last_question_lapsed() -> None:
    asked = {(Occasion.BEFORE_DECISION, None): FIRST + timedelta(days=1)}
    found = due(decision_expected_since=FIRST, asked=asked)
    assert found == ("before_decision", None, "2026-06-16 10:00")
    answered = due(decision_expected_since=FIRST, asked=asked, complete_at=FIRST + timedelta(days=2))
    assert answered == ("before_decision", None, "2026-06-11 10:00")


# ---- Monthly ------------------------------------------------------------------------------------------------------


def test_a_month_after_the_last_treatment_the_patient_is_asked() -> None:
    assert due(sessions=weekly(1)) == ("monthly", None, "2026-07-01 10:00")
    found = next_due(facts(sessions=weekly(1)), PROGRAMME)
    assert found is not None
    assert found.finding.rule == "outcomes.due_monthly"


def test_the_clock_begins_anew_with_each_treatment() -> None:
    held = weekly(9)
    answered = held[7] + timedelta(days=2)
    later = (*held, held[-1] + timedelta(days=30))
    assert due(sessions=held, complete_at=answered) == ("monthly", None, "2026-08-27 10:00")
    assert due(sessions=later, complete_at=answered) == ("monthly", None, "2026-09-26 10:00")


def test_after_an_answer_the_next_month_begins() -> None:
    assert due(sessions=weekly(1), complete_at=FIRST + timedelta(days=31)) == ("monthly", None, "2026-08-02 10:00")


def test_a_month_that_nobody_answered_is_followed_by_the_next() -> None:
    asked = {(Occasion.MONTHLY, None): datetime(2026, 7, 1, 17, 0, tzinfo=UTC)}
    assert due(sessions=weekly(1), asked=asked) == ("monthly", None, "2026-08-01 10:00")


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 5, 31), 1, date(2026, 6, 30)),
    ],
)
def test_a_month_later_is_the_same_day_or_the_last_of_a_shorter_month(day: date, months: int, expected: date) -> None:
    assert months_later(day, months) == expected


def test_of_all_that_is_due_the_earliest_comes_first() -> None:
    held = weekly(2)
    known = {"sessions": held, "decision_expected_since": held[1]}
    assert due(**known) == ("after_session", 2, "2026-06-10 10:00")
    asked = {(Occasion.AFTER_SESSION, 2): held[1] + timedelta(days=2)}
    assert due(**known, asked=asked) == ("before_decision", None, "2026-06-10 10:00")


# ---- Reminders ----------------------------------------------------------------------------------------------------


def local(moments: Any, zone: ZoneInfo = PACIFIC) -> list[str]:
    return [moment.astimezone(zone).strftime("%m-%d %H:%M") for moment in moments]


def test_one_text_on_each_of_three_days_then_the_therapist_then_the_end() -> None:
    found = chase(datetime(2026, 6, 9, 17, 0, tzinfo=UTC), PACIFIC, PROGRAMME)
    assert local(found.texts_at) == ["06-10 10:00", "06-11 10:00"]  # the first is the one with which it was asked for
    assert local([found.therapist_at, found.lapses_at]) == ["06-12 10:00", "06-23 10:00"]


def test_reminders_keep_to_the_hour_across_a_change_of_clocks() -> None:
    found = chase(datetime(2026, 10, 31, 17, 0, tzinfo=UTC), PACIFIC, PROGRAMME)
    assert [at.hour for at in found.texts_at] == [18, 18]
    assert local(found.texts_at) == ["11-01 10:00", "11-02 10:00"]


def test_who_was_asked_late_at_night_is_reminded_on_the_next_days() -> None:
    found = chase(datetime(2026, 6, 10, 6, 30, tzinfo=UTC), PACIFIC, PROGRAMME)  # the ninth, 23:30
    assert local(found.texts_at) == ["06-10 10:00", "06-11 10:00"]


def test_every_number_is_the_clinics() -> None:
    changed = setting(
        after_sessions=[3], after_session_days=3, ask_at_hour=9, text_days=2, lapse_after_days=5, monthly_months=2
    )
    found = next_due(facts(sessions=weekly(3)), changed)
    assert found is not None
    assert (found.number, found.at) == (3, datetime(2026, 6, 18, 16, 0, tzinfo=UTC))
    monthly = next_due(facts(sessions=weekly(2)), changed)
    assert monthly is not None
    assert monthly.at == datetime(2026, 8, 8, 16, 0, tzinfo=UTC)
    follows = chase(FIRST, PACIFIC, changed)
    assert local(follows.texts_at) == ["06-02 09:00"]
    assert local([follows.therapist_at, follows.lapses_at]) == ["06-03 09:00", "06-06 09:00"]
    fresh = next_due(facts(decision_expected_since=FIRST, complete_at=FIRST), setting(before_decision_days=3))
    assert fresh is not None
    assert local([fresh.at]) == ["06-05 10:00"]


def test_the_first_session_may_be_listed() -> None:
    found = next_due(facts(sessions=weekly(1)), setting(after_sessions=[1]))
    assert found is not None
    assert (found.occasion, found.number) == ("after_session", 1)


@pytest.mark.parametrize("listed", [[0], ["2"], "2", [True], [2, 0], [-1, 4], 2, (2, 4)])
def test_a_list_of_sessions_that_is_none_is_refused(listed: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="after_sessions"):
        next_due(facts(sessions=weekly(2)), setting(after_sessions=listed))


def test_a_later_session_takes_the_place_of_what_was_asked_before_it() -> None:
    held = weekly(4)
    known = facts(sessions=held)
    found = next_due(known, PROGRAMME)
    assert found is not None
    assert supersedes(found, held[3] - timedelta(minutes=1), known)
    assert not supersedes(found, held[3], known)
    monthly = next_due(facts(sessions=weekly(1)), PROGRAMME)
    assert monthly is not None
    assert not supersedes(monthly, FIRST - WEEK, facts(sessions=weekly(1)))
