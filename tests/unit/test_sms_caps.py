"""One text in any 24 hours, three in any 7 days; safety, replies and codes go past with a reason (DOMAIN 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.programme import programme
from services.messaging.caps import Purpose, may_send

NOW = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
DEFAULT = programme()


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def test_the_first_text_may_go() -> None:
    decision = may_send(NOW, [], Purpose.CARE, DEFAULT)
    assert decision.allowed
    assert decision.next_at == NOW
    assert not decision.bypassed


def test_a_second_text_waits_until_24_hours_after_the_first() -> None:
    decision = may_send(NOW, [ago(hours=1)], Purpose.CARE, DEFAULT)
    assert not decision.allowed
    assert decision.rule == "sms.caps.per_24_hours"
    assert decision.next_at == NOW + timedelta(hours=23)


def test_a_text_sent_exactly_24_hours_ago_no_longer_counts() -> None:
    assert may_send(NOW, [ago(hours=24)], Purpose.CARE, DEFAULT).allowed
    assert not may_send(NOW, [ago(hours=24) + timedelta(microseconds=1)], Purpose.CARE, DEFAULT).allowed


def test_a_fourth_text_waits_until_7_days_after_the_third_newest() -> None:
    decision = may_send(NOW, [ago(days=2), ago(days=6), ago(days=4)], Purpose.CARE, DEFAULT)
    assert not decision.allowed
    assert decision.rule == "sms.caps.per_7_days"
    assert decision.next_at == NOW + timedelta(days=1)


def test_when_both_limits_refuse_the_later_end_counts() -> None:
    decision = may_send(NOW, [ago(hours=1), ago(days=2), ago(days=3)], Purpose.CARE, DEFAULT)
    assert decision.rule == "sms.caps.per_7_days"
    assert decision.next_at == NOW + timedelta(days=4)
    short_week = may_send(NOW, [ago(hours=1), ago(days=2), ago(days=6, hours=12)], Purpose.CARE, DEFAULT)
    assert short_week.rule == "sms.caps.per_24_hours"
    assert short_week.next_at == NOW + timedelta(hours=23)


@pytest.mark.parametrize("purpose", [Purpose.SAFETY, Purpose.REPLY, Purpose.CODE])
def test_safety_replies_and_codes_go_past_the_limits_with_a_reason(purpose: Purpose) -> None:
    decision = may_send(NOW, [ago(hours=1)] * 5, purpose, DEFAULT)
    assert decision.allowed
    assert decision.bypassed
    assert decision.rule == "sms.caps.bypass"
    assert decision.reason


def test_the_limits_are_settings() -> None:
    generous = replace(DEFAULT, settings={**DEFAULT.settings, "sms.caps.per_24_hours": 2})
    assert may_send(NOW, [ago(hours=1)], Purpose.CARE, generous).allowed
    strict = replace(DEFAULT, settings={**DEFAULT.settings, "sms.caps.bypass": []})
    assert not may_send(NOW, [ago(hours=1)], Purpose.REPLY, strict).allowed


def test_a_limit_of_none_never_lets_a_text_go() -> None:
    silent = replace(DEFAULT, settings={**DEFAULT.settings, "sms.caps.per_24_hours": 0})
    decision = may_send(NOW, [], Purpose.CARE, silent)
    assert not decision.allowed
    assert decision.next_at is None


@given(st.lists(st.integers(min_value=0, max_value=10 * 24 * 60), max_size=12))
def test_the_next_moment_named_is_the_first_that_is_allowed(minutes: list[int]) -> None:
    sent_at = [ago(minutes=each) for each in minutes]
    decision = may_send(NOW, sent_at, Purpose.CARE, DEFAULT)
    assert decision.next_at is not None
    assert may_send(decision.next_at, sent_at, Purpose.CARE, DEFAULT).allowed
    if not decision.allowed:
        just_before = decision.next_at - timedelta(seconds=1)
        assert not may_send(just_before, sent_at, Purpose.CARE, DEFAULT).allowed
