"""Every stage × step of a parcel, its tracker and its receipt: what moves, by whom, and what ends."""

from __future__ import annotations

import pytest

from services.core.actors import Role
from services.core.errors import IllegalTransition, NotAllowed
from services.shipping.states import (
    PERSON_STEPS,
    RECEIPT_TRANSITIONS,
    REPORTS,
    SHIPMENT_TRANSITIONS,
    TRACKER_TRANSITIONS,
    ReceiptState,
    ReceiptStep,
    ShipmentStep,
    TrackerState,
    TrackerStep,
)
from services.shipping.statuses import TERMINAL, Stage

ROLES = (Role.SYSTEM, Role.PHARMACIST, Role.PATIENT, Role.PRESCRIBER)


def test_every_stage_that_a_carrier_can_report_has_a_step_of_its_own() -> None:
    assert set(REPORTS) == set(Stage) - {Stage.REGISTERED}
    assert set(REPORTS.values()) | set(PERSON_STEPS) == set(ShipmentStep)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("step", list(ShipmentStep))
def test_reports_move_what_has_not_ended_and_people_alone_move_the_delivered(stage: Stage, step: ShipmentStep) -> None:
    by_person = step in PERSON_STEPS
    from_here = stage not in TERMINAL or (by_person and stage is Stage.DELIVERED)
    right_role = Role.PHARMACIST if by_person else Role.SYSTEM
    for role in ROLES:
        if not from_here or step == f"report_{stage}":
            with pytest.raises(IllegalTransition):
                SHIPMENT_TRANSITIONS.advance(stage, step, role)
        elif role is not right_role:
            with pytest.raises(NotAllowed):
                SHIPMENT_TRANSITIONS.advance(stage, step, role)
        else:
            assert step.endswith(SHIPMENT_TRANSITIONS.advance(stage, step, role).value)


@pytest.mark.parametrize("state", [TrackerState.REGISTERED, TrackerState.REFUSED])
@pytest.mark.parametrize("step", list(TrackerStep))
def test_a_tracker_that_is_settled_is_not_asked_for_again(state: TrackerState, step: TrackerStep) -> None:
    with pytest.raises(IllegalTransition):
        TRACKER_TRANSITIONS.advance(state, step, Role.SYSTEM)


@pytest.mark.parametrize("state", list(ReceiptState))
@pytest.mark.parametrize("step", list(ReceiptStep))
def test_a_settled_receipt_is_only_resolved_and_only_by_the_pharmacy(state: ReceiptState, step: ReceiptStep) -> None:
    if step is ReceiptStep.RESOLVE:
        possible, role = state is ReceiptState.DISPUTED, Role.PHARMACIST
    else:
        possible, role = state is ReceiptState.AWAITED, Role.PATIENT
    if not possible:
        with pytest.raises(IllegalTransition):
            RECEIPT_TRANSITIONS.advance(state, step, role)
        return
    for other in set(ROLES) - {role}:
        with pytest.raises(NotAllowed):
            RECEIPT_TRANSITIONS.advance(state, step, other)
    disputed = step is ReceiptStep.DISPUTE
    after = RECEIPT_TRANSITIONS.advance(state, step, role)
    assert after is (ReceiptState.DISPUTED if disputed else ReceiptState.CONFIRMED)
