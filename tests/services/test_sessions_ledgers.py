"""The ledger of units: dispensed = taken + wasted + what is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor
from services.core.errors import NotAllowed, RuleRefused
from services.core.personal import Personal
from services.prescribing.doses import Amounts, doses_taken
from services.sessions import ledgers
from services.sessions.ledgers import Ledger
from services.sessions.states import SessionState
from tests.factories import audited
from tests.factories_prescribing import Case
from tests.factories_sessions import drive, give, integrate, make_supplied, stopped_clock, therapist

WHY = Personal("Fell on the floor.")


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """Four units of 100 mg at home."""
    return make_supplied(session)


def waste(session: Session, case: Case, units: float, actor: Actor | None = None) -> Ledger:
    return ledgers.record_waste(session, actor or case.patient, case.episode.id, units, WHY)


def test_it_begins_with_what_was_dispensed(session: Session, case: Case) -> None:
    book = ledgers.ledger(session, case.episode.id)
    assert (book.dispensed, book.taken, book.wasted, book.remaining_expected) == (4, 0, 0, 4)
    assert (book.remaining_reported, book.counted_at, repr(book)) == (None, None, "<ledger>")


def test_halves_are_counted(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.DOSED, moment, mg=50)
    book = waste(session, case, 0.5, therapist(case))
    assert (book.taken, book.wasted, book.remaining_expected) == (0.5, 0.5, 3)
    (taken,) = ledgers.doses_taken(session, case.episode.id)
    assert (taken.session_id, taken.mg, taken.units, taken.is_booster) == (row.id, 50, 0.5, False)


def test_no_more_is_wasted_than_is_left(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    drive(session, case, SessionState.DOSED, moment, mg=50)
    with pytest.raises(RuleRefused) as refusal:
        waste(session, case, 3.75)
    assert (refusal.value.field, refusal.value.rule) == ("units", "sessions.waste_over_stock")
    assert waste(session, case, 3.5).remaining_expected == 0


def test_a_count_stands_until_something_is_taken_or_wasted(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    counted = ledgers.record_count(session, case.patient, case.episode.id, 3)  # one is missing: that is kept
    assert (counted.remaining_reported, counted.counted_at, counted.remaining_expected) == (3, clock.now(), 4)
    moment.shift(1)
    assert waste(session, case, 1).remaining_reported is None
    moment.shift(1)
    assert ledgers.record_count(session, therapist(case), case.episode.id, 3).remaining_reported == 3
    drive(session, case, SessionState.DOSED, moment)
    assert ledgers.ledger(session, case.episode.id).remaining_reported is None


def test_counts_and_reasons_are_sealed_and_audited(session: Session, case: Case) -> None:
    waste(session, case, 1)
    ledgers.record_count(session, case.patient, case.episode.id, 3)
    ledgers.read_ledger(session, case.actor("medical_staff"), case.episode.id)
    assert {"stock.waste", "stock.count", "stock.read"} <= set(audited(session))
    with pytest.raises(NotAllowed):
        ledgers.read_ledger(session, case.actor("pharmacist"), case.episode.id)
    with pytest.raises(NotAllowed):
        waste(session, case, 1, case.prescriber)


def test_prescribing_hears_of_whole_units_whose_sum_is_right(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    waste(session, case, 0.5)
    first = drive(session, case, SessionState.INTEGRATION_DUE, moment, mg=50)
    assert doses_taken(session, case.episode.id) == [Amounts(dose_mg=50, used_units=0, wasted_units=0)]
    integrate(session, case, first, moment)
    moment.move_to(first.starts_at + timedelta(days=7))
    second = drive(session, case, SessionState.VITALS_PASSED, moment)
    give(session, case, second, 150)
    waste(session, case, 0.5)
    assert doses_taken(session, case.episode.id) == [
        Amounts(dose_mg=50, used_units=0, wasted_units=0),
        Amounts(dose_mg=150, used_units=2, wasted_units=1),
    ]
    assert ledgers.ledger(session, case.episode.id).remaining_expected == 1
