"""A maintenance plan, and what is missing before an episode can be closed: each condition at both sides of its edge."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.core.findings import Severity
from services.core.programme import programme
from services.refills.course_rules import ClosingFacts, closing_findings, plan_findings
from services.sessions.rules import plan_interval_findings

TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("interval", "held", "undecided", "first", "expected"),
    [
        (28, 6, False, True, []),
        (62, 6, False, True, []),
        (27, 6, False, True, ["refills.maintenance_interval_too_short"]),
        (63, 6, False, True, ["refills.maintenance_interval_too_long"]),
        (30, 5, False, True, ["refills.maintenance_too_soon"]),
        (30, 5, False, False, []),
        (30, 6, True, True, ["refills.maintenance_undecided"]),
    ],
)
def test_a_plan_follows_a_round_and_lies_within_one_to_two_months(
    interval: int, held: int, undecided: bool, first: bool, expected: list[str]
) -> None:
    found = plan_findings(interval, held, undecided, programme(), first=first, unplanned=False)
    assert [finding.rule for finding in found] == expected


def test_after_a_renewed_approval_maintenance_goes_on_only_by_a_plan() -> None:
    (finding,) = plan_findings(30, 6, False, programme(), first=False, unplanned=True)
    assert (finding.rule, finding.severity) == ("refills.maintenance_unplanned", Severity.STOP)


@pytest.mark.parametrize(
    ("days", "interval", "is_refused"), [(27, 28, True), (28, 28, False), (-27, 28, True), (1, None, False)]
)
def test_maintenance_sessions_keep_the_distance_of_the_plan(days: int, interval: int | None, is_refused: bool) -> None:
    others = [TODAY + timedelta(days=each) for each in (-90, days, 90)]
    found = plan_interval_findings(TODAY, others, interval)
    assert [finding.rule for finding in found] == (["sessions.maintenance_interval"] if is_refused else [])
    assert plan_interval_findings(TODAY, [], interval) == []


DONE = ClosingFacts(
    is_treated=True,
    is_discontinued=True,
    is_followed_up=True,
    units_left=0,
    review_open=False,
    adverse_event_open=False,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"is_discontinued": False}, ["refills.close_discontinue_first"]),
        ({"is_discontinued": False, "is_treated": False, "is_followed_up": False}, []),
        ({"is_followed_up": False}, ["refills.close_follow_up_missing"]),
        ({"units_left": 0.5}, ["refills.close_stock_left"]),
        ({"review_open": True}, ["refills.close_review_open"]),
        ({"adverse_event_open": True}, ["refills.close_adverse_event_open"]),
    ],
)
def test_everything_that_is_missing_before_closing_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    assert [finding.rule for finding in closing_findings(replace(DONE, **changes))] == expected
