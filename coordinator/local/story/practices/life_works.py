"""Life Works: the paperwork comes before the first booking; patients bring the medicine to the office; this patient's
prescriber set the pressures for before and after; more sessions than a round has are the prescriber's to grant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from coordinator.local.story.practices import acts
from coordinator.local.story.practices.acts import Order
from coordinator.local.story.practices.practice import Practice
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import Character
from coordinator.local.story.stage import Stage

CHARACTERS: Final = (
    Character(
        "ines",
        "Ines Calloway",
        "1990-02-14",
        "640 Juniper Way",
        "5205571142",
        "depression",
        "Depressed since the birth of the second child, two years ago.",
    ),
)
LIMITS: Final = {"systolic_below": 134, "diastolic_below": 86}


def arrive(stage: Stage) -> None:
    """Nothing is booked before the paperwork is done."""
    stage.begin_step(1, "The paperwork goes out before the first session is booked")
    ines = stage.patients["ines"]
    acts.refer(stage, ines, "ines")
    stage.is_warm = True
    stage.refuse(
        stage.cast.therapist,
        "POST",
        "/sessions",
        acts.booking(stage, ines, "preparation", stage.clock.now() + timedelta(days=3)),
        doing="books a first session while the screening is open",
        rules=["sessions.screening_missing"],
    )
    acts.screen(stage, ines)
    acts.talk(stage, ines, "preparation", stage.clock.now() + timedelta(days=1))
    acts.approve(stage, ines)
    order = Order(more={"limits": LIMITS})
    stage.kept["prescription"] = acts.supply(stage, ines, "ines", order, "794611400101")["id"]


def dose(stage: Stage) -> None:
    """A medication session in the office, with this patient's own thresholds before and after."""
    stage.begin_step(2, "A medication session in the office, by the thresholds that the prescriber set")
    ines = stage.patients["ines"]
    at = stage.clock.on_day(stage.clock.day + 7, "13:00")
    home = acts.booking(stage, ines, "dosing", at, site="home")
    stage.refuse(
        stage.cast.therapist,
        "POST",
        "/sessions",
        home,
        doing="books the session at the patient's home",
        rules=["sessions.site_not_offered"],
    )
    session = acts.book(stage, ines, "dosing", at)
    stage.kept["dosing"] = session["id"]
    stage.pass_time(at, "Ines comes in")
    _bring(stage, session["id"])
    acts.make_ready(stage, session["id"])
    high = acts.measure(stage, session["id"], "before", systolic=136, diastolic=84)
    _must(high["outcome"] == "rest_and_repeat", "136 is above this patient's own limit of 134.")
    stage.wait(timedelta(minutes=10), "Ines rests")
    passed = acts.measure(stage, session["id"], "before", systolic=128, diastolic=80)
    _must(passed["outcome"] == "pass", "128/80 is within this patient's limits.")
    acts.give(stage, session["id"], 100)
    acts.watch(stage, session["id"])


def _bring(stage: Stage, session_id: str) -> None:
    """The lozenges were shipped to the patient's home: who carries them is noted, and the therapist counts."""
    ines, path = stage.patients["ines"], f"/sessions/{session_id}"
    stage.refuse(
        stage.cast.therapist,
        "POST",
        f"{path}/readiness",
        acts.readiness(stage),
        doing="begins before it is on record how the medicine came",
        rules=["sessions.transport_missing"],
    )
    carried = {"carried_by": ines.name, "sealed": True, "units": 2, "left_at_home": 2}
    stage.act(ines, "POST", f"{path}/transport", carried, doing="notes: carried two units, sealed; two stay at home")
    stage.act(stage.cast.therapist, "POST", f"{path}/arrival-count", {"units": 2}, doing="counts two units")


def leave(stage: Stage) -> None:
    """The patient may not leave above the limits."""
    stage.begin_step(3, "Nobody leaves above the limits")
    ines, session = stage.patients["ines"], stage.kept["dosing"]
    acts.measure(stage, session, "after", systolic=138, diastolic=84)
    stage.refuse(
        stage.cast.therapist,
        "POST",
        f"/sessions/{session}/discharge-gate",
        acts.WELL,
        doing="lets Ines go with 138/84",
        rules=["vitals.start_systolic_below"],
    )
    stage.wait(timedelta(minutes=12), "Ines rests a little longer")
    acts.look(stage, session)
    acts.measure(stage, session, "after", systolic=126, diastolic=78)
    acts.send_home(stage, session)
    acts.follow_up(stage, ines, session)


def extend(stage: Stage) -> None:
    """A round has eight sessions; only the prescriber grants more."""
    stage.begin_step(4, "More than a round is the prescriber's to grant")
    ines = stage.patients["ines"]
    path = f"/episodes/{ines.episode_id}/round-extensions"
    body: dict[str, Any] = {"sessions": 10, "reason": "Improves slowly and steadily; two more sessions."}
    stage.refuse(
        stage.cast.therapist,
        "POST",
        path,
        body,
        status=403,
        doing="grants more sessions",
        rules=["access.round.extend"],
    )
    stage.act(stage.cast.prescriber, "POST", path, body, doing="extends the round to ten sessions, with the reason")


def _must(holds: bool, sentence: str) -> None:
    if not holds:
        raise Unmet(sentence)


PRACTICE: Final = Practice(
    programme="life_works",
    title="Life Works",
    exchange="520557",
    names={"practice": "Juniper Therapy", "medical_team": "Juniper Remote Medical"},
    characters=CHARACTERS,
    chapters=(arrive, dose, leave, extend),
)
