"""Runs walks: so many steps with a fixed seed for the suite, or for as long as asked with seeds by chance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection, Engine

from services.vault import boxes
from tests.machine.machine import machine_on
from tests.machine.stage import Standing, Tally, set_up

# A walk is long enough to get to a refill when nothing is in the way.
STEPS_A_WALK: Final = 130


@contextmanager
def standing_on(engine: Engine) -> Iterator[Standing]:
    """A world in a transaction that is rolled back in the end."""
    with engine.connect() as connection:
        outer = connection.begin()
        try:
            yield _set_up(connection)
        finally:
            boxes.forget_boxes()
            outer.rollback()


def _set_up(connection: Connection) -> Standing:
    standing = set_up(connection)
    boxes.forget_boxes()
    return standing


def walk_about(standing: Standing, tally: Tally, walks: int, number: int, *, shrink: bool = False) -> None:
    """So many walks with a seed. What fails is printed as the steps that lead there, with ``shrink`` as few as can be.

    Shrinking takes minutes, so that only ``make soak SEED=…`` asks for it.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    limits: dict[str, Any] = {
        "max_examples": walks,
        "stateful_step_count": STEPS_A_WALK,
        "deadline": None,
        "database": None,
        "phases": phases,
        "print_blob": False,
        "suppress_health_check": list(HealthCheck),
    }
    run_state_machine_as_test(seed(number)(machine_on(standing, tally)), settings=settings(**limits))
