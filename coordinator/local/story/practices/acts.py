"""What happens in every practice: an act takes the stage and a patient, does one thing that must succeed, and tells it.

A practice's chapters put these acts together and add what only that practice does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from coordinator.local.story.arrival import SMS_WORDING, agree, history
from coordinator.local.story.cast import PASSWORD, Patient, Person
from coordinator.local.story.records import Unmet
from coordinator.local.story.scripts import STATE
from coordinator.local.story.stage import Stage

CARRIER: Final = "FedEx"
CALM: Final = {"systolic": 124, "diastolic": 78, "heart_rate": 72, "oxygen_percent": 98}
WELL: Final = {"oriented": True, "walks_unaided": True, "vomiting": False, "escort_present": True}
NO_RISK: Final = {"q1": False, "q2": False, "q6": False}


def phq9(each: int) -> dict[str, int]:
    """Answers to a PHQ-9, the same to every item but the ninth, which is 0."""
    return {f"q{number}": each for number in range(1, 9)} | {"q9": 0}


def gad7(each: int) -> dict[str, int]:
    """Answers to a GAD-7, the same to every item."""
    return {f"q{number}": each for number in range(1, 8)}


# ---- Arrival --------------------------------------------------------------------------------------------------------


def refer(stage: Stage, patient: Patient, client: str, *, by: Person | None = None, **more: Any) -> None:
    """The therapist, or who is named, refers a client of the script, who agreed to be texted and opens the link."""
    script = stage.script.patients[client]
    taken_at = (stage.clock.now() - timedelta(minutes=20)).isoformat()
    referred = stage.act(
        by or stage.cast.therapist,
        "POST",
        "/referrals",
        {
            **more,
            "patient": script.as_body(),
            "diagnosis": script.diagnosis,
            "reason": script.reason,
            "sms_agreement": {"taken_at": taken_at, "wording": SMS_WORDING},
        },
        doing=f"refers {script.full_name} ({script.diagnosis})",
    )
    patient.id, patient.episode_id = referred["patient_id"], referred["episode_id"]
    patient.screening_id = referred["screening_id"]
    stage.exchange_link(patient, stage.await_text(patient, "your forms are ready"))


def screen(stage: Stage, patient: Patient, *, medicines: tuple[str, ...] = ("Sertraline",), **parts: Any) -> None:
    """The patient agrees, answers the whole screening (``parts`` replaces some of it) and hands it in."""
    agree(stage, patient, sms=True)
    taken_at = stage.clock.now() - timedelta(hours=2)
    later = taken_at + timedelta(hours=1)
    form = {
        "history": history(stage),
        "medicines": list(medicines),
        "phq9": phq9(2),
        "gad7": gad7(2),
        "cssrs": {"q1": False, "q2": False, "q6_ever": False},
        "blood_pressures": [
            {"systolic": 126, "diastolic": 82, "taken_at": taken_at.isoformat()},
            {"systolic": 124, "diastolic": 80, "taken_at": later.isoformat()},
        ],
        **parts,
    }
    path = f"/screenings/{patient.screening_id}"
    shown = stage.act(patient, "PATCH", path, form, doing="answers the whole screening")
    if shown["missing"]:
        raise Unmet(f"The screening of {patient.name} should be whole: {shown['missing']}.")
    stage.act(patient, "POST", f"{path}/complete", {}, doing="hands the screening in")
    stage.await_task(stage.cast.prescriber, "review_eligibility", about=patient.screening_id)


def approve(stage: Stage, patient: Patient) -> Any:
    """The prescriber approves with a reason for each finding; gives the decision."""
    path = f"/episodes/{patient.episode_id}/eligibility"
    review = stage.read(stage.cast.prescriber, path)
    rules = [finding["rule"] for finding in review["findings"]["review"]]
    reasons = [{"rule": rule, "reason": "Discussed by video; acceptable with the safeguards agreed."} for rule in rules]
    decided = stage.act(
        stage.cast.prescriber,
        "POST",
        f"{path}/decision",
        {"decision": "approve", "reasons": reasons},
        doing=f"approves {patient.name}" + (f", with reasons for {', '.join(rules)}" if rules else ""),
    )
    stage.await_task(stage.cast.prescriber, "draft_prescription", about=patient.episode_id)
    return decided


# ---- Prescription and supply ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What is prescribed. ``more`` goes into the draft as it is."""

    quantity: int = 4
    dose_mg: int = 200
    first_dose_mg: int | None = 100
    sessions: int = 2
    refills: int = 0
    more: Mapping[str, Any] | None = None

    def as_body(self, stage: Stage, patient: Patient) -> dict[str, Any]:
        """The draft, as the API takes it."""
        return {
            "episode_id": patient.episode_id,
            "drug": "ketamine",
            "strength_mg": 100,
            "form": "lozenge",
            "quantity_units": self.quantity,
            "sessions_supply": self.sessions,
            "dose_mg": self.dose_mg,
            "first_session_dose_mg": self.first_dose_mg,
            "directions": "Two halves under the tongue, ten minutes each, then spit; as instructed.",
            "refills": self.refills,
            "weight_kg": 70.5,
            "in_person_evaluated_on": stage.clock.first_day.isoformat(),
            **(self.more or {}),
        }


def prescribe(stage: Stage, patient: Patient, order: Order) -> Any:
    """Draft, PDMP check, ready, signed with two factors; gives the signed prescription."""
    cast = stage.cast
    pdmp = {"states": [STATE], "finding": "nothing_unexpected"}
    stage.act(cast.assistant, "POST", f"/episodes/{patient.episode_id}/pdmp-checks", pdmp, doing="checks the PDMP")
    drafted = stage.act(
        cast.assistant, "POST", "/prescriptions", order.as_body(stage, patient), doing=f"drafts for {patient.name}"
    )
    path = f"/prescriptions/{drafted['id']}"
    rules = [each["rule"] for each in stage.read(cast.prescriber, path)["review"]["findings"] if _asks(each)]
    reasons = [{"rule": rule, "reason": "Discussed with the patient; wanted."} for rule in rules]
    stage.act(cast.prescriber, "POST", f"{path}/ready", {"reasons": reasons}, doing="reads it and marks it ready")
    signed = stage.act(
        cast.prescriber,
        "POST",
        "/prescriptions/sign",
        {"prescription_ids": [drafted["id"]], "password": PASSWORD, "code": stage.fresh_code(cast.prescriber)},
        doing="signs with password and a fresh code",
    )["prescriptions"][0]
    stage.narrator.fact(f"Signed {signed['issued_on']}, to be filled until {signed['expires_on']}.")
    return signed


def _asks(finding: Mapping[str, Any]) -> bool:
    return bool(finding["severity"] == "review")


def fill(stage: Stage, prescription_id: str, quantity: int, *, is_refill: bool = False) -> Any:
    """The pharmacy hands out ``quantity``; gives the fill."""
    pharmacist = stage.cast.pharmacist
    stage.await_task(pharmacist, "fill_prescription", about=prescription_id)
    filled = stage.act(
        pharmacist,
        "POST",
        f"/prescriptions/{prescription_id}/fills",
        {"quantity": quantity, "is_refill": is_refill},
        doing=f"hands out {quantity} lozenges",
    )
    stage.await_task(pharmacist, "ship_fill", about=filled["id"])
    return filled


def deliver(stage: Stage, patient: Patient, client: str, fill_id: str, count: int, code: str) -> Any:
    """The pharmacy ships a fill home, the carrier delivers, the patient confirms count and seal; gives the shipment."""
    cast, script = stage.cast, stage.script.patients[client]
    body = {"carrier": CARRIER, "tracking_code": code, "ship_to": script.address}
    shipped = stage.act(cast.pharmacist, "POST", f"/fills/{fill_id}/shipments", body, doing="ships it home, signed for")
    stage.await_state(cast.pharmacist, f"/shipments/{shipped['id']}", {"tracker_state": "registered"})
    stage.wait(timedelta(hours=26), "the parcel travels")
    stage.carrier_scans(code, "in_transit", "scans the parcel")
    stage.await_notice(cast.therapist, "shipment.in_transit", about=shipped["id"])
    stage.wait(timedelta(hours=20), "the van arrives")
    stage.carrier_scans(code, "delivered", "delivers it", signed_by=script.full_name)
    stage.await_notice(cast.therapist, "shipment.delivered", about=shipped["id"])
    receipt = {"received": True, "count": count, "seal_intact": True}
    stage.act(patient, "POST", f"/shipments/{shipped['id']}/receipt", receipt, doing=f"confirms {count}, sealed")
    stage.await_notice(cast.therapist, "receipt.confirmed", about=shipped["id"])
    return shipped


def supply(stage: Stage, patient: Patient, client: str, order: Order, code: str) -> Any:
    """Prescribe, fill and deliver; gives the signed prescription."""
    signed = prescribe(stage, patient, order)
    filled = fill(stage, signed["id"], order.quantity)
    deliver(stage, patient, client, filled["id"], order.quantity, code)
    return signed


# ---- Sessions -------------------------------------------------------------------------------------------------------


def booking(stage: Stage, patient: Patient, kind: str, starts_at: datetime, **more: Any) -> dict[str, Any]:
    """A session to book, in the office unless ``more`` says otherwise."""
    return {
        "episode_id": patient.episode_id,
        "kind": kind,
        "starts_at": starts_at.isoformat(),
        "site": "office",
        "remote": False,
        **more,
    }


def book(stage: Stage, patient: Patient, kind: str, starts_at: datetime, **more: Any) -> Any:
    """The therapist books a session; gives it."""
    body = booking(stage, patient, kind, starts_at, **more)
    return stage.act(
        stage.cast.therapist, "POST", "/sessions", body, doing=f"books {kind} for {starts_at:%a %d %b %H:%M}"
    )


def talk(stage: Stage, patient: Patient, kind: str, starts_at: datetime, **more: Any) -> Any:
    """Preparation or integration: booked, held; gives the session."""
    session = book(stage, patient, kind, starts_at, **more)
    stage.pass_time(starts_at + timedelta(hours=1), f"the {kind} session takes place")
    return stage.act(
        stage.cast.therapist, "POST", f"/sessions/{session['id']}/hold", {}, doing=f"has held the {kind} session"
    )


def readiness(stage: Stage, **more: Any) -> dict[str, Any]:
    """Everything as it should be before a dosing session."""
    now = stage.clock.now()
    return {
        "chaperone": {
            "name": "Morgan Fairchild",
            "age_years": 41,
            "phone": "+15205550199",
            "present": True,
            "sober_attested": True,
            "arrived_at": (now - timedelta(minutes=20)).isoformat(),
        },
        "last_food_at": (now - timedelta(hours=6)).isoformat(),
        "last_water_at": (now - timedelta(hours=2)).isoformat(),
        "intakes": [{"rule": "eligibility.medicine_alcohol_and_thc", "last_taken_at": None}],
        **more,
    }


def make_ready(stage: Stage, session_id: str, **more: Any) -> None:
    """The therapist records that everything is as it should be."""
    body = readiness(stage, **more)
    stage.act(
        stage.cast.therapist, "POST", f"/sessions/{session_id}/readiness", body, doing="records that all is ready"
    )


def measure(stage: Stage, session_id: str, phase: str, **vitals: int) -> Any:
    """The therapist takes vitals; gives the gate's answer."""
    reading = {"phase": phase, "red_flags": [], **CALM, **vitals}
    shown = f"{reading['systolic']}/{reading['diastolic']}"
    return stage.act(
        stage.cast.therapist, "POST", f"/sessions/{session_id}/vitals", reading, doing=f"measures {shown} ({phase})"
    )


def give(stage: Stage, session_id: str, mg: int, **more: Any) -> Any:
    """The patient takes a dose."""
    body = {"mg": mg, "is_booster": False, **more}
    return stage.act(stage.cast.therapist, "POST", f"/sessions/{session_id}/dose", body, doing=f"records {mg} mg taken")


def look(stage: Stage, session_id: str, seen: Mapping[str, bool] | None = None, **ratings: int) -> None:
    """One of the checks while the medicine works; ``seen`` says whether by video."""
    rated = {"dissociation": 4, "distress": 1, "nausea": 1, "sedation": 4, **ratings}
    body = {"concern": False, "ratings": rated, "note": "Calm, answers when spoken to.", **(seen or {})}
    stage.quietly(stage.cast.therapist, "POST", f"/sessions/{session_id}/checks", body)


def watch(stage: Stage, session_id: str, **ratings: int) -> None:
    """Two hours after the dose: a look every fifteen minutes, the pressure at forty minutes and again in the end."""
    begun = stage.clock.now()
    seen = {"on_video": True} if stage.read(stage.cast.therapist, f"/sessions/{session_id}")["remote"] else {}
    for minutes in (15, 30):
        stage.clock.move_to(begun + timedelta(minutes=minutes))
        look(stage, session_id, seen, **ratings)
    stage.clock.move_to(begun + timedelta(minutes=40))
    measure(stage, session_id, "during", systolic=132, diastolic=82)
    for minutes in range(45, 121, 15):
        stage.clock.move_to(begun + timedelta(minutes=minutes))
        look(stage, session_id, seen, **ratings)
    stage.pass_time(begun + timedelta(minutes=122), "two hours after the dose; the therapist looked every 15 minutes")
    measure(stage, session_id, "after")


def send_home(stage: Stage, session_id: str) -> None:
    """The discharge gate, and home with the escort."""
    therapist, path = stage.cast.therapist, f"/sessions/{session_id}"
    stage.act(therapist, "POST", f"{path}/discharge-gate", WELL, doing="oriented, walks, no vomiting, escort present")
    stage.act(therapist, "POST", f"{path}/discharge", {}, doing="lets the patient go home")


def dose_session(
    stage: Stage,
    patient: Patient,
    starts_at: datetime,
    mg: int,
    *,
    ready: Mapping[str, Any] | None = None,
    **place: Any,
) -> Any:
    """A whole dosing session without anything out of the ordinary; gives it. ``ready`` goes into the readiness."""
    session = book(stage, patient, "dosing", starts_at, **place)
    stage.pass_time(starts_at, f"the dosing session of {patient.name} begins")
    make_ready(stage, session["id"], **(ready or {}))
    measure(stage, session["id"], "before")
    give(stage, session["id"], mg)
    watch(stage, session["id"])
    send_home(stage, session["id"])
    return session


def follow_up(stage: Stage, patient: Patient, session_id: str, **place: Any) -> None:
    """The call of the day after and the integration session, 25 hours after the dosing session."""
    stage.wait(timedelta(hours=20), "the next morning")
    stage.act(
        stage.cast.therapist,
        "POST",
        f"/sessions/{session_id}/check-in",
        {"concern": False, "note": "Slept well."},
        doing=f"has called {patient.name}",
    )
    at = stage.clock.now() + timedelta(hours=5)
    talk(stage, patient, "integration", at, integrates_id=session_id, **place)


def report(stage: Stage, patient: Patient, **answers: Mapping[str, Any]) -> Any:
    """The therapist reports outcomes; gives the report."""
    body = {"answers": {"cssrs_since_last_visit": NO_RISK, **answers}, "summary": "As discussed with the patient."}
    reported = stage.act(
        stage.cast.therapist, "POST", f"/episodes/{patient.episode_id}/outcomes", body, doing="reports outcomes"
    )
    for scale in reported["scales"]:
        if scale["total"] is not None and scale["baseline"] is not None:
            stage.narrator.fact(
                f"{scale['scale']}: {scale['total']}, before the first dose {scale['baseline']}: {scale['outcome']}"
            )
    return reported


# ---- The next supply ------------------------------------------------------------------------------------------------


def refill(
    stage: Stage, patient: Patient, client: str, prescription_id: str, *, remaining: int, quantity: int, code: str
) -> Any:
    """The prescriber follows up, the therapist counts and asks, the next fill is approved and delivered."""
    cast, episode = stage.cast, f"/episodes/{patient.episode_id}"
    contact = {"manner": "video"}
    stage.act(cast.prescriber, "POST", f"{episode}/prescriber-contacts", contact, doing="follows up by video")
    pdmp = {"states": [STATE], "finding": "expected_prescriptions"}
    stage.act(cast.assistant, "POST", f"{episode}/pdmp-checks", pdmp, doing="checks the PDMP again")
    request = stage.act(
        cast.therapist,
        "POST",
        "/refill-requests",
        {"episode_id": patient.episode_id, "remaining_units": remaining},
        doing=f"counts {remaining} left and asks for the next supply",
    )
    stage.await_task(cast.prescriber, "decide_refill", about=request["id"])
    approved = stage.act(
        cast.prescriber,
        "POST",
        f"/refill-requests/{request['id']}/approve",
        {"changed": False, "reason": "As planned."},
        doing="approves",
    )
    stage.narrator.fact(f"Supplied by: {approved['supply'].replace('_', ' ')}.")
    filled = fill(stage, prescription_id, quantity, is_refill=True)
    return deliver(stage, patient, client, filled["id"], quantity, code)
