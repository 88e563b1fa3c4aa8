"""When a task is due: the ending of a setting's name is its unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services import routing
from services.core.errors import InvalidConfiguration
from services.core.programme import Programme, programme
from services.core.vocabulary import EventKind, Party
from services.messaging.due_times import due_after

FRIDAY = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
TASKS = [
    (kind, party, effect)
    for kind, routes in routing.ROUTES.items()
    for party, effects in routes.items()
    for effect in effects
    if isinstance(effect, routing.Task)
]


def a_programme(**settings: float) -> Programme:
    return replace(programme(), settings={f"sla.{name}": value for name, value in settings.items()})


@pytest.mark.parametrize(
    ("setting", "amount", "later"),
    [
        ("some_minutes", 15, timedelta(minutes=15)),
        ("some_hours", 8, timedelta(hours=8)),
        ("some_hours", 0.25, timedelta(minutes=15)),
        ("some_days", 45, timedelta(days=45)),
        ("some_business_days", 1, timedelta(days=3)),  # over the weekend
        ("some_business_days", 6, timedelta(days=11)),  # over Thanksgiving too, which is no business day
    ],
)
def test_the_unit_is_the_ending_of_the_name(setting: str, amount: float, later: timedelta) -> None:
    assert due_after(FRIDAY, f"sla.{setting}", a_programme(**{setting: amount})) == FRIDAY + later


@pytest.mark.parametrize("setting", ["some", "some_seconds", "minutes_some", "somehours"])
def test_a_name_without_a_unit_is_refused(setting: str) -> None:
    with pytest.raises(InvalidConfiguration, match="unit"):
        due_after(FRIDAY, f"sla.{setting}", a_programme(**{setting: 1}))


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="no setting"):
        due_after(FRIDAY, "sla.never_hours", programme())


@pytest.mark.parametrize(("kind", "party", "effect"), TASKS)
def test_every_task_of_the_routing_table_is_due_at_some_later_time(
    kind: EventKind, party: Party, effect: routing.Task
) -> None:
    due_at = due_after(FRIDAY, effect.due, programme())
    assert FRIDAY < due_at <= FRIDAY + timedelta(days=60)


def test_what_is_due_in_hours_is_due_on_a_weekend_too() -> None:
    assert due_after(FRIDAY, "sla.next_day_hours", programme()).weekday() == 5
