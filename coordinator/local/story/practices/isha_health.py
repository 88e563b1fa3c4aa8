"""Isha Health: the physician evaluates first; who has no therapist is matched and chooses; sessions are at home with a
support person, and the physician checks in at the start when the dose demands it; journals and online circles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from coordinator.local.story.cast import Patient, Person
from coordinator.local.story.casting import state_papers
from coordinator.local.story.practices import acts
from coordinator.local.story.practices.acts import Order
from coordinator.local.story.practices.practice import Practice
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import STATE, Character
from coordinator.local.story.stage import Stage

CHARACTERS: Final = (
    Character(
        "noor",
        "Noor Haddad",
        "1993-08-21",
        "17 Creosote Court",
        "5205581142",
        "anxiety",
        "Worries that do not stop; has no therapist and would like one.",
    ),
    Character(
        "amir",
        "Amir Kowalski",
        "1988-04-02",
        "54 Yucca Terrace",
        "5205581143",
        "trauma",
        "Cannot sleep since the fire; in therapy for a year.",
    ),
)
# The answers to the B-IPF, by which this practice measures how patients function.
FUNCTIONING: Final = {f"q{number}": 3 for number in range(1, 7)} | {"q7": "not_applicable"}
AT_HOME: Final = {"site": "home", "remote": True}
REMOTE: Final = {
    "therapist_on_video": True,
    "blood_pressure_cuff": True,
    "emergency_address_confirmed": True,
    "emergency_phone_confirmed": True,
}


def arrive(stage: Stage) -> None:
    """The patient comes by themselves; the physician evaluates before there is a therapist."""
    stage.begin_step(1, "The patient comes without a therapist; the physician evaluates first")
    noor, cast = stage.patients["noor"], stage.cast
    acts.refer(stage, noor, "noor", by=cast.assistant, is_enquiry=True)
    stage.is_warm = True
    acts.screen(stage, noor, b_ipf=FUNCTIONING)
    stage.wait(timedelta(hours=2), "the physician evaluates")
    acts.approve(stage, noor)


def match(stage: Stage) -> None:
    """The medical team proposes therapists who fit, the patient chooses, the therapist accepts."""
    stage.begin_step(2, "The patient is matched with a therapist and chooses")
    noor, cast = stage.patients["noor"], stage.cast
    second = cast.second
    if second is None:
        raise Unmet("This practice has two therapists.")
    for therapist, specialities in ((cast.therapist, ["depression", "anxiety"]), (second, ["anxiety", "trauma"])):
        _licensed(stage, therapist)
        profile = {"specialities": specialities, "capacity": 10, "taking_patients": True}
        stage.act(
            therapist,
            "PUT",
            f"/therapist-profiles/{therapist.id}",
            profile,
            doing=f"keeps a profile: {', '.join(specialities)}",
        )
    episode = f"/episodes/{noor.episode_id}"
    found = stage.read(cast.assistant, f"{episode}/match-candidates")["items"]
    if {each["therapist_id"] for each in found} != {cast.therapist.id, second.id}:
        raise Unmet("Both therapists fit: licensed here, trained, with room, and anxiety is what they treat.")
    wanted = {"therapist_ids": [each["therapist_id"] for each in found]}
    proposed = stage.act(cast.assistant, "POST", f"{episode}/matches", wanted, doing="proposes both to Noor")
    path = f"/matches/{proposed['id']}"
    shown = stage.read(noor, path)["options"]
    stage.narrator.fact("Noor sees: " + "; ".join(f"{each['name']} ({each['practice']})" for each in shown) + ".")
    choice = {"therapist_ids": [second.id, cast.therapist.id]}
    stage.act(noor, "POST", f"{path}/choose", choice, doing=f"chooses {second.full_name} first")
    stage.await_task(second, "answer_match", about=proposed["id"])
    reason = {"reason": "On leave from next week on."}
    stage.act(second, "POST", f"{path}/decline", reason, doing="declines: there is no time")
    stage.await_task(cast.therapist, "answer_match", about=proposed["id"])
    stage.act(cast.therapist, "POST", f"{path}/accept", {}, doing="takes Noor on")
    if stage.read(cast.therapist, episode)["therapist_id"] != cast.therapist.id:
        raise Unmet("Who accepted is the therapist of record.")


def _licensed(stage: Stage, therapist: Person) -> None:
    papers = state_papers(therapist, STATE, "")
    body = {"state": STATE, "number": papers["licence"], "expires_on": papers["expires_on"]}
    stage.quietly(stage.cast.operator, "POST", f"/accounts/{therapist.id}/licences", body)


def treat(stage: Stage) -> None:
    """Two sessions at home; the second takes more, and nothing is taken before the physician has checked in."""
    stage.begin_step(3, "Sessions at home; the physician checks in when the dose demands it")
    noor = stage.patients["noor"]
    acts.supply(stage, noor, "noor", Order(), "794611500101")
    acts.talk(stage, noor, "preparation", stage.clock.now() + timedelta(days=1), **AT_HOME)
    first = acts.dose_session(
        stage, noor, stage.clock.on_day(stage.clock.day + 2, "14:00"), 100, ready={"remote": REMOTE}, **AT_HOME
    )
    acts.follow_up(stage, noor, first["id"], **AT_HOME)
    _attended(stage, noor)


def _attended(stage: Stage, noor: Patient) -> None:
    cast, at = stage.cast, stage.clock.on_day(stage.clock.day + 7, "14:00")
    session = acts.book(stage, noor, "dosing", at, **AT_HOME)
    stage.pass_time(at, "the second session, 200 mg")
    stage.await_task(cast.assistant, "attend_start", about=session["id"])
    acts.make_ready(stage, session["id"], remote=REMOTE)
    acts.measure(stage, session["id"], "before")
    dose: dict[str, Any] = {"mg": 200, "is_booster": False}
    stage.refuse(
        cast.therapist,
        "POST",
        f"/sessions/{session['id']}/dose",
        dose,
        doing="begins before the physician has checked in",
        rules=["sessions.physician_missing"],
    )
    stage.act(
        cast.prescriber,
        "POST",
        f"/sessions/{session['id']}/physician-check-in",
        {"note": "Calm, support person is there."},
        doing="checks in by video",
    )
    acts.give(stage, session["id"], 200)
    acts.watch(stage, session["id"])
    acts.send_home(stage, session["id"])
    acts.follow_up(stage, noor, session["id"], **AT_HOME)


def write(stage: Stage) -> None:
    """Journaling prompts; an entry is the patient's own until shared."""
    stage.begin_step(4, "Journaling, and things to do before a session")
    noor, cast = stage.patients["noor"], stage.cast
    prompts = stage.read(noor, f"/episodes/{noor.episode_id}/prompts")
    stage.narrator.fact(f"After a session Noor is asked: “{prompts['after_session'][0]}”")
    entries = f"/episodes/{noor.episode_id}/journal-entries"
    body = {"occasion": "after_session", "prompt": 1, "text": "A wide field, and that I was not in a hurry."}
    entry = stage.act(noor, "POST", entries, body, doing="writes in the journal")
    path = f"/journal-entries/{entry['id']}"
    stage.refuse(cast.therapist, "GET", path, status=404, doing="opens the entry before it is shared")
    stage.act(noor, "POST", f"{path}/share", {}, doing="shares it with the therapist")
    if stage.read(cast.therapist, path)["text"] != body["text"]:
        raise Unmet("A shared entry is there for the therapist to read.")


def gather(stage: Stage) -> None:
    """A circle online: several patients, and each one's record by itself."""
    stage.begin_step(5, "An online integration circle; each patient's record stays separate")
    noor, amir, therapist = stage.patients["noor"], stage.patients["amir"], stage.cast.therapist
    acts.refer(stage, amir, "amir")
    acts.screen(stage, amir, b_ipf=FUNCTIONING)
    acts.approve(stage, amir)
    acts.supply(stage, amir, "amir", Order(), "794611500102")
    home = stage.clock.on_day(stage.clock.day + 2, "14:00")
    session = acts.dose_session(stage, amir, home, 100, ready={"remote": REMOTE}, **AT_HOME)
    acts.follow_up(stage, amir, session["id"], **AT_HOME)
    at = stage.clock.on_day(stage.clock.day + 3, "17:00")
    circle = stage.act(
        therapist,
        "POST",
        "/circles",
        {
            "title": "Evening circle",
            "address": "https://meet.example.org/evening",
            "starts_at": at.isoformat(),
            "ends_at": (at + timedelta(minutes=75)).isoformat(),
            "capacity": 8,
        },
        doing=f"plans a circle for {at:%a %d %b %H:%M}",
    )
    path = f"/circles/{circle['id']}"
    places = {}
    for patient in (noor, amir):
        invited = {"episode_id": patient.episode_id}
        places[patient.name] = stage.act(therapist, "POST", f"{path}/places", invited, doing=f"invites {patient.name}")
        stage.act(patient, "POST", f"{path}/answer", {"accepts": True}, doing="will come")
    seen = stage.read(noor, path)
    if seen["places"] or seen["capacity"] is not None or amir.name in str(seen):
        raise Unmet("A patient must see nobody else's place.")
    stage.narrator.fact("Noor sees the own place alone: not who else comes, nor how many.")
    stage.pass_time(at + timedelta(minutes=80), "they meet")
    for name, place in places.items():
        note = {"attended": True, "note": f"{name} listened a lot and spoke once."}
        stage.act(
            therapist, "POST", f"/circle-places/{place['id']}/attendance", note, doing=f"notes that {name} was there"
        )


PRACTICE: Final = Practice(
    programme="isha_health",
    title="Isha Health",
    exchange="520558",
    names={"practice": "Creosote Therapists", "medical_team": "Isha Remote Medical"},
    characters=CHARACTERS,
    chapters=(arrive, match, treat, write, gather),
    two_therapists=True,
)
