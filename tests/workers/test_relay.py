"""How long the relay lets events gather, and that looking for them writes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Event
from services.messaging.outbox import Subject, acknowledge, emit, is_anything_due, take_due
from workers.relay import LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS, pause_after


@pytest.mark.parametrize("relayed", [0, 1, 5])
def test_what_comes_now_and_then_goes_soon(relayed: int) -> None:
    assert pause_after(relayed) == SHORTEST_PAUSE_SECONDS


@pytest.mark.parametrize("relayed", [20, 100, 1000])
def test_a_flood_gathers_but_not_for_ever(relayed: int) -> None:
    assert pause_after(relayed) == LONGEST_PAUSE_SECONDS


def test_an_event_is_due_until_it_is_taken_and_again_when_nobody_acknowledges_it(session: Session) -> None:
    assert not is_anything_due(session)
    (event_id,) = emit(session, EventKind.SMS_UNCLEAR, subject=Subject("text", new_id()), to=[Party.OPERATIONS])
    assert is_anything_due(session)
    assert [row.id for row in take_due(session, 10, timedelta(seconds=20))] == [event_id]
    assert not is_anything_due(session)
    session.get_one(Event, event_id).next_relay_at = clock.now()  # twenty seconds later
    session.flush()
    assert is_anything_due(session)
    assert set(acknowledge(session, Party.OPERATIONS, [event_id])) == {event_id}
    assert not is_anything_due(session)
