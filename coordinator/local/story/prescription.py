"""Step 5: the prescription is drafted by staff, read by the named prescriber and signed with two factors."""

from __future__ import annotations

from typing import Any

from coordinator.local.story.cast import PASSWORD
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import STATE
from coordinator.local.story.stage import Stage

STRENGTH_MG, DOSE_MG, FIRST_DOSE_MG = 100, 200, 100
QUANTITY = 4


def prescribe(stage: Stage) -> None:
    """Staff drafts; the named prescriber marks ready and signs with two factors."""
    stage.begin_step(5, "The prescription is drafted, reviewed and signed")
    cast, dana = stage.cast, stage.dana
    stage.day(2, "10:10", "a day has passed since the last texts")
    stage.await_text(dana, "there is news for you")
    stage.await_text(stage.robin, "we need more information")
    prescription = _draft(stage)
    path = f"/prescriptions/{prescription['id']}"
    stage.refuse(
        cast.assistant, "POST", f"{path}/ready", {}, status=403, doing="marks it ready in the prescriber's place"
    )
    ready = stage.act(cast.prescriber, "POST", f"{path}/ready", {"reasons": []}, doing="has read it and marks it ready")
    changed = stage.act(
        cast.assistant,
        "PATCH",
        path,
        {"directions": _directions(stage, "with an empty stomach")},
        version=ready["version"],
        doing="changes the directions afterwards",
    )
    if changed["state"] != "drafted":
        raise Unmet("A change must make it a draft again.")
    stage.narrator.fact("It is a draft again: what changed must be read again before it is signed.")
    stage.act(cast.prescriber, "POST", f"{path}/ready", {"reasons": []}, doing="reads it again and marks it ready")
    _check_pdmp(stage, path)
    _sign(stage, prescription["id"])
    stage.kept["prescription"] = prescription["id"]


def _draft(stage: Stage) -> Any:
    cast, dana = stage.cast, stage.dana
    body = {
        "episode_id": dana.episode_id,
        "drug": "ketamine",
        "strength_mg": STRENGTH_MG,
        "form": "lozenge",
        "quantity_units": QUANTITY,
        "sessions_supply": 2,
        "dose_mg": DOSE_MG,
        "first_session_dose_mg": FIRST_DOSE_MG,
        "directions": _directions(stage, "as instructed"),
        "refills": 1,
        "limits": {"systolic_below": 142, "diastolic_below": 92},
        "weight_kg": 73.8125,
        "in_person_evaluated_on": stage.clock.first_day.isoformat(),
    }
    stage.refuse(
        cast.assistant,
        "POST",
        "/prescriptions",
        {**body, "refills": 6},
        doing="drafts it with six refills",
        rules=["prescribing.refills_over_five"],
    )
    drafted = stage.act(
        cast.assistant,
        "POST",
        "/prescriptions",
        body,
        doing=f"drafts: {QUANTITY} lozenges of {STRENGTH_MG} mg, two sessions, one refill, Dana's own pressure limits",
    )
    stage.settled(cast.prescriber, stage.kept["draft_task"])
    stage.kept["sign_task"] = stage.await_task(cast.prescriber, "sign_prescription", about=drafted["id"])
    return drafted


def _directions(stage: Stage, more: str) -> str:
    return stage.script.say("directions", f"Two halves under the tongue, ten minutes each, then spit; {more}.")


def _check_pdmp(stage: Stage, path: str) -> None:
    cast, dana = stage.cast, stage.dana
    display = stage.read(cast.prescriber, f"{path}/signing-display")
    if "prescribing.pdmp_missing" not in [finding["rule"] for finding in display["findings"]]:
        raise Unmet("Before signing it must show that the PDMP was not checked.")
    stage.narrator.fact("The signing display names what is missing: no PDMP check is on record.")
    stage.act(
        cast.assistant,
        "POST",
        f"/episodes/{dana.episode_id}/pdmp-checks",
        {"states": [STATE], "finding": "nothing_unexpected"},
        doing="checks the PDMP and records what it came to",
    )
    shown = stage.act(cast.prescriber, "GET", f"{path}/signing-display", doing="reads what signing will say")
    paper = shown["fields_shown"]
    stage.narrator.fact(
        f"{paper['drug']} {paper['strength']} {paper['form']}, {paper['quantity']} units, {paper['refills']} refill, "
        f"for {paper['patient_name']}, by {paper['practitioner_name']}. {shown['not_certified']}"
    )


def _sign(stage: Stage, prescription_id: str) -> None:
    cast = stage.cast
    prescriber = cast.prescriber
    body = {"prescription_ids": [prescription_id], "password": PASSWORD}
    used = prescriber.last_code
    stage.refuse(
        prescriber,
        "POST",
        "/prescriptions/sign",
        {**body, "code": used},
        status=401,
        doing="signs with the code that was used to sign in",
    )
    stage.refuse(
        cast.colleague,
        "POST",
        "/prescriptions/sign",
        {**body, "code": stage.fresh_code(cast.colleague)},
        status=403,
        doing="signs what is in another's name",
    )
    fresh = {**body, "code": stage.fresh_code(prescriber)}
    signed = stage.act(prescriber, "POST", "/prescriptions/sign", fresh, doing="signs with password and a fresh code")[
        "prescriptions"
    ][0]
    if not signed["signature_valid"]:
        raise Unmet("The signature must hold.")
    stage.narrator.fact(
        f"Signed {signed['issued_on']}, to be filled until {signed['expires_on']}; the signature holds."
    )
    stage.refuse(
        prescriber,
        "PATCH",
        f"/prescriptions/{prescription_id}",
        {"dose_mg": 150},
        version=signed["version"],
        doing="changes it after signing",
    )
    stage.settled(prescriber, stage.kept["sign_task"])
    stage.await_notice(cast.therapist, "prescription.signed", about=prescription_id)
    stage.kept["fill_task"] = stage.await_task(cast.pharmacist, "fill_prescription", about=prescription_id)
