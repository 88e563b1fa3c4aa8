"""What somebody sensible would do next, so that walks get far: the story of a treatment that goes well.

Each entry looks at how things stand and names an act, or is not in question. The plan is a guide, no oracle: what it
proposes may be refused like anything else, and then time passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select

from services.core import clock
from services.eligibility.decisions import eligibility_current
from services.outcomes.models import OutcomeReport
from services.people.consents import ConsentKind, has_consent
from services.prescribing.models import Fill, FillAuthorization, PdmpCheck, PrescriberContact, Prescription
from services.refills.models import RefillRequest
from services.screening.models import RiskFlag, Screening
from services.sessions import ledgers
from services.sessions.models import AdverseEvent, TherapySession, VitalsReading
from services.sessions.states import SessionKind
from services.shipping.models import DiversionReview, Shipment
from tests.machine.acts import newest
from tests.machine.stage import Stage

A_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class Act:
    """An act with the numbers that its dice show."""

    name: str
    numbers: tuple[int, ...] = ()


def rows(stage: Stage, model: Any, *conditions: Any) -> list[Any]:
    """The episode's rows, newest first."""
    query = select(model).where(model.episode_id == stage.standing.episode_id, *conditions)
    return list(stage.session.scalars(query.order_by(model.id.desc())))


def proposals(stage: Stage) -> Iterator[str | Act | timedelta]:
    """What to do next, in order of preference: the name of an act, or time to let pass."""
    yield from _what_is_in_the_way(stage)
    state = stage.episode.state
    if state in {"referred", "screening"}:
        yield from _screening(stage)
    elif state == "in_review":
        yield "decide on eligibility"
    elif state == "declined":
        yield "screen again"
    elif state in {"eligible", "in_treatment", "in_maintenance"}:
        yield from _treatment(stage)


def _what_is_in_the_way(stage: Stage) -> Iterator[str | Act | timedelta]:
    if newest(stage, RiskFlag, RiskFlag.state == "raised"):
        yield "clear risk"
    if newest(stage, AdverseEvent, AdverseEvent.state == "open"):
        yield "close adverse event"
    if newest(stage, DiversionReview, DiversionReview.state == "open"):
        for outcome in range(60, 64):
            yield Act("resolve diversion review", (0, outcome))
    if stage.episode.therapist_id is None:
        yield "change therapist"
    if not has_consent(stage.session, stage.episode.patient_id, ConsentKind.TREATMENT):
        yield "consent to treatment"


def _screening(stage: Stage) -> Iterator[str | Act | timedelta]:
    if newest(stage, Screening)[0] in stage.answered:
        yield "complete screening"
    yield "answer screening"


def _treatment(stage: Stage) -> Iterator[str | Act | timedelta]:
    dosing = rows(stage, TherapySession, TherapySession.kind == SessionKind.DOSING)
    under_way = [row for row in dosing if row.state not in {"closed", "cancelled", "aborted", "emergency"}]
    if any(row.state == "emergency" for row in dosing):
        yield "close emergency"
    if not eligibility_current(stage.session, stage.episode.id, clock.now().date()):
        yield "screen again"
    if under_way and under_way[0].state != "integration_due":
        yield from _session(stage, under_way[0])
    elif under_way:
        yield from _integration(stage, under_way[0])
    yield from _supply(stage)


def _session(stage: Stage, row: TherapySession) -> Iterator[str | Act | timedelta]:
    now = clock.now()
    if row.state == "scheduled":
        if now < row.starts_at:
            yield row.starts_at - now
        yield "record readiness"
        yield "cancel session"
    elif row.state == "ready":
        yield "measure"
        yield "cancel session"
    elif row.state == "vitals_passed":
        yield "give dose"
        yield "cancel session"
    elif row.state in {"dosed", "monitoring"}:
        stay = row.last_dose_at + timedelta(minutes=120) - now
        if row.state == "dosed":
            yield "look"
        if stay > timedelta(0):
            yield stay
        yield "measure" if not _measured(stage, row) else "pass discharge"
        yield "measure"
    elif row.state == "discharge_ready":
        yield "discharge"


def _measured(stage: Stage, row: TherapySession) -> bool:
    """Whether there is a reading that a discharge may go by."""
    since = row.last_dose_at + timedelta(minutes=120)
    query = select(VitalsReading.id).where(VitalsReading.session_id == row.id, VitalsReading.taken_at >= since)
    return stage.session.scalar(query.limit(1)) is not None


def _integration(stage: Stage, row: TherapySession) -> Iterator[str | Act | timedelta]:
    talks = rows(stage, TherapySession, TherapySession.integrates_id == row.id, TherapySession.state == "scheduled")
    if not talks:
        yield "book integration"
        return
    if clock.now() < talks[0].ends_at:
        yield talks[0].ends_at - clock.now()
    yield "hold session"


def _supply(stage: Stage) -> Iterator[str | Act | timedelta]:
    parcels = rows(stage, Shipment)
    if parcels and parcels[0].receipt_state != "confirmed" and parcels[0].state not in {"lost", "returned"}:
        yield "confirm receipt" if parcels[0].state == "delivered" else "carrier reports"
        yield "resolve receipt"
    shipped = {row.fill_id for row in parcels if row.state != "cancelled"}
    if any(row.id not in shipped and row.undelivered_at is None for row in rows(stage, Fill)):
        yield "ship"
    left = ledgers.ledger(stage.session, stage.episode.id).remaining_expected
    if left >= 2 and parcels and parcels[0].receipt_state == "confirmed":
        yield from _next_session(stage)
    elif _is_filled_up(stage):
        yield from _refill(stage)
    yield from _prescription(stage)


def _next_session(stage: Stage) -> Iterator[str | Act | timedelta]:
    last = max((row.dosed_at for row in rows(stage, TherapySession) if row.dosed_at is not None), default=None)
    if last is not None and clock.now() < last + A_WEEK:
        yield last + A_WEEK - clock.now()
    yield "book"
    yield "extend round"


def _is_filled_up(stage: Stage) -> bool:
    """Whether the newest prescription in force has nothing to hand out without a decision."""
    row = next((each for each in rows(stage, Prescription) if each.state in {"signed", "filling", "dispensed"}), None)
    if row is None:
        return False
    filled = {fill.fill_number for fill in rows(stage, Fill, Fill.prescription_id == row.id)}
    granted = {each.fill_number for each in rows(stage, FillAuthorization, FillAuthorization.prescription_id == row.id)}
    return {0, *granted} <= filled


def _refill(stage: Stage) -> Iterator[str | Act | timedelta]:
    asked = rows(stage, RefillRequest)
    if asked and asked[0].state == "requested":
        yield "approve refill"
    elif asked and asked[0].state == "returned":
        yield "answer about refill"
    else:
        if not _recent(stage, PdmpCheck, PdmpCheck.checked_at):
            yield "check pdmp"
        if not _recent(stage, PrescriberContact, PrescriberContact.held_at):
            yield "speak with patient"
        if not _recent(stage, OutcomeReport, OutcomeReport.answered_at):
            yield "report outcome"
        if ledgers.ledger(stage.session, stage.episode.id).counted is None:
            yield "count stock"
        yield "request refill"


def _recent(stage: Stage, model: Any, moment: Any) -> bool:
    return bool(newest(stage, model, moment > clock.now() - timedelta(days=6)))


def _prescription(stage: Stage) -> Iterator[str | Act | timedelta]:
    prescriptions = rows(stage, Prescription)
    states = [row.state for row in prescriptions]
    if not _recent(stage, PdmpCheck, PdmpCheck.checked_at):
        yield "check pdmp"
    if states and states[0] in {"signed", "filling"}:
        yield "fill"
    elif states and states[0] == "ready":
        yield "sign"
        yield "nominate for signing"
        yield "approve access to signing"
    elif states and states[0] == "drafted":
        yield "mark ready"
    else:
        if states and not _recent(stage, PrescriberContact, PrescriberContact.held_at):
            yield "speak with patient"
        yield "draft"
