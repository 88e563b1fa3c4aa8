"""Avesta: infusions in the clinic at several locations, nothing is shipped; vitals all through the infusion."""

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
        "ruth",
        "Ruth Amadi",
        "1971-01-17",
        "905 Palo Verde Loop",
        "5205591142",
        "chronic_pain",
        "Pain in both legs for nine years; three medicines at the same time.",
    ),
)
LOCATIONS: Final = (
    {"name": "Avesta Foothills", "street": "2201 River Road", "city": "Tucson", "state": "AZ", "postal_code": "85718"},
    {"name": "Avesta Downtown", "street": "60 Church Avenue", "city": "Tucson", "state": "AZ", "postal_code": "85701"},
)
INFUSION: Final = Order(
    quantity=2,
    sessions=2,
    dose_mg=40,
    first_dose_mg=20,
    more={
        "route": "intravenous",
        "form": "solution_for_infusion",
        "strength_mg": 100,
        "directions": "Infuse over 40 minutes, vitals throughout.",
    },
)


def arrive(stage: Stage) -> None:
    """Screening with history and medicines; the prescriber orders infusions; the pharmacy hears nothing."""
    stage.begin_step(1, "Screening, and an order for infusions that nobody ships")
    ruth, cast = stage.patients["ruth"], stage.cast
    acts.refer(stage, ruth, "ruth")
    stage.is_warm = True
    acts.screen(stage, ruth, medicines=("Gabapentin", "Duloxetine"))
    acts.approve(stage, ruth)
    order = acts.prescribe(stage, ruth, INFUSION)
    stage.kept["order"] = order["id"]
    stage.refuse(
        cast.pharmacist,
        "POST",
        f"/prescriptions/{order['id']}/fills",
        {"quantity": 2, "is_refill": False},
        doing="fills it all the same",
        rules=["prescribing.fill_of_clinic_order"],
    )


def choose_place(stage: Stage) -> None:
    """The practice treats at several locations; a session says at which."""
    stage.begin_step(2, "At one of several locations")
    ruth, cast = stage.patients["ruth"], stage.cast
    places = stage.read(cast.therapist, f"/episodes/{ruth.episode_id}/locations")["items"]
    if len(places) != len(LOCATIONS):
        raise Unmet(f"The practice has {len(LOCATIONS)} locations; {len(places)} are listed.")
    at = stage.clock.now() + timedelta(days=2)
    stage.refuse(
        cast.therapist,
        "POST",
        "/sessions",
        acts.booking(stage, ruth, "dosing", at, site="clinic"),
        doing="books an infusion without saying where",
        rules=["sessions.location_missing"],
    )
    session = acts.book(stage, ruth, "dosing", at, site="clinic", location_id=places[0]["id"])
    stage.kept["dosing"] = session["id"]
    stage.narrator.fact(f"It is to be at {places[0]['name']}, {places[0]['street']}.")
    stage.pass_time(at, "Ruth comes to the clinic")


def infuse(stage: Stage) -> None:
    """The infusion runs; vitals every ten minutes until its end; two hours of observation afterwards."""
    stage.begin_step(3, "The infusion, with vitals all through it")
    ruth, cast, session = stage.patients["ruth"], stage.cast, stage.kept["dosing"]
    path = f"/sessions/{session}"
    stage.refuse(
        cast.therapist,
        "POST",
        f"{path}/readiness",
        acts.readiness(stage, chaperone=None, staff_stays=True),
        doing="begins before going through the medicines",
        rules=["sessions.medicines_not_reconciled"],
    )
    stage.act(cast.therapist, "POST", f"{path}/medicines", {}, doing="goes through the list of medicines: unchanged")
    acts.make_ready(stage, session, chaperone=None, staff_stays=True)
    acts.measure(stage, session, "before")
    acts.give(stage, session, 20)
    begun = stage.clock.now()
    for minutes in (10, 20, 30):
        stage.clock.move_to(begun + timedelta(minutes=minutes))
        acts.measure(stage, session, "during", systolic=130 + minutes // 10)
        acts.look(stage, session)
    stage.clock.move_to(begun + timedelta(minutes=40))
    acts.measure(stage, session, "during", systolic=134)
    ended = stage.act(cast.therapist, "POST", f"{path}/infusion-end", {}, doing="ends the infusion")
    stage.narrator.fact(f"It ran for 40 minutes; {ended['doses'][0]['mg']} mg were given.")
    effect: dict[str, Any] = {
        "effect": "dizziness",
        "grade": "mild",
        "description": "Dizzy for ten minutes.",
        "session_id": session,
    }
    stage.act(
        cast.therapist,
        "POST",
        f"/episodes/{ruth.episode_id}/adverse-events",
        effect,
        doing="records an expected side effect: dizziness, mild",
    )
    acts.watch(stage, session)
    acts.send_home(stage, session)
    acts.follow_up(stage, ruth, session)


PRACTICE: Final = Practice(
    programme="avesta",
    title="Avesta",
    exchange="520559",
    names={"practice": "Avesta Clinics", "medical_team": "Avesta Physicians"},
    characters=CHARACTERS,
    chapters=(arrive, choose_place, infuse),
    locations=LOCATIONS,
)
