"""Diversion reviews and losses at home: a prescriber ends a review, and the difference is booked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.sessions import ledgers, reconciliations
from services.sessions.reconciliations import Outcome
from services.shipping import diversions, shipments
from services.shipping.diversions import ReadReview
from services.shipping.losses import Discovery, Whereabouts
from services.shipping.models import DiversionReview, Loss, Shipment
from services.shipping.states import ShipmentStep
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, answer, make_case
from tests.factories_sessions import make_supplied, stopped_clock, tasks_about, therapist

WHY = Personal("One had crumbled in the bag.")


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """Four units of 100 mg at home."""
    return make_supplied(session)


def count(session: Session, case: Case, units: float) -> UUID:
    """A count that is off; gives the id of the review it raised."""
    ledgers.record_count(session, case.patient, case.episode.id, units)
    review = diversions.open_review(session, case.episode.id)
    assert review is not None
    return review.id


def resolve(session: Session, case: Case, review_id: UUID, outcome: Outcome, **details: Any) -> ReadReview:
    return reconciliations.resolve_review(session, case.prescriber, review_id, outcome, WHY, **details)


def balance(session: Session, case: Case) -> dict[str, float]:
    found = ledgers.ledger(session, case.episode.id).balance
    names = ("dispensed", "in_transit", "at_home", "held", "wasted", "returned", "lost")
    return {name: float(getattr(found, name)) for name in names if getattr(found, name)}


@pytest.mark.parametrize(
    ("counted", "outcome", "after"),
    [
        (3, Outcome.LOST, {"dispensed": 4, "at_home": 3, "lost": 1}),
        (3.5, Outcome.WASTED, {"dispensed": 4, "at_home": 3.5, "wasted": 0.5}),
        (5, Outcome.FOUND, {"dispensed": 5, "at_home": 5}),
    ],
)
def test_the_difference_is_booked_as_the_prescriber_finds(
    session: Session, case: Case, counted: float, outcome: Outcome, after: dict[str, float]
) -> None:
    review_id = count(session, case, counted)
    read = resolve(session, case, review_id, outcome)
    assert balance(session, case) == after
    assert (read.review.state, read.review.outcome, read.review.resolved_by) == (
        "resolved",
        outcome,
        case.prescriber.id,
    )
    assert read.resolution.reveal() == {"reason": WHY.reveal(), "units": 4 - counted}
    assert read.facts.reveal()["counted_units"] == counted
    assert not diversions.is_under_review(session, case.episode.id)
    assert [each["party"] for each in emitted(session, EventKind.DIVERSION_RESOLVED)] == [Party.THERAPIST]
    assert {"diversion_review.raise", "diversion_review.resolve", "stock.book"} <= set(audited(session))
    assert len(session.scalars(select(Loss)).all()) == (outcome is Outcome.LOST)


@pytest.mark.parametrize(
    ("counted", "outcome"),
    [
        (3, Outcome.FOUND),
        (3, Outcome.EXPLAINED),
        (5, Outcome.LOST),
        (5, Outcome.WASTED),
        (5, Outcome.EXPLAINED),
    ],
)
def test_an_outcome_that_says_something_else_than_the_count_is_refused(
    session: Session, case: Case, counted: float, outcome: Outcome
) -> None:
    review_id = count(session, case, counted)
    with pytest.raises(RuleRefused) as refusal:
        resolve(session, case, review_id, outcome)
    assert (refusal.value.rule, refusal.value.field) == ("sessions.resolution_does_not_fit", "outcome")
    assert diversions.is_under_review(session, case.episode.id)


def test_a_miscount_is_explained_by_a_count_that_agrees(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    review_id = count(session, case, 3)
    moment.shift(timedelta(minutes=5))
    assert count(session, case, 4) == review_id  # the review stands until a prescriber ends it
    for outcome in (Outcome.LOST, Outcome.WASTED, Outcome.FOUND):
        with pytest.raises(RuleRefused):
            resolve(session, case, review_id, outcome)
    resolve(session, case, review_id, Outcome.EXPLAINED)
    assert balance(session, case) == {"dispensed": 4, "at_home": 4}


def test_a_count_that_is_out_of_date_is_repeated_first(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    review_id = count(session, case, 3)
    moment.shift(timedelta(minutes=5))
    ledgers.record_waste(session, case.patient, case.episode.id, 1, WHY)
    with pytest.raises(RuleRefused) as refusal:
        resolve(session, case, review_id, Outcome.EXPLAINED)
    assert refusal.value.rule == "sessions.resolution_does_not_fit"
    moment.shift(timedelta(minutes=5))
    count(session, case, 3)
    resolve(session, case, review_id, Outcome.EXPLAINED)


def test_a_receipt_that_is_short_is_reviewed_and_booked_as_lost(
    session: Session, moment: time_machine.Traveller
) -> None:
    case = make_supplied(session, confirmed=False)
    (parcel,) = session.scalars(select(Shipment))
    answer(session, case, parcel, 3)
    (review,) = session.scalars(select(DiversionReview))
    assert (review.cause, review.about_id) == ("receipt_count", parcel.id)
    with pytest.raises(RuleRefused):
        resolve(session, case, review.id, Outcome.WASTED)
    resolve(session, case, review.id, Outcome.LOST)
    assert balance(session, case) == {"dispensed": 4, "held": 3, "lost": 1}
    assert ledgers.units_to_take(session, case.episode.id) == 0
    # The whole parcel is given up as lost later: what was booked of it is part of that.
    shipments.mark(session, case.actor("pharmacist"), parcel.id, ShipmentStep.MARK_LOST, WHY)
    assert balance(session, case) == {"dispensed": 4, "lost": 4}


def test_a_receipt_that_is_over_was_dispensed_so(session: Session, moment: time_machine.Traveller) -> None:
    case = make_supplied(session, confirmed=False)
    (parcel,) = session.scalars(select(Shipment))
    answer(session, case, parcel, 5)
    (review,) = session.scalars(select(DiversionReview))
    resolve(session, case, review.id, Outcome.FOUND)
    assert balance(session, case) == {"dispensed": 5, "held": 5}


@pytest.mark.parametrize(
    ("back", "outcome", "after"),
    [
        (3, Outcome.LOST, {"dispensed": 4, "returned": 3, "lost": 1}),
        (5, Outcome.FOUND, {"dispensed": 5, "returned": 5}),
    ],
)
def test_what_comes_back_is_quarantined_counted_and_reviewed(
    session: Session, moment: time_machine.Traveller, back: int, outcome: Outcome, after: dict[str, float]
) -> None:
    case = make_supplied(session, confirmed=False)
    (parcel,) = session.scalars(select(Shipment))
    pharmacist = case.actor("pharmacist")
    with pytest.raises(RuleRefused) as refusal:
        shipments.quarantine(session, pharmacist, parcel.id, 4)
    assert refusal.value.rule == "shipping.nothing_to_quarantine"
    shipments.mark(session, pharmacist, parcel.id, ShipmentStep.MARK_RETURNED, WHY)
    shipments.quarantine(session, pharmacist, parcel.id, back)
    with pytest.raises(RuleRefused):
        shipments.quarantine(session, pharmacist, parcel.id, back)
    (review,) = session.scalars(select(DiversionReview))
    resolve(session, case, review.id, outcome)
    assert balance(session, case) == after


def test_what_comes_back_whole_needs_no_review(session: Session, moment: time_machine.Traveller) -> None:
    case = make_supplied(session, confirmed=False)
    (parcel,) = session.scalars(select(Shipment))
    shipments.mark(session, case.actor("pharmacist"), parcel.id, ShipmentStep.MARK_RETURNED, WHY)
    row = shipments.quarantine(session, case.actor("pharmacist"), parcel.id, 4)
    assert (row.quarantined_at, diversions.is_under_review(session, case.episode.id)) == (clock.now(), False)


def test_only_a_prescriber_of_the_team_ends_a_review_once_and_on_what_was_read(session: Session, case: Case) -> None:
    review_id = count(session, case, 3)
    for who in ("therapist", "medical_staff", "pharmacist"):
        with pytest.raises(NotAllowed):
            reconciliations.resolve_review(session, case.actor(who), review_id, Outcome.LOST, WHY)
    stranger = make_case(session).prescriber
    with pytest.raises(NotFound):
        reconciliations.resolve_review(session, stranger, review_id, Outcome.LOST, WHY)
    with pytest.raises(StaleVersion):
        resolve(session, case, review_id, Outcome.LOST, version=7)
    with pytest.raises(RuleRefused) as refusal:
        reconciliations.resolve_review(session, case.prescriber, review_id, Outcome.LOST, Personal(" "))
    assert refusal.value.rule == "prescribing.reason_needed"
    resolve(session, case, review_id, Outcome.LOST)
    with pytest.raises(IllegalTransition):
        resolve(session, case, review_id, Outcome.LOST)


def test_reviews_are_read_by_therapist_and_team(session: Session, case: Case) -> None:
    review_id = count(session, case, 3)
    for who in ("therapist", "prescriber", "medical_staff"):
        assert diversions.read_review(session, case.actor(who), review_id).facts.reveal()["expected_units"] == 4
        assert [row.id for row in diversions.list_reviews(session, case.actor(who), case.episode.id)] == [review_id]
    for actor in (case.actor("pharmacist"), case.patient):
        with pytest.raises(NotAllowed):
            diversions.read_review(session, actor, review_id)


def test_a_loss_at_home_starts_both_timers_and_a_second_one_is_reviewed(session: Session, case: Case) -> None:
    what = Discovery(units=1.5, what_happened=Personal("Burglary."), discovered_at=clock.now(), is_theft=True)
    read = reconciliations.report_home_loss(session, case.patient, case.episode.id, what)
    assert (read.loss.whereabouts, read.loss.is_theft, read.findings) == (Whereabouts.AT_HOME, True, ())
    assert balance(session, case) == {"dispensed": 4, "at_home": 2.5, "lost": 1.5}
    told = {each["party"]: each["data"] for each in emitted(session, EventKind.LOSS_DISCOVERED)}
    assert set(told) == {Party.PHARMACY, Party.MEDICAL_TEAM, Party.THERAPIST}
    assert told[Party.PHARMACY]["due"] == {
        "notify_dea": read.loss.dea_due_at.isoformat(),
        "file_form_106": read.loss.form_106_due_at.isoformat(),
    }
    assert not diversions.is_under_review(session, case.episode.id)
    reconciliations.report_home_loss(session, therapist(case), case.episode.id, what)
    (review,) = session.scalars(select(DiversionReview))
    assert review.cause == "losses"
    resolve(session, case, review.id, Outcome.EXPLAINED)
    assert tasks_about(session, review.id) == {}


@pytest.mark.parametrize(
    ("units", "hours", "rule"), [(4.5, 0, "sessions.loss_over_stock"), (1, 1, "shipping.loss_out_of_time")]
)
def test_what_cannot_be_lost_is_refused(session: Session, case: Case, units: float, hours: int, rule: str) -> None:
    what = Discovery(units=units, what_happened=WHY, discovered_at=clock.now() + timedelta(hours=hours))
    with pytest.raises(RuleRefused) as refusal:
        reconciliations.report_home_loss(session, case.patient, case.episode.id, what)
    assert refusal.value.rule == rule
    for who in ("pharmacist", "prescriber"):
        with pytest.raises(NotAllowed):
            reconciliations.report_home_loss(session, case.actor(who), case.episode.id, what)
