"""What stands in the tables of one episode, read for the invariants without the service's rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from services.core import clock
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.outcomes.models import OutcomeReport
from services.people.models import SigningGrant
from services.prescribing.models import Fill, PdmpCheck, Prescription, StockEntry
from services.refills.models import RefillRequest
from services.screening.models import RiskFlag
from services.sessions import ledgers
from services.sessions.models import AdverseEvent, Dose, RoundExtension, TherapySession, VitalsReading, Waste
from services.shipping.models import DiversionReview, Shipment
from services.vault.boxes import Box, box
from tests.machine.stage import Stage

ZONE: Final = ZoneInfo("America/Los_Angeles")
DEFAULT_SYSTOLIC, DEFAULT_DIASTOLIC = 140, 90
ROUND: Final = 8
STATE: Final = "CA"


def day_of(moment: datetime) -> date:
    """The day of the patient's calendar."""
    return moment.astimezone(ZONE).date()


@dataclass
class Record:
    """One episode. ``judged`` are the rows that an invariant looked at."""

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

    def blocking(self, what: str) -> bool:
        """Whether a raised flag blocks treatment, or merely (``shipping``) what is sent."""
        name = {"treatment": "blocks_dosing_prescribing_refills", "shipping": "blocks_shipping"}[what]
        flags = [row for row in self.rows(RiskFlag) if row.state == "raised"]
        return any(self.own.open(flag, "triage").reveal()[name] for flag in flags)

    def is_eligible(self) -> bool:
        reviews = {row.id for row in self.rows(EligibilityReview) if row.state == "approved"}
        today = day_of(clock.now())
        return any(row.review_id in reviews and row.valid_until >= today for row in self.rows(EligibilityDecision))

    def may_sign(self, account_id: UUID) -> bool:
        """Whether two people gave somebody access and nobody took it back."""
        found = self.stage.session.scalars(select(SigningGrant).where(SigningGrant.account_id == account_id))
        return any(row.state == "granted" and row.approved_by not in {None, row.nominated_by} for row in found)

    @staticmethod
    def check_day(check: PdmpCheck) -> date:
        return day_of(check.checked_at)

    def latest_at(self, row: TherapySession) -> datetime:
        return max(each.taken_at for each in self.readings(row, "before", "during", "after"))

    def readings(self, row: TherapySession, *phases: str) -> list[VitalsReading]:
        query = select(VitalsReading).where(VitalsReading.session_id == row.id, VitalsReading.phase.in_(phases))
        return list(self.stage.session.scalars(query.order_by(VitalsReading.taken_at, VitalsReading.id)))

    def is_within(self, reading: VitalsReading, prescription: Prescription) -> bool:
        limits = self.content(prescription, "content")["limits"]
        found = self.own.open(reading, "reading").reveal()
        return bool(
            found["systolic"] < (limits["systolic_below"] or DEFAULT_SYSTOLIC)
            and found["diastolic"] < (limits["diastolic_below"] or DEFAULT_DIASTOLIC)
        )

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

    def is_news(self, row: RefillRequest) -> bool:
        """Whether an approval was not judged yet."""
        mark = UUID(int=row.id.int ^ 1)
        is_new = mark not in self.judged
        self.judged.add(mark)
        return is_new

    def is_under_review(self) -> bool:
        return any(row.state == "open" for row in self.rows(DiversionReview))

    def has_paper(self, model: Any, account_id: UUID | None) -> bool:
        """Whether somebody has a paper of that kind in the patient's state today."""
        today = day_of(clock.now())
        found = self.stage.session.scalars(
            select(model).where(model.account_id == account_id, model.state == STATE, model.expires_on >= today)
        )
        return any(row.revoked_on is None or row.revoked_on > today for row in found)

    def answered_on(self, scale: str) -> list[date]:
        """The days on which a scale gave a result."""
        days = []
        for row in self.rows(OutcomeReport):
            scores = (self.own.open(row, "results").reveal() or {"scores": {}})["scores"]
            if scale in scores and not scores[scale]["missing"]:
                days.append(day_of(row.answered_at))
        return days

    def doses_left(self) -> Fraction:
        """What the patient has or will get, in sessions of the prescription that was handed out last."""
        came = [fill for fill in self.rows(Fill) if fill.undelivered_at is None]
        prescription = self.stage.session.get_one(Prescription, came[-1].prescription_id)
        content = self.content(prescription, "content")
        left = ledgers.ledger(self.stage.session, self.stage.episode.id).balance.remaining
        return left * content["strength_mg"] / (content["dose_mg"] + content["booster_mg"])

    def round_sessions(self) -> int:
        extended = self.rows(RoundExtension)
        return max([ROUND, *(self.content(row, "content")["sessions"] for row in extended[-1:])])

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
