"""Fills: parts, refills, six months, authorizations, and two pharmacists at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from services.core import clock
from services.core.errors import Conflict, IllegalTransition, NotAllowed, NotFound, RuleRefused
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.eligibility.decisions import screen_again
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.messaging.timers import fire_due
from services.people.attempts import Refused
from services.prescribing import doses, fills, prescriptions, views
from services.prescribing.models import Fill, FillAuthorization, Prescription
from services.prescribing.supplies import supply_of
from services.vault.boxes import box
from tests.at_once import at_once
from tests.factories import audited, make_world
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    DEFAULT,
    USUAL_REASONS,
    Case,
    follow_up,
    make_case,
    make_draft,
    make_fill,
    make_signed,
    timers_of,
)

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment(request: pytest.FixtureRequest) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


def refusing_rules(
    session: Session, case: Case, row: Prescription, quantity: int, *, is_refill: bool = False
) -> list[str]:
    with pytest.raises(RuleRefused) as refusal:
        make_fill(session, case, row, quantity, is_refill=is_refill)
    return [finding.rule for finding in refusal.value.findings]


def asked_to_fill(session: Session, case: Case, subject: Subject) -> Task:
    return open_task(
        session,
        TaskKind.FILL_PRESCRIPTION,
        party=Party.PHARMACY,
        owner_id=case.world.pharmacy.id,
        subject=subject,
        due_at=clock.now(),
    )


def authorize(session: Session, case: Case, row: Prescription) -> FillAuthorization:
    follow_up(session, case)
    given = fills.authorize_next_fill(session, case.prescriber, row.id, new_id())
    assert not isinstance(given, Refused)
    return given


def next_fill_rules(session: Session, case: Case, row: Prescription) -> list[str]:
    return [each.rule for each in fills.next_fill_findings(session, case.episode, row.id)]


def test_parts_add_up_to_the_prescribed_quantity_and_not_beyond(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    asked = asked_to_fill(session, case, Subject("prescription", row.id))
    first = make_fill(session, case, row, 1)
    assert (row.state, asked.state, first.fill_number) == ("filling", "requested", 0)
    assert refusing_rules(session, case, row, 4) == ["prescribing.fill_over_quantity"]
    make_fill(session, case, row, 3)
    assert (row.state, asked.state) == ("dispensed", "completed")
    with pytest.raises(IllegalTransition):
        make_fill(session, case, row, 1)
    told = emitted(session, EventKind.FILL_RECORDED)
    assert [each["party"] for each in told] == [Party.PHARMACY] * 2
    assert audited(session).count("fill.record") == 2


def test_nothing_is_handed_out_once_the_eligibility_is_looked_at_anew(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    screen_again(session, case.prescriber, case.episode.id, Personal("Your blood pressure has changed."))
    assert refusing_rules(session, case, row, 4) == ["prescribing.eligibility_not_current"]


def test_no_home_gets_more_than_it_may_hold_however_many_prescriptions_are_signed(session: Session, case: Case) -> None:
    first = make_signed(session, case)
    rows = [make_signed(session, case, reasons=USUAL_REASONS) for _ in range(3)]
    assert refusing_rules(session, case, first, 4) == ["prescribing.home_stock_over_limit"]
    prescriptions.cancel(session, case.prescriber, rows[0].id, Personal("One too many."))
    make_fill(session, case, first)
    make_fill(session, case, rows[1])
    make_fill(session, case, rows[2])


def test_a_refill_is_not_authorized_beyond_what_a_home_may_hold(session: Session, case: Case) -> None:
    row = make_signed(session, case, refills=2)
    others = [make_signed(session, case, reasons=USUAL_REASONS) for _ in range(2)]
    make_fill(session, case, row)
    follow_up(session, case)
    assert next_fill_rules(session, case, row) == ["prescribing.home_stock_over_limit"]
    prescriptions.cancel(session, case.prescriber, others[0].id, Personal("One too many."))
    assert next_fill_rules(session, case, row) == []


def test_how_much_was_handed_out_stands_sealed(session: Session, case: Case) -> None:
    fill = make_fill(session, case, make_signed(session, case), 3)
    own = prescriptions.box(session, fill.patient_id)
    assert own.open(fill, "quantity").reveal() == 3
    stored = session.execute(text("SELECT quantity FROM fills WHERE id = :id"), {"id": fill.id}).scalar_one()
    assert bytes(stored) != b"3"
    assert len(stored) > 40


@pytest.mark.parametrize("who", ["prescriber", "medical_staff", "therapist"])
def test_only_the_pharmacy_fills(session: Session, case: Case, who: str) -> None:
    row = make_signed(session, case)
    with pytest.raises(NotAllowed):
        fills.record_fill(session, case.actor(who), row.id, 1)


def test_another_pharmacy_does_not_see_the_prescription(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    stranger = make_world(session).actor("pharmacist")
    with pytest.raises(NotFound):
        fills.record_fill(session, stranger, row.id, 1)
    with pytest.raises(NotFound):
        views.read_prescription(session, stranger, row.id)


def test_a_draft_does_not_exist_for_the_pharmacy(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    with pytest.raises(NotFound):
        fills.record_fill(session, case.actor("pharmacist"), row.id, 1)


def test_nothing_is_filled_on_a_cancelled_one(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Wrong patient."))
    with pytest.raises(IllegalTransition):
        make_fill(session, case, row)
    found = fills.next_fill_findings(session, case.episode, row.id)
    assert [finding.rule for finding in found] == ["prescribing.not_in_force"]


def test_the_last_day_is_six_calendar_months_after_the_issue(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = make_signed(session, case)
    session.execute(text("UPDATE eligibility_decisions SET valid_until = '2028-01-01'"))
    moment.move_to(datetime(2027, 5, 24, 6, 59, tzinfo=UTC))  # 23:59 on May 23 in California
    make_fill(session, case, row, 1)
    moment.move_to(datetime(2027, 5, 24, 7, 1, tzinfo=UTC))
    assert refusing_rules(session, case, row, 1) == ["prescribing.fill_after_six_months"]


def test_a_prescription_expires_by_itself_and_what_asked_for_it_falls_away(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = make_signed(session, case)
    asked = asked_to_fill(session, case, Subject("prescription", row.id))
    moment.move_to(timers_of(session, row.id)["prescription.expired"])
    assert fire_due(session) == 1
    assert [each["party"] for each in emitted(session, EventKind.PRESCRIPTION_EXPIRED)] == [Party.PHARMACY]
    fills.end_prescription(session, row.id, DEFAULT)
    assert (row.state, asked.state) == ("expired", "cancelled")
    fills.end_prescription(session, row.id, DEFAULT)  # delivered again
    assert row.state == "expired"


def test_a_prescription_with_nothing_left_needs_no_timer(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    make_fill(session, case, row)
    assert timers_of(session, row.id) == {}


def test_a_refill_needs_an_approved_request(session: Session, case: Case) -> None:
    row = make_signed(session, case, refills=2)
    assert refusing_rules(session, case, row, 4, is_refill=True) == ["prescribing.refill_before_fill"]
    make_fill(session, case, row)
    assert refusing_rules(session, case, row, 4, is_refill=True) == ["prescribing.refill_not_authorized"]
    given = authorize(session, case, row)
    assert (row.state, given.fill_number) == ("filling", 1)
    asked = asked_to_fill(session, case, Subject("refill_request", given.refill_request_id))
    part = make_fill(session, case, row, 1, is_refill=True)
    assert (part.fill_number, asked.state) == (1, "requested")
    assert refusing_rules(session, case, row, 4, is_refill=True)[0] == "prescribing.refill_not_authorized"
    rest = make_fill(session, case, row, 3)
    assert (rest.fill_number, row.state, asked.state) == (1, "dispensed", "completed")
    assert refusing_rules(session, case, row, 4, is_refill=True) == ["prescribing.refill_not_authorized"]


def test_a_request_authorizes_one_refill_once(session: Session, case: Case) -> None:
    row = make_signed(session, case, refills=2)
    make_fill(session, case, row)
    follow_up(session, case)
    request = new_id()
    first = fills.authorize_next_fill(session, case.prescriber, row.id, request)
    again = fills.authorize_next_fill(session, case.prescriber, row.id, request)
    assert first is again
    with pytest.raises(RuleRefused) as refusal:
        authorize(session, case, row)
    assert refusal.value.rule == "prescribing.fill_not_complete"


def test_the_law_ends_refills_after_the_prescribed_number(session: Session, case: Case) -> None:
    row = make_signed(session, case, refills=1)
    make_fill(session, case, row)
    authorize(session, case, row)
    make_fill(session, case, row, is_refill=True)
    assert next_fill_rules(session, case, row) == ["prescribing.no_refill_left"]
    with pytest.raises(RuleRefused):
        authorize(session, case, row)


def test_no_refill_is_authorized_after_six_months(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = make_signed(session, case, refills=1)
    make_fill(session, case, row)
    assert next_fill_rules(session, case, row) == ["prescribing.follow_up_missing"]
    follow_up(session, case)
    assert next_fill_rules(session, case, row) == []
    moment.shift(timedelta(days=190))
    with pytest.raises(RuleRefused) as refusal:
        authorize(session, case, row)
    assert refusal.value.rule == "prescribing.fill_after_six_months"


@pytest.mark.parametrize("who", ["pharmacist", "therapist", "medical_staff"])
def test_nobody_but_a_prescriber_authorizes_a_refill(session: Session, case: Case, who: str) -> None:
    row = make_signed(session, case, refills=1)
    make_fill(session, case, row)
    with pytest.raises(NotAllowed):
        fills.authorize_next_fill(session, case.actor(who), row.id, new_id())


def test_an_altered_prescription_is_cancelled_and_nothing_is_filled(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    session.flush()
    session.execute(text("UPDATE prescriptions SET expires_on = '2030-01-01' WHERE id = :id"), {"id": row.id})
    session.expire_all()
    refused = fills.record_fill(session, case.actor("pharmacist"), row.id, 4)
    assert isinstance(refused, Refused)
    with pytest.raises(RuleRefused) as refusal:
        refused.require()
    assert refusal.value.rule == "prescribing.signature_not_valid"
    assert row.state == "cancelled"
    assert session.query(Fill).count() == 0
    assert len(emitted(session, EventKind.PRESCRIPTION_CANCELLED)) == 2
    assert "prescription.verify" in audited(session)
    seen = views.read_prescription(session, case.actor("pharmacist"), row.id)
    assert (seen.paper, seen.signature_valid) == (None, False)


def test_what_never_arrived_counts_for_nothing(session: Session, case: Case) -> None:
    row = make_signed(session, case)
    fill = make_fill(session, case, row)
    assert fills.dispensed_units(session, case.episode.id) == 4
    fills.mark_undelivered(session, fill.id)
    assert fills.dispensed_units(session, case.episode.id) == 0
    own = prescriptions.box(session, row.patient_id)
    assert doses.history_of(session, case.episode.id, own).is_first


def note(session: Session, row: Prescription, dose_mg: int, used: int, wasted: int = 0) -> None:
    amounts = doses.Amounts(dose_mg=dose_mg, used_units=used, wasted_units=wasted)
    doses.note_dose(session, prescription_id=row.id, session_id=new_id(), amounts=amounts, taken_at=clock.now())


def test_the_next_draft_is_judged_by_what_was_taken_and_what_is_at_home(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = make_signed(session, case)
    make_fill(session, case, row)
    note(session, row, 100, 1)
    moment.shift(timedelta(days=1))
    note(session, row, 150, 1, wasted=1)
    history = doses.history_of(session, case.episode.id, prescriptions.box(session, row.patient_id))
    assert (history.is_first, history.last_dose_mg, history.home_mg) == (False, 150, 100)
    follow_up = {"first_session_dose_mg": None, "sessions_supply": 6}
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case, **follow_up, dose_mg=300, quantity_units=18)
    assert {each.rule for each in refusal.value.findings} == {
        "prescribing.step_over_limit",
        "prescribing.home_stock_over_limit",
    }
    make_draft(session, case, **{**follow_up, "sessions_supply": 5}, dose_mg=250, quantity_units=13)


def test_noting_a_session_again_replaces_what_it_took(session: Session, case: Case) -> None:
    row, other = make_signed(session, case), make_signed(session, case)
    held = new_id()
    for used in (1, 2):
        amounts = doses.Amounts(dose_mg=100, used_units=used)
        doses.note_dose(session, prescription_id=row.id, session_id=held, amounts=amounts, taken_at=clock.now())
    assert [each.used_units for each in doses.doses_taken(session, case.episode.id)] == [2]
    with pytest.raises(Conflict) as refusal:
        doses.note_dose(session, prescription_id=other.id, session_id=held, amounts=amounts, taken_at=clock.now())
    assert refusal.value.rule == "prescribing.one_prescription"


def test_nothing_is_reckoned_of_what_nobody_signed(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    with pytest.raises(RuleRefused) as refusal:
        supply_of(session, box(session, row.patient_id), row)
    assert refusal.value.rule == "prescribing.not_signed"


def test_pharmacists_at_the_same_instant_never_hand_out_more_than_was_prescribed(
    sessions: sessionmaker[Session],
) -> None:
    with sessions.begin() as session:
        case = make_case(session)
        row = make_signed(session, case)
    filled = at_once(sessions, [lambda session: make_fill(session, case, row, 3)] * 4)
    assert sum(filled) == 1
    with sessions() as session:
        assert session.query(Fill).count() == 1


def test_a_fill_and_a_cancellation_at_the_same_instant_do_not_both_happen_unseen(
    sessions: sessionmaker[Session],
) -> None:
    with sessions.begin() as session:
        case = make_case(session)
        row = make_signed(session, case)
    cancelled, filled = at_once(
        sessions,
        [
            lambda session: prescriptions.cancel(session, case.prescriber, row.id, Personal("Stop.")),
            lambda session: make_fill(session, case, row),
        ],
    )
    assert cancelled
    with sessions() as session:
        assert session.get_one(Prescription, row.id).state == "cancelled"
        assert session.query(Fill).count() == int(filled)


def test_who_sees_what(session: Session, case: Case) -> None:
    row = make_signed(session, case, refills=1)
    seen = {
        who: views.read_prescription(session, case.actor(who), row.id)
        for who in ("prescriber", "medical_staff", "pharmacist", "therapist")
    }
    patient = views.read_prescription(session, case.patient, row.id)
    pharmacist = seen["pharmacist"]
    assert pharmacist.paper is not None
    assert set(pharmacist.paper.reveal()) == {
        "issued_on", "patient_name", "patient_address", "drug", "strength", "form", "route", "quantity", "directions",
        "refills", "practitioner_name", "practitioner_address", "dea_number",
    }  # fmt: skip
    assert (pharmacist.content, pharmacist.review) == (None, None)
    assert pharmacist.supply is not None
    assert (pharmacist.supply.left.units_left_in_current_fill, pharmacist.supply.left.refills_left) == (4, 1)
    assert seen["medical_staff"].review is not None
    therapist, own = seen["therapist"].content, patient.content
    assert therapist is not None
    assert own is not None
    assert "limits" in therapist.reveal()
    assert not {"limits", "weight_kg"} & set(own.reveal())
    assert "weight_kg" not in therapist.reveal()
    for view in (seen["therapist"], patient):
        assert (view.paper, view.review, view.supply) == (None, None, None)
    assert audited(session).count("prescription.read") == 5


def test_drafts_are_listed_for_the_medical_team_only(session: Session, case: Case) -> None:
    signed, draft = make_signed(session, case), make_draft(session, case)
    found = {
        who: {row.id for row in views.list_prescriptions(session, case.actor(who), case.episode.id)}
        for who in ("medical_staff", "pharmacist", "therapist")
    }
    assert found == {"medical_staff": {signed.id, draft.id}, "pharmacist": {signed.id}, "therapist": {signed.id}}
    for actor in (case.actor("pharmacist"), case.actor("therapist"), case.patient):
        with pytest.raises(NotFound):
            views.read_prescription(session, actor, draft.id)


def test_a_session_goes_by_the_newest_prescription_of_which_something_was_handed_out(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    therapist = case.actor("therapist")
    first = make_signed(session, case)
    assert views.dosing_order(session, therapist, case.episode) is None
    make_fill(session, case, first)
    moment.shift(timedelta(days=1))
    second = make_signed(session, case, first_session_dose_mg=None, dose_mg=250, quantity_units=5)
    order = views.dosing_order(session, therapist, case.episode)
    assert order is not None
    assert (order.prescription_id, order.dose_mg, order.limits.systolic_below) == (first.id, 200, 145)
    make_fill(session, case, second, 5)
    order = views.dosing_order(session, therapist, case.episode)
    assert order is not None
    assert (order.prescription_id, order.first_session_dose_mg) == (second.id, None)
    prescriptions.cancel(session, case.prescriber, second.id, Personal("Too strong."))
    order = views.dosing_order(session, therapist, case.episode)
    assert order is not None
    assert order.prescription_id == first.id
