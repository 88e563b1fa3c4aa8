"""Everything that somebody can do about the patient, each as one call of a use case with what chance gives.

An act gets the stage, the actor and a ``Dice`` for what is open: which record, how much, whether all is well. It knows
nothing of what is allowed: that is for the service to say, and for ``invariants.py`` to watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import select

from services.core import clock
from services.core.actors import Actor
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.eligibility import decisions as eligibility
from services.eligibility import reviews
from services.eligibility.decisions import Decision, Verdict
from services.exports import export_patient
from services.outcomes import psychotherapy_notes, reports
from services.outcomes.models import PsychotherapyNote
from services.outcomes.reports import Report
from services.people import consents, episodes
from services.people.models import Account, SigningGrant
from services.people.signing_grants import EndCode
from services.prescribing import contacts, fills, pdmp_checks, prescriptions, signing, signing_access
from services.prescribing.contacts import Manner
from services.prescribing.models import Fill, Prescription
from services.prescribing.pdmp_checks import PdmpFinding
from services.prescribing.reviews import review_of
from services.refills import decisions, requests
from services.refills.models import RefillRequest
from services.screening import risk, screenings
from services.screening.consent_texts import current_texts
from services.screening.models import RiskFlag, Screening
from services.sessions import (
    adverse_events,
    afterwards,
    answers,
    bookings,
    departures,
    dosing,
    emergencies,
    ledgers,
    looks,
    physician_checks,
    readiness,
    reconciliations,
    rounds,
    vitals,
)
from services.sessions.adverse_event_rules import Grade
from services.sessions.looks import Look
from services.sessions.models import AdverseEvent, TherapySession
from services.sessions.states import SessionKind
from services.sessions.vitals import Phase
from services.shipping import losses, receipts, shipments
from services.shipping.models import DiversionReview, Shipment
from services.shipping.states import ShipmentStep
from services.vault.boxes import box
from tests import factories_screening
from tests.factories import PASSWORD, code_of
from tests.factories_prescribing import content, parcel, report
from tests.factories_refills import CLEAR, gad7, phq9
from tests.factories_sessions import ALCOHOL_AND_THC, a_reading, booking, chaperone, found, remote_facts, well
from tests.machine.stage import SECRET_WORDS, Stage

T = TypeVar("T")
CSSRS: Final = "cssrs_since_last_visit"
WHY: Final = Personal("Discussed.")


class Nothing(Exception):
    """There is no record that the act could be about."""


@dataclass
class Dice:
    """Chance, as numbers that were drawn: ``pick`` gives one of several, the likeliest first."""

    numbers: Sequence[int]
    used: int = 0

    def number(self) -> int:
        """The next number, from 0 to 99; 0 when none is left."""
        self.used += 1
        return self.numbers[self.used - 1] if self.used <= len(self.numbers) else 0

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``: the first most of the time."""
        if not options:
            raise Nothing
        number = self.number()
        return options[0] if number < 60 else options[number % len(options)]

    def is_odd(self) -> bool:
        """Whether something is not as it should be: once in a while."""
        return self.number() >= 85


@dataclass(frozen=True)
class Act:
    """``do`` it; ``by`` tells whose business it is, ``about`` nothing but the name."""

    name: str
    by: str
    do: Callable[[Stage, Actor, Dice], Any]


ACTS: Final[dict[str, Act]] = {}


def act(by: str) -> Callable[[Callable[[Stage, Actor, Dice], Any]], Callable[[Stage, Actor, Dice], Any]]:
    """Put a function on the list of acts, under its name in plain words."""

    def keep(do: Callable[[Stage, Actor, Dice], Any]) -> Callable[[Stage, Actor, Dice], Any]:
        name = do.__name__.replace("_", " ")
        ACTS[name] = Act(name, by, do)
        return do

    return keep


def newest(stage: Stage, model: Any, *conditions: Any) -> list[UUID]:
    """The ids of the episode's rows, newest first."""
    query = select(model.id).where(model.episode_id == stage.standing.episode_id, *conditions)
    return list(stage.session.scalars(query.order_by(model.id.desc())))


# ---- Screening and eligibility ---------------------------------------------------------------------------------------


@act("patient")
def consent_to_treatment(stage: Stage, actor: Actor, dice: Dice) -> Any:
    wording = current_texts()[consents.ConsentKind.TREATMENT]
    return consents.give_consent(
        stage.session,
        actor,
        stage.episode,
        consents.ConsentKind.TREATMENT,
        text_version=wording.version,
        wording=Personal(wording.wording),
        source=consents.ConsentSource.LINK,
    )


@act("patient")
def withdraw_consent(stage: Stage, actor: Actor, dice: Dice) -> Any:
    kind = dice.pick([consents.ConsentKind.TREATMENT, consents.ConsentKind.SMS])
    return consents.withdraw_consent(stage.session, actor, stage.episode, kind, source=consents.ConsentSource.LINK)


@act("patient")
def answer_screening(stage: Stage, actor: Actor, dice: Dice) -> Any:
    parts: dict[str, Any] = {}
    if dice.is_odd():
        parts = dice.pick(
            [
                {"phq9": {f"q{number}": 2 for number in range(1, 9)} | {"q9": 2}},
                {"cssrs": {"q1": True, "q2": True, "q3": True, "q4": True, "q5": False, "q6_ever": False}},
                {"history": factories_screening.history(pregnancy="present")},
                {"history": factories_screening.history(breast_feeding="present")},
                {"medicines": ["Alprazolam", "made up herb"]},
                {"blood_pressures": None},
            ]
        )
    screening_id = dice.pick(newest(stage, Screening))
    saved = screenings.save_answers(stage.session, actor, screening_id, factories_screening.answers(**parts))
    stage.answered.add(screening_id)
    return saved


@act("patient")
def complete_screening(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return reviews.submit_screening(stage.session, actor, dice.pick(newest(stage, Screening)))


@act("prescriber")
def decide_on_eligibility(stage: Stage, actor: Actor, dice: Dice) -> Any:
    decision = dice.pick([Decision.APPROVE, Decision.ASK, Decision.DECLINE])
    reasons = {}
    if decision is Decision.APPROVE and not dice.is_odd():
        findings = reviews.read_review(stage.session, actor, stage.episode.id).findings or ()
        # A reason for everything, even where none can help.
        reasons = {finding.rule: WHY for finding in findings}
    verdict = Verdict(decision=decision, reason=WHY, reasons=reasons)
    return eligibility.decide(stage.session, actor, stage.episode.id, verdict)


@act("prescriber")
def screen_again(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return eligibility.screen_again(stage.session, actor, stage.episode.id, WHY)


@act("prescriber")
def clear_risk(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return risk.clear(stage.session, actor, dice.pick(newest(stage, RiskFlag)), WHY)


@act("prescriber")
def assign_prescriber(stage: Stage, actor: Actor, dice: Dice) -> Any:
    names = ["prescriber", "second prescriber", "other prescriber", "staff"]
    return episodes.assign_prescriber(stage.session, actor, stage.episode.id, stage.people[dice.pick(names)].id)


@act("staff")
def change_therapist(stage: Stage, actor: Actor, dice: Dice) -> Any:
    name = dice.pick(["therapist", "colleague", "nobody", "other therapist", "staff"])
    therapist_id = None if name == "nobody" else stage.people[name].id
    return episodes.change_therapist(stage.session, actor, stage.episode.id, therapist_id)


# ---- Prescribing -----------------------------------------------------------------------------------------------------


@act("staff")
def check_pdmp(stage: Stage, actor: Actor, dice: Dice) -> Any:
    finding = dice.pick([PdmpFinding.NOTHING_UNEXPECTED, *PdmpFinding])
    return pdmp_checks.record_check(stage.session, actor, stage.episode.id, states=["CA"], finding=finding)


@act("staff")
def draft(stage: Stage, actor: Actor, dice: Dice) -> Any:
    changes: dict[str, Any] = {"refills": dice.pick([2, 0, 1, 5, 6])}
    if dice.is_odd():
        changes |= dice.pick(
            [
                {"booster_mg": 50, "quantity_units": 6},
                {"dose_mg": 400, "quantity_units": 8},
                {"dose_mg": 700, "quantity_units": 14, "weight_kg": 150.0},
                {"quantity_units": 40, "sessions_supply": 6},
                {"first_session_dose_mg": 200},
                {"sessions_supply": 6, "quantity_units": 12},
            ]
        )
    request = dice.pick([None, *newest(stage, RefillRequest)])
    return prescriptions.draft(stage.session, actor, stage.episode.id, content(**changes), refill_request_id=request)


@act("staff")
def change_draft(stage: Stage, actor: Actor, dice: Dice) -> Any:
    changes = dice.pick([{"quantity_units": 3}, {"dose_mg": 300}, {"refills": 3}, {"directions": "As told."}])
    return prescriptions.change(stage.session, actor, dice.pick(newest(stage, Prescription)), changes)


@act("prescriber")
def mark_ready(stage: Stage, actor: Actor, dice: Dice) -> Any:
    prescription_id = dice.pick(newest(stage, Prescription))
    reasons = {}
    if not dice.is_odd():
        row = stage.session.get_one(Prescription, prescription_id)
        found = review_of(box(stage.session, row.patient_id), row).findings
        reasons = {each["rule"]: WHY for each in found if each["severity"] != "inform"}
    return prescriptions.mark_ready(stage.session, actor, prescription_id, reasons)


@act("second prescriber")
def agree_to_prescription(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return prescriptions.agree(stage.session, actor, dice.pick(newest(stage, Prescription)))


@act("prescriber")
def sign(stage: Stage, actor: Actor, dice: Dice) -> Any:
    prescription_id = dice.pick(newest(stage, Prescription))
    account = _proving(stage, actor)
    code = Secret("000000" if dice.is_odd() else code_of(stage.session, account))
    return signing.sign(stage.session, actor, [prescription_id], code, password=Secret(PASSWORD))


@act("prescriber")
def cancel_prescription(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return prescriptions.cancel(stage.session, actor, dice.pick(newest(stage, Prescription)), WHY)


@act("operator")
def nominate_for_signing(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return signing_access.nominate(stage.session, actor, stage.people[dice.pick(SIGNERS)].id)


@act("second prescriber")
def approve_access_to_signing(stage: Stage, actor: Actor, dice: Dice) -> Any:
    account = _proving(stage, actor)
    grant = dice.pick([row.id for row in grants_of(stage) if row.state != "ended"])
    code, password = Secret(code_of(stage.session, account)), Secret(PASSWORD)
    return signing_access.approve(stage.session, actor, grant, code, password=password)


@act("operator")
def end_access_to_signing(stage: Stage, actor: Actor, dice: Dice) -> Any:
    grant = dice.pick([row.id for row in grants_of(stage) if row.state != "ended"])
    return signing_access.end(stage.session, actor, grant, dice.pick(list(EndCode)[:2]))


SIGNERS: Final = ("prescriber", "second prescriber", "other prescriber")


def grants_of(stage: Stage) -> list[SigningGrant]:
    """Who may sign or was to, the prescriber of this patient first."""
    ids = [stage.people[name].id for name in SIGNERS]
    found = stage.session.scalars(select(SigningGrant).where(SigningGrant.account_id.in_(ids)))
    return sorted(found, key=lambda row: (ids.index(row.account_id), -row.id.int))


def _proving(stage: Stage, actor: Actor) -> Account:
    """The account of somebody whose every code works, as if enough time had passed."""
    account = stage.session.get(Account, actor.id)
    if account is None:
        raise Nothing
    account.totp_last_step = account.failed_attempts = 0
    return account


# ---- Pharmacy and parcels --------------------------------------------------------------------------------------------


@act("pharmacist")
def fill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    prescription_id = dice.pick(newest(stage, Prescription))
    quantity = dice.pick([4, 2, 1, 5, 8, 40])
    is_refill = dice.pick([_is_filled(stage, prescription_id), True, False])
    return fills.record_fill(stage.session, actor, prescription_id, quantity, is_refill=is_refill)


def _is_filled(stage: Stage, prescription_id: UUID) -> bool:
    return bool(newest(stage, Fill, Fill.prescription_id == prescription_id))


@act("pharmacist")
def ship(stage: Stage, actor: Actor, dice: Dice) -> Any:
    changes: dict[str, Any] = {"delivery_confirmation": "NO_SIGNATURE"} if dice.is_odd() else {}
    made = parcel(stage.session, stage.case, **changes)
    return shipments.create_shipment(stage.session, actor, dice.pick(newest(stage, Fill)), made)


@act("pharmacist")
def mark_parcel(stage: Stage, actor: Actor, dice: Dice) -> Any:
    step = dice.pick([ShipmentStep.MARK_RETURNED, ShipmentStep.MARK_LOST])
    return shipments.mark(stage.session, actor, dice.pick(newest(stage, Shipment)), step, WHY)


@act("pharmacist")
def quarantine(stage: Stage, actor: Actor, dice: Dice) -> Any:
    shipment_id = dice.pick(newest(stage, Shipment))
    return shipments.quarantine(stage.session, actor, shipment_id, dice.pick([_shipped(stage, shipment_id), 1, 9]))


@act("pharmacist")
def report_loss_in_pharmacy(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return losses.report_in_pharmacy(stage.session, actor, dice.pick(newest(stage, Fill)), _discovery(dice))


@act("patient")
def report_loss_at_home(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return reconciliations.report_home_loss(stage.session, actor, stage.episode.id, _discovery(dice))


def _discovery(dice: Dice) -> losses.Discovery:
    return losses.Discovery(units=dice.pick([1, 4, 0.5, 30]), what_happened=WHY, discovered_at=clock.now())


@act("prescriber")
def resolve_diversion_review(stage: Stage, actor: Actor, dice: Dice) -> Any:
    review_id = dice.pick(newest(stage, DiversionReview))
    outcome = dice.pick([*reconciliations.Outcome])
    return reconciliations.resolve_review(stage.session, actor, review_id, outcome, WHY)


@act("patient")
def dispose_of_leftovers(stage: Stage, actor: Actor, dice: Dice) -> Any:
    method, is_attested = dice.pick(list(ledgers.Disposal)), not dice.is_odd()
    how = ledgers.Attestation(method=method, witness=Personal("Wil Witness"), attested=is_attested, reason=WHY)
    return ledgers.record_disposal(stage.session, actor, stage.episode.id, dice.pick([1, 0.5, 3, 50]), how)


STATUSES: Final = (
    "delivered",
    "in_transit",
    "pre_transit",
    "out_for_delivery",
    "available_for_pickup",
    "return_to_sender",
    "failure",
    "cancelled",
    "error",
    "unknown",
)
DETAILS: Final = (None, "delayed", "address_correction", "damaged", "lost", "refused", "weather_delay")


@act("carrier")
def carrier_reports(stage: Stage, actor: Actor, dice: Dice) -> Any:
    """Any status, in any order, now or as of days ago, and sometimes one that was reported before."""
    shipment = stage.session.get_one(Shipment, dice.pick(newest(stage, Shipment)))
    at = clock.now() - timedelta(days=dice.number() % 5 if dice.is_odd() else 0)
    status, detail = dice.pick(STATUSES), dice.pick(DETAILS)
    event_id = f"evt_{shipment.id.hex}_{status}" if dice.is_odd() else f"evt_{new_id().hex}"
    try:
        report(stage.session, shipment, status, detail=detail, at=at, event_id=event_id)
    except AssertionError:
        raise Nothing from None  # the very event came before and was not even stored


@act("patient")
def confirm_receipt(stage: Stage, actor: Actor, dice: Dice) -> Any:
    shipment_id = dice.pick(newest(stage, Shipment))
    count = dice.pick([_shipped(stage, shipment_id), 0, 3, 9])
    is_whole, has_come = not dice.is_odd(), not dice.is_odd()
    return receipts.confirm_receipt(stage.session, actor, shipment_id, count, is_whole, has_come)


@act("pharmacist")
def resolve_receipt(stage: Stage, actor: Actor, dice: Dice) -> Any:
    shipment_id = dice.pick(newest(stage, Shipment))
    count = dice.pick([_shipped(stage, shipment_id), 0, 3, 9])
    return receipts.resolve_receipt(stage.session, actor, shipment_id, count, not dice.is_odd(), WHY)


def _shipped(stage: Stage, shipment_id: UUID) -> int:
    row = stage.session.get_one(Shipment, shipment_id)
    return int(box(stage.session, row.patient_id).open(row, "quantity").reveal())


# ---- Sessions --------------------------------------------------------------------------------------------------------


def sessions_of(stage: Stage, kind: SessionKind | None = None) -> list[UUID]:
    """The ids of sessions, those booked last first."""
    return newest(stage, TherapySession, *([] if kind is None else [TherapySession.kind == kind]))


@act("therapist")
def book(stage: Stage, actor: Actor, dice: Dice) -> Any:
    kind = dice.pick([SessionKind.DOSING, SessionKind.PREPARATION])
    hours = dice.pick([1, 2, 24, 200, -1])
    made = booking(kind=kind, starts_at=clock.now() + timedelta(hours=hours), remote=dice.is_odd())
    return bookings.book_session(stage.session, actor, stage.episode.id, made)


@act("therapist")
def book_integration(stage: Stage, actor: Actor, dice: Dice) -> Any:
    dosing_id = dice.pick(sessions_of(stage, SessionKind.DOSING))
    starts_at = clock.now() + timedelta(hours=dice.pick([26, 1, 80]))
    made = booking(kind=SessionKind.INTEGRATION, starts_at=starts_at, integrates_id=dosing_id)
    return bookings.book_session(stage.session, actor, stage.episode.id, made)


@act("therapist")
def move_session(stage: Stage, actor: Actor, dice: Dice) -> Any:
    move = bookings.Move(starts_at=clock.now() + timedelta(hours=dice.pick([2, 30, 300])))
    return bookings.move_session(stage.session, actor, dice.pick(sessions_of(stage)), move)


@act("therapist")
def cancel_session(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return bookings.cancel_session(stage.session, actor, dice.pick(sessions_of(stage)), WHY)


@act("patient")
def confirm_session(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return answers.confirm_session(stage.session, actor, dice.pick(sessions_of(stage)))


@act("therapist")
def record_readiness(stage: Stage, actor: Actor, dice: Dice) -> Any:
    changes: dict[str, Any] = {}
    if dice.is_odd():
        changes = dice.pick(
            [
                {"chaperone": None},
                {"chaperone": chaperone(present=False)},
                {"chaperone": chaperone(sober_attested=False)},
                {"chaperone": chaperone(age_years=17)},
                {"last_food_at": clock.now() - timedelta(hours=1)},
                {"intakes": {ALCOHOL_AND_THC: clock.now() - timedelta(hours=1)}},
                {"remote": remote_facts()},
            ]
        )
    ids = sessions_of(stage, SessionKind.DOSING)
    return readiness.record_readiness(stage.session, actor, dice.pick(ids), found(**changes))


@act("therapist")
def measure(stage: Stage, actor: Actor, dice: Dice) -> Any:
    phase = dice.pick([_phase(stage), *Phase])
    changes: dict[str, Any] = {}
    if dice.is_odd():
        changes = dice.pick(
            [
                {"systolic": 145},
                {"systolic": 139, "diastolic": 90},
                {"heart_rate": 101},
                {"oxygen_percent": 93},
                {"systolic": 165, "diastolic": 101},
                {"systolic": 182, "diastolic": 121},
                {"red_flags": ["chest_pain"]},
            ]
        )
    ids = sessions_of(stage, SessionKind.DOSING)
    return vitals.record_vitals(stage.session, actor, dice.pick(ids), phase, a_reading(**changes))


def _phase(stage: Stage) -> Phase:
    last = stage.session.scalar(
        select(TherapySession.dosed_at)
        .where(TherapySession.episode_id == stage.episode.id, TherapySession.kind == SessionKind.DOSING)
        .order_by(TherapySession.id.desc())
        .limit(1)
    )
    return Phase.BEFORE if last is None else Phase.AFTER


@act("therapist")
def give_dose(stage: Stage, actor: Actor, dice: Dice) -> Any:
    session_id = dice.pick(sessions_of(stage, SessionKind.DOSING))
    mg = dice.pick([100, 50, 200, 300, 400])
    return dosing.record_dose(stage.session, actor, session_id, mg, is_booster=dice.is_odd())


@act("therapist")
def look(stage: Stage, actor: Actor, dice: Dice) -> Any:
    flags = {"chest_pain"} if dice.number() >= 95 else ()
    looked = Look(concern=dice.is_odd(), red_flags=flags, on_video=dice.pick([True, True, None, False]))
    return looks.record_check(stage.session, actor, dice.pick(sessions_of(stage, SessionKind.DOSING)), looked)


@act("prescriber")
def check_in_at_start(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return physician_checks.check_in_at_start(stage.session, actor, dice.pick(sessions_of(stage, SessionKind.DOSING)))


@act("therapist")
def pass_discharge(stage: Stage, actor: Actor, dice: Dice) -> Any:
    changes = {dice.pick(["oriented", "walks_unaided", "escort_present"]): False} if dice.is_odd() else {}
    ids = sessions_of(stage, SessionKind.DOSING)
    return departures.pass_discharge(stage.session, actor, dice.pick(ids), well(**changes))


@act("therapist")
def discharge(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return departures.discharge(stage.session, actor, dice.pick(sessions_of(stage, SessionKind.DOSING)))


@act("therapist")
def abort(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return departures.abort(stage.session, actor, dice.pick(sessions_of(stage, SessionKind.DOSING)), WHY)


@act("therapist")
def declare_emergency(stage: Stage, actor: Actor, dice: Dice) -> Any:
    ids = sessions_of(stage, SessionKind.DOSING)
    return emergencies.declare_emergency(stage.session, actor, dice.pick(ids), {"chest_pain"}, WHY)


@act("prescriber")
def close_emergency(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return emergencies.close_emergency(stage.session, actor, dice.pick(sessions_of(stage, SessionKind.DOSING)), WHY)


@act("therapist")
def hold_session(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return afterwards.hold_session(stage.session, actor, dice.pick(sessions_of(stage)))


@act("therapist")
def check_in(stage: Stage, actor: Actor, dice: Dice) -> Any:
    ids = sessions_of(stage, SessionKind.DOSING)
    return afterwards.record_check_in(stage.session, actor, dice.pick(ids), dice.is_odd())


@act("prescriber")
def extend_round(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return rounds.extend_round(stage.session, actor, stage.episode.id, dice.pick([10, 6, 12]), WHY)


@act("therapist")
def report_adverse_event(stage: Stage, actor: Actor, dice: Dice) -> Any:
    grade = dice.pick([Grade.MILD, *Grade])
    given = adverse_events.Report(grade=grade, description=Personal("Nausea."), occurred_at=clock.now())
    return adverse_events.record_adverse_event(stage.session, actor, stage.episode.id, given)


@act("prescriber")
def close_adverse_event(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return adverse_events.close_adverse_event(stage.session, actor, dice.pick(newest(stage, AdverseEvent)), WHY)


# ---- The ledger, outcomes and refills --------------------------------------------------------------------------------


@act("patient")
def count_stock(stage: Stage, actor: Actor, dice: Dice) -> Any:
    expected = ledgers.ledger(stage.session, stage.episode.id).remaining_expected
    units = dice.pick([expected, expected + 1, 0])
    return ledgers.record_count(stage.session, actor, stage.episode.id, max(units, 0))


@act("patient")
def record_waste(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return ledgers.record_waste(stage.session, actor, stage.episode.id, dice.pick([0.5, 1, 3, 50]), WHY)


@act("therapist")
def report_outcome(stage: Stage, actor: Actor, dice: Dice) -> Any:
    scales: dict[str, Any] = {"phq9": phq9(8), "gad7": gad7(4), CSSRS: CLEAR}
    if dice.is_odd():
        scales |= dice.pick(
            [
                {"phq9": phq9(27)},
                {CSSRS: {"q1": True, "q2": True, "q3": True, "q4": False, "q5": False, "q6": False}},
                {CSSRS: {"q1": True, "q2": True, "q3": True, "q4": True, "q5": False, "q6": False}},
            ]
        )
    return reports.report_outcome(stage.session, actor, stage.episode.id, Report(answers=scales))


@act("prescriber")
def speak_with_patient(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return contacts.record_contact(stage.session, actor, stage.episode.id, dice.pick(list(Manner)))


@act("therapist")
def request_refill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    expected = ledgers.ledger(stage.session, stage.episode.id).remaining_expected
    units = dice.pick([max(expected, 0), None, 0, expected + 1])
    given = None if units is None else Personal(float(units))
    return requests.request_refill(stage.session, actor, stage.episode.id, remaining_units=given)


@act("prescriber")
def approve_refill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    request_id = dice.pick(newest(stage, RefillRequest))
    return decisions.approve(stage.session, actor, request_id, changed=dice.is_odd(), reason=WHY)


@act("prescriber")
def decline_refill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return decisions.decline(stage.session, actor, dice.pick(newest(stage, RefillRequest)), WHY)


@act("prescriber")
def ask_about_refill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return decisions.ask(stage.session, actor, dice.pick(newest(stage, RefillRequest)), WHY)


@act("therapist")
def answer_about_refill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return requests.answer_request(stage.session, actor, dice.pick(newest(stage, RefillRequest)), WHY)


@act("prescriber")
def forward_refill(stage: Stage, actor: Actor, dice: Dice) -> Any:
    to = stage.people[dice.pick(["second prescriber", "prescriber", "other prescriber"])].id
    return decisions.forward(stage.session, actor, dice.pick(newest(stage, RefillRequest)), to, WHY)


# ---- Psychotherapy notes ---------------------------------------------------------------------------------------------


@act("therapist")
def write_note(stage: Stage, actor: Actor, dice: Dice) -> Any:
    return psychotherapy_notes.write_note(stage.session, actor, stage.episode.id, Personal(SECRET_WORDS))


@act("therapist")
def read_note(stage: Stage, actor: Actor, dice: Dice) -> Any:
    note = stage.session.get_one(PsychotherapyNote, dice.pick(newest(stage, PsychotherapyNote)))
    read = psychotherapy_notes.read_note(stage.session, actor, note.id)
    assert actor.id == note.author_id, f"{actor.role} read a psychotherapy note of somebody else"
    return read


@act("patient")
def export_all(stage: Stage, actor: Actor, dice: Dice) -> Any:
    document = export_patient(stage.session, actor, stage.episode.patient_id)
    assert SECRET_WORDS not in str(document), "an export holds a psychotherapy note"
    return document
