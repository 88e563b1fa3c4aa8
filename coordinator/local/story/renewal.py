"""Steps 12 to 14: outcomes and notes, the refill, and what happens to work that nobody does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coordinator.local.story.casting import state_papers
from coordinator.local.story.prescription import QUANTITY
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import STATE
from coordinator.local.story.stage import Stage
from coordinator.local.story.supply import ship

# ---- Step 12 --------------------------------------------------------------------------------------------------------


def report(stage: Stage) -> None:
    """Scores and a summary for the team; psychotherapy notes for their author alone."""
    stage.begin_step(12, "The therapist reports outcomes; psychotherapy notes stay apart")
    cast, dana = stage.cast, stage.dana
    stage.day(20, "10:00", "the next morning")
    outcomes = f"/episodes/{dana.episode_id}/outcomes"
    summary = stage.script.say("outcome.summary", "Sleeps through, has met friends twice; wants to go on.")
    answers = {
        "phq9": {f"q{number}": 1 for number in range(1, 8)} | {"q8": 0, "q9": 0},
        "gad7": {f"q{number}": 1 for number in range(1, 8)},
        "cssrs_since_last_visit": {"q1": False, "q2": False, "q6": False},
    }
    reported = stage.act(
        cast.therapist,
        "POST",
        outcomes,
        {"answers": answers, "summary": summary, "session_id": stage.kept["dosing"]},
        doing="reports PHQ-9, GAD-7, C-SSRS since the last visit, and a summary",
    )
    for scale in reported["scales"]:
        if scale["total"] is not None:
            stage.narrator.fact(
                f"{scale['scale']}: {scale['total']} ({scale['band']}), before the first dose {scale['baseline']}: "
                f"{scale['outcome']}"
            )
    stage.await_notice(cast.prescriber, "outcome.reported", about=reported["id"])
    stage.refuse(cast.pharmacist, "GET", outcomes, status=403, doing="asks for the scores")
    _write_note(stage)


def _write_note(stage: Stage) -> None:
    cast, notes = stage.cast, f"/episodes/{stage.dana.episode_id}/notes"
    text = stage.script.say("psychotherapy_note", "Spoke of the father for the first time; what it stirs up in me.")
    note = stage.act(cast.therapist, "POST", notes, {"text": text}, doing="writes a psychotherapy note")
    if stage.read(cast.therapist, f"/notes/{note['id']}")["text"] != text:
        raise Unmet("The author must be able to read the note.")
    for nosy in (cast.prescriber, cast.operator):
        stage.refuse(nosy, "GET", f"/notes/{note['id']}", status=403, doing="asks for the note")
    stage.narrator.fact("Own table, own key, author only: no party's queue has heard of it.")


# ---- Step 13 --------------------------------------------------------------------------------------------------------


def ask_for_more(stage: Stage) -> None:
    """The gate names what is missing; then the request is asked about, answered, forwarded, and left lying."""
    stage.begin_step(13, "The therapist asks for a refill")
    cast, dana = stage.cast, stage.dana
    gate = stage.read(cast.therapist, f"/episodes/{dana.episode_id}/refill-gate")
    stage.narrator.fact(f"The gate, looked at without asking: {len(gate['findings'])} conditions are not met.")
    wanted = {"episode_id": dana.episode_id, "remaining_units": QUANTITY - 1}
    refused = stage.refuse(
        cast.therapist,
        "POST",
        "/refill-requests",
        wanted,
        doing="asks for the next supply at once",
        rules=["refills.pdmp_not_current", "prescribing.follow_up_missing", "refills.earliest_date"],
    )
    earliest = next(each for each in refused.body["findings"] if each["rule"] == "refills.earliest_date")["value"]
    stage.narrator.fact(f"At the earliest: {earliest}.")
    stage.act(
        cast.prescriber,
        "POST",
        f"/episodes/{dana.episode_id}/prescriber-contacts",
        {"manner": "video"},
        doing="follows up with Dana by video, as is due before there is more than the first supply",
    )
    stage.act(
        cast.assistant,
        "POST",
        f"/episodes/{dana.episode_id}/pdmp-checks",
        {"states": [STATE], "finding": "expected_prescriptions"},
        doing="checks the PDMP again",
    )
    _miscount(stage, wanted)
    comment = stage.script.say("refill.comment", "Good response; we would like to go on with the second session.")
    body = {**wanted, "comment": comment}
    request = stage.act(cast.therapist, "POST", "/refill-requests", body, doing=f"counts {QUANTITY - 1} and asks")
    stage.kept["request"] = request["id"]
    stage.await_task(cast.prescriber, "decide_refill", about=request["id"])
    stage.refuse(
        cast.pharmacist,
        "POST",
        f"/prescriptions/{stage.kept['prescription']}/fills",
        {"quantity": QUANTITY, "is_refill": True},
        doing="hands out the refill while it is undecided",
        rules=["prescribing.refill_not_authorized"],
    )
    _talk_it_over(stage, f"/refill-requests/{request['id']}")


def _miscount(stage: Stage, wanted: dict[str, Any]) -> None:
    """A count that is not the ledger's is reviewed for diversion before anything else goes on."""
    cast, dana = stage.cast, stage.dana
    stage.refuse(
        cast.therapist,
        "POST",
        "/refill-requests",
        {**wanted, "remaining_units": QUANTITY - 2},
        doing="asks for the next supply, having miscounted",
        rules=["refills.count_off"],
    )
    reviewed = stage.await_task(cast.assistant, "review_diversion", about=dana.episode_id)
    count = {"units": QUANTITY - 1}
    stage.act(
        cast.therapist,
        "POST",
        f"/episodes/{dana.episode_id}/stock/counts",
        count,
        doing=f"counts again with Dana: {QUANTITY - 1} are left",
    )
    reviews = stage.read(cast.prescriber, f"/episodes/{dana.episode_id}/diversion-reviews")["items"]
    stage.act(
        cast.prescriber,
        "POST",
        f"/diversion-reviews/{reviews[0]['id']}/resolve",
        {"outcome": "explained", "reason": stage.script.say("diversion.reason", "One had rolled under the scale.")},
        doing="resolves the review: the second count agrees with the ledger",
    )
    stage.settled(cast.assistant, reviewed)


def _talk_it_over(stage: Stage, path: str) -> None:
    cast, say = stage.cast, stage.script.say
    question = say("refill.question", "How was the nausea the day after?")
    stage.act(cast.prescriber, "POST", f"{path}/ask", {"question": question}, doing=f"asks: “{question}”")
    asked = stage.await_task(cast.therapist, "answer_refill", about=stage.kept["request"])
    answer = say("refill.answer", "None at all; Dana ate normally.")
    stage.act(cast.therapist, "POST", f"{path}/answer", {"answer": answer}, doing=f"answers: “{answer}”")
    stage.settled(cast.therapist, asked)
    stage.await_task(cast.prescriber, "decide_refill", about=stage.kept["request"])
    handed = {"to": cast.colleague.id, "reason": say("refill.forward_reason", "I am away from tomorrow on.")}
    stage.refuse(
        cast.prescriber,
        "POST",
        f"{path}/forward",
        handed,
        doing="forwards it to a colleague licensed elsewhere",
        rules=["refills.licence_not_valid"],
    )
    _add_papers(stage)
    stage.act(cast.prescriber, "POST", f"{path}/forward", handed, doing=f"forwards it to {cast.colleague.full_name}")
    stage.kept["decide_task"] = stage.await_task(cast.colleague, "decide_refill", about=stage.kept["request"])


def _add_papers(stage: Stage) -> None:
    desk, colleague = stage.cast.operator, stage.cast.colleague
    papers = state_papers(colleague, STATE, "MO2222228")
    valid = {"state": STATE, "expires_on": papers["expires_on"]}
    account = f"/accounts/{colleague.id}"
    stage.act(
        desk,
        "POST",
        f"{account}/licences",
        {**valid, "number": papers["licence"]},
        doing="records a new licence for her",
    )
    stage.quietly(desk, "POST", f"{account}/dea-registrations", {**valid, "number": papers["dea_number"]})


# ---- Step 14 --------------------------------------------------------------------------------------------------------


def escalate(stage: Stage) -> None:
    """A task past its time goes from its owner to the team and on call; a parcel without a scan shows itself."""
    stage.begin_step(14, "Nothing stalls silently: what nobody does escalates")
    cast, dana = stage.cast, stage.dana
    task = stage.kept["decide_task"]
    stage.wait(timedelta(hours=24, minutes=1), "the colleague does not get to it; the task is due")
    stage.await_notice(cast.colleague, "task.reminded", about=task["id"])
    stage.wait(timedelta(hours=4, minutes=1), "four hours later")
    stage.await_task(cast.assistant, "decide_refill", about=stage.kept["request"], escalation=2)
    stage.narrator.fact("The whole medical team has it in its inbox now.")
    stage.wait(timedelta(hours=8, minutes=1), "in the night")
    stage.await_text(cast.operator, "urgent task")
    chased = stage.await_task(cast.operator, "chase_overdue_task", about=task["id"])
    stage.complete(cast.operator, chased, "has called the prescriber on duty")
    _grant(stage)
    stage.settled(cast.prescriber, task)
    _lose_sight_of_a_parcel(stage)
    stage.come_to_rest()
    _look_back(stage, dana.episode_id)
    stage.end_step()


def _grant(stage: Stage) -> None:
    cast, prescription = stage.cast, stage.kept["prescription"]
    stage.day(22, "10:30", "in the morning")
    approved = stage.act(
        cast.prescriber,
        "POST",
        f"/refill-requests/{stage.kept['request']}/approve",
        {"changed": False, "reason": stage.script.say("refill.approve_reason", "Stable, good response.")},
        doing="takes it from the team's inbox and approves",
    )
    if approved["supply"] != "next_fill":
        raise Unmet(f"The law allows the next fill of the signed prescription; it was {approved['supply']}.")
    stage.narrator.fact("The law allows the next fill of the signed prescription: no new one is needed.")
    stage.await_notice(cast.therapist, "refill.fill_approved", about=stage.kept["request"])
    stage.await_no_text(stage.dana, "refill_decided", states={"held"}, why="three texts a week at most")
    fill_task = stage.await_task(cast.pharmacist, "fill_prescription", about=prescription)
    body = {"quantity": QUANTITY, "is_refill": True}
    filled = stage.act(
        cast.pharmacist, "POST", f"/prescriptions/{prescription}/fills", body, doing="hands out the first refill"
    )
    stage.settled(cast.pharmacist, fill_task)
    stage.await_task(cast.pharmacist, "ship_fill", about=filled["id"])
    stage.kept["refill"] = filled["id"]
    stage.refuse(
        cast.pharmacist,
        "POST",
        f"/prescriptions/{prescription}/fills",
        body,
        doing="hands it out a second time",
        rules=["prescribing.refill_not_authorized"],
    )


def _lose_sight_of_a_parcel(stage: Stage) -> None:
    cast = stage.cast
    stage.day(22, "14:15", "a week after the text before last")
    stage.await_text(stage.dana, "your request has an update")
    parcel = ship(stage, stage.kept["refill"], "tracking_refill", "794611201122", with_refusals=False)
    stage.wait(timedelta(days=5, hours=1), "the label is printed, and nobody scans the parcel")
    task = stage.await_task(cast.pharmacist, "trace_shipment", about=parcel["id"])
    stage.carrier_scans(parcel["tracking_code"], "in_transit", "finds it behind a shelf and scans it")
    stage.await_notice(cast.therapist, "shipment.in_transit", about=parcel["id"])
    stage.complete(cast.pharmacist, task, "has traced it with the carrier")


def _look_back(stage: Stage, episode_id: str) -> None:
    """The audit trail of all this, and whether anything was left behind."""
    trail: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = stage.read(stage.cast.operator, "/audit", episode_id=episode_id, limit=100, **cursor)
        trail.extend(page["items"])
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    kinds = {record["action"] for record in trail}
    stage.narrator.fact(f"The audit trail of this episode: {len(trail)} records of {len(kinds)} kinds of acts.")
    figures = stage.figures()
    if figures.get("coordinator_dead_letters", 0):
        raise Unmet("There are dead letters: something could not be carried out.")
    stage.narrator.fact("No event is left in a queue, and none could not be carried out.")
