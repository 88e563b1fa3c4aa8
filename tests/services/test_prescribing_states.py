"""Every state × step of a prescription: only prescribers sign and cancel, only the pharmacy fills, ends are ends."""

from __future__ import annotations

import pytest

from services.core.actors import Role
from services.core.errors import IllegalTransition, NotAllowed
from services.prescribing.states import DRAFTS, PRESCRIPTION_TRANSITIONS, VALID, PrescriptionState, PrescriptionStep

_S, _T = PrescriptionState, PrescriptionStep
ENDED = frozenset({_S.EXPIRED, _S.CANCELLED, _S.SUPERSEDED})
FROM = {
    _T.CHANGE: DRAFTS,
    _T.MARK_READY: DRAFTS,
    _T.SIGN: {_S.READY},
    _T.REPORT_SIGNED: {_S.READY},
    _T.CONFIRM_SIGNED: {_S.REPORTED},
    _T.FILL: {_S.SIGNED, _S.FILLING},
    _T.COMPLETE_FILL: {_S.FILLING},
    _T.AUTHORIZE_FILL: {_S.DISPENSED},
    _T.EXPIRE: VALID,
    _T.CANCEL: DRAFTS | VALID,
    _T.SUPERSEDE: DRAFTS | VALID,
}
AFTER = {
    _T.CHANGE: _S.DRAFTED,
    _T.MARK_READY: _S.READY,
    _T.SIGN: _S.SIGNED,
    _T.REPORT_SIGNED: _S.REPORTED,
    _T.CONFIRM_SIGNED: _S.SIGNED,
    _T.FILL: _S.FILLING,
    _T.COMPLETE_FILL: _S.DISPENSED,
    _T.AUTHORIZE_FILL: _S.FILLING,
    _T.EXPIRE: _S.EXPIRED,
    _T.CANCEL: _S.CANCELLED,
    _T.SUPERSEDE: _S.SUPERSEDED,
}
MAY = {
    _T.CHANGE: {Role.PRESCRIBER, Role.MEDICAL_STAFF},
    _T.REPORT_SIGNED: {Role.PRESCRIBER, Role.MEDICAL_STAFF},
    _T.FILL: {Role.PHARMACIST},
    _T.COMPLETE_FILL: {Role.PHARMACIST},
    _T.EXPIRE: {Role.SYSTEM},
}


def test_nothing_is_forgotten() -> None:
    assert set(FROM) == set(AFTER) == set(_T)
    assert set(_S) == DRAFTS | VALID | ENDED


@pytest.mark.parametrize("state", list(PrescriptionState))
@pytest.mark.parametrize("step", list(PrescriptionStep))
def test_each_step_starts_where_it_may_and_is_taken_by_whom_it_concerns(
    state: PrescriptionState, step: PrescriptionStep
) -> None:
    may = MAY.get(step, {Role.PRESCRIBER})
    if step is _T.CANCEL and state in VALID:
        may = {Role.PRESCRIBER, Role.SYSTEM}  # the system cancels what was altered after it was signed
    for role in Role:
        if state not in FROM[step]:
            with pytest.raises(IllegalTransition):
                PRESCRIPTION_TRANSITIONS.advance(state, step, role)
        elif role not in may:
            with pytest.raises(NotAllowed):
                PRESCRIPTION_TRANSITIONS.advance(state, step, role)
        else:
            assert PRESCRIPTION_TRANSITIONS.advance(state, step, role) is AFTER[step]
