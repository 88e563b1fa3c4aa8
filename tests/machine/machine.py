"""The walk itself: any actor, any act, any order, time moving, carriers reporting, workers working.

Half of the steps are what somebody sensible would do next (``plan.py``), or few walks would ever get to a first dose;
the rest is chance. After each step ``invariants.py`` looks at every table that changed.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from hypothesis import strategies
from hypothesis.stateful import RuleBasedStateMachine, rule

from services.core.actors import SYSTEM, Actor
from tests.machine.acts import ACTS, Dice, Nothing
from tests.machine.invariants import Invariants
from tests.machine.plan import Act, proposals
from tests.machine.stage import Stage, Standing, Tally, changed, walk

PEOPLE: Final = (
    *("therapist", "prescriber", "staff", "pharmacist", "patient", "operator", "colleague", "second prescriber"),
    *("other therapist", "other prescriber", "other staff", "other pharmacist", "other patient"),
)
THE_RIGHT_ONE: Final = "whose business it is"
GAPS: Final = (
    timedelta(minutes=15),
    timedelta(minutes=120),
    timedelta(hours=26),
    timedelta(days=7),
    timedelta(minutes=1),
    timedelta(days=31),
    timedelta(days=190),
)
NUMBERS: Final = strategies.lists(strategies.integers(0, 99), min_size=4, max_size=4)
WHO: Final = strategies.sampled_from((*(THE_RIGHT_ONE,) * 20, *PEOPLE))
AN_ACT: Final = strategies.sampled_from(sorted(ACTS))
# Long jumps end everything that is under way, so they are rare.
A_GAP: Final = strategies.sampled_from((*GAPS[:3] * 8, *GAPS))


class Turn(StrEnum):
    """What a step is about. A walk that is steered by chance alone ends at refusals."""

    SENSIBLE = "what is sensible"
    ANYTHING = "anything"
    CARRIER = "the carrier reports"
    TIME = "time passes"
    QUEUES = "the queues are worked"


TURNS: Final = (
    *(Turn.SENSIBLE,) * 10,
    *(Turn.ANYTHING,) * 8,
    Turn.CARRIER,
    Turn.TIME,
    Turn.QUEUES,
)


class EpisodeMachine(RuleBasedStateMachine):
    """One walk through one episode. ``standing`` and ``tally`` are set by whoever runs it."""

    standing: ClassVar[Standing]
    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.stage: Stage = self.open.enter_context(walk(self.standing, self.tally))
        self.judge = Invariants(self.stage)

    def teardown(self) -> None:
        """Look for what a note says everywhere, and undo the walk."""
        try:
            self.judge.notes_stay_where_they_are()
        finally:
            self.open.close()

    @rule(turn=strategies.sampled_from(TURNS), act=AN_ACT, who=WHO, numbers=NUMBERS, gap=A_GAP)
    def step(self, turn: Turn, act: str, who: str, numbers: list[int], gap: timedelta) -> None:
        """One step: of what was drawn only that counts which ``turn`` is about."""
        match turn:
            case Turn.SENSIBLE:
                self.do_what_is_sensible()
            case Turn.ANYTHING:
                self.do(act, who, Dice(numbers))
            case Turn.CARRIER:
                self.do("carrier reports", THE_RIGHT_ONE, Dice([99, *numbers]))
            case Turn.TIME:
                self.pass_time(gap)
            case Turn.QUEUES:
                self.work_the_queues()

    def do_what_is_sensible(self) -> None:
        """The next thing that a treatment needs; when nothing can be done, a day passes."""
        for proposal in proposals(self.stage):
            if isinstance(proposal, timedelta):
                self.pass_time(proposal)
                return
            chosen = Act(proposal) if isinstance(proposal, str) else proposal
            if self.do(chosen.name, THE_RIGHT_ONE, Dice(chosen.numbers)):
                return
        self.pass_time(timedelta(days=1))

    def work_the_queues(self) -> None:
        """Every party's worker does what waits for it."""
        self.tally.steps += 1
        self.tally.done["work the queues"] += 1
        self.stage.work()
        self.look()

    def do(self, act: str, who: str, dice: Dice) -> bool:
        """One act by somebody; whether it succeeded. What must hold is looked at afterwards."""
        chosen = ACTS[act]
        actor = self.actor(chosen.by if who == THE_RIGHT_ONE else who)
        try:
            succeeded = self.stage.attempt(act, lambda: chosen.do(self.stage, actor, dice))
        except Nothing:
            self.stage.session.rollback()
            return False
        self.look()
        return succeeded

    def actor(self, name: str) -> Actor:
        """Somebody, by name. Whoever is therapist or prescriber of record now is what these names mean."""
        episode, people = self.stage.episode, self.stage.people
        if name == "carrier":
            return SYSTEM
        if name == "therapist" and episode.therapist_id == people["colleague"].id:
            return people["colleague"]
        if name == "prescriber" and episode.prescriber_id == people["second prescriber"].id:
            return people["second prescriber"]
        return people[name]

    def pass_time(self, gap: timedelta) -> None:
        """One step of waiting."""
        self.tally.steps += 1
        self.tally.done["let time pass"] += 1
        self.stage.pass_time(gap)
        self.look()

    def look(self) -> None:
        """Look at what changed."""
        before, after = self.stage.last_digest, self.stage.digest()
        self.stage.last_digest = after
        self.judge.hold(changed(before, after))


def machine_on(standing: Standing, tally: Tally) -> type[EpisodeMachine]:
    """The machine, on a world of its own."""
    made: Any = type("Episode", (EpisodeMachine,), {"standing": standing, "tally": tally})
    return made  # type: ignore[no-any-return]
