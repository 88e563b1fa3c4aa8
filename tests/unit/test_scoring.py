"""Scores at every band edge and with missing answers; outcome classes at both sides of each boundary (DOMAIN 2.1)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.programme import Programme, programme
from services.screening import instruments
from services.screening.answers import asked_items
from services.screening.definitions import Instrument
from services.screening.scoring import OutcomeClass, is_positive, outcome_class, score

PHQ9 = instruments.get("phq9")
GAD7 = instruments.get("gad7")
CSSRS = instruments.get("cssrs")
ITEMS = {"phq9": [f"q{number}" for number in range(1, 10)], "gad7": [f"q{number}" for number in range(1, 8)]}


def answers_adding_to(instrument: Instrument, total: int) -> dict[str, int | bool | None]:
    """A full set of answers with that total."""
    answers: dict[str, int | bool | None] = {}
    for name in ITEMS[instrument.id]:
        answers[name] = min(3, total)
        total -= min(3, total)
    assert total == 0
    return answers


@pytest.mark.parametrize(
    ("instrument", "total", "band"),
    [
        (PHQ9, 0, "minimal"),
        (PHQ9, 4, "minimal"),
        (PHQ9, 5, "mild"),
        (PHQ9, 9, "mild"),
        (PHQ9, 10, "moderate"),
        (PHQ9, 14, "moderate"),
        (PHQ9, 15, "moderately severe"),
        (PHQ9, 19, "moderately severe"),
        (PHQ9, 20, "severe"),
        (PHQ9, 27, "severe"),
        (GAD7, 0, "minimal"),
        (GAD7, 4, "minimal"),
        (GAD7, 5, "mild"),
        (GAD7, 9, "mild"),
        (GAD7, 10, "moderate"),
        (GAD7, 14, "moderate"),
        (GAD7, 15, "severe"),
        (GAD7, 21, "severe"),
    ],
    ids=lambda value: value.id if isinstance(value, Instrument) else str(value),
)
def test_a_full_form_is_added_up_and_falls_into_its_band(instrument: Instrument, total: int, band: str) -> None:
    scored = score(instrument, answers_adding_to(instrument, total))

    assert (scored.total, scored.band, scored.prorated, scored.complete) == (total, band, False, True)
    assert scored.unscorable_because is None


def test_the_trace_tells_what_was_added_under_which_version() -> None:
    scored = score(PHQ9, answers_adding_to(PHQ9, 7))

    assert (scored.instrument, scored.version) == ("phq9", PHQ9.version)
    assert scored.trace["added"] == dict(zip(ITEMS["phq9"], [3, 3, 1, 0, 0, 0, 0, 0, 0], strict=True))
    assert (scored.trace["sum"], scored.trace["answered"], scored.trace["items"]) == (7, 9, 9)
    assert json.loads(json.dumps(scored.as_dict()))["total"] == 7


def test_the_function_item_of_the_phq9_is_kept_but_not_added() -> None:
    scored = score(PHQ9, {**answers_adding_to(PHQ9, 10), "function": 3})

    assert scored.total == 10
    assert "function" not in scored.trace["added"]


@pytest.mark.parametrize(
    ("instrument", "added", "missing", "total"),
    [
        # sum × items ÷ answered; 4 × 9 ÷ 8 = 4.5 and 3 × 7 ÷ 6 = 3.5 are exact halves and go up.
        (PHQ9, 4, ["q8"], 5),
        (PHQ9, 12, ["q8"], 14),  # 13.5
        (PHQ9, 5, ["q8"], 6),  # 5.63
        (PHQ9, 2, ["q8"], 2),  # 2.25
        (PHQ9, 10, ["q7", "q8"], 13),  # 12.86
        (PHQ9, 8, ["q7", "q8"], 10),  # 10.29
        (PHQ9, 0, ["q7", "q8"], 0),
        (GAD7, 3, ["q7"], 4),
        (GAD7, 13, ["q7"], 15),  # 15.17
        (GAD7, 12, ["q6", "q7"], 17),  # 16.8
        (GAD7, 6, ["q6", "q7"], 8),  # 8.4
    ],
    ids=lambda value: value.id if isinstance(value, Instrument) else str(value),
)
def test_up_to_two_missing_answers_are_prorated_and_halves_go_up(
    instrument: Instrument, added: int, missing: list[str], total: int
) -> None:
    answers = {**answers_adding_to(instrument, added), **dict.fromkeys(missing)}

    scored = score(instrument, answers)

    assert (scored.total, scored.prorated, scored.missing) == (total, True, tuple(missing))
    assert scored.trace["sum"] == added


def test_a_left_out_answer_counts_like_none() -> None:
    full = answers_adding_to(GAD7, 6)
    shorter = {name: answer for name, answer in full.items() if name != "q7"}

    assert score(GAD7, shorter) == score(GAD7, {**full, "q7": None})


@pytest.mark.parametrize("instrument", [PHQ9, GAD7], ids=lambda instrument: instrument.id)
def test_three_missing_answers_make_it_unscorable(instrument: Instrument) -> None:
    answers = {**answers_adding_to(instrument, 6), "q4": None, "q5": None, "q6": None}

    scored = score(instrument, answers)

    assert (scored.total, scored.band, scored.prorated) == (None, None, False)
    assert scored.missing == ("q4", "q5", "q6")
    assert scored.unscorable_because == "Not answered: q4, q5, q6. At most 2 may be missing."


def test_item_nine_of_the_phq9_is_never_imputed() -> None:
    scored = score(PHQ9, {**answers_adding_to(PHQ9, 6), "q9": None})

    assert scored.total is None
    assert scored.unscorable_because == "Item q9 is not answered and is never imputed."


def test_an_empty_form_is_unscorable() -> None:
    assert score(PHQ9, {}).total is None
    assert score(GAD7, {}).total is None


@pytest.mark.parametrize(
    ("instrument", "answers", "field"),
    [
        (PHQ9, {"q10": 1}, "phq9.q10"),
        (GAD7, {"q8": 1}, "gad7.q8"),
        (PHQ9, {"q1": -1}, "phq9.q1"),
        (PHQ9, {"q1": 4}, "phq9.q1"),
        (PHQ9, {"function": 4}, "phq9.function"),
        (PHQ9, {"q2": True}, "phq9.q2"),
        (PHQ9, {"q2": 1.0}, "phq9.q2"),
        (PHQ9, {"q2": "1"}, "phq9.q2"),
        (CSSRS, {"q1": 1}, "cssrs.q1"),
        (CSSRS, {"q1": "yes"}, "cssrs.q1"),
    ],
)
def test_a_wrong_answer_is_refused_naming_the_field(
    instrument: Instrument, answers: dict[str, int | bool | None], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        score(instrument, answers)

    assert refusal.value.field == field


def test_a_name_that_is_no_item_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refusal:
        score(PHQ9, {"Maria Lopez": 1})

    assert refusal.value.field == "phq9"
    assert "Maria" not in refusal.value.message


def test_the_cssrs_has_no_total_and_says_what_is_not_answered() -> None:
    scored = score(CSSRS, {"q1": True, "q2": True, "q3": False, "q6_ever": False})

    assert (scored.total, scored.band) == (None, None)
    assert scored.missing == ("q4", "q5")
    assert score(CSSRS, {"q1": True, "q2": False, "q6_ever": False}).complete


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({}, ["q1", "q2", "q6_ever"]),
        ({"q2": False}, ["q1", "q2", "q6_ever"]),
        ({"q2": True}, ["q1", "q2", "q3", "q4", "q5", "q6_ever"]),
        ({"q6_ever": True}, ["q1", "q2", "q6_ever", "q6_past_3_months"]),
    ],
)
def test_the_cssrs_asks_further_only_after_a_yes(answers: dict[str, int | bool | None], asked: list[str]) -> None:
    assert [item.id for item in asked_items(CSSRS, answers)] == asked


def test_a_score_does_not_show_itself() -> None:
    scored = score(PHQ9, answers_adding_to(PHQ9, 17))

    assert "17" not in repr(scored).split(" at ")[0]
    assert "severe" not in str(scored)


# --- Cut-offs and outcome classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("instrument", [PHQ9, GAD7], ids=lambda instrument: instrument.id)
def test_ten_is_positive_and_nine_is_not(instrument: Instrument) -> None:
    assert is_positive(instrument, 10, programme()) is True
    assert is_positive(instrument, 9, programme()) is False
    assert is_positive(instrument, None, programme()) is None
    assert is_positive(CSSRS, 10, programme()) is None


@pytest.mark.parametrize(
    ("instrument", "baseline", "current", "expected"),
    [
        (PHQ9, 10, 4, OutcomeClass.REMISSION),
        (PHQ9, 10, 5, OutcomeClass.RESPONSE),  # exactly 50 %
        (PHQ9, 11, 6, OutcomeClass.PARTIAL),  # 45 %
        (PHQ9, 16, 12, OutcomeClass.PARTIAL),  # exactly 25 %, under the minimal change of 5
        (PHQ9, 17, 13, OutcomeClass.NO_CHANGE),  # 24 %, 4 points
        (PHQ9, 24, 19, OutcomeClass.PARTIAL),  # 21 %, but the minimal change of 5
        (PHQ9, 24, 20, OutcomeClass.NO_CHANGE),
        (PHQ9, 15, 15, OutcomeClass.NO_CHANGE),
        (PHQ9, 15, 19, OutcomeClass.NO_CHANGE),
        (PHQ9, 15, 20, OutcomeClass.DETERIORATED),
        (PHQ9, 9, 0, None),
        (PHQ9, 9, 27, None),
        (GAD7, 20, 5, OutcomeClass.RESPONSE),
        (GAD7, 20, 4, OutcomeClass.REMISSION),
        (GAD7, 20, 16, OutcomeClass.PARTIAL),  # 20 %, but the minimal change of 4
        (GAD7, 20, 17, OutcomeClass.NO_CHANGE),
        (GAD7, 12, 9, OutcomeClass.PARTIAL),  # exactly 25 %, 3 points
        (GAD7, 13, 10, OutcomeClass.NO_CHANGE),  # 23 %
        (GAD7, 12, 15, OutcomeClass.NO_CHANGE),
        (GAD7, 12, 16, OutcomeClass.DETERIORATED),
        (GAD7, 9, 2, None),
        (CSSRS, 10, 2, None),
    ],
    ids=lambda value: value.id if isinstance(value, Instrument) else str(value),
)
def test_the_outcome_class_is_the_best_that_holds(
    instrument: Instrument, baseline: int, current: int, expected: OutcomeClass | None
) -> None:
    assert outcome_class(instrument, baseline=baseline, current=current, programme=programme()) is expected


def test_without_a_baseline_or_a_present_score_there_is_no_class() -> None:
    assert outcome_class(PHQ9, baseline=None, current=3, programme=programme()) is None
    assert outcome_class(PHQ9, baseline=20, current=None, programme=programme()) is None


@pytest.mark.parametrize(("baseline", "current", "field"), [(28, 5, "baseline"), (20, -1, "current")])
def test_an_impossible_total_is_refused(baseline: int, current: int, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        outcome_class(PHQ9, baseline=baseline, current=current, programme=programme())

    assert refusal.value.field == field


def test_a_clinic_may_set_its_own_boundaries() -> None:
    ours = programme()
    changed = {
        "instruments.phq9.positive_from": 12,
        "instruments.phq9.remission_below": 8,
        "instruments.phq9.minimal_change": 2,
        "instruments.outcome_classes.response_drop_percent": 30,
        "instruments.outcome_classes.partial_drop_percent": 5,
    }
    theirs = Programme(ours.name, ours.version, {**ours.settings, **changed})

    def classes(current: int) -> tuple[OutcomeClass | None, OutcomeClass | None]:
        judged = [outcome_class(PHQ9, baseline=20, current=current, programme=each) for each in (ours, theirs)]
        return judged[0], judged[1]

    assert classes(7) == (OutcomeClass.RESPONSE, OutcomeClass.REMISSION)
    assert classes(14) == (OutcomeClass.PARTIAL, OutcomeClass.RESPONSE)
    assert classes(19) == (OutcomeClass.NO_CHANGE, OutcomeClass.PARTIAL)
    assert classes(22) == (OutcomeClass.NO_CHANGE, OutcomeClass.DETERIORATED)
    assert outcome_class(PHQ9, baseline=11, current=5, programme=theirs) is None


answer = st.integers(0, 3) | st.none()


@settings(deadline=None)
@given(st.lists(answer, min_size=9, max_size=9))
def test_a_prorated_total_lies_between_the_best_and_the_worst_that_the_missing_answers_could_give(
    given_answers: list[int | None],
) -> None:
    scored = score(PHQ9, dict(zip(ITEMS["phq9"], given_answers, strict=True)))
    missing = given_answers.count(None)
    added = sum(answer for answer in given_answers if answer is not None)

    if missing > 2 or given_answers[8] is None:
        assert scored.total is None
    else:
        assert scored.total is not None
        assert added <= scored.total <= added + 3 * missing
        assert scored.band is not None
        assert scored.prorated == bool(missing)


@settings(deadline=None)
@given(st.integers(10, 27), st.integers(0, 27))
def test_a_lower_score_never_gives_a_worse_class(baseline: int, current: int) -> None:
    order = list(OutcomeClass)
    here = outcome_class(PHQ9, baseline=baseline, current=current, programme=programme())
    better = outcome_class(PHQ9, baseline=baseline, current=max(0, current - 1), programme=programme())

    assert here is not None
    assert better is not None
    assert order.index(better) <= order.index(here)
