"""Options MD: several routes in one treatment plan; patients text their questions, which reach the right person, and
the answer comes back by text, or behind a link where it says anything clinical."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from coordinator.local.story.cast import Person
from coordinator.local.story.practices import acts
from coordinator.local.story.practices.acts import Order
from coordinator.local.story.practices.practice import Practice
from coordinator.local.story.records import Unmet
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


def ask(stage: Stage) -> None:
    """The patient texts questions; each reaches the right person, and the answer comes by text or behind a link."""
    stage.begin_step(3, "The patient texts questions and gets answers by text")
    jonas, cast = stage.patients["jonas"], stage.cast
    stage.day(stage.clock.day + 1, "10:30", "a morning with questions")
    stage.text_in(jonas, "What time is my next appointment?")
    task = stage.await_task(cast.therapist, "answer_question")
    _answer(stage, cast.therapist, task["subject_id"], "Tuesday at one in the afternoon, as agreed.", way="sms")
    text = stage.await_text(jonas, "Tuesday at one in the afternoon")
    stage.narrator.fact(f"The answer has nothing clinical in it, so it goes as it is: {len(text)} characters.")
    stage.text_in(jonas, "I was dizzy after the last one, is that normal?")
    task = stage.await_task(cast.assistant, "answer_question")
    words = "Dizziness in the first hours is a known side effect of this dose; call us if it lasts."
    _answer(stage, cast.prescriber, task["subject_id"], words, way="link")
    text = stage.await_text(jonas, "we answered your text")
    if "dizz" in text.lower() or "dose" in text:
        raise Unmet("Nothing clinical may stand in a text.")
    stage.exchange_link(jonas, text)
    thread = stage.read(jonas, f"/questions/{task['subject_id']}")["posts"]
    if thread[-1]["text"] != words:
        raise Unmet("Behind the link the patient must read the whole answer.")
    stage.narrator.fact(f"Behind the link Jonas reads: “{words}”")


def _answer(stage: Stage, who: Person, question_id: str, words: str, *, way: str) -> None:
    answered = stage.act(who, "POST", f"/questions/{question_id}/answer", {"text": words}, doing=f"answers: “{words}”")
    if answered["way"] != way:
        raise Unmet(f"This answer should go by {way}; it went by {answered['way']}.")


PRACTICE: Final = Practice(
    programme="options_md",
    title="Options MD",
    exchange="520560",
    names={"practice": "Ironwood Psychiatry", "medical_team": "Options Remote Medical"},
    characters=CHARACTERS,
    chapters=(plan, treat, ask),
)
