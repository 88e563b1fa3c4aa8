"""Options MD: several routes in one treatment plan, for depression that resisted other treatments."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from coordinator.local.story.practices import acts
from coordinator.local.story.practices.acts import Order
from coordinator.local.story.practices.practice import Practice
from coordinator.local.story.scripts import Character
from coordinator.local.story.stage import Stage

CHARACTERS: Final = (
    Character(
        "jonas",
        "Jonas Petrakis",
        "1982-12-03",
        "12 Ironwood Place",
        "5205601142",
        "depression",
        "Treatment-resistant depression; five medicines in eight years.",
    ),
)
SPRAY: Final = Order(
    quantity=1,
    sessions=2,
    dose_mg=60,
    first_dose_mg=30,
    more={
        "route": "nasal",
        "form": "nasal_spray",
        "strength_mg": 150,
        "directions": "One spray each side, under supervision.",
    },
)


def plan(stage: Stage) -> None:
    """One plan, two routes: lozenges at home and a spray in the clinic."""
    stage.begin_step(1, "A treatment plan with several routes")
    jonas = stage.patients["jonas"]
    acts.refer(stage, jonas, "jonas")
    stage.is_warm = True
    acts.screen(stage, jonas)
    acts.approve(stage, jonas)
    acts.supply(stage, jonas, "jonas", Order(), "794611600101")
    acts.prescribe(stage, jonas, SPRAY)
    stage.narrator.fact(
        "Two prescriptions of different routes are in force at the same time; neither replaces the other."
    )


def treat(stage: Stage) -> None:
    """A first session with the spray in the clinic, a later one with lozenges in the office."""
    stage.begin_step(2, "One session by each route")
    jonas = stage.patients["jonas"]
    clinic = {"site": "clinic", "route": "nasal"}
    spray = acts.dose_session(
        stage,
        jonas,
        stage.clock.now() + timedelta(days=2),
        30,
        ready={"chaperone": None, "staff_stays": True},
        **clinic,
    )
    acts.follow_up(stage, jonas, spray["id"])
    at = stage.clock.on_day(stage.clock.day + 7, "13:00")
    lozenge = acts.dose_session(stage, jonas, at, 100, route="sublingual")
    acts.follow_up(stage, jonas, lozenge["id"])


PRACTICE: Final = Practice(
    programme="options_md",
    title="Options MD",
    exchange="520560",
    names={"practice": "Ironwood Psychiatry", "medical_team": "Options Remote Medical"},
    characters=CHARACTERS,
    chapters=(plan, treat),
)
