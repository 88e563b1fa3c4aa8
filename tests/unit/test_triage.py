"""Suicide-risk triage, every branch (DOMAIN 2.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.findings import Severity
from services.core.programme import Programme, programme
from services.core.vocabulary import Party
from services.screening.definitions import RiskLevel
from services.screening.rules import (
    Triage,
    crisis_resources,
    cssrs_instrument,
    cssrs_level,
    level_so_far,
    triage,
    triage_of,
)

ALL_NO = {"q1": False, "q2": False, "q6_ever": False}
FULL_NO = {"q1": False, "q2": True, "q3": False, "q4": False, "q5": False, "q6_ever": False}
BOTH = (Party.THERAPIST, Party.MEDICAL_TEAM)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"q2": False}, RiskLevel.NONE),
        ({"q1": True, "q2": False}, RiskLevel.LOW),
        ({}, RiskLevel.LOW),
        ({"q1": True}, RiskLevel.LOW),
        ({"q3": True}, RiskLevel.MODERATE),
        ({"q6_ever": True, "q6_past_3_months": False}, RiskLevel.MODERATE),
        ({"q2": False, "q6_ever": True, "q6_past_3_months": False}, RiskLevel.MODERATE),
        ({"q4": True}, RiskLevel.HIGH),
        ({"q5": True}, RiskLevel.HIGH),
        ({"q2": False, "q6_ever": True, "q6_past_3_months": True}, RiskLevel.HIGH),
        ({"q3": True, "q4": True}, RiskLevel.HIGH),
        ({"q1": True, "q3": True, "q6_ever": True, "q6_past_3_months": False}, RiskLevel.MODERATE),
    ],
)
def test_the_highest_yes_gives_the_level(changes: dict[str, bool], level: RiskLevel) -> None:
    assert cssrs_level({**FULL_NO, **changes}) is level


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"q2": False}, RiskLevel.NONE),
        ({}, RiskLevel.LOW),
        ({"q3": True}, RiskLevel.MODERATE),
        ({"q4": True}, RiskLevel.HIGH),
        ({"q2": False, "q6": True}, RiskLevel.HIGH),
    ],
)
def test_since_the_last_visit_any_yes_to_question_six_is_high(changes: dict[str, bool], level: RiskLevel) -> None:
    answers = {"q1": False, "q2": True, "q3": False, "q4": False, "q5": False, "q6": False, **changes}

    assert cssrs_level(answers, since_last_visit=True) is level


@pytest.mark.parametrize(
    ("answers", "field", "says"),
    [
        ({}, "cssrs.q1", "must be answered."),
        ({"q1": False}, "cssrs.q2", "must be answered."),
        ({"q1": True, "q2": False}, "cssrs.q6_ever", "must be answered."),
        ({"q1": True, "q2": None, "q6_ever": False}, "cssrs.q2", "must be answered."),
        ({"q1": False, "q2": True, "q6_ever": False}, "cssrs.q3", "must be answered because q2 was answered yes."),
        ({**FULL_NO, "q4": None}, "cssrs.q4", "must be answered because q2 was answered yes."),
        ({**FULL_NO, "q5": None}, "cssrs.q5", "must be answered because q2 was answered yes."),
        ({**ALL_NO, "q6_ever": True}, "cssrs.q6_past_3_months", "must be answered because q6_ever was answered yes."),
        ({**ALL_NO, "q6": True}, "cssrs.q6", "no such item"),
        ({**ALL_NO, "q1": 1}, "cssrs.q1", "must be yes (true) or no (false)."),
    ],
)
def test_a_needed_answer_that_is_missing_or_wrong_is_refused_by_name(
    answers: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        cssrs_level(answers)

    assert refusal.value.field == field
    assert says in refusal.value.message


def test_a_high_answer_counts_even_when_the_form_is_not_finished() -> None:
    assert cssrs_level({"q2": True, "q4": True}) is RiskLevel.HIGH
    assert cssrs_level({"q6_past_3_months": True}) is RiskLevel.HIGH


def test_a_form_left_halfway_is_the_one_of_intake_unless_said_otherwise() -> None:
    assert level_so_far({"q6_ever": True}) is RiskLevel.MODERATE
    assert level_so_far({"q6": True}, since_last_visit=True) is RiskLevel.HIGH
    assert level_so_far({"q1": True}) is None


def test_a_yes_to_a_question_that_should_have_been_skipped_counts() -> None:
    assert cssrs_level({**ALL_NO, "q3": True}) is RiskLevel.MODERATE


def test_levels_are_compared_by_rank() -> None:
    assert [level.rank for level in RiskLevel] == [0, 1, 2, 3]


def triaged(item9: int | None = None, level: RiskLevel | None = None) -> Triage:
    return triage(phq9_item9=item9, level=level, programme=programme())


NOTHING: dict[str, Any] = {
    "show_crisis_resources": False,
    "requires_cssrs_today": False,
    "alert_parties": (),
    "urgent_task": False,
    "page": False,
    "blocks_shipping": False,
    "blocks_dosing_prescribing_refills": False,
}
ALERT = {"show_crisis_resources": True, "alert_parties": BOTH}
URGENT = {**ALERT, "urgent_task": True, "blocks_shipping": True}
HIGH = {**URGENT, "page": True, "blocks_dosing_prescribing_refills": True}
CSSRS_TODAY = {"requires_cssrs_today": True}


@pytest.mark.parametrize(
    ("item9", "level", "expected", "rules"),
    [
        (None, None, {}, []),
        (0, None, {}, []),
        (0, RiskLevel.NONE, {}, []),
        (1, None, {**ALERT, **CSSRS_TODAY}, ["triage.phq9_item9_alert"]),
        (1, RiskLevel.NONE, ALERT, ["triage.phq9_item9_alert"]),
        (2, None, {**URGENT, **CSSRS_TODAY}, ["triage.phq9_item9_alert", "triage.phq9_item9_urgent"]),
        (2, RiskLevel.NONE, URGENT, ["triage.phq9_item9_alert", "triage.phq9_item9_urgent"]),
        (3, RiskLevel.LOW, URGENT, ["triage.phq9_item9_alert", "triage.phq9_item9_urgent", "triage.cssrs_low"]),
        (None, RiskLevel.LOW, {"show_crisis_resources": True}, ["triage.cssrs_low"]),
        (0, RiskLevel.MODERATE, URGENT, ["triage.cssrs_moderate"]),
        (0, RiskLevel.HIGH, HIGH, ["triage.cssrs_high"]),
        (None, RiskLevel.HIGH, HIGH, ["triage.cssrs_high"]),
        (1, RiskLevel.HIGH, HIGH, ["triage.phq9_item9_alert", "triage.cssrs_high"]),
    ],
)
def test_each_result_demands_exactly_what_the_table_says(
    item9: int | None, level: RiskLevel | None, expected: dict[str, Any], rules: list[str]
) -> None:
    result = triaged(item9, level)

    assert {name: getattr(result, name) for name in NOTHING} == {**NOTHING, **expected}
    assert result.level is level
    assert [finding.rule for finding in result.findings] == rules


def test_findings_name_source_setting_and_the_answer_they_used() -> None:
    alert, urgent, high = triaged(2, RiskLevel.HIGH).findings

    assert {finding.source for finding in (alert, urgent, high)} == {"DOMAIN 2.2"}
    assert (alert.setting, alert.value, alert.inputs) == ("triage.phq9_item9_alert_from", 1, {"phq9_item9": 2})
    assert (urgent.setting, urgent.value) == ("triage.phq9_item9_urgent_from", 2)
    assert (high.severity, high.inputs) == (Severity.STOP, {"cssrs_level": "high"})
    assert (alert.severity, urgent.severity) == (Severity.REVIEW, Severity.REVIEW)
    assert triaged(0, RiskLevel.MODERATE).findings[0].severity is Severity.REVIEW
    assert triaged(0, RiskLevel.LOW).findings[0].severity is Severity.INFORM


def test_a_triage_can_be_stored_as_json_and_does_not_show_itself() -> None:
    result = triaged(1, RiskLevel.HIGH)

    stored = json.loads(json.dumps(result.as_dict()))
    given = {name: getattr(result, name) for name in NOTHING}
    assert given | {"level": "high", "alert_parties": ["therapist", "medical_team"]} == {
        name: value for name, value in stored.items() if name != "findings"
    }
    assert [finding["rule"] for finding in stored["findings"]] == ["triage.phq9_item9_alert", "triage.cssrs_high"]
    assert "high" not in repr(result)


@pytest.mark.parametrize(
    ("item12", "expected", "rules"),
    [
        (None, {}, []),
        (0, {}, []),
        (1, {**ALERT, **CSSRS_TODAY}, ["triage.qids_item12_alert"]),
        (2, {**URGENT, **CSSRS_TODAY}, ["triage.qids_item12_alert", "triage.qids_item12_urgent"]),
        (3, {**URGENT, **CSSRS_TODAY}, ["triage.qids_item12_alert", "triage.qids_item12_urgent"]),
    ],
)
def test_item_twelve_of_the_qids_weighs_like_item_nine(
    item12: int | None, expected: dict[str, Any], rules: list[str]
) -> None:
    result = triage(phq9_item9=None, qids_item12=item12, level=None, programme=programme())

    assert {name: getattr(result, name) for name in NOTHING} == {**NOTHING, **expected}
    assert [finding.rule for finding in result.findings] == rules
    assert all(finding.inputs == {"qids_item12": item12} for finding in result.findings)
    assert not triage(
        phq9_item9=None, qids_item12=item12, level=RiskLevel.LOW, programme=programme()
    ).requires_cssrs_today


NO_RISK = {"q1": False, "q2": False}


@pytest.mark.parametrize(
    ("answers", "level", "rules"),
    [
        ({}, None, []),
        ({"phq9": {"q9": 1}}, None, ["triage.phq9_item9_alert"]),
        ({"phq9": {"q9": None}, "gad7": {"q1": 3}}, None, []),
        ({"qids_sr16": {"q12": 1}}, None, ["triage.qids_item12_alert"]),
        (
            {"phq9": {"q9": 1}, "qids_sr16": {"q12": 1}, "cssrs": {**NO_RISK, "q6_ever": False}},
            RiskLevel.NONE,
            ["triage.phq9_item9_alert", "triage.qids_item12_alert"],
        ),
        ({"cssrs": {"q1": True}}, None, []),
        ({"cssrs": {"q6_ever": True}}, RiskLevel.MODERATE, ["triage.cssrs_moderate"]),
        ({"cssrs_since_last_visit": {"q6": True}}, RiskLevel.HIGH, ["triage.cssrs_high"]),
        ({"cssrs_since_last_visit": {**NO_RISK, "q1": True, "q6": False}}, RiskLevel.LOW, ["triage.cssrs_low"]),
        (
            {"cssrs": {**NO_RISK, "q6_ever": False}, "cssrs_since_last_visit": {"q4": True}},
            RiskLevel.HIGH,
            ["triage.cssrs_high"],
        ),
        ({"unheard_of": {"q9": 3}}, None, []),
    ],
)
def test_answers_to_any_instrument_are_triaged_together(
    answers: dict[str, Any], level: RiskLevel | None, rules: list[str]
) -> None:
    result = triage_of(answers, programme())

    assert result.level is level
    assert [finding.rule for finding in result.findings] == rules


def changed(**settings: object) -> Programme:
    ours = programme()
    return Programme(ours.name, ours.version, {**ours.settings, **{f"triage.{k}": v for k, v in settings.items()}})


def test_a_clinic_may_be_stricter() -> None:
    stricter = changed(phq9_item9_urgent_from=1, crisis_resources_from_level="none")

    assert triage(phq9_item9=1, level=None, programme=stricter).urgent_task
    assert triage(phq9_item9=0, level=RiskLevel.NONE, programme=stricter).show_crisis_resources


def test_nothing_that_is_urgent_leaves_the_crisis_resources_out() -> None:
    from_high = changed(crisis_resources_from_level="high")

    assert triage(phq9_item9=0, level=RiskLevel.MODERATE, programme=from_high).show_crisis_resources
    assert not triage(phq9_item9=0, level=RiskLevel.LOW, programme=from_high).show_crisis_resources


def test_a_level_that_does_not_exist_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidConfiguration, match="crisis_resources_from_level"):
        triage(phq9_item9=0, level=RiskLevel.LOW, programme=changed(crisis_resources_from_level="some"))


def test_the_crisis_resources_name_988_the_text_line_and_911() -> None:
    lifeline, text_line, emergency = crisis_resources(programme())

    assert (lifeline.number, text_line.number, emergency.number) == ("988", "741741", "911")
    assert "Call or text 988" in lifeline.reach
    assert all(resource.number in resource.reach for resource in (lifeline, text_line, emergency))


def test_follow_ups_use_the_form_that_asks_since_the_last_visit() -> None:
    assert cssrs_instrument(since_last_visit=False).id == "cssrs"
    assert cssrs_instrument(since_last_visit=True).id == "cssrs_since_last_visit"


@settings(deadline=None)
@given(st.fixed_dictionaries({item.id: st.booleans() for item in cssrs_instrument(since_last_visit=False).items}))
def test_turning_a_no_into_a_yes_never_lowers_the_level(answers: dict[str, bool]) -> None:
    level = cssrs_level(answers)

    for name in answers:
        assert cssrs_level({**answers, name: True}).rank >= level.rank


@settings(deadline=None)
@given(st.integers(0, 3) | st.none(), st.sampled_from([RiskLevel.NONE, RiskLevel.LOW, RiskLevel.MODERATE]))
def test_a_higher_level_never_demands_less(item9: int | None, level: RiskLevel) -> None:
    lower, higher = triaged(item9, level), triaged(item9, list(RiskLevel)[level.rank + 1])

    for name in NOTHING:
        if name != "requires_cssrs_today":
            assert bool(getattr(higher, name)) >= bool(getattr(lower, name))
