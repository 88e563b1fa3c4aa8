"""What must hold after every step, whoever did what: read from the tables, and judged here without the service's rules.

Rows that never change (fills, doses, readings, decisions) are judged once, when they are new: at that moment the state
of everything around them is the one under which they were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import fields
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from dateutil.relativedelta import relativedelta
from sqlalchemy import select, text

from services.core import clock
from services.core.database import Base
from services.eligibility.models import EligibilityDecision
from services.outcomes.models import PsychotherapyNote, ResponseDecision
from services.people.models import Consent, DeaRegistration, Licence
from services.prescribing.models import Fill, FillAuthorization, PdmpCheck, PrescriberContact, Prescription
from services.refills.models import RefillRequest
from services.screening.models import RiskFlag
from services.sessions import ledgers
from services.sessions.ledger_rules import Balance
from services.sessions.models import Dose, TherapySession
from services.shipping.models import Shipment
from services.vault.models import Purpose
from tests.factories_sessions import ALCOHOL_AND_THC
from tests.machine.record import Record, day_of
from tests.machine.stage import SECRET_WORDS

SIGNED: Final = {"signed", "filling", "dispensed"}
# What DOMAIN 4 says, and the one stop of DOMAIN 3.1 that a prescriber may override.
MINUTES_AFTER_LAST_DOSE: Final = 120
LEAST_DAYS_BETWEEN: Final = 3
SESSIONS_A_WEEK: Final = 2
REFILLS_AT_MOST: Final = 5
MG_AT_MOST_ALONE: Final = 600
FIRST_MG_AT_MOST: Final = 100
STEP_MG_AT_MOST: Final = 100
MINUTES_BEFORE_BOOSTER: Final = 20
MINUTES_A_READING_COUNTS: Final = 30
CANCEL_SYSTOLIC, CANCEL_DIASTOLIC = 160, 100
DOSES_LEFT_AT_MOST: Final = 2
SCALES: Final = ("phq9", "gad7", "cssrs_since_last_visit")
OVERRIDABLE: Final = {"eligibility.breast_feeding"}


def _places(balance: Balance) -> dict[str, Fraction]:
    return {each.name: getattr(balance, each.name) for each in fields(balance)}


class Invariants(Record):
    """Judges one walk."""

    def hold(self, changed: Collection[str]) -> None:
        """Check whatever the tables that ``changed`` can have broken."""
        for tables, check in (
            ({"eligibility_decisions"}, self.no_stop_is_overridden),
            ({"prescriptions"}, self.what_is_signed_was_reviewed),
            ({"fills", "fill_authorizations", "prescriptions"}, self.never_more_than_prescribed),
            ({"shipments"}, self.nothing_ships_without_a_signature),
            ({"doses"}, self.no_dose_without_its_conditions),
            ({"sessions"}, self.nobody_leaves_too_soon),
            ({"refill_requests", "fill_authorizations"}, self.no_refill_with_an_unmet_condition),
            ({"doses", "wastes", "fills", "shipments", "receipts", "stock_entries"}, self.the_ledger_balances),
        ):
            if tables & set(changed):
                check()

    # ---- Eligibility -------------------------------------------------------------------------------------------------

    def no_stop_is_overridden(self) -> None:
        for row in self.fresh(EligibilityDecision):
            if row.decision == "approve":
                stops = {each["rule"] for each in self.own.open(row, "findings").reveal() if each["severity"] == "stop"}
                assert stops <= OVERRIDABLE, f"approved in spite of {stops}"
                assert not self.blocking("treatment"), "approved with a suicide risk open"

    # ---- Prescribing and supply --------------------------------------------------------------------------------------

    def what_is_signed_was_reviewed(self) -> None:
        for row in self.rows(Prescription):
            if row.signed_at is None or row.id in self.judged:
                continue
            self.judged.add(row.id)
            review = self.own.open(row, "review").reveal()
            asked = {each["rule"] for each in review["findings"] if each["severity"] == "review"}
            assert asked <= review["reasons"].keys(), f"signed without reasons for {asked - review['reasons'].keys()}"
            assert self.is_eligible(), "signed without a current approval"
            assert self.may_sign(row.prescriber_id), "signed without access to signing"
            assert not self.blocking("treatment"), "signed with a suicide risk open"
            checks = [self.check_day(check) for check in self.rows(PdmpCheck)]
            assert any(0 <= (row.issued_on - day).days <= 7 for day in checks), "signed without a check of the PDMP"
            content = self.content(row, "content")
            mg = content["dose_mg"] + content["booster_mg"]
            assert mg <= MG_AT_MOST_ALONE or row.agreed_by is not None, f"{mg} mg signed by one prescriber"
            assert content["refills"] <= REFILLS_AT_MOST, f"{content['refills']} refills"
            if not any(self.rows(Dose)) and content["first_session_dose_mg"] is not None:
                first = content["first_session_dose_mg"]
                assert first <= min(content["dose_mg"] / 2, FIRST_MG_AT_MOST), f"a first session of {first} mg"

    def never_more_than_prescribed(self) -> None:
        prescriptions = {row.id: row for row in self.rows(Prescription)}
        granted = {(row.prescription_id, row.fill_number): row for row in self.rows(FillAuthorization)}
        requests = {row.id: row for row in self.rows(RefillRequest)}
        handed_out: Counter[tuple[UUID, int]] = Counter()
        for fill in self.rows(Fill):
            prescription, key = prescriptions[fill.prescription_id], (fill.prescription_id, fill.fill_number)
            content = self.content(prescription, "content")
            handed_out[key] += int(self.content(fill, "quantity"))
            assert prescription.signed_at is not None, "filled without a signature"
            assert handed_out[key] <= content["quantity_units"], f"{handed_out[key]} units for {content}"
            assert fill.fill_number <= min(content["refills"], REFILLS_AT_MOST), "more refills than prescribed"
            last_day = prescription.issued_on + relativedelta(months=6)
            assert prescription.issued_on <= fill.filled_on <= last_day, "filled outside its time"
            if fill.fill_number:
                assert key in granted, "refilled without a prescriber's decision"
                assert requests[granted[key].refill_request_id].state == "approved", "refilled for a declined request"

    def nothing_ships_without_a_signature(self) -> None:
        for row in self.fresh(Shipment):
            prescription = self.stage.session.get_one(Prescription, row.prescription_id)
            assert prescription.state in SIGNED, f"shipped on a prescription that is {prescription.state}"
            assert prescription.signed_at is not None, "shipped without a signature"
            assert day_of(clock.now()) <= prescription.expires_on, "shipped on an expired prescription"
            assert self.stage.episode.therapist_id is not None, "shipped without a therapist"
            assert not self.blocking("shipping"), "shipped with a suicide risk open"
            assert self.is_eligible(), "shipped without a current approval"
            assert not self.is_under_review(), "shipped with a review for diversion open"
            assert row.delivery_confirmation.startswith("ADULT_SIGNATURE"), "shipped without an adult's signature"

    # ---- Sessions ----------------------------------------------------------------------------------------------------

    def no_dose_without_its_conditions(self) -> None:
        for dose in self.fresh(Dose):
            row = self.stage.session.get_one(TherapySession, dose.session_id)
            prescription = self.stage.session.get_one(Prescription, dose.prescription_id)
            # What was handed out in time may be taken after its prescription can be filled no more.
            assert prescription.signed_at is not None, "a dose that nobody signed for"
            assert prescription.state in SIGNED | {"expired"}, f"a dose of what is {prescription.state}"
            assert self.received() > 0, "a dose without a receipt"
            consents = self.stage.session.scalars(
                select(Consent.kind).where(
                    Consent.patient_id == row.patient_id, Consent.withdrawn_at.is_(None), Consent.kind == "treatment"
                )
            ).all()
            assert consents, "a dose without consent"
            assert self.is_eligible(), "a dose without a current approval"
            assert not self.blocking("treatment"), "a dose with a suicide risk open"
            readiness = self.own.open(row, "readiness").reveal() or {}
            assert ALCOHOL_AND_THC in readiness["intakes"], "a dose, and nobody asked about alcohol and THC"
            chaperone = readiness.get("chaperone")
            assert chaperone, "a dose without a chaperone"
            is_fit = chaperone["present"] and chaperone["sober_attested"] and chaperone["age_years"] >= 18
            assert is_fit, f"a dose with {chaperone}"
            self.vitals_passed(row, dose, prescription)
            self.dose_is_within(row, prescription)
            self.dose_follows(row, dose)
            self.sessions_are_apart()

    def vitals_passed(self, row: TherapySession, dose: Dose, prescription: Prescription) -> None:
        before = self.readings(row, "before")
        assert before, "a dose without vitals"
        if row.dosed_at == dose.taken_at:
            age = dose.taken_at - before[-1].taken_at
            assert timedelta() <= age <= timedelta(minutes=MINUTES_A_READING_COUNTS), f"a dose {age} after the vitals"
        for each in self.readings(row, "before", "during", "after"):
            pressure = self.own.open(each, "reading").reveal()
            is_low = pressure["systolic"] < CANCEL_SYSTOLIC and pressure["diastolic"] < CANCEL_DIASTOLIC
            assert is_low or each.phase != "before", f"a dose on a day with {pressure}"
            assert is_low or each.taken_at < self.latest_at(row), f"more taken after {pressure}"
        found = self.own.open(before[-1], "reading").reveal()
        assert self.is_within(before[-1], prescription), f"a dose after {found}"
        assert 50 <= found["heart_rate"] <= 100, f"a dose after {found}"
        assert (found.get("oxygen_percent") or 100) >= 94, f"a dose after {found}"
        assert not found.get("red_flags"), f"a dose after {found}"

    def dose_is_within(self, row: TherapySession, prescription: Prescription) -> None:
        doses = [(dose.session_id, self.content(dose, "content")) for dose in self.rows(Dose)]
        here = [each for session_id, each in doses if session_id == row.id]
        content = self.content(prescription, "content")
        plain = sum(each["mg"] for each in here if not each["is_booster"])
        boosters = [each["mg"] for each in here if each["is_booster"]]
        assert plain <= content["dose_mg"], f"{plain} mg of {content['dose_mg']}"
        assert len(boosters) <= 1, f"{len(boosters)} boosters"
        assert sum(boosters) <= content["booster_mg"], f"a booster of {boosters} mg"
        if len({session_id for session_id, _ in doses}) == 1 and content["first_session_dose_mg"] is not None:
            assert plain + sum(boosters) <= content["first_session_dose_mg"], "too much for a first session"

    def dose_follows(self, row: TherapySession, dose: Dose) -> None:
        """A booster comes late enough, and the dose rises by so much at most from one session to the next."""
        contents = [(each, self.content(each, "content")) for each in self.rows(Dose)]
        plain: Counter[UUID] = Counter()
        for each, content in contents:
            if not content["is_booster"]:
                plain[each.session_id] += content["mg"]
        if self.content(dose, "content")["is_booster"]:
            since = dose.taken_at - min(each.taken_at for each, _ in contents if each.session_id == row.id)
            assert since >= timedelta(minutes=MINUTES_BEFORE_BOOSTER), f"a booster after {since}"
        steps = [plain[each.id] for each in self.dosed()]
        for before, after in pairwise(steps):
            assert after - before <= STEP_MG_AT_MOST, f"{after} mg after {before} mg"

    def sessions_are_apart(self) -> None:
        days = sorted(day_of(row.dosed_at) for row in self.rows(TherapySession) if row.dosed_at is not None)
        for earlier, later in pairwise(days):
            assert (later - earlier).days >= LEAST_DAYS_BETWEEN, f"dosed on {earlier} and on {later}"
        for day in days:
            week = [each for each in days if 0 <= (each - day).days < 7]
            assert len(week) <= SESSIONS_A_WEEK, f"dosed on {week}"

    def nobody_leaves_too_soon(self) -> None:
        for row in self.rows(TherapySession):
            if row.state not in {"integration_due", "closed"} or row.dosed_at is None or row.id in self.judged:
                continue
            self.judged.add(row.id)
            if row.reason is not None:
                continue  # an emergency: it did not end by a discharge
            assert row.ended_at is not None
            stayed = row.ended_at - row.last_dose_at
            assert stayed >= timedelta(minutes=MINUTES_AFTER_LAST_DOSE), f"discharged after {stayed}"
            after = [each for each in self.readings(row, "after") if each.taken_at >= row.last_dose_at]
            assert after, "discharged without vitals"
            prescription = self.stage.session.get_one(Prescription, row.prescription_id)
            found = self.own.open(after[-1], "reading").reveal()
            assert self.is_within(after[-1], prescription), f"discharged with {found}"

    # ---- The ledger and refills --------------------------------------------------------------------------------------

    def the_ledger_balances(self) -> None:
        handed_out = sum(int(self.content(row, "quantity")) for row in self.rows(Fill))
        taken, wasted = self.taken(), self.wasted()
        found = ledgers.ledger(self.stage.session, self.stage.episode.id).balance
        somewhere = {name: value for name, value in _places(found).items() if name not in {"dispensed", "overdrawn"}}
        assert found.dispensed == sum(somewhere.values()), f"{found.dispensed} dispensed, and there are {somewhere}"
        assert min(somewhere.values()) >= 0, somewhere
        assert found.overdrawn == 0, f"{found.overdrawn} units were used that nobody dispensed: {somewhere}"
        assert found.dispensed >= handed_out, f"{found.dispensed} in the ledger of {handed_out} handed out"
        assert (found.taken, found.wasted) == (taken, wasted), f"{taken} taken and {wasted} wasted, not {somewhere}"
        assert taken <= self.received(), f"{taken} taken of {self.received()} received"

    def no_refill_with_an_unmet_condition(self) -> None:
        fresh = self.fresh(RefillRequest)
        decided = [row for row in self.rows(RefillRequest) if row.state == "approved" and row.decided_at == clock.now()]
        for row in [*fresh, *(row for row in decided if self.is_news(row))]:
            unmet = self.unmet(row)
            assert not unmet, f"a refill request is {row.state} although {unmet}"
        for row in fresh:
            facts = self.own.open(row, "facts").reveal()
            parts = sum(facts[f"{name}_units"] for name in ("taken", "remaining", "wasted", "lost", "returned"))
            assert abs(parts - facts["dispensed_units"]) < 0.01, f"{parts} units of {facts['dispensed_units']}"
            assert facts["taken_units"] == float(self.taken()), f"{facts['taken_units']} told of {self.taken()} taken"

    def unmet(self, request: RefillRequest) -> list[str]:
        """The conditions of the gate (DOMAIN 4) that do not hold now, as far as they can be told without its help."""
        today, episode = day_of(clock.now()), self.stage.episode
        is_maintenance = episode.state == "in_maintenance"
        contacts = [day_of(row.held_at) for row in self.rows(PrescriberContact)]
        contacts += [day_of(row.decided_at) for row in self.rows(EligibilityDecision)]
        contacts += [day_of(row.signed_at) for row in self.rows(Prescription) if row.signed_at is not None]
        contacts += [day_of(row.decided_at) for row in self.rows(RefillRequest) if row.decided_at is not None]
        asks = request.decided_by or episode.prescriber_id
        checked = [self.check_day(row) for row in self.rows(PdmpCheck)]
        conditions = {
            "eligibility lapsed": self.is_eligible(),
            "a review for diversion is open": not self.is_under_review(),
            "no therapist": episode.therapist_id is not None,
            "an adverse event is open": not self.open_grave_events(),
            "a suicide risk is open": not any(row.state == "raised" for row in self.rows(RiskFlag)),
            "the licence lapsed": self.has_paper(Licence, asks),
            "the registration lapsed": self.has_paper(DeaRegistration, asks),
            "it is early": self.doses_left() <= DOSES_LEFT_AT_MOST,
            "the response is undecided": not any(row.state == "open" for row in self.rows(ResponseDecision)),
            "the round is full": is_maintenance or len(self.dosed()) < self.round_sessions(),
            "the PDMP was not checked": any(0 <= (today - day).days <= 7 for day in checked),
            "scales are old": all(
                any(0 <= (today - day).days <= (14 if is_maintenance else 7) for day in self.answered_on(scale))
                for scale in SCALES
            ),
            "no contact": any(0 <= (today - day).days <= (90 if is_maintenance else 30) for day in contacts),
            "vitals are missing": self.every_session_has_vitals(),
            "integration is missing": self.integration_is_done(),
        }
        return [condition for condition, holds in conditions.items() if not holds]

    # ---- Psychotherapy notes -----------------------------------------------------------------------------------------

    def notes_stay_where_they_are(self) -> None:
        """What a psychotherapy note says stands nowhere else: in no plain column, in nothing sealed for the record."""
        if not self.rows(PsychotherapyNote):
            return
        telling = self.stage.session.scalars(_TELLING, {"words": f"%{SECRET_WORDS}%"}).all()
        assert not telling, f"{', '.join(telling)} tells of a psychotherapy note"
        for model, sealed in _SEALED.items():
            self.is_silent(model, sealed)

    def is_silent(self, model: Any, sealed: Collection[str]) -> None:
        rows = self.stage.session.scalars(select(model).where(model.patient_id == self.stage.episode.patient_id))
        for row in rows:
            for name in sealed:
                if getattr(row, name) is not None:
                    known = self.own.open_bytes(row, name, getattr(row, name))
                    assert SECRET_WORDS.encode() not in known, f"{model.__name__}.{name} tells of a psychotherapy note"


# The tables in which some plain column holds words, and the columns that are sealed under the patient's record key.
_TELLING: Final = text(
    " UNION ALL ".join(
        f"(SELECT '{table.name}' FROM {table.name} t WHERE t::text LIKE :words LIMIT 1)"
        for table in Base.metadata.sorted_tables
    )
)
_SEALED: Final = {
    mapper.class_: sealed
    for mapper in Base.registry.mappers
    if (
        sealed := [
            name
            for name, column in mapper.columns.items()
            if column.info.get("sealed_owner") == "patient_id" and column.info["sealed_purpose"] == Purpose.RECORD
        ]
    )
}
