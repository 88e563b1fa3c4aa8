"""Every invariant can fail: a treatment that went well holds them all, and each way to break it is told by its name.

What is broken here is what stands in the tables, as a use case without its rules would have left it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.core.personal import Personal
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.outcomes.models import OutcomeReport, ResponseDecision
from services.outcomes.psychotherapy_notes import write_note
from services.people.models import Consent, DeaRegistration, Licence, Organisation, SigningGrant
from services.prescribing.models import (
    Fill,
    FillAuthorization,
    PdmpCheck,
    PrescriberContact,
    Prescription,
    StockEntry,
)
from services.refills import decisions, requests
from services.refills.models import RefillRequest
from services.sessions.adverse_event_rules import Grade
from services.sessions.adverse_events import Report, record_adverse_event
from services.sessions.models import Dose, TherapySession, VitalsReading
from services.sessions.states import SessionState
from services.shipping.diversions import Cause, raise_review
from services.shipping.models import Shipment
from services.vault.boxes import box, forget_boxes
from tests.factories_prescribing import Case, check_pdmp, follow_up, raise_risk
from tests.factories_refills import held_dosing_session, report_all_scales
from tests.factories_sessions import drive, make_supplied, stopped_clock
from tests.machine.invariants import Invariants
from tests.machine.record import day_of
from tests.machine.stage import SECRET_WORDS, Stage, session_on

ALL_TABLES: Final = frozenset(
    {
        "eligibility_decisions", "prescriptions", "fills", "fill_authorizations", "shipments", "doses", "sessions",
        "refill_requests", "wastes", "receipts", "stock_entries",
    }
)  # fmt: skip
WEEK: Final = timedelta(days=7)
ELDEST: Final = 0
NEWEST: Final = -1


@dataclass(frozen=True)
class World:
    """A patient who took a first and a second dose and for whom a refill was asked for and approved."""

    session: Session
    case: Case

    def rows(self, model: Any) -> list[Any]:
        query = select(model).where(model.episode_id == self.case.episode.id)
        return list(self.session.scalars(query.order_by(model.id)))

    def one(self, model: Any, which: int = ELDEST) -> Any:
        return self.rows(model)[which]

    def dosing(self, which: int = ELDEST) -> TherapySession:
        return [row for row in self.rows(TherapySession) if row.kind == "dosing"][which]

    def readings(self, which: int, phase: str) -> list[VitalsReading]:
        query = select(VitalsReading).where(
            VitalsReading.session_id == self.dosing(which).id, VitalsReading.phase == phase
        )
        return list(self.session.scalars(query))

    def reseal(self, row: Any, column: str, **changes: Any) -> None:
        """Change part of what is sealed in a row."""
        own = box(self.session, self.case.episode.patient_id)
        own.seal(row, column, {**own.open(row, column).reveal(), **changes})
        self.session.flush()

    def seal(self, row: Any, column: str, value: Any) -> None:
        box(self.session, self.case.episode.patient_id).seal(row, column, value)
        self.session.flush()


def yesterday() -> date:
    """The day before today of the patient's calendar."""
    return day_of(clock.now()) - timedelta(days=1)


def invariants(world: World) -> Invariants:
    """Judges everything anew."""
    standing = SimpleNamespace(episode_id=world.case.episode.id)
    return Invariants(
        cast(Stage, SimpleNamespace(session=world.session, episode=world.case.episode, standing=standing))
    )


def judge(world: World) -> None:
    world.session.flush()
    judging = invariants(world)
    judging.hold(ALL_TABLES)
    judging.notes_stay_where_they_are()


@pytest.fixture(scope="module")
def treated(environment: Mapping[str, str], database: Engine) -> Iterator[World]:
    with database.connect() as connection, stopped_clock() as moment:
        outer = connection.begin()
        try:
            with session_on(connection) as session:
                case = make_supplied(session, refills=2)
                drive(session, case, SessionState.CLOSED, moment, mg=100)
                moment.shift(WEEK)
                drive(session, case, SessionState.INTEGRATION_DUE, moment, mg=200)
                moment.shift(timedelta(days=1))
                write_note(session, case.actor("therapist"), case.episode.id, Personal(SECRET_WORDS))
                follow_up(session, case)
                report_all_scales(session, case.episode)
                check_pdmp(session, case)
                asked = requests.request_refill(
                    session, case.actor("therapist"), case.episode.id, remaining_units=Personal(1.0)
                )
                decisions.approve(session, case.prescriber, cast(Any, asked).request.id, changed=False)
                session.flush()
                yield World(session, case)
        finally:
            forget_boxes()
            outer.rollback()


@pytest.fixture
def world(treated: World) -> Iterator[World]:
    """The same for every test: what a test breaks is mended afterwards."""
    undo = treated.session.begin_nested()
    yield treated
    undo.rollback()
    treated.session.expire_all()


def test_a_treatment_that_goes_well_holds_everything(world: World) -> None:
    judge(world)
    assert len(world.rows(Dose)) == 2
    assert world.one(RefillRequest).state == "approved"


Break = Callable[[World], object]


def setting(model: Any, which: int = ELDEST, **values: Any) -> Break:
    """Other values in the columns of one row."""

    def do(world: World) -> None:
        for name, value in values.items():
            setattr(world.one(model, which), name, value)

    return do


def resealing(model: Any, column: str, which: int = ELDEST, **changes: Any) -> Break:
    return lambda world: world.reseal(world.one(model, which), column, **changes)


def removing(model: Any) -> Break:
    def do(world: World) -> None:
        world.session.execute(delete(model).where(model.episode_id == world.case.episode.id))
        world.session.expire_all()

    return do


def days_ago(model: Any, column: str, days: int) -> Break:
    """All of it as if it had been so many days before."""

    def do(world: World) -> None:
        at = clock.now() - timedelta(days=days)
        world.session.execute(update(model).where(model.episode_id == world.case.episode.id).values({column: at}))
        world.session.expire_all()

    return do


def all_of(*breaks: Break) -> Break:
    def do(world: World) -> None:
        for each in breaks:
            each(world)

    return do


def risk(high: bool) -> Break:
    return lambda world: raise_risk(world.session, world.case, high=high)


def reviewing(world: World) -> None:
    raise_review(world.session, world.case.actor("therapist"), world.case.episode, Cause.STOCK_COUNT, None, {})


def lapse(world: World) -> None:
    world.one(EligibilityDecision).valid_until = yesterday()


def decline(world: World) -> None:
    world.one(EligibilityReview).state = "declined"


def in_spite_of_a_stop(world: World) -> None:
    stop = {"rule": "eligibility.stroke", "severity": "stop"}
    world.seal(world.one(EligibilityDecision), "findings", [stop])


def without_reasons(world: World) -> None:
    asked = {"rule": "prescribing.dose_high", "severity": "review"}
    world.reseal(world.one(Prescription), "review", findings=[asked], reasons={})


def alone(world: World) -> None:
    grant = world.session.scalars(select(SigningGrant).where(SigningGrant.account_id == world.case.prescriber.id)).one()
    grant.approved_by = grant.nominated_by


def ended_grant(world: World) -> None:
    world.session.execute(update(SigningGrant).values(state="ended"))
    world.session.expire_all()


def first_dose_too_high(world: World) -> None:
    removing(Dose)(world)
    world.reseal(world.one(Prescription), "content", first_session_dose_mg=101)


def chaperone(**changes: Any) -> Break:
    def do(world: World) -> None:
        row = world.dosing()
        readiness = box(world.session, row.patient_id).open(row, "readiness").reveal()
        world.reseal(row, "readiness", chaperone={**readiness["chaperone"], **changes})

    return do


def alone_at_home(world: World) -> None:
    world.reseal(world.dosing(), "readiness", chaperone=None)


def measured(which: int, phase: str, **changes: Any) -> Break:
    return lambda world: world.reseal(world.readings(which, phase)[0], "reading", **changes)


def unmeasured(phase: str) -> Break:
    def do(world: World) -> None:
        world.session.delete(world.readings(ELDEST, phase)[0])
        world.session.flush()

    return do


def measured_early(world: World) -> None:
    world.readings(ELDEST, "before")[0].taken_at -= timedelta(minutes=26)  # the dose came five minutes later


def gone_on(world: World) -> None:
    """A high pressure, and more taken after it as if it had not been seen."""
    before = world.readings(NEWEST, "before")[0]
    high = VitalsReading(
        id=new_id(),
        session_id=before.session_id,
        patient_id=before.patient_id,
        phase="during",
        taken_at=clock.now(),
        recorded_by=before.recorded_by,
        recorded_at=clock.now(),
    )
    own = box(world.session, before.patient_id)
    own.seal(high, "reading", {"systolic": 160, "diastolic": 80, "heart_rate": 70})
    own.seal(high, "gate", {"outcome": "noted", "findings": []})
    world.session.add(high)


def boosted(minutes: float, mg: int = 50) -> Break:
    """A booster so long after the first session's dose."""

    def do(world: World) -> None:
        before = world.one(Dose)
        booster = Dose(
            id=new_id(),
            session_id=before.session_id,
            episode_id=before.episode_id,
            patient_id=before.patient_id,
            prescription_id=before.prescription_id,
            taken_at=before.taken_at + timedelta(minutes=minutes),
            recorded_by=before.recorded_by,
            recorded_at=before.recorded_at,
        )
        content = box(world.session, before.patient_id).open(before, "content").reveal()
        box(world.session, before.patient_id).seal(booster, "content", {**content, "mg": mg, "is_booster": True})
        world.session.add(booster)

    return do


def booster_allowed(world: World) -> None:
    world.reseal(world.one(Prescription), "content", booster_mg=50, first_session_dose_mg=150)


def closer(days: float) -> Break:
    """The second session so many days after the first."""

    def do(world: World) -> None:
        first, second = world.dosing(ELDEST), world.dosing(NEWEST)
        assert first.dosed_at is not None
        second.dosed_at = first.dosed_at + timedelta(days=days)

    return do


def third_in_a_week(world: World) -> None:
    first, second = world.dosing(ELDEST), world.dosing(NEWEST)
    assert first.dosed_at is not None
    second.dosed_at = first.dosed_at + timedelta(days=3)
    held_dosing_session(world.session, world.case.episode, dosed_at=first.dosed_at + timedelta(days=6))


def left_after(minutes: float) -> Break:
    def do(world: World) -> None:
        row = world.dosing()
        assert row.last_dose_at is not None
        row.ended_at = row.last_dose_at + timedelta(minutes=minutes)

    return do


def fell(world: World) -> None:
    given = Report(grade=Grade.SEVERE, description=Personal("Fell."), occurred_at=clock.now())
    record_adverse_event(world.session, world.case.actor("therapist"), world.case.episode.id, given)


def unanswered(scale: str) -> Break:
    """One of the scales was never answered."""

    def do(world: World) -> None:
        row = world.one(OutcomeReport)
        scores = box(world.session, row.patient_id).open(row, "results").reveal()["scores"]
        world.reseal(row, "results", scores={name: given for name, given in scores.items() if name != scale})

    return do


def revoked(model: Any) -> Break:
    def do(world: World) -> None:
        world.session.execute(update(model).values(revoked_on=yesterday()))
        world.session.expire_all()

    return do


def undecided(world: World) -> None:
    row = ResponseDecision(
        id=new_id(),
        patient_id=world.case.episode.patient_id,
        episode_id=world.case.episode.id,
        state="open",
        programme_version="default",
        noted_at=clock.now(),
    )
    box(world.session, row.patient_id).seal(row, "findings", [])
    world.session.add(row)


def eight_held(world: World) -> None:
    for week in range(1, 7):
        held_dosing_session(world.session, world.case.episode, dosed_at=clock.now() + week * WEEK)


def not_integrated(world: World) -> None:
    talk = next(row for row in world.rows(TherapySession) if row.kind == "integration")
    talk.state = "cancelled"


def out_of_touch(world: World) -> None:
    for model, column in (
        (PrescriberContact, "held_at"),
        (EligibilityDecision, "decided_at"),
        (Prescription, "signed_at"),
        (RefillRequest, "decided_at"),
    ):
        days_ago(model, column, 31)(world)


def lost(units: float) -> Break:
    """Units lost at home that never were there."""

    def do(world: World) -> None:
        row = StockEntry(
            id=new_id(),
            patient_id=world.case.episode.patient_id,
            episode_id=world.case.episode.id,
            prescription_id=world.one(Prescription).id,
            kind="lost_at_home",
            entered_by=world.case.actor("therapist").id,
            entered_at=clock.now(),
        )
        box(world.session, row.patient_id).seal(row, "content", {"units": units, "reason": None})
        world.session.add(row)

    return do


def told_in_the_record(world: World) -> None:
    world.seal(world.one(OutcomeReport), "summary", f"The patient spoke of {SECRET_WORDS}.")


def told_openly(world: World) -> None:
    practice = world.session.get_one(Organisation, world.case.episode.practice_id)
    practice.street = SECRET_WORDS


SIGNED_AND_APPROVED: Final = [
    (in_spite_of_a_stop, "approved in spite of {'eligibility.stroke'}"),
    (risk(high=True), "approved with a suicide risk open"),
]
SIGNING: Final = [
    (without_reasons, "signed without reasons for {'prescribing.dose_high'}"),
    (lapse, "signed without a current approval"),
    (alone, "signed without access to signing"),
    (ended_grant, "signed without access to signing"),
    (risk(high=True), "signed with a suicide risk open"),
    (removing(PdmpCheck), "signed without a check of the PDMP"),
    (days_ago(PdmpCheck, "checked_at", 17), "signed without a check of the PDMP"),
    (resealing(Prescription, "content", dose_mg=601), "601 mg signed by one prescriber"),
    (resealing(Prescription, "content", refills=6), "6 refills"),
    (first_dose_too_high, "a first session of 101 mg"),
]
FILLING: Final = [
    (setting(Prescription, signed_at=None), "filled without a signature"),
    (resealing(Prescription, "content", quantity_units=3), "4 units for"),
    (setting(Fill, fill_number=3), "more refills than prescribed"),
    (all_of(setting(Fill, fill_number=1), removing(FillAuthorization)), "refilled without a prescriber's decision"),
    (all_of(setting(Fill, fill_number=1), setting(RefillRequest, state="declined")), "refilled for a declined request"),
    (lambda world: setattr(world.one(Fill), "filled_on", clock.now().date() + 27 * WEEK), "filled outside its time"),
    (
        lambda world: setattr(world.one(Fill), "filled_on", world.one(Prescription).issued_on - timedelta(days=1)),
        "filled outside its time",
    ),
]
SHIPPING: Final = [
    (setting(Prescription, state="cancelled"), "shipped on a prescription that is cancelled"),
    (setting(Prescription, signed_at=None), "shipped without a signature"),
    (
        lambda world: setattr(world.one(Prescription), "expires_on", yesterday()),
        "shipped on an expired prescription",
    ),
    (lambda world: setattr(world.case.episode, "therapist_id", None), "shipped without a therapist"),
    (risk(high=False), "shipped with a suicide risk open"),
    (decline, "shipped without a current approval"),
    (reviewing, "shipped with a review for diversion open"),
    (setting(Shipment, delivery_confirmation="NO_SIGNATURE"), "shipped without an adult's signature"),
]
DOSING: Final = [
    (setting(Prescription, signed_at=None), "a dose that nobody signed for"),
    (setting(Prescription, state="cancelled"), "a dose of what is cancelled"),
    (setting(Shipment, receipt_state="awaited"), "a dose without a receipt"),
    (lambda world: world.session.execute(update(Consent).values(withdrawn_at=clock.now())), "a dose without consent"),
    (lapse, "a dose without a current approval"),
    (risk(high=True), "a dose with a suicide risk open"),
    (alone_at_home, "a dose without a chaperone"),
    (chaperone(present=False), "a dose with"),
    (chaperone(sober_attested=False), "a dose with"),
    (chaperone(age_years=17), "a dose with"),
    (unmeasured("before"), "a dose without vitals"),
    (measured(ELDEST, "before", systolic=145), "a dose after"),
    (measured(ELDEST, "before", diastolic=90), "a dose after"),
    (measured(ELDEST, "before", heart_rate=101), "a dose after"),
    (measured(ELDEST, "before", heart_rate=49), "a dose after"),
    (measured(ELDEST, "before", oxygen_percent=93), "a dose after"),
    (measured(ELDEST, "before", red_flags=["seizure"]), "a dose after"),
    (measured_early, "after the vitals"),
    (gone_on, "more taken after"),
    (resealing(Dose, "content", NEWEST, mg=201), "201 mg after 100 mg"),
    (resealing(Prescription, "content", dose_mg=150), "200 mg of 150"),
    (boosted(30), "a booster of [50] mg"),
    (all_of(booster_allowed, boosted(30), boosted(31)), "2 boosters"),
    (all_of(booster_allowed, boosted(19)), "a booster after 0:19:00"),
    (resealing(Dose, "content", mg=99), "200 mg after 99 mg"),
    (all_of(booster_allowed, boosted(30)), None),
    (closer(2), "dosed on"),
    (closer(3), None),
    (third_in_a_week, "dosed on ["),
]
LEAVING: Final = [
    (left_after(119.9), "discharged after 1:59:54"),
    (left_after(120), None),
    (unmeasured("after"), "discharged without vitals"),
    (measured(ELDEST, "after", systolic=145), "discharged with"),
    (measured(ELDEST, "after", diastolic=90), "discharged with"),
]
REFILLING: Final = [
    (lapse, "eligibility lapsed"),
    (reviewing, "a review for diversion is open"),
    (lambda world: setattr(world.case.episode, "therapist_id", None), "no therapist"),
    (fell, "an adverse event is open"),
    (risk(high=False), "a suicide risk is open"),
    (days_ago(PdmpCheck, "checked_at", 8), "the PDMP was not checked"),
    (days_ago(OutcomeReport, "answered_at", 8), "scales are old"),
    (unanswered("phq9"), "scales are old"),
    (unanswered("gad7"), "scales are old"),
    (unanswered("cssrs_since_last_visit"), "scales are old"),
    (out_of_touch, "no contact"),
    (unmeasured("before"), "vitals are missing"),
    (not_integrated, "integration is missing"),
    (revoked(Licence), "the licence lapsed"),
    (revoked(DeaRegistration), "the registration lapsed"),
    (resealing(Prescription, "content", dose_mg=30), "it is early"),
    (undecided, "the response is undecided"),
    (eight_held, "the round is full"),
    (resealing(RefillRequest, "facts", remaining_units=2.0), "5.0 units of 4.0"),
    (resealing(RefillRequest, "facts", taken_units=2.0, remaining_units=2.0), "2.0 told of 3 taken"),
]
LEDGER: Final = [
    (lambda world: world.seal(world.one(Fill), "quantity", 2), "1 units were used that nobody dispensed"),
    (lambda world: world.seal(world.one(Shipment), "quantity", 2), "3 taken of 2 received"),
    (lost(50), "units were used that nobody dispensed"),
]
NOTES: Final = [
    (told_in_the_record, "OutcomeReport.summary tells of a psychotherapy note"),
    (told_openly, "organisations tells of a psychotherapy note"),
]
CHECKS: Final[Mapping[str, list[Any]]] = {
    "no_stop_is_overridden": SIGNED_AND_APPROVED,
    "what_is_signed_was_reviewed": SIGNING,
    "never_more_than_prescribed": FILLING,
    "nothing_ships_without_a_signature": SHIPPING,
    "no_dose_without_its_conditions": DOSING,
    "nobody_leaves_too_soon": LEAVING,
    "no_refill_with_an_unmet_condition": REFILLING,
    "the_ledger_balances": LEDGER,
    "notes_stay_where_they_are": NOTES,
}


@pytest.mark.parametrize(
    ("check", "broken", "said"),
    [
        pytest.param(check, broken, said, id=f"{check}: {number} {said}")
        for check, breaks in CHECKS.items()
        for number, (broken, said) in enumerate(breaks)
    ],
)
def test_what_is_broken_is_found(world: World, check: str, broken: Break, said: str | None) -> None:
    broken(world)
    world.session.flush()
    world.session.expire_all()
    look = getattr(invariants(world), check)
    if said is None:
        look()
        return
    with pytest.raises(AssertionError) as found:
        look()
    assert said in str(found.value)


def test_every_check_of_a_walk_is_broken_here() -> None:
    judging = {name for name in vars(Invariants) if not name.startswith("_")}
    parts = {"hold", "unmet", "vitals_passed", "dose_is_within", "dose_follows", "sessions_are_apart", "is_silent"}
    assert judging - parts == CHECKS.keys()
