"""What must hold after every step, whoever did what: read from the tables, and judged here without the service's rules.

Rows that never change (fills, doses, readings, decisions) are judged once, when they are new: at that moment the state
of everything around them is the one under which they were made.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from sqlalchemy import select

from services.core import clock
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.outcomes.models import OutcomeReport
from services.people.models import Consent, SigningGrant
from services.prescribing.models import Fill, FillAuthorization, PdmpCheck, PrescriberContact, Prescription, StockEntry
from services.refills.models import RefillRequest
from services.screening.models import RiskFlag
from services.sessions import ledgers
from services.sessions.ledger_rules import Balance
from services.sessions.models import AdverseEvent, Dose, TherapySession, VitalsReading, Waste
from services.shipping.models import DiversionReview, Shipment
from services.vault.boxes import Box, box
from tests.factories_sessions import ALCOHOL_AND_THC
from tests.machine.stage import Stage

ZONE: Final = ZoneInfo("America/Los_Angeles")
SIGNED: Final = {"signed", "filling", "dispensed"}
# What DOMAIN 4 says, and the one stop of DOMAIN 3.1 that a prescriber may override.
DEFAULT_SYSTOLIC, DEFAULT_DIASTOLIC = 140, 90
MINUTES_AFTER_LAST_DOSE: Final = 120
LEAST_DAYS_BETWEEN: Final = 3
SESSIONS_A_WEEK: Final = 2
REFILLS_AT_MOST: Final = 5
MG_AT_MOST_ALONE: Final = 600
FIRST_MG_AT_MOST: Final = 100
OVERRIDABLE: Final = {"eligibility.breast_feeding"}


def day_of(moment: datetime) -> date:
    """The day of the patient's calendar."""
    return moment.astimezone(ZONE).date()


def _places(balance: Balance) -> dict[str, Fraction]:
    return {each.name: getattr(balance, each.name) for each in fields(balance)}


@dataclass
class Invariants:
    """Judges one walk. ``judged`` are the rows that were looked at."""

    stage: Stage
    judged: set[UUID] = field(default_factory=set)
    contents: dict[UUID, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def own(self) -> Box:
        return box(self.stage.session, self.stage.episode.patient_id)

    def rows(self, model: Any) -> list[Any]:
        """All rows of the episode, oldest first."""
        query = select(model).where(model.episode_id == self.stage.standing.episode_id)
        return list(self.stage.session.scalars(query.order_by(model.id)))

    def fresh(self, model: Any) -> list[Any]:
        """The rows that were not judged yet."""
        found = [row for row in self.rows(model) if row.id not in self.judged]
        self.judged |= {row.id for row in found}
        return found

    def content(self, row: Any, column: str) -> Any:
        """A sealed value that never changes."""
        if row.id not in self.contents:
            self.contents[row.id] = self.own.open(row, column).reveal()
        return self.contents[row.id]

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

    def blocking(self, what: str) -> bool:
        """Whether a raised flag blocks treatment, or merely (``shipping``) what is sent."""
        name = {"treatment": "blocks_dosing_prescribing_refills", "shipping": "blocks_shipping"}[what]
        flags = [row for row in self.rows(RiskFlag) if row.state == "raised"]
        return any(self.own.open(flag, "triage").reveal()[name] for flag in flags)

    def is_eligible(self) -> bool:
        reviews = {row.id for row in self.rows(EligibilityReview) if row.state == "approved"}
        today = day_of(clock.now())
        return any(row.review_id in reviews and row.valid_until >= today for row in self.rows(EligibilityDecision))

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
            assert content["refills"] <= REFILLS_AT_MOST
            if not any(self.rows(Dose)) and content["first_session_dose_mg"] is not None:
                assert content["first_session_dose_mg"] <= min(content["dose_mg"] / 2, FIRST_MG_AT_MOST)

    def may_sign(self, account_id: UUID) -> bool:
        """Whether two people gave somebody access and nobody took it back."""
        found = self.stage.session.scalars(select(SigningGrant).where(SigningGrant.account_id == account_id))
        return any(row.state == "granted" and row.approved_by not in {None, row.nominated_by} for row in found)

    @staticmethod
    def check_day(check: PdmpCheck) -> date:
        return day_of(check.checked_at)

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
            self.vitals_passed(row, prescription)
            self.dose_is_within(row, prescription)
            self.sessions_are_apart()

    def readings(self, row: TherapySession, phase: str) -> list[VitalsReading]:
        query = select(VitalsReading).where(VitalsReading.session_id == row.id, VitalsReading.phase == phase)
        return list(self.stage.session.scalars(query.order_by(VitalsReading.taken_at, VitalsReading.id)))

    def is_within(self, reading: VitalsReading, prescription: Prescription) -> bool:
        limits = self.content(prescription, "content")["limits"]
        found = self.own.open(reading, "reading").reveal()
        return bool(
            found["systolic"] < (limits["systolic_below"] or DEFAULT_SYSTOLIC)
            and found["diastolic"] < (limits["diastolic_below"] or DEFAULT_DIASTOLIC)
        )

    def vitals_passed(self, row: TherapySession, prescription: Prescription) -> None:
        before = self.readings(row, "before")
        assert before, "a dose without vitals"
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
        assert len(boosters) <= 1
        assert sum(boosters) <= content["booster_mg"], f"a booster of {boosters} mg"
        if len({session_id for session_id, _ in doses}) == 1 and content["first_session_dose_mg"] is not None:
            assert plain + sum(boosters) <= content["first_session_dose_mg"], "too much for a first session"

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

    def received(self) -> int:
        rows = [row for row in self.rows(Shipment) if row.receipt_state == "confirmed"]
        return sum(int(self.content(row, "quantity")) for row in rows)

    def taken(self) -> Fraction:
        contents = [self.content(dose, "content") for dose in self.rows(Dose)]
        return sum((Fraction(each["mg"], each["strength_mg"]) for each in contents), Fraction())

    def wasted(self) -> Fraction:
        contents = [self.content(waste, "content") for waste in self.rows(Waste)]
        contents += [
            self.content(row, "content") for row in self.rows(StockEntry) if row.kind in {"wasted", "disposed"}
        ]
        return sum((Fraction(each["units"]).limit_denominator(100) for each in contents), Fraction())

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
            assert not self.unmet(), f"a refill request is {row.state} although {self.unmet()}"

    def is_news(self, row: RefillRequest) -> bool:
        """Whether an approval was not judged yet."""
        mark = UUID(int=row.id.int ^ 1)
        is_new = mark not in self.judged
        self.judged.add(mark)
        return is_new

    def unmet(self) -> list[str]:
        """The conditions of the gate (DOMAIN 4) that do not hold now, as far as they can be told without its help."""
        today, episode = day_of(clock.now()), self.stage.episode
        is_maintenance = episode.state == "in_maintenance"
        contacts = [day_of(row.held_at) for row in self.rows(PrescriberContact)]
        contacts += [day_of(row.decided_at) for row in self.rows(EligibilityDecision)]
        contacts += [day_of(row.signed_at) for row in self.rows(Prescription) if row.signed_at is not None]
        contacts += [day_of(row.decided_at) for row in self.rows(RefillRequest) if row.decided_at is not None]
        answered = [day_of(row.answered_at) for row in self.rows(OutcomeReport)]
        checked = [self.check_day(row) for row in self.rows(PdmpCheck)]
        conditions = {
            "eligibility lapsed": self.is_eligible(),
            "a review for diversion is open": not any(row.state == "open" for row in self.rows(DiversionReview)),
            "no therapist": episode.therapist_id is not None,
            "an adverse event is open": not self.open_grave_events(),
            "a suicide risk is open": not self.blocking("treatment"),
            "the PDMP was not checked": any(0 <= (today - day).days <= 7 for day in checked),
            "scales are old": any(0 <= (today - day).days <= (14 if is_maintenance else 7) for day in answered),
            "no contact": any(0 <= (today - day).days <= (90 if is_maintenance else 30) for day in contacts),
            "vitals are missing": self.every_session_has_vitals(),
            "integration is missing": self.integration_is_done(),
        }
        return [condition for condition, holds in conditions.items() if not holds]

    def open_grave_events(self) -> bool:
        rows = [row for row in self.rows(AdverseEvent) if row.state == "open"]
        return any(self.own.open(row, "content").reveal()["grade"] in {"severe", "serious"} for row in rows)

    def dosed(self) -> list[TherapySession]:
        rows = [row for row in self.rows(TherapySession) if row.dosed_at is not None]
        return sorted(rows, key=lambda row: row.dosed_at)

    def every_session_has_vitals(self) -> bool:
        return all(self.readings(row, "before") for row in self.dosed())

    def integration_is_done(self) -> bool:
        talks: defaultdict[UUID | None, list[str]] = defaultdict(list)
        for row in self.rows(TherapySession):
            talks[row.integrates_id].append(row.state)
        whole = [row for row in self.dosed() if row.state not in {"aborted", "emergency"}]
        return all("closed" in talks[row.id] for row in whole[:-1])
