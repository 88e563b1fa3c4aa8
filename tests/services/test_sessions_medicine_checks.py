"""Medicines on the day of a session: gone through with the patient, decided on, held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import NotAllowed, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.sessions import histories
from services.sessions.bookings import cancel_session
from services.sessions.medicine_checks import Decision, allow_unheld, current_medicines, decide_medicines
from services.sessions.medicine_checks import reconcile_medicines as reconcile
from services.sessions.models import TherapySession
from services.sessions.readiness import record_readiness
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case
from tests.factories_programmes import run_under
from tests.factories_sessions import (
    ALCOHOL_AND_THC,
    MORNING,
    book,
    found,
    give,
    make_ready,
    make_supplied,
    measure,
    therapist,
)

WHY = Personal("Needed every day.")
BENZODIAZEPINES = "eligibility.medicine_benzodiazepines"


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    # What is noted later counts, so here the clock goes on.
    with time_machine.travel(MORNING) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case) -> TherapySession:
    return book(session, case)


def takes(session: Session, case: Case, row: TherapySession, *medicines: str) -> None:
    reconcile(session, therapist(case), row.id, Personal(medicines))


def allow(session: Session, case: Case, row: TherapySession, allowed: bool = True) -> None:
    decide_medicines(session, case.prescriber, row.id, Decision(allowed, WHY))


def missing(session: Session, case: Case, row: TherapySession, **changes: Any) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        make_ready(session, case, row, **changes)
    session.refresh(row)
    return [finding.rule for finding in refusal.value.findings]


def refused(session: Session, act: Any) -> str | None:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        act()
    return refusal.value.rule


def test_where_the_programme_wants_it_no_session_begins_before_the_list_was_gone_through(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    run_under(session, case.episode, {"sessions.reconcile_medicines": True})
    takes(session, case, row, "Sertraline 50 mg")
    moment.shift(timedelta(days=1))
    row.starts_at, row.ends_at = row.starts_at + timedelta(days=1), row.ends_at + timedelta(days=1)
    assert missing(session, case, row) == ["sessions.medicines_not_reconciled"]
    reconcile(session, therapist(case), row.id, None)
    assert current_medicines(session, case.episode).reveal() == ("Sertraline 50 mg",)
    assert emitted(session, EventKind.MEDICINES_CHANGED) == []
    assert make_ready(session, case, row).state == "ready"
    assert "session.reconcile_medicines" in audited(session)


def test_a_change_that_asks_for_review_blocks_until_the_prescriber_decides(
    session: Session, case: Case, row: TherapySession
) -> None:
    takes(session, case, row, "Sertraline", "Obscurol")
    (event,) = emitted(session, EventKind.MEDICINES_CHANGED)
    assert (event["party"], event["subject"]) == ("medical_team", ["session", str(row.id)])
    assert missing(session, case, row) == ["sessions.medicines_undecided"]
    allow(session, case, row, False)
    assert missing(session, case, row) == ["sessions.medicines_refused"]
    allow(session, case, row)
    make_ready(session, case, row)
    checks = histories.read_session(session, case.prescriber, row.id).checks
    assert checks is not None
    assert [each.check.kind for each in checks] == ["reconciliation", "medicines_decided", "medicines_decided"]
    assert b"Obscurol" not in b"".join(bytes(each.check.content or b"") for each in checks)


def test_a_change_between_readiness_and_dose_blocks_the_dose(session: Session, case: Case, row: TherapySession) -> None:
    make_ready(session, case, row)
    measure(session, case, row)
    takes(session, case, row, "Obscurol")
    assert refused(session, lambda: give(session, case, row, 50)) == "sessions.medicines_undecided"


def test_what_nobody_decided_on_is_asked_again_in_the_next_session(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    takes(session, case, row, "Obscurol")
    later = book(session, case, starts_at=clock.now() + timedelta(days=8))
    moment.move_to(later.starts_at)
    reconcile(session, therapist(case), later.id, None)
    assert missing(session, case, later) == ["sessions.medicines_undecided"]
    allow(session, case, later)
    moment.shift(timedelta(minutes=1))
    reconcile(session, therapist(case), later.id, None)
    assert make_ready(session, case, later).state == "ready"


@pytest.mark.parametrize("refused", [False, True])
def test_what_was_found_is_not_forgotten_when_its_session_is_cancelled(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller, refused: bool
) -> None:
    takes(session, case, row, "Xyrem")
    if refused:
        allow(session, case, row, False)
    cancel_session(session, therapist(case), row.id, Personal("Not today."))
    later = book(session, case, starts_at=clock.now() + timedelta(days=1))
    moment.move_to(later.starts_at)
    expected = "sessions.medicines_refused" if refused else "sessions.medicines_undecided"
    assert missing(session, case, later) == [expected]
    takes(session, case, later, "Sertraline")
    assert make_ready(session, case, later).state == "ready"


def test_what_was_allowed_in_another_session_is_not_asked_again(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    takes(session, case, row, "Obscurol")
    allow(session, case, row)
    cancel_session(session, therapist(case), row.id, Personal("Not today."))
    later = book(session, case, starts_at=clock.now() + timedelta(days=1))
    moment.move_to(later.starts_at)
    assert make_ready(session, case, later).state == "ready"


def test_a_hard_stop_is_not_overridden(session: Session, case: Case, row: TherapySession) -> None:
    takes(session, case, row, "Xyrem")
    stands = refused(session, lambda: allow(session, case, row))
    assert stands == "sessions.medicines_stop_stands"
    allow(session, case, row, False)
    assert missing(session, case, row) == ["sessions.medicines_refused"]


def test_nothing_is_decided_that_nobody_asked_about(session: Session, case: Case, row: TherapySession) -> None:
    nothing = "sessions.medicines_nothing_to_decide"
    assert refused(session, lambda: allow(session, case, row)) == nothing
    reconcile(session, therapist(case), row.id, Personal(("Sertraline",)))
    assert refused(session, lambda: allow(session, case, row)) == nothing
    unheld = refused(session, lambda: allow_unheld(session, case.prescriber, row.id, BENZODIAZEPINES, WHY))
    assert unheld == nothing


def test_what_is_held_is_asked_about_and_the_prescriber_may_let_it_be_taken_on(
    session: Session, case: Case, row: TherapySession
) -> None:
    takes(session, case, row, "Lorazepam 1 mg")
    if missing(session, case, row)[-1] == "sessions.medicines_undecided":
        allow(session, case, row)
    assert missing(session, case, row) == ["sessions.hold_unanswered"]
    this_morning = clock.now() - timedelta(hours=3)
    assert missing(session, case, row, intakes={BENZODIAZEPINES: this_morning}) == ["sessions.medicine_not_held"]
    ahead = {BENZODIAZEPINES: clock.now() + timedelta(minutes=1)}
    assert refused(session, lambda: make_ready(session, case, row, intakes=ahead)) == "sessions.last_intake_ahead"
    allow_unheld(session, case.prescriber, row.id, BENZODIAZEPINES, WHY)
    make_ready(session, case, row, intakes={BENZODIAZEPINES: this_morning})
    shown = histories.read_session(session, therapist(case), row.id).readiness
    assert shown is not None
    assert shown.reveal().intakes == {ALCOHOL_AND_THC: None, BENZODIAZEPINES: this_morning}


def test_alcohol_and_thc_are_asked_of_everybody_and_nobody_lets_them_be_taken(
    session: Session, case: Case, row: TherapySession
) -> None:
    def answered(intakes: dict[str, datetime | None]) -> str | None:
        ready = replace(found(), intakes=intakes)
        return refused(session, lambda: record_readiness(session, therapist(case), row.id, ready))

    assert answered({}) == "sessions.hold_unanswered"
    two_days_ago = clock.now() - timedelta(hours=48)
    assert answered({ALCOHOL_AND_THC: two_days_ago + timedelta(minutes=1)}) == "sessions.medicine_not_held"
    stands = refused(session, lambda: allow_unheld(session, case.prescriber, row.id, ALCOHOL_AND_THC, WHY))
    assert stands == "sessions.hold_stands"
    assert make_ready(session, case, row, intakes={ALCOHOL_AND_THC: two_days_ago}).state == "ready"


def test_therapists_reconcile_and_prescribers_decide(session: Session, case: Case, row: TherapySession) -> None:
    for actor in (case.prescriber, case.patient, case.actor("medical_staff")):
        with pytest.raises(NotAllowed):
            reconcile(session, actor, row.id, None)
    takes(session, case, row, "Obscurol")
    for actor in (therapist(case), case.actor("medical_staff"), case.patient):
        with pytest.raises(NotAllowed):
            decide_medicines(session, actor, row.id, Decision(True, WHY))
        with pytest.raises(NotAllowed):
            allow_unheld(session, actor, row.id, BENZODIAZEPINES, WHY)
