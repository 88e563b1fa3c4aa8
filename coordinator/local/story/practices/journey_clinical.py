"""Journey Clinical model: an independent therapist refers; several preparation sessions before the first dose; who does
not respond within a few treatments is taken another way, who does agrees a maintenance plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from coordinator.local.story.cast import Patient
from coordinator.local.story.practices import acts
from coordinator.local.story.practices.acts import Order
from coordinator.local.story.practices.practice import Practice
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import Character
from coordinator.local.story.stage import Stage

CHARACTERS: Final = (
    Character(
        "maya",
        "Maya Lindqvist",
        "1987-05-09",
        "31 Mesquite Road",
        "5205561142",
        "depression",
        "Depressed for three years; two medicines and therapy helped little.",
    ),
    Character(
        "theo",
        "Theo Brandt",
        "1979-10-30",
        "8 Agave Street",
        "5205561143",
        "depression",
        "A second long episode of depression; wants to work again.",
    ),
)
ORDER: Final = Order(quantity=4, sessions=2, dose_mg=200, first_dose_mg=100, refills=2)


def arrive(stage: Stage) -> None:
    """The therapist refers two clients; they answer; the medical team decides and prescribes."""
    stage.begin_step(1, "The therapist refers, the remote medical team decides and prescribes")
    for client, code in (("maya", "794611300101"), ("theo", "794611300102")):
        patient = stage.patients[client]
        acts.refer(stage, patient, client)
        stage.is_warm = True
        acts.screen(stage, patient)
        stage.wait(timedelta(hours=3), "the prescriber comes to it")
        acts.approve(stage, patient)
        stage.kept[client] = acts.supply(stage, patient, client, ORDER, code)["id"]


def prepare(stage: Stage) -> None:
    """No first dose before the preparation sessions that the programme asks for."""
    stage.begin_step(2, "Several preparation sessions before the first dose")
    maya, therapist = stage.patients["maya"], stage.cast.therapist
    at = stage.clock.now() + timedelta(days=10)
    stage.refuse(
        therapist,
        "POST",
        "/sessions",
        acts.booking(stage, maya, "dosing", at),
        doing="books the first dosing session right away",
        rules=["sessions.preparation_missing"],
    )
    for client in ("maya", "theo"):
        for days in (1, 2, 3):
            at = stage.clock.now() + timedelta(days=days // days)
            acts.talk(stage, stage.patients[client], "preparation", at)


def treat(stage: Stage) -> None:
    """Three dosing sessions: one patient gets better, the other does not."""
    stage.begin_step(3, "Three treatments, and what became of them")
    for client, score in (("maya", 2), ("theo", 1)):
        patient = stage.patients[client]
        for number, mg in ((1, 100), (2, 200)):
            _session(stage, patient, mg)
            stage.narrator.fact(f"{patient.name} has had session {number}.")
        acts.report(stage, patient, phq9=acts.phq9(score), gad7=acts.gad7(score))
        # The first session took half of the dose: one lozenge is left.
        code = f"79461130020{client == 'theo':d}"
        acts.refill(stage, patient, client, stage.kept[client], remaining=1, quantity=4, code=code)
        _session(stage, patient, 200)


def _session(stage: Stage, patient: Patient, mg: int) -> None:
    at = stage.clock.on_day(stage.clock.day + 7, "13:00")
    session = acts.dose_session(stage, patient, at, mg)
    acts.follow_up(stage, patient, session["id"])


def judge(stage: Stage) -> None:
    """Who does not respond within a few treatments is taken another way by the prescriber's decision."""
    stage.begin_step(4, "A treatment that does not help is found within a few sessions")
    maya, prescriber = stage.patients["maya"], stage.cast.prescriber
    reported = acts.report(stage, maya, phq9=acts.phq9(2), gad7=acts.gad7(2))
    stage.await_task(prescriber, "review_response", about=maya.episode_id)
    noted = stage.read(prescriber, f"/episodes/{maya.episode_id}/response-decisions")["items"]
    if not noted or reported["id"] is None:
        raise Unmet("Three sessions without improvement must ask for the prescriber.")
    stage.narrator.fact(noted[0]["finding"]["sentence"])
    decided = stage.act(
        prescriber,
        "POST",
        f"/response-decisions/{noted[0]['id']}/decide",
        {"course": "another_course", "reason": "No relief after three sessions; we go on with another medicine."},
        doing="decides on another course",
    )
    stage.narrator.fact(f"On record: {decided['course'].replace('_', ' ')}, with the reason.")


def maintain(stage: Stage) -> None:
    """Who responds finishes the round and agrees a maintenance plan with the prescriber."""
    stage.begin_step(5, "Who responds agrees a maintenance plan after the round")
    theo, prescriber = stage.patients["theo"], stage.cast.prescriber
    path = f"/episodes/{theo.episode_id}/maintenance-plans"
    plan = {"interval_days": 42, "plan": "One session every six weeks, with lozenges, in the therapist's office."}
    stage.refuse(
        prescriber,
        "POST",
        path,
        plan,
        doing="agrees a maintenance plan in the middle of the round",
        rules=["refills.maintenance_too_soon"],
    )
    _session(stage, theo, 200)
    acts.report(stage, theo, phq9=acts.phq9(0), gad7=acts.gad7(0))
    acts.refill(stage, theo, "theo", stage.kept["theo"], remaining=1, quantity=4, code="794611300301")
    for _ in range(2):
        _session(stage, theo, 200)
    acts.report(stage, theo, phq9=acts.phq9(0), gad7=acts.gad7(0))
    stage.act(prescriber, "POST", path, plan, doing="agrees with Theo: one session every six weeks")
    if stage.read(prescriber, f"/episodes/{theo.episode_id}")["state"] != "in_maintenance":
        raise Unmet("The episode must be in maintenance.")
    soon = acts.booking(stage, theo, "dosing", stage.clock.now() + timedelta(days=14))
    stage.refuse(
        stage.cast.therapist,
        "POST",
        "/sessions",
        soon,
        doing="books the next session in two weeks",
        rules=["sessions.maintenance_interval"],
    )


PRACTICE: Final = Practice(
    programme="journey_clinical",
    title="Journey Clinical model",
    exchange="520556",
    names={"practice": "Ocotillo Psychotherapy", "medical_team": "Journey Remote Medical"},
    characters=CHARACTERS,
    chapters=(arrive, prepare, treat, judge, maintain),
)
