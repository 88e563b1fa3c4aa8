"""Prescriptions, fills and parcels, short to call, on top of ``tests/factories_screening.py``.

case = make_case(session)                        a world with an approved patient and a PDMP check of today
row = make_draft(session, case)                  a first prescription that no rule objects to
row = make_signed(session, case)                 the same, marked ready and signed
fill = make_fill(session, case, row)             handed out whole
parcel = make_shipment(session, case, fill)      on its way; report(session, parcel, "delivered") moves it
"""

from __future__ import annotations

import itertools
import json
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.core.programme import programme
from services.messaging.deliveries import Hook, keep_delivery
from services.messaging.models import Timer
from services.people.attempts import Refused
from services.people.models import Episode
from services.people.patients import details_of
from services.people.postal import Address
from services.prescribing import contacts, fills, outside, pdmp_checks, prescriptions, signing
from services.prescribing.contents import Content
from services.prescribing.limits import PatientLimits
from services.prescribing.models import Fill, Prescription
from services.prescribing.reviews import review_of
from services.screening import risk
from services.screening.rules import Triage
from services.shipping import receipts, shipments, tracking
from services.shipping.models import Shipment
from services.vault.boxes import box
from tests.factories import PASSWORD, World, code_of, make_patient_actor, make_world
from tests.factories_screening import make_eligible
from tests.snapshots import once

DEFAULT = programme()
USUAL_REASONS = {"prescribing.duplicate_active": "Two strengths make up the dose."}
DIRECTIONS = "Dissolve under the tongue in the session, in two halves; swish and spit."
_count = itertools.count(1)


@dataclass(frozen=True)
class Case:
    """A world with one approved patient. ``actor("pharmacist")`` and so on act; ``patient`` is the patient."""

    world: World
    episode: Episode

    def actor(self, who: str) -> Actor:
        return self.world.actor(who)

    @property
    def patient(self) -> Actor:
        return make_patient_actor(self.episode)

    @property
    def prescriber(self) -> Actor:
        return self.world.actor("prescriber")


def make_case(session: Session, *, world: World | None = None, pdmp: bool = True, **details: Any) -> Case:
    """An approved patient of ``world``, with a PDMP check made just now."""
    if world is None and not details:
        made = dict(once(session, f"case {pdmp}", lambda: _as_rows(_make_case(session, make_world(session), pdmp))))
        return Case(episode=made.pop("episode"), world=World(**made))
    return _make_case(session, world or make_world(session), pdmp, **details)


def _make_case(session: Session, world: World, pdmp: bool, **details: Any) -> Case:
    case = Case(world, make_eligible(session, world=world, **details))
    if pdmp:
        check_pdmp(session, case)
    session.flush()
    return case


def _as_rows(case: Case) -> dict[str, Any]:
    return {**vars(case.world), "episode": case.episode}


def check_pdmp(session: Session, case: Case, **details: Any) -> pdmp_checks.Check:
    """A check of the PDMP in the patient's state that found nothing unexpected."""
    given = {"states": ["CA"], "finding": pdmp_checks.PdmpFinding.NOTHING_UNEXPECTED, **details}
    return pdmp_checks.record_check(session, case.prescriber, case.episode.id, **given)


def follow_up(session: Session, case: Case, held_at: datetime | None = None) -> None:
    """The prescriber speaks with the patient, as the follow-up gate asks before there is more than a first supply."""
    contacts.record_contact(session, case.prescriber, case.episode.id, contacts.Manner.VIDEO, held_at=held_at)


def content(**changes: Any) -> Content:
    """A first prescription that no rule objects to: two sessions of 200 mg, the first one with half."""
    given: dict[str, Any] = {
        "drug": "ketamine",
        "strength_mg": 100,
        "form": "lozenge",
        "quantity_units": 4,
        "sessions_supply": 2,
        "dose_mg": 200,
        "first_session_dose_mg": 100,
        "directions": DIRECTIONS,
        "weight_kg": 80.0,
        "limits": PatientLimits(systolic_below=145),
    }
    return Content(**{**given, **changes})


def make_draft(
    session: Session, case: Case, *, by: str = "medical_staff", replaces_id: UUID | None = None, **changes: Any
) -> Prescription:
    """A draft for the world's prescriber, by staff."""
    return prescriptions.draft(session, case.actor(by), case.episode.id, content(**changes), replaces_id=replaces_id)


def make_ready(session: Session, case: Case, *, reasons: dict[str, str] | None = None, **changes: Any) -> Prescription:
    """A draft that the prescriber marked ready; where there is one like it already, with a reason for that.

    Before one that is not the first, the prescriber spoke with the patient.
    """
    row = make_draft(session, case, **changes)
    if session.scalar(select(Fill.id).where(Fill.episode_id == case.episode.id).limit(1)) is not None:
        follow_up(session, case)
    found = {finding["rule"] for finding in review_of(box(session, row.patient_id), row).findings}
    usual = {rule: text for rule, text in USUAL_REASONS.items() if rule in found}
    given = {rule: Personal(text) for rule, text in {**usual, **(reasons or {})}.items()}
    return prescriptions.mark_ready(session, case.prescriber, row.id, given)


def sign(session: Session, case: Case, *rows: Prescription, code: str | None = None, password: str = PASSWORD) -> Any:
    """One two-factor act over ``rows``. Every code of the authenticator works, as if enough time had passed."""
    account = case.world.prescriber
    account.totp_last_step = 0 if code is None else account.totp_last_step
    given = code_of(session, account) if code is None else code
    return signing.sign(session, case.prescriber, [row.id for row in rows], Secret(given), password=Secret(password))


def make_signed(session: Session, case: Case, **changes: Any) -> Prescription:
    """A prescription signed today."""
    row = make_ready(session, case, **changes)
    signed = sign(session, case, row)
    assert not isinstance(signed, Refused)
    return row


def make_reported(session: Session, case: Case, *, issued_on: date | None = None, **changes: Any) -> Prescription:
    """A ready prescription of which staff say that it was signed in a system elsewhere, by default yesterday."""
    row = make_ready(session, case, **changes)
    day = issued_on or (clock.now() - timedelta(days=1)).date()
    signature = outside.OutsideSignature(system="Certified Rx", reference="RX-4711", issued_on=day)
    return outside.report(session, case.actor("medical_staff"), row.id, signature)


def make_fill(session: Session, case: Case, row: Prescription, quantity: int = 4, *, is_refill: bool = False) -> Fill:
    """A hand-out by the world's pharmacist."""
    filled = fills.record_fill(session, case.actor("pharmacist"), row.id, quantity, is_refill=is_refill)
    assert not isinstance(filled, Refused)
    return filled.fill


def home_of(session: Session, case: Case) -> Address:
    """Where the patient lives."""
    return details_of(session, case.episode.patient_id).address.reveal()


def parcel(session: Session, case: Case, **changes: Any) -> shipments.Parcel:
    """A parcel to the patient's home that no rule objects to."""
    given: dict[str, Any] = {
        "carrier": "USPS",
        "tracking_code": Personal(f"9400 1000 0000 {next(_count):04d}"),
        "ship_to": Personal(home_of(session, case)),
        **changes,
    }
    return shipments.Parcel(**given)


def make_shipment(session: Session, case: Case, fill: Fill | None = None, **changes: Any) -> Shipment:
    """A parcel with ``fill`` (default: of a new prescription), just handed to the carrier."""
    fill = fill or make_fill(session, case, make_signed(session, case))
    created = shipments.create_shipment(session, case.actor("pharmacist"), fill.id, parcel(session, case, **changes))
    assert not isinstance(created, Refused)
    return created


def carrier_event(
    session: Session,
    shipment: Shipment,
    status: str,
    *,
    at: datetime | None = None,
    detail: str | None = None,
    signed_by: str | None = "P EXAMPLE",
    event_id: str | None = None,
    **tracker: Any,
) -> UUID | None:
    """A carrier event as it is stored when its webhook comes in; None when it was stored before."""
    own_code = shipments.view_of(session, SYSTEM, shipment).tracking_code
    moment = (at or clock.now()).isoformat()
    event = {
        "id": event_id or f"evt_{secrets.token_hex(8)}",
        "object": "Event",
        "description": "tracker.updated",
        "result": {
            "id": f"trk_{shipment.id.hex}",
            "tracking_code": "" if own_code is None else own_code.reveal(),
            "status": status,
            "status_detail": detail,
            "signed_by": signed_by if status == "delivered" else None,
            "tracking_details": [{"status": status, "status_detail": detail, "datetime": moment}],
            **tracker,
        },
    }
    return keep_delivery(session, Hook.EASYPOST, json.dumps(event).encode(), str(event["id"]))


def report(session: Session, shipment: Shipment, status: str, **details: Any) -> None:
    """The carrier says something, and the pharmacy's worker reads it."""
    delivery_id = carrier_event(session, shipment, status, **details)
    assert delivery_id is not None
    tracking.read_carrier_event(session, delivery_id, DEFAULT)
    session.flush()


def answer(
    session: Session, case: Case, shipment: Shipment, count: int = 4, *, seal: bool = True, received: bool = True
) -> receipts.ReceiptResult:
    """What the patient says about a parcel."""
    return receipts.confirm_receipt(session, case.patient, shipment.id, count, seal, received)


def raise_risk(session: Session, case: Case, *, high: bool) -> UUID:
    """A suicide risk that somebody found: high stops treatment, a lesser one only shipping. Gives the flag's id."""
    triage = Triage(
        level=None,
        show_crisis_resources=True,
        requires_cssrs_today=False,
        alert_parties=(),
        urgent_task=True,
        page=high,
        blocks_shipping=True,
        blocks_dosing_prescribing_refills=high,
        findings=(),
    )
    source = risk.RiskSource.SCREENING
    flag = risk.act_on(session, case.patient, case.episode, triage, source=source, subject_id=new_id())
    assert flag is not None
    return flag.id


def timers_of(session: Session, subject_id: UUID) -> dict[str, datetime]:
    """The running timers of something, by kind."""
    session.flush()
    running = select(Timer).where(Timer.subject_id == subject_id, Timer.ended_at.is_(None))
    return {timer.kind: timer.due_at for timer in session.scalars(running)}
