"""The demo's story: one patient from referral to refill, over HTTP, with real passwords, codes, texts and parcels.

    tell(environment)        tell it on the terminal; 0 when every step went as it must
    perform(environment, …)  the same for tests: gives the record, raises ``Unmet``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coordinator.local.story import arrival, supply
from coordinator.local.story.cast import cast_of
from coordinator.local.story.client import Client
from coordinator.local.story.narration import Narrator
from coordinator.local.story.scripts import ZONE, Script
from coordinator.local.story.stage import Stage, Unmet
from coordinator.local.story.times import MovableClock, following

STEPS: tuple[Callable[[Stage], None], ...] = (
    arrival.refer,
    arrival.screen,
    arrival.find,
    arrival.decide,
    supply.prescribe,
    supply.dispense,
    supply.follow,
    supply.receive,
)


def tell(environment: Mapping[str, str]) -> int:
    """Tell the story on the running stack that ``environment`` describes; 1 when something was not as it must be."""
    narrator = Narrator()
    with following(environment) as file:
        stage = Stage(
            Client(environment["PUBLIC_BASE_URL"]),
            Client(environment["TWILIO_API_BASE"]),
            MovableClock(file, ZONE),
            cast_of(Script()),
            Script(),
            narrator,
        )
        try:
            stage.clock.begin_at(10)
            arrival.assemble(stage, dict(environment))
            for step in STEPS:
                step(stage)
        except Unmet as failure:
            narrator.failed(str(failure))
            return 1
    return 0
