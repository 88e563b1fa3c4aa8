"""Journey Clinical model: an independent therapist refers; several preparation sessions before the first dose; who does
not respond within a few treatments is taken another way, who does agrees a maintenance plan."""

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
        "maya",
        "Maya Lindqvist",
        "1987-05-09",
        "31 Mesquite Road",
        "5205551142",
        "depression",
        "Depressed for three years; two medicines and therapy helped little.",
    ),
)


def refer(stage: Stage) -> None:
    """The therapist refers; the patient answers; the medical team decides."""
    stage.begin_step(1, "The therapist refers, the medical team decides")
    maya = stage.patients["maya"]
    acts.refer(stage, maya, "maya")
    stage.is_warm = True
    acts.screen(stage, maya)
    stage.wait(timedelta(hours=3), "the prescriber comes to it")
    acts.approve(stage, maya)


def prepare(stage: Stage) -> None:
    """Preparation sessions come before the first dose."""
    stage.begin_step(2, "Preparation sessions before the first dose")
    maya = stage.patients["maya"]
    acts.supply(stage, maya, "maya", Order(), "794611300101")
    acts.talk(stage, maya, "preparation", stage.clock.now() + timedelta(days=1))


PRACTICE: Final = Practice(
    programme="journey_clinical",
    title="Journey Clinical model",
    exchange="520556",
    names={"practice": "Ocotillo Psychotherapy", "medical_team": "Journey Remote Medical"},
    characters=CHARACTERS,
    chapters=(refer, prepare),
)
