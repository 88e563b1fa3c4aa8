"""Steps 6 to 8: the pharmacy, the parcels, the receipt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coordinator.local.story.cast import PRACTICE_ADDRESS
from coordinator.local.story.prescription import QUANTITY
from coordinator.local.story.records import Unmet
from coordinator.local.story.stage import Stage

PART = 3
CARRIER = "FedEx"

# ---- Step 6 ---------------------------------------------------------------------------------------------------------


def dispense(stage: Stage) -> None:
    """The pharmacy fills in two parts and ships to the patient's home."""
    stage.begin_step(6, "The pharmacy fills and ships")
    cast, prescription = stage.cast, stage.kept["prescription"]
    pharmacist = cast.pharmacist
    read = stage.act(pharmacist, "GET", f"/prescriptions/{prescription}", doing="reads what is to be filled")
    if read["content"] is not None or read["review"] is not None or not read["paper"]["dea_number"]:
        raise Unmet("The pharmacy must see the paper with the DEA number, and neither reasons nor limits.")
    stage.narrator.fact("The pharmacy sees what 21 CFR 1306.05 asks for; no scores, no reasons, no notes.")
    fills = f"/prescriptions/{prescription}/fills"
    part = {"quantity": PART, "is_refill": False}
    first = stage.act(pharmacist, "POST", fills, part, doing=f"hands out {PART} of {QUANTITY}: not enough in stock")
    ship_first = stage.await_task(pharmacist, "ship_fill", about=first["id"])
    stage.refuse(
        pharmacist,
        "POST",
        fills,
        {"quantity": 2, "is_refill": False},
        doing="hands out two more",
        rules=["prescribing.fill_over_quantity"],
    )
    stage.wait(timedelta(hours=4), "new stock arrives")
    rest = {"quantity": QUANTITY - PART, "is_refill": False}
    second = stage.act(pharmacist, "POST", fills, rest, doing="hands out the rest; the parts add up")
    stage.await_task(pharmacist, "ship_fill", about=second["id"])
    stage.settled(pharmacist, stage.kept["fill_task"])
    stage.refuse(
        pharmacist,
        "POST",
        fills,
        {"quantity": QUANTITY, "is_refill": True},
        doing="hands out the refill right away",
        rules=["prescribing.refill_not_authorized"],
    )
    stage.day(2, "21:15", "the evening pickup")
    stage.kept["parcel"] = ship(stage, first["id"], "tracking_first", "794611200345")
    stage.settled(pharmacist, ship_first)
    stage.await_no_text(stage.dana, "package_preparing", states={"held"}, why="it is night, and one text a day at most")
    stage.kept["second_fill"] = second["id"]


def ship(stage: Stage, fill_id: str, code_field: str, code: str, *, with_refusals: bool = True) -> dict[str, Any]:
    """Ship a fill to Dana's home; gives the shipment, with its code."""
    pharmacist, path = stage.cast.pharmacist, f"/fills/{fill_id}/shipments"
    body = {
        "carrier": CARRIER,
        "tracking_code": stage.script.say(code_field, code),
        "ship_to": stage.script.patients["dana"].address,
    }
    if with_refusals:
        stage.refuse(
            pharmacist,
            "POST",
            path,
            {**body, "ship_to": PRACTICE_ADDRESS},
            doing="ships to the practice's address",
            rules=["shipping.ship_to_practice"],
        )
        stage.refuse(
            pharmacist,
            "POST",
            path,
            {**body, "delivery_confirmation": "NO_SIGNATURE"},
            doing="ships without signature",
            rules=["shipping.confirmation_refused"],
        )
    shipped = stage.act(pharmacist, "POST", path, body, doing="ships it to Dana's home, adult signature required")
    stage.await_state(pharmacist, f"/shipments/{shipped['id']}", {"tracker_state": "registered"})
    stage.narrator.fact("Its tracker is registered at EasyPost.")
    stage.await_notice(stage.cast.therapist, "shipment.created", about=shipped["id"])
    return {**shipped, "tracking_code": body["tracking_code"]}


# ---- Step 7 ---------------------------------------------------------------------------------------------------------


def follow(stage: Stage) -> None:
    """Carrier events, repeated and out of order; texts within limits and quiet hours."""
    stage.begin_step(7, "The parcels are followed")
    therapist, dana, parcel = stage.cast.therapist, stage.dana, stage.kept["parcel"]
    code = parcel["tracking_code"]
    stage.day(3, "06:30", "the first scan")
    stage.carrier_scans(code, "in_transit", "scans the parcel, and says so three times", repeat=3)
    stage.await_notice(therapist, "shipment.in_transit", about=parcel["id"])
    stage.await_no_text(
        dana, "package_in_transit", states={"held"}, why="it is before eight, and one text a day at most"
    )
    stage.await_no_text(dana, "package_preparing", states={"replaced"}, why="newer news has taken its place")
    stage.day(3, "10:25", "a day after the last text, in daylight")
    stage.await_text(dana, "is on its way")
    late = (stage.clock.now() - timedelta(hours=9)).isoformat()
    stage.carrier_scans(code, "pre_transit", "reports late that the label was printed", datetime=late)
    stage.come_to_rest()
    state = stage.read(therapist, f"/shipments/{parcel['id']}")["state"]
    told = [n for n in stage.read(therapist, "/notices", limit=100)["items"] if n["kind"] == "shipment.in_transit"]
    if state != "in_transit" or len(told) != 1:
        raise Unmet("Repeated and late events must change nothing and tell nobody twice.")
    stage.narrator.fact("Three deliveries of one event and a late one: one notice, and the parcel stays in transit.")
    stage.kept["second"] = ship(
        stage, stage.kept["second_fill"], "tracking_second", "794611200778", with_refusals=False
    )
    stage.await_no_text(dana, "package_preparing", states={"expired"}, why="three texts a week at most")
    stage.day(3, "17:30", "the carrier picks up")
    stage.carrier_scans(stage.kept["second"]["tracking_code"], "in_transit", "scans the second parcel")
    stage.await_notice(therapist, "shipment.in_transit", about=stage.kept["second"]["id"])
    stage.day(5, "10:00", "the parcels travel")
    stage.carrier_scans(
        code, "in_transit", "scans the first parcel at a sorting center", status_detail="arrived_at_facility"
    )


# ---- Step 8 ---------------------------------------------------------------------------------------------------------


def receive(stage: Stage) -> None:
    """No dosing before the receipt; it is confirmed by the patient's own sign-in, and by replying to the text."""
    stage.begin_step(8, "The patient confirms receipt, count and seal")
    cast, dana, second = stage.cast, stage.dana, stage.kept["second"]
    stage.day(5, "14:00", "a delivery")
    stage.carrier_scans(second["tracking_code"], "delivered", "delivers the second parcel", signed_by=_signer(stage))
    stage.await_notice(cast.therapist, "shipment.delivered", about=second["id"])
    _try_to_dose(stage)
    stage.act(
        dana,
        "POST",
        f"/shipments/{second['id']}/receipt",
        {"received": True, "count": QUANTITY - PART, "seal_intact": True},
        doing="confirms the second parcel: one lozenge, sealed",
    )
    stage.await_notice(cast.therapist, "receipt.confirmed", about=second["id"])
    _deliver_first(stage)
    _confirm_by_text(stage)


def _signer(stage: Stage) -> str:
    return stage.script.say("signed_by", "D. Whitfield")


def _try_to_dose(stage: Stage) -> None:
    therapist, now = stage.cast.therapist, stage.clock.now()
    body = {
        "episode_id": stage.dana.episode_id,
        "kind": "dosing",
        "starts_at": (now + timedelta(minutes=30)).isoformat(),
        "site": "office",
        "remote": False,
    }
    session = stage.act(therapist, "POST", "/sessions", body, doing="books a dosing session for this very afternoon")
    stage.kept["dosing"] = session["id"]
    stage.wait(timedelta(minutes=30), "Dana comes in")
    stage.refuse(
        therapist,
        "POST",
        f"/sessions/{session['id']}/readiness",
        readiness(stage),
        doing="begins the session before Dana confirmed the receipt",
        rules=["sessions.receipt_missing"],
    )
    later = stage.clock.on_day(16, "14:00")
    stage.act(
        therapist,
        "PATCH",
        f"/sessions/{session['id']}",
        {"starts_at": later.isoformat()},
        version=session["version"],
        doing=f"moves it to {later:%a %d %b %H:%M}",
    )
    stage.await_no_text(stage.dana, "session_moved", states={"expired"}, why="three texts a week at most")


def readiness(stage: Stage) -> dict[str, Any]:
    """Everything as it should be before a dosing session."""
    now = stage.clock.now()
    return {
        "chaperone": {
            "name": stage.script.say("chaperone.name", "Morgan Whitfield"),
            "age_years": 41,
            "phone": "+15205550199",
            "present": True,
            "sober_attested": True,
            "arrived_at": (now - timedelta(minutes=20)).isoformat(),
        },
        "last_food_at": (now - timedelta(hours=6)).isoformat(),
        "last_water_at": (now - timedelta(hours=2)).isoformat(),
        "intakes": [{"rule": "eligibility.medicine_alcohol_and_thc", "last_taken_at": None}],
    }


def _deliver_first(stage: Stage) -> None:
    cast, dana, parcel = stage.cast, stage.dana, stage.kept["parcel"]
    stage.day(7, "10:00", "the first parcel is slow")
    stage.carrier_scans(parcel["tracking_code"], "in_transit", "scans the first parcel once more")
    stage.day(8, "10:40", "it is in town")
    stage.carrier_scans(parcel["tracking_code"], "out_for_delivery", "has it on the van")
    stage.await_notice(cast.therapist, "shipment.out_for_delivery", about=parcel["id"])
    stage.await_text(dana, "is out for delivery")
    stage.day(8, "15:00", "the van arrives")
    stage.carrier_scans(parcel["tracking_code"], "delivered", "delivers it, signed for", signed_by=_signer(stage))
    stage.await_notice(cast.therapist, "shipment.delivered", about=parcel["id"])
    stage.await_no_text(dana, "package_delivered", states={"held"}, why="one text a day at most")
    stage.day(9, "10:55", "a day after the last text")
    stage.await_text(dana, "package delivered")


def _confirm_by_text(stage: Stage) -> None:
    cast, dana, parcel = stage.cast, stage.dana, stage.kept["parcel"]
    stage.text_in(dana, stage.script.say("unclear_text", "the package came i think, looks ok??"))
    unclear = stage.await_task(cast.operator, "read_message")
    stage.await_text(dana, "we got your text")
    message = stage.read(cast.operator, f"/messages/{unclear['subject_id']}")
    stage.complete(cast.operator, unclear, f"reads “{message['text']}” and lets Dana know how to answer")
    stage.text_in(dana, f"RECEIVED {PART} SEALED")
    stage.await_text(dana, "we noted your answer")
    stage.await_notice(cast.therapist, "receipt.confirmed", about=parcel["id"])
    stage.await_state(cast.therapist, f"/shipments/{parcel['id']}", {"receipt_state": "confirmed"})
    stage.narrator.fact("Both receipts are confirmed: what was counted is what was shipped, and the seals held.")
