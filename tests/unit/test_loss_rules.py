"""The two timers of a loss: one business day and forty-five calendar days, by the pharmacy's own calendar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.core.business_days import is_business_day, known_state
from services.core.programme import programme
from services.shipping.loss_rules import DutyFacts, diversion_findings, duty_findings, loss_timers

OAKLAND, BUFFALO, HOUSTON = ZoneInfo("America/Los_Angeles"), ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")


def at(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("zone", "state", "discovered", "due"),
    [
        (OAKLAND, "CA", "2026-11-16 10:00", "2026-11-17 10:00"),  # a Monday
        (OAKLAND, "CA", "2026-11-20 23:59", "2026-11-23 23:59"),  # a Friday night
        (OAKLAND, "CA", "2026-11-21 10:00", "2026-11-23 10:00"),  # a Saturday
        (OAKLAND, "CA", "2026-11-22 10:00", "2026-11-23 10:00"),  # a Sunday
        (OAKLAND, "CA", "2026-11-25 10:00", "2026-11-30 10:00"),  # Thanksgiving, and the day after it in California
        (BUFFALO, "NY", "2026-11-25 10:00", "2026-11-27 10:00"),  # Thanksgiving alone
        (OAKLAND, "CA", "2026-03-30 10:00", "2026-04-01 10:00"),  # Cesar Chavez Day
        (BUFFALO, "NY", "2026-03-30 10:00", "2026-03-31 10:00"),
        (BUFFALO, "NY", "2026-02-11 10:00", "2026-02-13 10:00"),  # Lincoln's Birthday
        (OAKLAND, "CA", "2026-10-09 10:00", "2026-10-13 10:00"),  # Columbus Day: federal, and not kept by California
        (HOUSTON, "TX", "2026-12-23 10:00", "2026-12-28 10:00"),  # Christmas Eve in Texas, Christmas, a weekend
        (BUFFALO, "NY", "2026-12-31 10:00", "2027-01-04 10:00"),  # over the end of the year
        (OAKLAND, "CA", "2027-12-30 10:00", "2028-01-03 10:00"),  # New Year's Day on a Saturday: observed on Friday
        (OAKLAND, None, "2026-03-30 10:00", "2026-03-31 10:00"),  # a territory without a calendar of its own
    ],
)
def test_dea_hears_within_a_business_day_of_the_pharmacys_state(
    zone: ZoneInfo, state: str | None, discovered: str, due: str
) -> None:
    assert loss_timers(at(discovered, zone), programme(), zone, state).dea_due_at == at(due, zone)


@pytest.mark.parametrize(
    ("discovered", "due"),
    [
        ("2026-11-16 10:00", "2026-12-31 10:00"),
        ("2026-01-31 10:00", "2026-03-17 10:00"),  # over February
        ("2028-01-31 10:00", "2028-03-16 10:00"),  # in a leap year
        ("2026-12-01 10:00", "2027-01-15 10:00"),  # weekends and holidays count
        ("2026-10-20 10:00", "2026-12-04 10:00"),  # summer time ends in between: the wall clock stays
    ],
)
def test_form_106_is_filed_within_forty_five_calendar_days(discovered: str, due: str) -> None:
    timers = loss_timers(at(discovered, BUFFALO), programme(), BUFFALO, "NY")
    assert timers.form_106_due_at == at(due, BUFFALO)
    assert timers.form_106_due_at.tzinfo is UTC


def test_the_day_begins_where_the_pharmacy_is() -> None:
    """Sunday evening in California is Monday in UTC: the business day is Monday, not Tuesday."""
    discovered = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    assert loss_timers(discovered, programme(), OAKLAND, "CA").dea_due_at == discovered + timedelta(days=1)


def test_a_state_without_a_calendar_keeps_the_federal_holidays() -> None:
    assert (known_state("CA"), known_state("XX")) == ("CA", None)
    assert not is_business_day(date(2026, 10, 12), "CA")


DUE = datetime(2026, 11, 17, 18, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
FACTS = DutyFacts(
    dea_due_at=DUE, dea_notified_at=None, form_106_due_at=DUE + timedelta(days=44), form_106_filed_at=None
)


def rules(facts: DutyFacts, now: datetime) -> list[str]:
    return [finding.rule for finding in duty_findings(facts, now, programme())]


def test_a_duty_is_late_from_its_due_time_on() -> None:
    assert rules(FACTS, DUE) == []
    assert rules(FACTS, DUE + MOMENT) == ["shipping.dea_notice_overdue"]
    later = FACTS.form_106_due_at
    assert rules(FACTS, later) == ["shipping.dea_notice_overdue"]
    assert rules(FACTS, later + MOMENT) == ["shipping.dea_notice_overdue", "shipping.form_106_overdue"]
    found = duty_findings(FACTS, later + MOMENT, programme())
    assert [(finding.setting, finding.value) for finding in found] == [
        ("sla.dea_notice_business_days", 1),
        ("sla.form_106_days", 45),
    ]


def test_what_was_done_in_time_is_never_late_and_what_was_done_late_stays_so() -> None:
    far = DUE + timedelta(days=400)
    done = replace(FACTS, dea_notified_at=DUE, form_106_filed_at=FACTS.form_106_due_at)
    assert rules(done, far) == []
    assert rules(replace(done, dea_notified_at=DUE + MOMENT), far) == ["shipping.dea_notice_overdue"]
    assert rules(replace(done, form_106_filed_at=FACTS.form_106_due_at + MOMENT), far) == ["shipping.form_106_overdue"]


def test_what_turned_up_again_owes_nothing_more_and_what_was_late_stays_late() -> None:
    assert rules(replace(FACTS, found=True), DUE + timedelta(days=400)) == []
    late = replace(FACTS, dea_notified_at=DUE + MOMENT, found=True)
    assert rules(late, DUE + timedelta(days=400)) == ["shipping.dea_notice_overdue"]


@pytest.mark.parametrize(("losses", "reviewed"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_second_loss_is_reviewed_for_diversion(losses: int, reviewed: bool) -> None:
    found = diversion_findings(losses, programme())
    assert [finding.rule for finding in found] == (["shipping.diversion_review"] if reviewed else [])
