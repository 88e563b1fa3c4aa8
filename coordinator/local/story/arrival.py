"""Steps 1 to 4: referral, consent and screening, the rules' findings, the decision."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coordinator.local.story.cast import Patient
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import PatientScript
from coordinator.local.story.stage import Stage

SMS_WORDING = "You may text me on my mobile number about my forms, visits and packages."


# ---- Step 1 ---------------------------------------------------------------------------------------------------------


def refer(stage: Stage) -> None:
    """A therapist refers three clients, one of whom does not want to be texted."""
    stage.begin_step(1, "A therapist refers a client")
    therapist, clients = stage.cast.therapist, stage.script.patients
    dana, robin = clients["dana"], clients["robin"]
    body = _referral(stage, dana, agreed=True)
    referred = stage.act(
        therapist,
        "POST",
        "/referrals",
        body,
        key="referral-of-dana",
        doing=f"refers {dana.full_name} ({dana.diagnosis}), who agreed to be texted",
    )
    _remember(stage.dana, referred)
    if referred["link"] is not None:
        raise Unmet("The link of a client who is texted must not be shown to anybody else.")
    stage.kept["dana_link"] = stage.await_text(stage.dana, "your forms are ready")
    stage.await_notice(stage.cast.assistant, "referral.created", about=stage.dana.episode_id)
    stage.narrator.fact("The workers had only just been started; from now on hand-overs are measured.")
    stage.is_warm = True
    again = stage.act(
        therapist, "POST", "/referrals", body, key="referral-of-dana", doing="sends the very same request once more"
    )
    if again["id"] != referred["id"]:
        raise Unmet("The same request under the same idempotency key made a second referral.")
    stage.narrator.fact("Same idempotency key, same answer: there is one referral.")
    other = {**body, "diagnosis": "anxiety"}
    stage.refuse(
        therapist,
        "POST",
        "/referrals",
        other,
        status=422,
        key="referral-of-dana",
        doing="sends another request under that key",
    )
    _refer_lee(stage)
    referred = stage.act(
        therapist,
        "POST",
        "/referrals",
        _referral(stage, robin, agreed=True),
        doing=f"refers {robin.full_name} ({robin.diagnosis}), who agreed to be texted",
    )
    _remember(stage.robin, referred)
    stage.kept["robin_link"] = stage.await_text(stage.robin, "your forms are ready")


def _refer_lee(stage: Stage) -> None:
    referred = stage.act(
        stage.cast.therapist,
        "POST",
        "/referrals",
        _referral(stage, stage.script.patients["lee"], agreed=False),
        doing=f"refers {stage.script.patients['lee'].full_name}, who does not want texts",
    )
    _remember(stage.lee, referred)
    stage.kept["lee_link"] = referred["link"]
    if referred["link"] is None:
        raise Unmet("Without an agreement to be texted the therapist must get the link to hand over.")
    stage.narrator.fact("The answer holds the personal link: the therapist hands it over, and nothing is texted.")


def _referral(stage: Stage, client: PatientScript, *, agreed: bool) -> dict[str, Any]:
    taken_at = stage.clock.now() - timedelta(minutes=20)
    wording = stage.script.say("sms_wording", SMS_WORDING)
    return {
        "patient": client.as_body(),
        "diagnosis": client.diagnosis,
        "reason": client.reason,
        "sms_agreement": {"taken_at": taken_at.isoformat(), "wording": wording} if agreed else None,
    }


def _remember(patient: Patient, referred: dict[str, Any]) -> None:
    patient.id = referred["patient_id"]
    patient.episode_id = referred["episode_id"]
    patient.screening_id = referred["screening_id"]


# ---- Step 2 ---------------------------------------------------------------------------------------------------------


def screen(stage: Stage) -> None:
    """The patients come in by their links, agree, and answer the screening."""
    stage.begin_step(2, "Consent and screening")
    dana = stage.dana
    stage.exchange_link(dana, stage.kept["dana_link"], twice=True)
    agree(stage, dana, sms=True)
    relief = {"history": history(stage, psychosis_in_first_degree_relative="present")}
    stage.act(
        dana,
        "PATCH",
        f"/screenings/{dana.screening_id}",
        relief,
        doing="answers the medical history: a parent had a psychotic disorder",
    )
    stage.refuse(dana, "POST", f"/screenings/{dana.screening_id}/complete", {}, doing="hands in a screening with gaps")
    shown = stage.act(
        dana,
        "PATCH",
        f"/screenings/{dana.screening_id}",
        answers(stage, sleep_medicine=True),
        doing="answers medicines, PHQ-9, GAD-7, C-SSRS screener, blood pressure",
    )
    if shown["missing"] or shown["crisis_resources"]:
        raise Unmet(f"Dana's screening should be whole and without a crisis: {shown['missing']}.")
    stage.act(dana, "POST", f"/screenings/{dana.screening_id}/complete", {}, doing="hands the screening in")
    stage.kept["dana_review"] = stage.await_task(stage.cast.prescriber, "review_eligibility", about=dana.screening_id)
    stage.await_notice(stage.cast.therapist, "screening.completed", about=dana.screening_id)
    _screen_robin(stage)
    _screen_lee(stage)


def agree(stage: Stage, patient: Patient, *, sms: bool) -> None:
    """The patient reads and agrees to the texts as they are given today."""
    texts = {text["kind"]: text for text in stage.read(patient, "/consent-texts")["items"]}
    for kind in ("treatment", "sms") if sms else ("treatment",):
        body = {"kind": kind, "text_version": texts[kind]["version"]}
        path = f"/episodes/{patient.episode_id}/consents"
        given = stage.act(patient, "POST", path, body, doing=f"agrees to “{texts[kind]['title']}”")
        stage.narrator.fact(
            f"On record: version {given['text_version']}, given {given['given_at']}, by {given['source']}."
        )


def history(stage: Stage, **statuses: str) -> dict[str, str]:
    """The medical history with nothing present but what is named."""
    questions = stage.read(stage.cast.therapist, "/instruments")["history"]
    return {question["condition"]: "absent" for question in questions} | statuses


def answers(stage: Stage, *, sleep_medicine: bool = False, **parts: Any) -> dict[str, Any]:
    """The rest of a screening of somebody depressed and in good health; ``parts`` replaces some of it."""
    taken_at = stage.clock.now() - timedelta(hours=2)
    medicines = ["Sertraline"] + ([stage.script.say("medicine", "Sleepwell herbal drops")] if sleep_medicine else [])
    return {
        "medicines": medicines,
        "phq9": {f"q{number}": 2 for number in range(1, 9)} | {"q9": 0},
        "gad7": {f"q{number}": 2 for number in range(1, 8)},
        "cssrs": {"q1": False, "q2": False, "q6_ever": False},
        "blood_pressures": [
            {"systolic": 126, "diastolic": 82, "taken_at": taken_at.isoformat()},
            {"systolic": 124, "diastolic": 80, "taken_at": (taken_at + timedelta(hours=1)).isoformat()},
        ],
        **parts,
    }


def _screen_robin(stage: Stage) -> None:
    robin = stage.robin
    stage.exchange_link(robin, stage.kept["robin_link"])
    agree(stage, robin, sms=False)
    form = {"history": history(stage), **answers(stage)}
    stage.act(robin, "PATCH", f"/screenings/{robin.screening_id}", form, doing="answers the whole screening")
    stage.act(robin, "POST", f"/screenings/{robin.screening_id}/complete", {}, doing="hands the screening in")
    stage.await_task(stage.cast.prescriber, "review_eligibility", about=robin.screening_id)


def _screen_lee(stage: Stage) -> None:
    """A suicide attempt in the last three months: shown help at once, the care team is called at once."""
    lee, cast = stage.lee, stage.cast
    stage.exchange_link(lee, stage.kept["lee_link"])
    agree(stage, lee, sms=False)
    risk = {"q1": True, "q2": False, "q6_ever": True, "q6_past_3_months": True}
    form = {"history": history(stage), **answers(stage, cssrs=risk)}
    shown = stage.act(
        lee,
        "PATCH",
        f"/screenings/{lee.screening_id}",
        form,
        doing="answers the screening; the C-SSRS says: an attempt in the last three months",
    )
    reached = [resource["number"] for resource in shown["crisis_resources"]]
    if not {"988", "741741", "911"} <= set(reached):
        raise Unmet("Whoever is at risk must be shown 988, 741741 and 911 at once.")
    stage.narrator.fact(f"Lee is shown at once where help is: {', '.join(reached)}.")
    stage.act(lee, "POST", f"/screenings/{lee.screening_id}/complete", {}, doing="hands the screening in")
    stage.await_text(cast.prescriber, "urgent task")
    stage.kept["lee_triage"] = stage.await_task(cast.prescriber, "triage_risk", about=lee.episode_id)
    stage.kept["lee_check"] = stage.await_task(cast.therapist, "check_on_patient", about=lee.episode_id)


# ---- Steps 3 and 4 --------------------------------------------------------------------------------------------------


def find(stage: Stage) -> None:
    """What the rules found, as the medical team and as the therapist see it."""
    stage.begin_step(3, "The rules' findings reach the medical team")
    cast, dana = stage.cast, stage.dana
    review = stage.act(
        cast.prescriber, "GET", f"/episodes/{dana.episode_id}/eligibility", doing=f"reads the findings on {dana.name}"
    )
    for severity in ("stop", "review", "inform"):
        for finding in review["findings"][severity]:
            stage.narrator.fact(f"{severity.upper():<6} {finding['sentence']} [{finding['rule']}, {finding['source']}]")
    if review["findings"]["stop"] or len(review["findings"]["review"]) < 2:
        raise Unmet("Dana's screening should give no stop and two findings for review.")
    stage.kept["dana_findings"] = [finding["rule"] for finding in review["findings"]["review"]]
    seen = stage.read(cast.therapist, f"/episodes/{dana.episode_id}/eligibility")
    if seen["findings"] is not None:
        raise Unmet("The therapist must see the outcome, not the medical history behind it.")
    stage.narrator.fact("The therapist sees that it is under review, not the medical history behind it.")
    stage.refuse(
        cast.pharmacist,
        "GET",
        f"/episodes/{dana.episode_id}/eligibility",
        status=403,
        doing="asks for the findings too",
        rules=["access.eligibility.read"],
    )
    _work_on_lee_risk(stage)


def _work_on_lee_risk(stage: Stage) -> None:
    cast, lee = stage.cast, stage.lee
    stage.complete(cast.therapist, stage.kept["lee_check"], "has reached Lee by phone, who is safe and not alone")
    stage.complete(cast.prescriber, stage.kept["lee_triage"], "has spoken with Lee and the therapist")
    risk = stage.read(cast.prescriber, f"/episodes/{lee.episode_id}")["risk"]
    if not (risk["blocks_treatment"] and risk["blocks_shipping"]):
        raise Unmet("A high risk must block treatment and shipping until a prescriber clears it.")
    stage.narrator.fact("Until a named prescriber clears the flag nothing is prescribed, dosed or shipped for Lee.")


def decide(stage: Stage) -> None:
    """A prescriber approves with reasons, declines, asks for more."""
    stage.begin_step(4, "A prescriber licensed in the patient's state decides")
    cast, dana = stage.cast, stage.dana
    stage.wait(timedelta(hours=2), "the prescriber comes to it")
    path = f"/episodes/{dana.episode_id}/eligibility/decision"
    stage.refuse(
        cast.colleague,
        "POST",
        path,
        {"decision": "approve"},
        doing=f"licensed in New Mexico only, approves {dana.name}",
        rules=["people.licence_not_in_patient_state"],
    )
    rules = stage.kept["dana_findings"]
    stage.refuse(cast.prescriber, "POST", path, {"decision": "approve"}, doing="approves without reasons", rules=rules)
    reason = stage.script.say("approval_reason", "Discussed by video; risk is acceptable with the safeguards agreed.")
    body = {"decision": "approve", "reasons": [{"rule": rule, "reason": reason} for rule in rules]}
    decided = stage.act(
        cast.prescriber, "POST", path, body, doing=f"approves {dana.name}, with a reason for each finding"
    )
    stage.narrator.fact(f"The approval counts until {decided['valid_until']}.")
    stage.settled(cast.prescriber, stage.kept["dana_review"])
    stage.await_notice(cast.therapist, "eligibility.approved", about=dana.episode_id)
    stage.kept["draft_task"] = stage.await_task(cast.prescriber, "draft_prescription", about=dana.episode_id)
    stage.await_no_text(dana, "decision_made", states={"held"}, why="one text a day at most")
    _decline_lee(stage)
    _ask_robin(stage)


def _decline_lee(stage: Stage) -> None:
    cast, lee = stage.cast, stage.lee
    path = f"/episodes/{lee.episode_id}/eligibility/decision"
    stage.refuse(
        cast.prescriber,
        "POST",
        path,
        {"decision": "approve"},
        doing="approves Lee against a STOP",
        rules=["eligibility.suicide_risk_open"],
    )
    stage.refuse(
        cast.prescriber,
        "POST",
        path,
        {"decision": "decline"},
        doing="declines without a reason",
        rules=["eligibility.reason_needed"],
    )
    reason = stage.script.say("decline_reason", "The present risk comes first; please refer again once it has settled.")
    stage.act(
        cast.prescriber, "POST", path, {"decision": "decline", "reason": reason}, doing="declines Lee, with the reason"
    )
    stage.await_notice(cast.therapist, "eligibility.declined", about=lee.episode_id)
    read = stage.read(cast.therapist, f"/episodes/{lee.episode_id}/eligibility")
    stage.narrator.fact(f"The therapist reads why: “{read['reason']}”")
    stage.await_no_text(lee, "decision_made", states={"suppressed"}, why="there is no agreement")


def _ask_robin(stage: Stage) -> None:
    cast, robin = stage.cast, stage.robin
    path = f"/episodes/{robin.episode_id}/eligibility/decision"
    question = stage.script.say("ask_reason", "Please send the name of your cardiologist and the last report.")
    stage.act(
        cast.prescriber,
        "POST",
        path,
        {"decision": "ask", "reason": question},
        doing="asks Robin for more before deciding",
    )
    stage.await_notice(cast.therapist, "information.requested")
    stage.await_no_text(robin, "more_information", states={"held"}, why="one text a day at most")
