"""What makes a circle, and who may be invited to one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.circles.rules import InvitationFacts, PlanFacts, invitation_findings, plan_findings
from services.core.programme import programme, shipped

DAYTIME = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
ISHA = programme(shipped()["isha_health"])
PLAN = PlanFacts(
    kap_trained=True,
    has_team=True,
    capacity=12,
    starts_at=DAYTIME,
    ends_at=DAYTIME + timedelta(minutes=180),
    now=DAYTIME,
)
INVITED = InvitationFacts(
    same_team=True,
    in_treatment=True,
    state="CA",
    host_licensed_in=frozenset({"CA"}),
    taken=1,
    capacity=2,
    begun=False,
)


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, []),
        ({"kap_trained": False}, ["circles.host_not_trained"]),
        ({"has_team": False}, ["circles.host_without_team"]),
        ({"capacity": 13}, ["circles.too_large"]),
        ({"now": DAYTIME + timedelta(seconds=1)}, ["circles.wrong_time"]),
        ({"ends_at": DAYTIME}, ["circles.wrong_time"]),
        ({"ends_at": DAYTIME + timedelta(minutes=181)}, ["circles.wrong_time"]),
        ({"ends_at": DAYTIME + timedelta(minutes=1)}, []),
    ],
)
def test_what_makes_a_circle(changes: dict[str, Any], rules: list[str]) -> None:
    assert [finding.rule for finding in plan_findings(replace(PLAN, **changes), ISHA)] == rules


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, []),
        ({"same_team": False}, ["circles.other_team"]),
        ({"in_treatment": False}, ["circles.not_in_treatment"]),
        ({"state": "NY"}, ["circles.host_not_licensed"]),
        ({"begun": True}, ["circles.has_begun"]),
        ({"taken": 2}, ["circles.full"]),
        ({"taken": 3}, ["circles.full"]),
    ],
)
def test_who_may_be_invited(changes: dict[str, Any], rules: list[str]) -> None:
    assert [finding.rule for finding in invitation_findings(replace(INVITED, **changes), ISHA)] == rules


def test_a_programme_without_circles_has_none() -> None:
    for findings in (plan_findings(PLAN, programme()), invitation_findings(INVITED, programme())):
        assert [(finding.rule, finding.setting) for finding in findings] == [("circles.not_offered", "circles.offered")]
