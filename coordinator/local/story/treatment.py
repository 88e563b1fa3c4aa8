"""Steps 9 to 11: booking and reminders, the dosing session, what is due afterwards; and what patients text in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from coordinator.local.story.prescription import DOSE_MG, FIRST_DOSE_MG
from coordinator.local.story.records import Unmet
from coordinator.local.story.stage import Stage
from coordinator.local.story.supply import readiness

# ---- Meanwhile: what patients text in, and one who never answers ----------------------------------------------------


def hear(stage: Stage) -> None:
    """Robin never answered; then texts STOP, START, and something that must never wait."""
    stage.meanwhile("a screening that nobody answers, and what patients text in")
    cast, robin = stage.cast, stage.robin
    contact = stage.await_task(cast.therapist, "contact_patient", about=robin.episode_id)
    stage.await_text(robin, "your forms are still waiting")
    stage.narrator.fact("Three days without an answer: the therapist has a task, and Robin was reminded once.")
    stage.complete(cast.therapist, contact, "has called Robin, who has no report yet")
    stage.text_in(robin, "stop please")
    stage.await_text(robin, "you opted out")
    stage.text_in(robin, "START")
    stage.await_text(robin, "you will get our texts")
    stage.text_in(robin, stage.script.say("crisis_text", "i cant go on anymore"))
    stage.await_text(robin, "Call or text 988")
    stage.await_text(cast.prescriber, "urgent task")
    called = stage.await_task(cast.therapist, "check_on_patient", about=robin.episode_id)
    answered = stage.await_task(cast.prescriber, "check_on_patient", about=robin.episode_id)
    stage.complete(cast.therapist, called, "has reached Robin at once")
    stage.complete(cast.prescriber, answered, "has spoken with Robin and the therapist")


# ---- Step 9 ---------------------------------------------------------------------------------------------------------


def book(stage: Stage) -> None:
    """Preparation and dosing sessions; the patient asks for another time, and confirms."""
    stage.begin_step(9, "Sessions are booked; the patient is told and reminded")
    cast, dana = stage.cast, stage.dana
    too_soon = _booking(stage, "dosing", stage.clock.on_day(19, "14:00"))
    stage.refuse(
        cast.therapist,
        "POST",
        "/sessions",
        too_soon,
        doing="books a dosing session three days after the planned one",
        rules=["sessions.interval_too_short"],
    )
    preparation = stage.act(
        cast.therapist,
        "POST",
        "/sessions",
        _booking(stage, "preparation", stage.clock.on_day(12, "10:00")),
        doing=f"books a preparation session for {stage.clock.on_day(12, '10:00'):%a %d %b %H:%M}",
    )
    stage.await_no_text(dana, "session_booked", states={"held"}, why="one text a day at most")
    stage.day(10, "11:10", "a day after the last text")
    stage.await_text(dana, "your visit is set for")
    stage.text_in(dana, "RESCHED")
    asked = stage.await_task(cast.therapist, "reschedule_session", about=preparation["id"])
    version = stage.read(cast.therapist, f"/sessions/{preparation['id']}")["version"]
    later = stage.clock.on_day(13, "10:00")
    stage.act(
        cast.therapist,
        "PATCH",
        f"/sessions/{preparation['id']}",
        {"starts_at": later.isoformat()},
        version=version,
        doing=f"moves it to {later:%a %d %b %H:%M}, agreed by phone",
    )
    stage.settled(cast.therapist, asked)
    stage.day(13, "11:00", "the preparation session takes place")
    stage.act(
        cast.therapist, "POST", f"/sessions/{preparation['id']}/hold", {}, doing="has held the preparation session"
    )
    stage.day(15, "14:00", "a day before the dosing session")
    stage.await_text(dana, "reminder, your visit is")
    stage.text_in(dana, "Confirm!")
    stage.await_notice(cast.therapist, "session.confirmed", about=stage.kept["dosing"])


def _booking(stage: Stage, kind: str, starts_at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "episode_id": stage.dana.episode_id,
        "kind": kind,
        "starts_at": starts_at.isoformat(),
        "site": "office",
        "remote": False,
        **more,
    }


# ---- Step 10 --------------------------------------------------------------------------------------------------------


def dose(stage: Stage) -> None:
    """Readiness, vitals with a rest, the dose within the prescription, monitoring, the discharge gate."""
    stage.begin_step(10, "The dosing session")
    therapist, path = stage.cast.therapist, f"/sessions/{stage.kept['dosing']}"
    stage.day(16, "13:50", "Dana arrives")
    found = readiness(stage)
    ate = (stage.clock.now() - timedelta(hours=1)).isoformat()
    stage.refuse(
        therapist,
        "POST",
        f"{path}/readiness",
        {**found, "chaperone": None, "last_food_at": ate},
        doing="begins with nobody to stay with Dana, an hour after lunch",
        rules=["sessions.chaperone_missing", "sessions.fasting_food"],
    )
    stage.narrator.fact("Lunch was a misunderstanding; Dana's spouse is on the way.")
    stage.wait(timedelta(minutes=12), "the chaperone arrives")
    stage.act(
        therapist,
        "POST",
        f"{path}/readiness",
        readiness(stage),
        doing="records chaperone (adult, sober, staying), fasting",
    )
    _take_vitals(stage, path)
    stage.refuse(
        therapist,
        "POST",
        f"{path}/dose",
        {"mg": DOSE_MG, "is_booster": False},
        doing=f"gives {DOSE_MG} mg in the very first session",
        rules=["sessions.dose_over_cap"],
    )
    half = FIRST_DOSE_MG // 2
    stage.act(therapist, "POST", f"{path}/dose", {"mg": half, "is_booster": False}, doing=f"first half: {half} mg")
    dosed = stage.act(
        therapist, "POST", f"{path}/dose", {"mg": half, "is_booster": False}, doing=f"second half: {half} mg"
    )
    stage.narrator.fact(f"No driving before {_local(stage, dosed['may_drive_at'])}.")
    _monitor(stage, path)
    _send_home(stage, path)


def _take_vitals(stage: Stage, path: str) -> None:
    therapist = stage.cast.therapist
    high = stage.act(
        therapist,
        "POST",
        f"{path}/vitals",
        _reading("before", 152, 88),
        doing="measures 152/88 (Dana's limit: below 142)",
    )
    if high["outcome"] != "rest_and_repeat":
        raise Unmet(f"Too high a pressure asks for rest; the gate said {high['outcome']}.")
    stage.narrator.fact(f"The gate: rest, measure again from {_local(stage, high['repeat_at'])} on.")
    stage.refuse(
        therapist,
        "POST",
        f"{path}/dose",
        {"mg": FIRST_DOSE_MG, "is_booster": False},
        doing="gives the dose all the same",
    )
    stage.wait(timedelta(minutes=10), "Dana rests")
    passed = stage.act(therapist, "POST", f"{path}/vitals", _reading("before", 138, 84), doing="measures 138/84")
    if passed["outcome"] != "pass" or passed["session_state"] != "vitals_passed":
        raise Unmet(f"These vitals are within Dana's limits; the gate said {passed['outcome']}.")
    stage.narrator.fact("The gate: pass.")


def _reading(phase: str, systolic: int, diastolic: int) -> dict[str, Any]:
    vitals = {"systolic": systolic, "diastolic": diastolic, "heart_rate": 78, "oxygen_percent": 98}
    return {"phase": phase, "red_flags": [], **vitals}


def _monitor(stage: Stage, path: str) -> None:
    cast = stage.cast
    stage.wait(timedelta(minutes=15), "the medicine works")
    note = stage.script.say("check.note", "Eyes closed, calm, answers when spoken to.")
    ratings = {"dissociation": 4, "distress": 1, "nausea": 3, "sedation": 4}
    stage.act(
        cast.therapist,
        "POST",
        f"{path}/checks",
        {"concern": False, "ratings": ratings, "note": note},
        doing="looks at Dana",
    )
    stage.wait(timedelta(minutes=15), "half an hour after the dose")
    _look(stage, path)
    stage.wait(timedelta(minutes=10), "forty minutes after the dose")
    stage.act(cast.therapist, "POST", f"{path}/vitals", _reading("during", 134, 82), doing="measures 134/82")
    report = {
        "effect": "nausea",
        "grade": "mild",
        "description": stage.script.say("adverse_event", "Nausea for ten minutes, gone without help."),
        "session_id": stage.kept["dosing"],
    }
    event = stage.act(
        cast.therapist,
        "POST",
        f"/episodes/{stage.dana.episode_id}/adverse-events",
        report,
        doing="records a mild adverse event: nausea",
    )
    seen = stage.read(cast.prescriber, f"/adverse-events/{event['id']}")
    stage.narrator.fact(f"The prescriber sees it on the record ({seen['grade']}); nobody is called to a mild one.")
    stage.kept["adverse_event"] = event["id"]


def _look(stage: Stage, path: str) -> None:
    stage.act(stage.cast.therapist, "POST", f"{path}/checks", {"concern": False}, doing="looks at Dana again")


def _send_home(stage: Stage, path: str) -> None:
    cast, dana = stage.cast, stage.dana
    well = {"oriented": True, "walks_unaided": True, "vomiting": False, "escort_present": True}
    stage.wait(timedelta(minutes=15), "55 minutes after the dose")
    _look(stage, path)
    stage.wait(timedelta(minutes=5), "an hour after the dose")
    stage.refuse(
        cast.therapist,
        "POST",
        f"{path}/discharge-gate",
        well,
        doing="lets Dana go after an hour",
        rules=["vitals.discharge_too_soon"],
    )
    for minutes in (70, 85, 100, 115):
        stage.wait(timedelta(minutes=10 if minutes == 70 else 15), f"{minutes} minutes after the dose")
        _look(stage, path)
    stage.wait(timedelta(minutes=7), "two hours after the dose")
    stage.act(cast.therapist, "POST", f"{path}/vitals", _reading("after", 128, 80), doing="measures 128/80")
    stage.act(
        cast.therapist, "POST", f"{path}/discharge-gate", well, doing="oriented, walks, no vomiting, escort present"
    )
    home = stage.act(cast.therapist, "POST", f"{path}/discharge", {}, doing="lets Dana go home with the chaperone")
    stage.await_text(dana, "your after-visit instructions")
    stage.narrator.fact(f"A safety text goes past the weekly limit. State: {home['state']}.")
    stage.await_notice(cast.therapist, "session.discharged", about=stage.kept["dosing"])
    stage.kept["ended_at"] = stage.clock.now()


def _local(stage: Stage, moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(stage.clock.zone):%a %d %b %H:%M}"


# ---- Step 11 --------------------------------------------------------------------------------------------------------


def integrate(stage: Stage) -> None:
    """The call of the day after, then an integration that becomes due, overdue and escalated before it is held."""
    stage.begin_step(11, "Integration is due, overdue, escalated, held")
    cast, dana, dosing = stage.cast, stage.dana, stage.kept["dosing"]
    ended_at: datetime = stage.kept["ended_at"]
    stage.day(17, "10:00", "the morning after")
    call = stage.await_task(cast.therapist, "check_in", about=dosing)
    note = stage.script.say("check_in.note", "Slept well, thoughtful, no nausea.")
    stage.act(
        cast.therapist,
        "POST",
        f"/sessions/{dosing}/check-in",
        {"concern": False, "note": note},
        doing="has called Dana",
    )
    stage.settled(cast.therapist, call)
    stage.pass_time(ended_at + timedelta(hours=24, minutes=1), "24 hours after the session")
    due = stage.await_task(cast.therapist, "record_integration", about=dosing)
    stage.await_text(dana, "your follow-up is due")
    stage.pass_time(ended_at + timedelta(hours=48, minutes=1), "48 hours after the session, and nobody has met")
    overdue = stage.await_task(cast.therapist, "record_integration", about=dosing)
    if overdue["priority"] != "urgent":
        raise Unmet("An overdue integration is urgent.")
    stage.pass_time(ended_at + timedelta(hours=72, minutes=1), "72 hours after the session")
    asked = stage.await_task(cast.prescriber, "check_on_patient", about=dosing)
    chased = stage.await_task(cast.operator, "chase_overdue_task", about=dosing)
    _hold_integration(stage)
    for owner, task in ((cast.therapist, due), (cast.therapist, overdue), (cast.operator, chased)):
        stage.settled(owner, task)
    stage.complete(cast.prescriber, asked, "has spoken with the therapist")


def _hold_integration(stage: Stage) -> None:
    cast, dosing = stage.cast, stage.kept["dosing"]
    at = stage.clock.now() + timedelta(minutes=20)
    booked = stage.act(
        cast.therapist,
        "POST",
        "/sessions",
        _booking(stage, "integration", at, integrates_id=dosing),
        doing="has found a time for the integration session, today",
    )
    stage.await_text(stage.dana, "your visit is set for")
    for finding in booked["findings"]:
        stage.narrator.fact(f"{finding['severity'].upper():<6} {finding['sentence']} [{finding['rule']}]")
    stage.wait(timedelta(minutes=85), "they meet")
    stage.act(cast.therapist, "POST", f"/sessions/{booked['id']}/hold", {}, doing="has held the integration session")
    state = stage.read(cast.therapist, f"/sessions/{dosing}")["state"]
    if state != "closed":
        raise Unmet(f"Integration closes the dosing session; it is {state}.")
    stage.narrator.fact("The dosing session is closed, and the tasks that asked for it are done.")
