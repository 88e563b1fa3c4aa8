"""The demo's story: one patient from referral to refill, over HTTP, with real passwords, codes, texts and parcels.

tell(environment)      tell it on the terminal; 0 when every step went as it must
Story(environment, …)  the same with its parts at hand, for the demo's sign-ins and for tests

With a ``practice`` it is that practice's own story (``practices/``) instead of the journey.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from coordinator.local.story import arrival, prescription, renewal, supply, treatment
from coordinator.local.story.cast import PASSWORD, Cast, cast_of
from coordinator.local.story.casting import found
from coordinator.local.story.client import Client
from coordinator.local.story.narration import Narrator
from coordinator.local.story.practices import PRACTICES, Practice
from coordinator.local.story.records import Record, Unmet
from coordinator.local.story.scripts import ZONE, Script
from coordinator.local.story.stage import Stage
from coordinator.local.story.times import MovableClock, following
from services.core.errors import InvalidConfiguration

__all__ = ["PRACTICES", "Narrator", "Practice", "Record", "Script", "Story", "Unmet", "cast_of", "found", "tell"]

FIRST_HOUR: Final = 10
SANDBOX: Final = ("TWILIO_API_BASE", "EASYPOST_API_BASE")

CHAPTERS: Final[tuple[Callable[[Stage], None], ...]] = (
    arrival.refer,
    arrival.screen,
    arrival.find,
    arrival.decide,
    prescription.prescribe,
    supply.dispense,
    supply.follow,
    treatment.hear,
    supply.receive,
    treatment.book,
    treatment.dose,
    treatment.integrate,
    renewal.report,
    renewal.ask_for_more,
    renewal.escalate,
)


class Story:
    """The story on the running stack that ``environment`` describes.

    Raises ``InvalidConfiguration`` when texts or parcels would leave this machine.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        script: Script | None = None,
        narrator: Narrator | None = None,
        cast: Cast | None = None,  # people who have accounts already
        practice: Practice | None = None,
        source: str | None = None,  # the loopback address that all of them call from
    ) -> None:
        if any(not environment.get(name) for name in SANDBOX):
            raise InvalidConfiguration("The story plays with the sandbox: leave TWILIO_* and EASYPOST_* unset.")
        self._environment = environment
        self._practice = practice
        script = script or (Script() if practice is None else practice.script())
        self.stage = Stage(
            Client(environment["PUBLIC_BASE_URL"], source=source),
            Client(environment["TWILIO_API_BASE"]),
            MovableClock(environment, ZONE),
            cast or (cast_of(script) if practice is None else practice.cast(script)),
            script,
            narrator or Narrator(),
        )

    def perform(self) -> Record:
        """Play every step. Raises ``Unmet`` as soon as something is not as it must be."""
        stage = self.stage
        with following(self._environment):
            stage.clock.begin_at(FIRST_HOUR)
            if not stage.cast.organisations:
                organisations = None if self._practice is None else self._practice.organisations()
                found(stage.cast, self._environment, organisations)
            for chapter in CHAPTERS if self._practice is None else self._practice.chapters:
                chapter(stage)
            stage.end_step()
        return stage.record

    def tell(self) -> int:
        """Play it and sum it up on the terminal: 0, or 1 with a sentence about what was not as it must be."""
        narrator = self.stage.narrator
        try:
            record = self.perform()
        except Unmet as failure:
            told = self.stage.record.steps
            narrator.failed(f"{f'Step {told[-1].number}' if told else 'Before step 1'}: {failure}")
            return 1
        narrator.table("All steps went as they must", record.summary())
        return 0

    def stay_up(self) -> NoReturn:
        """Show who can sign in until a signal ends this; on a terminal, Enter shows fresh codes."""
        self._show_sign_ins()
        while sys.stdin.isatty() and sys.stdin.readline():
            self._show_sign_ins()
        while True:
            signal.pause()

    def _show_sign_ins(self) -> None:
        rows = [("", "e-mail · authenticator secret · code now")]
        with following(self._environment):
            rows.extend(
                (person.title, f"{person.email} · {person.secret} · {person.code()}")
                for person in self.stage.cast.staff
            )
            day = self.stage.clock.now()
        title = f"Demo sign-ins, made up and for this machine only (password of all: {PASSWORD})"
        self.stage.narrator.table(title, rows)
        more = "Press Enter for fresh codes. " if sys.stdin.isatty() else ""
        self.stage.narrator.fact(
            f"{more}The service's clock says {day:%a %d %b %Y %H:%M}, so codes of a phone do not fit."
        )


def tell(environment: Mapping[str, str]) -> int:
    """Tell the story; 0 when every step went as it must, else 1."""
    return Story(environment).tell()
