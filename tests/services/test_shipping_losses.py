"""Losses: both timers, what stops them, parcels that did not come, fills stolen from the pharmacy, a second loss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import programme
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.prescribing.models import Fill
from services.sessions import reconciliations
from services.shipping import losses, receipts
from services.shipping.losses import Discovery, Duty, ReadLoss
from services.shipping.models import DiversionReview, Loss, Shipment
from services.shipping.shipments import mark
from services.shipping.states import ShipmentStep
from services.shipping.statuses import Stage
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    Case,
    answer,
    check_pdmp,
    make_case,
    make_fill,
    make_ready,
    make_shipment,
    make_signed,
    report,
    sign,
)
from workers.effects import OpenedEvent, carry_out

# A Friday noon in California; the Monday after it is a working day, the Thursday is Thanksgiving.
NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
MONDAY = NOON + timedelta(days=3)
REASON = Personal("It never came.")


@pytest.fixture(autouse=True)
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def row(session: Session, case: Case) -> Shipment:
    """A parcel that the carrier calls delivered."""
    shipment = make_shipment(session, case)
    report(session, shipment, "delivered")
    return shipment


def lose(session: Session, case: Case, row: Shipment) -> Loss:
    mark(session, case.actor("pharmacist"), row.id, ShipmentStep.MARK_LOST, REASON)
    return session.scalars(select(Loss).where(Loss.shipment_id == row.id)).one()


def done(session: Session, case: Case, loss: Loss, duty: Duty, **details: Any) -> ReadLoss:
    return losses.record_duty(session, case.actor("pharmacist"), loss.id, duty, Personal("DEA-1"), **details)


def test_a_lost_parcel_starts_both_timers(session: Session, case: Case, row: Shipment) -> None:
    loss = lose(session, case, row)
    assert (loss.dea_due_at, loss.form_106_due_at) == (MONDAY, NOON + timedelta(days=45))
    assert (loss.whereabouts, loss.fill_id) == ("on_the_way", row.fill_id)
    read = losses.read_loss(session, case.prescriber, loss.id)
    assert read.details is not None
    assert read.details.reveal()["units"] == 4
    # The others hear of the parcel itself.
    assert [each["party"] for each in emitted(session, EventKind.LOSS_DISCOVERED)] == [Party.PHARMACY]
    assert "loss.report" in audited(session)


def test_the_pharmacys_tasks_are_due_when_the_law_says(session: Session, case: Case, row: Shipment) -> None:
    loss = lose(session, case, row)
    (told,) = emitted(session, EventKind.LOSS_DISCOVERED)
    subject = Subject("loss", loss.id)
    event = OpenedEvent(
        new_id(), Party.PHARMACY, EventKind.LOSS_DISCOVERED, subject, case.episode.id, clock.now(), told["data"]
    )
    with time_machine.travel(NOON + timedelta(hours=7), tick=False):  # the worker was down meanwhile
        carry_out(session, [event], programme())
    session.flush()
    tasks = {task.kind: task for task in session.scalars(select(Task).where(Task.subject_id == loss.id))}
    assert {kind: task.due_at for kind, task in tasks.items()} == {
        "notify_dea": MONDAY,
        "file_form_106": NOON + timedelta(days=45),
    }
    done(session, case, loss, Duty.NOTIFY_DEA)
    assert (tasks["notify_dea"].state, tasks["file_form_106"].state) == ("completed", "requested")
    done(session, case, loss, Duty.FILE_FORM_106)
    assert tasks["file_form_106"].state == "completed"


def test_what_was_told_to_dea_is_on_record_once(
    session: Session, case: Case, row: Shipment, moment: time_machine.Traveller
) -> None:
    loss = lose(session, case, row)
    moment.shift(timedelta(days=4))
    at = MONDAY
    read = done(session, case, loss, Duty.NOTIFY_DEA, at=at)
    assert (read.loss.dea_notified_at, read.loss.dea_notified_by) == (at, case.world.pharmacist.id)
    assert read.dea_reference is not None
    assert (read.dea_reference.reveal(), read.findings) == ("DEA-1", ())
    with pytest.raises(RuleRefused) as refusal:
        done(session, case, loss, Duty.NOTIFY_DEA)
    assert refusal.value.rule == "shipping.loss_duty_done"
    moment.shift(timedelta(days=60))
    late = done(session, case, loss, Duty.FILE_FORM_106)
    assert [finding.rule for finding in late.findings] == ["shipping.form_106_overdue"]
    assert {"loss.notify_dea", "loss.file_form_106"} <= set(audited(session))


@pytest.mark.parametrize("offset", [timedelta(microseconds=-1), timedelta(microseconds=1)])
def test_dea_hears_after_the_discovery_and_not_tomorrow(
    session: Session, case: Case, row: Shipment, offset: timedelta
) -> None:
    loss = lose(session, case, row)
    with pytest.raises(RuleRefused) as refusal:
        done(session, case, loss, Duty.NOTIFY_DEA, at=NOON + offset)
    assert (refusal.value.rule, refusal.value.field) == ("shipping.loss_duty_out_of_time", "done_at")
    done(session, case, loss, Duty.NOTIFY_DEA, at=NOON)


def test_a_parcel_that_did_not_come_is_a_loss_from_the_moment_the_patient_says_so(
    session: Session, case: Case, row: Shipment, moment: time_machine.Traveller
) -> None:
    answer(session, case, row, received=False)
    (loss,) = session.scalars(select(Loss))
    moment.shift(timedelta(days=2))
    assert lose(session, case, row).id == loss.id  # established later: the timers run on
    assert loss.dea_due_at == MONDAY


def test_a_parcel_that_turned_up_is_no_loss(session: Session, case: Case, row: Shipment) -> None:
    answer(session, case, row, received=False)
    (loss,) = session.scalars(select(Loss))
    receipts.resolve_receipt(session, case.actor("pharmacist"), row.id, 4, True, Personal("At the neighbour's."))
    assert loss.found_at == NOON
    with time_machine.travel(NOON + timedelta(days=60), tick=False):
        assert losses.read_loss(session, case.prescriber, loss.id).findings == ()


def test_a_second_loss_raises_a_diversion_review_whatever_was_lost(session: Session, case: Case, row: Shipment) -> None:
    fill = make_fill(session, case, make_signed(session, case))
    lose(session, case, row)
    assert session.scalars(select(DiversionReview)).all() == []
    what = Discovery(units=0, what_happened=Personal("A break-in."), discovered_at=NOON, is_theft=True)
    losses.report_in_pharmacy(session, case.actor("pharmacist"), fill.id, what)
    (review,) = session.scalars(select(DiversionReview))
    assert (review.cause, review.state) == ("losses", "open")


@pytest.mark.parametrize("is_at_home", [False, True])
def test_after_any_loss_the_pdmp_is_asked_again_before_more_is_signed(
    session: Session, case: Case, row: Shipment, moment: time_machine.Traveller, is_at_home: bool
) -> None:
    moment.shift(timedelta(hours=1))
    answer(session, case, row, received=is_at_home)
    if is_at_home:
        what = Discovery(units=1, what_happened=REASON, discovered_at=clock.now())
        reconciliations.report_home_loss(session, case.patient, case.episode.id, what)
    more = make_ready(session, case, first_session_dose_mg=None)
    with pytest.raises(RuleRefused) as refusal:
        sign(session, case, more)
    assert [each.rule for each in refusal.value.findings] == ["prescribing.pdmp_before_loss"]
    check_pdmp(session, case)
    sign(session, case, more)
    assert more.state == "signed"


def test_a_parcel_lost_before_losses_were_kept_counts_as_the_first(session: Session, case: Case, row: Shipment) -> None:
    fill = make_fill(session, case, make_signed(session, case))
    row.state = Stage.LOST
    session.flush()
    what = Discovery(units=0, what_happened=Personal("A break-in."), discovered_at=NOON, is_theft=True)
    losses.report_in_pharmacy(session, case.actor("pharmacist"), fill.id, what)
    (review,) = session.scalars(select(DiversionReview))
    assert (review.cause, review.state) == ("losses", "open")


def test_a_fill_stolen_from_the_pharmacy_is_lost_whole_and_never_ships(session: Session, case: Case) -> None:
    fill = make_fill(session, case, make_signed(session, case))
    what = Discovery(units=0, what_happened=Personal("A break-in."), discovered_at=NOON, is_theft=True)
    read = losses.report_in_pharmacy(session, case.actor("pharmacist"), fill.id, what)
    assert read.details is not None
    assert (read.loss.whereabouts, read.loss.is_theft, read.details.reveal()["units"]) == ("in_pharmacy", True, 4)
    assert fill.undelivered_at == NOON
    for attempt in (
        lambda: losses.report_in_pharmacy(session, case.actor("pharmacist"), fill.id, what),
        lambda: make_shipment(session, case, fill),
    ):
        with pytest.raises(RuleRefused) as refusal:
            attempt()
        assert refusal.value.rule in {"shipping.fill_has_left", "shipping.fill_gone"}


def test_what_has_left_is_not_lost_in_the_pharmacy(session: Session, case: Case, row: Shipment) -> None:
    what = Discovery(units=0, what_happened=REASON, discovered_at=NOON)
    with pytest.raises(RuleRefused) as refusal:
        losses.report_in_pharmacy(session, case.actor("pharmacist"), row.fill_id, what)
    assert refusal.value.rule == "shipping.fill_has_left"


def test_a_replacement_is_never_sent_by_itself(session: Session, case: Case, row: Shipment) -> None:
    lose(session, case, row)
    with pytest.raises(RuleRefused) as refusal:
        make_shipment(session, case, session.get_one(Fill, row.fill_id))
    assert refusal.value.rule == "shipping.fill_gone"


def test_losses_are_for_the_parties_that_handle_them(session: Session, case: Case, row: Shipment) -> None:
    loss = lose(session, case, row)
    for who in ("therapist", "prescriber", "medical_staff", "pharmacist"):
        assert [each.id for each in losses.list_losses(session, case.actor(who), case.episode.id)] == [loss.id]
        losses.read_loss(session, case.actor(who), loss.id)
    shown = losses.read_loss(session, case.patient, loss.id)
    assert (shown.details, shown.dea_reference, shown.findings) == (None, None, ())
    with pytest.raises(NotFound):
        losses.read_loss(session, make_case(session).prescriber, loss.id)
    for who in ("therapist", "prescriber"):
        with pytest.raises(NotAllowed):
            losses.record_duty(session, case.actor(who), loss.id, Duty.NOTIFY_DEA, REASON)
    with pytest.raises(StaleVersion):
        done(session, case, loss, Duty.NOTIFY_DEA, version=loss.version + 1)
