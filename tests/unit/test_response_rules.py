"""Whether the treatment helps: what the rules make of a baseline, a later score and the sessions between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.core.programme import Programme, programme
from services.outcomes.change_rules import change, improvement_percent, remits
from services.outcomes.response_rules import Response, ResponseFacts, Scores, is_helping, judge_response
from services.screening.instruments import get

PROGRAMME = programme()
NOT_RESPONDING, DECISION_NEEDED = "outcomes.not_responding", "outcomes.response_decision_needed"


def judged(
    current: int = 16, sessions: int = 3, baseline: int = 16, settings: Programme = PROGRAMME, **changes: Any
) -> Response:
    scores = {"phq9": Scores(baseline, current, positive=True, sessions=sessions)}
    return judge_response(ResponseFacts(**{"scores": scores, "judged_by": "phq9", **changes}), settings)


def rule(response: Response) -> str | None:
    return None if response.finding is None else response.finding.rule


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [(0, None), (2, None), (3, NOT_RESPONDING), (4, DECISION_NEEDED), (6, DECISION_NEEDED), (9, DECISION_NEEDED)],
)
def test_after_three_sessions_the_prescriber_looks_and_from_four_on_decides(
    sessions: int, expected: str | None
) -> None:
    assert rule(judged(sessions=sessions)) == expected


@pytest.mark.parametrize(("current", "helps"), [(12, True), (13, False), (16, False), (20, False), (0, True)])
def test_an_improvement_of_a_quarter_is_a_response(current: int, helps: bool) -> None:
    found = judged(current=current)
    assert (found.helps, found.finding is None) == (helps, helps)


def test_before_three_sessions_nothing_is_said_of_what_does_not_help_yet() -> None:
    assert judged(sessions=2).helps is None
    assert judged(sessions=2, current=8).helps is True


def test_the_finding_names_setting_value_and_inputs() -> None:
    finding = judged(current=15).finding
    assert finding is not None
    assert (finding.setting, finding.value, finding.severity) == ("outcomes.response.improvement_percent", 25, "review")
    assert finding.inputs == {"instrument": "phq9", "baseline": 16, "current": 15, "sessions": 3}
    later = judged(sessions=5).finding
    assert later is not None
    assert (later.setting, later.value, later.severity) == ("outcomes.response.decide_from_sessions", 4, "stop")
    assert "25 %" in later.sentence
    assert "5 sessions" in later.sentence


@pytest.mark.parametrize(("sessions", "expected"), [(5, None), (6, DECISION_NEEDED)])
def test_who_decided_to_go_on_is_asked_again_two_sessions_later(sessions: int, expected: str | None) -> None:
    found = judged(sessions=sessions, decided_after=4)
    assert (rule(found), found.helps) == (expected, False)


def test_the_instrument_of_the_diagnosis_decides_where_it_had_something_to_improve() -> None:
    better, worse = Scores(20, 5, positive=True, sessions=4), Scores(16, 16, positive=True, sessions=4)
    assert judged(scores={"gad7": better, "phq9": worse}).helps is False
    assert judged(scores={"gad7": worse, "phq9": better}).helps is True
    low = Scores(8, 8, positive=False, sessions=4)
    assert judged(scores={"phq9": low, "gad7": better}).helps is True
    assert judged(scores={"phq9": low, "gad7": worse, "pcl5": better}).helps is True


def test_without_a_score_to_compare_nothing_is_said() -> None:
    assert judged(scores={}) == Response(None)
    assert judged(scores={"phq9": Scores(8, 8, positive=False, sessions=6)}) == Response(None)


def test_every_number_is_the_clinics() -> None:
    values = {
        "outcomes.response.improvement_percent": 50,
        "outcomes.response.review_after_sessions": 2,
        "outcomes.response.decide_from_sessions": 6,
        "outcomes.response.decide_again_after_sessions": 1,
    }
    changed = replace(PROGRAMME, settings={**PROGRAMME.settings, **values})
    assert rule(judged(current=9, sessions=2, settings=changed)) == NOT_RESPONDING
    assert rule(judged(current=9, sessions=5, settings=changed)) == NOT_RESPONDING
    assert rule(judged(current=9, sessions=6, settings=changed)) == DECISION_NEEDED
    assert rule(judged(current=9, sessions=7, decided_after=6, settings=changed)) == DECISION_NEEDED


# ---- Changes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "response", "remission"), [(9, False, False), (8, True, False), (5, True, False), (4, True, True)]
)
def test_response_is_half_and_remission_below_five(current: int, response: bool, remission: bool) -> None:
    found = change(get("phq9"), baseline=16, current=current, programme=PROGRAMME)
    assert found is not None
    assert (found.response, found.remission) == (response, remission)
    assert (found.reliable, found.clinically_significant) == (None, None)
    assert (found.drop, found.percent) == (16 - current, 100 * (16 - current) / 16)
    assert type(found.as_dict()["outcome"]) is str
    assert found.as_dict() == {
        "outcome": found.outcome.value,
        "drop": found.drop,
        "percent": found.percent,
        "response": response,
        "remission": remission,
        "reliable": None,
        "clinically_significant": None,
    }


def test_half_of_an_uneven_baseline_is_reckoned_exactly() -> None:
    """101 % of the drop would let 8 of 16.2 pass; here 13 of 25 is not yet half better, 12 is."""
    almost = change(get("phq9"), baseline=25, current=13, programme=PROGRAMME)
    half = change(get("phq9"), baseline=25, current=12, programme=PROGRAMME)
    assert almost is not None
    assert half is not None
    assert (almost.response, half.response) == (False, True)
    close = change(get("pcl5"), baseline=79, current=40, programme=PROGRAMME)
    assert close is not None
    assert close.response is False  # 39 of 79 are 49.4 %
    settings = {**PROGRAMME.settings, "instruments.outcome_classes.response_drop_percent": 60}
    stricter = change(get("pcl5"), baseline=79, current=32, programme=replace(PROGRAMME, settings=settings))
    assert stricter is not None
    assert stricter.response is False  # 47 of 79 are 59.5 %


def test_only_some_instruments_know_of_remission() -> None:
    assert {name: remits(name, PROGRAMME) for name in ("phq9", "gad7", "pcl5", "b_ipf", "cssrs")} == {
        "phq9": True,
        "gad7": True,
        "pcl5": False,
        "b_ipf": False,
        "cssrs": False,
    }


def test_helping_is_counted_from_the_third_session_on() -> None:
    def helping(current: int, sessions: int, *, positive: bool = True) -> bool | None:
        scores = {"phq9": Scores(16, current, positive=positive, sessions=sessions)}
        return is_helping(ResponseFacts(scores, "phq9"), PROGRAMME)

    assert [helping(12, sessions) for sessions in (2, 3, 4)] == [None, True, True]
    assert [helping(current, 3) for current in (12, 13)] == [True, False]
    assert helping(12, 3, positive=False) is None


def test_nothing_is_said_of_a_baseline_under_the_cut_off() -> None:
    assert change(get("phq9"), baseline=9, current=2, programme=PROGRAMME) is None
    assert change(get("phq9"), baseline=16, current=None, programme=PROGRAMME) is None


@pytest.mark.parametrize(
    ("baseline", "current", "reliable", "significant"),
    [
        (45, 31, False, False),
        (45, 30, True, False),
        (43, 28, True, True),
        (44, 29, True, False),
        (40, 28, False, False),
    ],
)
def test_a_reliable_change_is_significant_when_the_patient_ends_low_enough(
    baseline: int, current: int, reliable: bool, significant: bool
) -> None:
    found = change(get("pcl5"), baseline=baseline, current=current, programme=PROGRAMME)
    assert found is not None
    assert (found.reliable, found.clinically_significant, found.remission) == (reliable, significant, None)


@pytest.mark.parametrize(
    ("baseline", "current", "percent"), [(16, 12, 25.0), (16, 20, -25.0), (1, 0, 100.0), (0, 3, 0.0)]
)
def test_the_improvement_is_a_part_of_the_baseline(baseline: int, current: int, percent: float) -> None:
    assert improvement_percent(baseline, current) == percent
