"""Twilio's statuses rank, repeat and come out of order; its codes say what to do (DOMAIN 7)."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from services.core.errors import InvalidInput
from services.messaging.twilio_statuses import (
    Action,
    UnknownStatus,
    action_for,
    advance,
    is_terminal,
    known_statuses,
)

OUTBOUND = (
    "queued",
    "accepted",
    "scheduled",
    "sending",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "canceled",
    "read",
)
TERMINAL = ("delivered", "undelivered", "failed", "canceled", "read")


def test_the_table_knows_exactly_the_documented_words() -> None:
    assert known_statuses() == set(OUTBOUND)
    assert known_statuses("inbound") == {"receiving", "received"}


def test_the_first_report_is_taken_as_it_is() -> None:
    assert advance(None, "queued") == "queued"
    assert advance(None, "delivered") == "delivered"


@pytest.mark.parametrize(("current", "incoming"), list(product(TERMINAL, OUTBOUND)))
def test_a_terminal_status_is_never_left_except_from_delivered_to_read(current: str, incoming: str) -> None:
    after = advance(current, incoming)
    assert after == ("read" if (current, incoming) == ("delivered", "read") else current)


@pytest.mark.parametrize("status", OUTBOUND)
def test_a_repeated_report_changes_nothing(status: str) -> None:
    assert advance(status, status) == status


@pytest.mark.parametrize("last", ["delivered", "undelivered", "failed"])
def test_reports_in_any_order_end_in_the_same_status(last: str) -> None:
    for order in permutations(["queued", "sending", "sent", last, last]):
        status = None
        for incoming in order:
            status = advance(status, incoming)
        assert status == last


@pytest.mark.parametrize(("current", "late"), [("sent", "queued"), ("sending", "accepted"), ("sent", "sending")])
def test_a_late_report_does_not_take_a_text_back(current: str, late: str) -> None:
    assert advance(current, late) == current


def test_between_statuses_of_one_rank_the_first_stays() -> None:
    assert advance("queued", "accepted") == "queued"
    assert advance("accepted", "queued") == "accepted"


def test_an_inbound_text_moves_from_receiving_to_received() -> None:
    assert advance("receiving", "received") == "received"
    assert advance("received", "receiving") == "received"


@pytest.mark.parametrize(
    ("current", "incoming"),
    [("sent", "partially_delivered"), ("lost", "sent"), ("sent", "received"), ("received", "read")],
)
def test_an_unknown_or_misplaced_status_is_loud(current: str, incoming: str) -> None:
    with pytest.raises(UnknownStatus) as refused:
        advance(current, incoming)
    assert isinstance(refused.value, InvalidInput)


def test_an_odd_status_is_not_repeated_in_the_sentence() -> None:
    with pytest.raises(UnknownStatus) as refused:
        advance(None, "+14155550100 says hi")
    assert "415" not in refused.value.message


@pytest.mark.parametrize("status", OUTBOUND)
def test_terminal_statuses_are_known_as_such(status: str) -> None:
    assert is_terminal(status) == (status in TERMINAL)


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (21610, Action.MARK_OPTED_OUT),
        (21211, Action.MARK_INVALID),
        (21614, Action.MARK_NOT_MOBILE),
        (30003, Action.RETRY),
        (30008, Action.RETRY),
        (30004, Action.GIVE_UP),
        (30005, Action.GIVE_UP),
        (30006, Action.GIVE_UP),
        (30007, Action.GIVE_UP),
        (30034, Action.GIVE_UP),
        ("21610", Action.MARK_OPTED_OUT),
        (12345, Action.ASK_STAFF),
        (None, Action.ASK_STAFF),
    ],
)
def test_each_error_code_has_its_action(code: int | str | None, action: Action) -> None:
    assert action_for(code) is action


@pytest.mark.parametrize(
    ("code", "http_status", "action"),
    [
        (20429, 429, Action.BACK_OFF),
        (None, 500, Action.BACK_OFF),
        (None, 503, Action.BACK_OFF),
        (None, 504, Action.RECONCILE),
        (20003, 401, Action.ASK_STAFF),
        (None, 404, Action.ASK_STAFF),
        (21610, 400, Action.MARK_OPTED_OUT),
    ],
)
def test_an_answer_without_a_known_code_goes_by_its_http_status(
    code: int | None, http_status: int, action: Action
) -> None:
    assert action_for(code, http_status) is action


def test_only_retry_and_back_off_may_be_sent_again() -> None:
    assert {action for action in Action if action.may_retry} == {Action.RETRY, Action.BACK_OFF}
