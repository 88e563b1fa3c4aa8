"""How an approved refill is supplied, and that without an approval nothing is ever handed out, so nothing can ship."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.people.attempts import Refused
from services.prescribing import prescriptions
from services.prescribing.contents import content_of
from services.prescribing.models import Fill, Prescription
from services.prescribing.reviews import review_of
from services.prescribing.states import PrescriptionState
from services.refills import decisions, requests
from services.refills.models import RefillRequest
from services.refills.rules import Supply
from services.refills.states import RefillState
from services.sessions import ledgers
from services.sessions.states import SessionState
from services.vault.boxes import box
from tests.factories_prescribing import (
    USUAL_REASONS,
    Case,
    check_pdmp,
    content,
    follow_up,
    make_case,
    make_fill,
    make_shipment,
    sign,
)
from tests.factories_refills import (
    FIRST_DAY,
    Supplied,
    approve,
    ask,
    authorizations,
    held_with,
    make_supplied,
    open_refill_task,
    receive,
    report_all_scales,
    told,
)
from tests.factories_sessions import drive, stopped_clock
from tests.factories_sessions import make_supplied as at_home

REASON = Personal("Canary-reason: she felt unsteady for days.")


@pytest.fixture
def supplied(session: Session) -> Iterator[Supplied]:
    with make_supplied(session) as made:
        yield made


@pytest.fixture
def request_id(session: Session, supplied: Supplied) -> UUID:
    return ask(session, supplied).request.id


def test_an_approval_authorizes_the_next_fill_where_the_law_allows_it(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    read = approve(session, supplied, request_id, reason=Personal("Doing well."))
    row = read.request
    assert (row.state, row.supply, row.decided_by) == (RefillState.APPROVED, Supply.NEXT_FILL, supplied.prescriber.id)
    assert row.prescription_id == supplied.prescription.id
    [authorization] = authorizations(session)
    assert (authorization.refill_request_id, authorization.prescription_id) == (request_id, supplied.prescription.id)
    make_fill(session, supplied.case, supplied.prescription, is_refill=True)


def test_the_pharmacy_hears_of_the_prescription_the_others_of_the_request(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    approve(session, supplied, request_id)
    assert {party: subject for party, (subject, _) in told(session, EventKind.REFILL_FILL_APPROVED).items()} == {
        "pharmacy": "prescription",
        "therapist": "refill_request",
        "patient": "refill_request",
    }
    assert told(session, EventKind.REFILL_APPROVED) == {}


def test_without_a_refill_left_an_approval_asks_for_a_new_prescription(session: Session) -> None:
    with make_supplied(session, refills=0) as supplied:
        read = approve(session, supplied, ask(session, supplied).request.id)
        assert read.request.supply == Supply.NEW_PRESCRIPTION
        assert authorizations(session) == []
        assert set(told(session, EventKind.REFILL_APPROVED)) == {"medical_team", "therapist", "patient"}
        assert told(session, EventKind.REFILL_FILL_APPROVED) == {}


def test_a_change_of_dose_needs_a_new_prescription(session: Session, supplied: Supplied, request_id: UUID) -> None:
    assert approve(session, supplied, request_id, changed=True).request.supply == Supply.NEW_PRESCRIPTION
    assert authorizations(session) == []


def test_a_prescription_that_was_cancelled_is_replaced(session: Session, supplied: Supplied, request_id: UUID) -> None:
    prescriptions.cancel(session, supplied.prescriber, supplied.prescription.id, Personal("Another strength."))
    read = approve(session, supplied, request_id)
    assert (read.request.supply, read.request.prescription_id) == (Supply.NEW_PRESCRIPTION, None)


def test_the_rest_of_a_fill_needs_no_authorization(session: Session) -> None:
    with make_supplied(session) as supplied:
        approve(session, supplied, ask(session, supplied).request.id)
        receive(session, supplied.case, make_fill(session, supplied.case, supplied.prescription, 1, is_refill=True))
        held_with(session, supplied.episode, supplied.prescription, 100, clock.now() - timedelta(hours=1))
        supplied.sessions[1].state = "closed"
        read = approve(session, supplied, ask(session, supplied, 1).request.id)
        assert (read.request.supply, len(authorizations(session))) == (Supply.NEXT_FILL, 1)
        make_fill(session, supplied.case, supplied.prescription, 3)
        with pytest.raises(RuleRefused):
            make_fill(session, supplied.case, supplied.prescription, 1, is_refill=True)


def test_drafting_the_new_prescription_settles_what_asked_for_it(session: Session) -> None:
    with make_supplied(session, refills=0) as supplied:
        request_id = ask(session, supplied).request.id
        approve(session, supplied, request_id)
        asked = open_refill_task(session, request_id, supplied.prescriber, TaskKind.DRAFT_PRESCRIPTION)
        asked.episode_id = supplied.episode.id
        prescriptions.draft(
            session,
            supplied.prescriber,
            supplied.episode.id,
            content(first_session_dose_mg=None),
            refill_request_id=request_id,
        )
        assert asked.state == "completed"


def test_a_new_prescription_answers_an_approved_request_of_its_own_episode_only(session: Session) -> None:
    with make_supplied(session, refills=0) as supplied:
        request_id = ask(session, supplied).request.id

        def draft(case: Case) -> Prescription:
            given = content(first_session_dose_mg=None if case is supplied.case else 100)
            return prescriptions.draft(session, case.prescriber, case.episode.id, given, refill_request_id=request_id)

        with pytest.raises(RuleRefused) as undecided:
            draft(supplied.case)
        assert undecided.value.findings[0].rule == "prescribing.refill_request_not_approved"
        approve(session, supplied, request_id)
        with pytest.raises(RuleRefused) as foreign:
            draft(make_case(session, world=supplied.case.world))
        assert foreign.value.findings[0].rule == "prescribing.refill_request_not_approved"
        row = draft(supplied.case)
        reasons = {rule: Personal(why) for rule, why in USUAL_REASONS.items()}
        found = {each["rule"] for each in review_of(box(session, row.patient_id), row).findings}
        prescriptions.mark_ready(
            session, supplied.prescriber, row.id, {rule: why for rule, why in reasons.items() if rule in found}
        )
        request = session.get_one(RefillRequest, request_id)
        request.state = "declined"
        with pytest.raises(RuleRefused) as unsigned:
            sign(session, supplied.case, row)
        assert "prescribing.refill_request_not_approved" in {each.rule for each in unsigned.value.findings}
        request.state = "approved"
        sign(session, supplied.case, row)
        fill = make_fill(session, supplied.case, row)
        request.state = "declined"
        with pytest.raises(RuleRefused) as unsent:
            make_shipment(session, supplied.case, fill)
        assert [each.rule for each in unsent.value.findings] == ["shipping.refill_undecided"]


# Nothing is handed out, and so nothing can be shipped, without an approval.


def refuse_refill(session: Session, supplied: Supplied) -> str:
    with pytest.raises(RuleRefused) as refusal:
        make_fill(session, supplied.case, supplied.prescription, is_refill=True)
    assert len(session.scalars(select(Fill)).all()) == 1
    assert refusal.value.rule is not None
    return refusal.value.rule


def test_an_undecided_request_never_lets_anything_out(session: Session, supplied: Supplied, request_id: UUID) -> None:
    assert refuse_refill(session, supplied) == "prescribing.refill_not_authorized"
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    assert refuse_refill(session, supplied) == "prescribing.refill_not_authorized"


def test_a_declined_request_never_lets_anything_out(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.decline(session, supplied.prescriber, request_id, REASON)
    assert refuse_refill(session, supplied) == "prescribing.refill_not_authorized"


def test_an_approval_for_a_new_prescription_lets_nothing_out_on_the_old_one(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    approve(session, supplied, request_id, changed=True)
    assert refuse_refill(session, supplied) == "prescribing.refill_not_authorized"


def test_one_approval_lets_one_refill_out(session: Session, supplied: Supplied, request_id: UUID) -> None:
    approve(session, supplied, request_id)
    make_fill(session, supplied.case, supplied.prescription, is_refill=True)
    with pytest.raises(RuleRefused) as refusal:
        make_fill(session, supplied.case, supplied.prescription, is_refill=True)
    assert refusal.value.rule == "prescribing.refill_not_authorized"


def test_a_prescription_altered_after_signing_is_refused_and_the_request_stays_open(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    changed = content_of(box(session, supplied.episode.patient_id), supplied.prescription).as_dict()
    own = box(session, supplied.episode.patient_id)
    own.seal(supplied.prescription, "content", {**changed, "dose_mg": 190})
    session.flush()
    refused = decisions.approve(session, supplied.prescriber, request_id, changed=False)
    assert isinstance(refused, Refused)
    assert supplied.prescription.state == PrescriptionState.CANCELLED
    assert session.get_one(RefillRequest, request_id).state == RefillState.REQUESTED
    assert (authorizations(session), told(session, EventKind.REFILL_FILL_APPROVED)) == ([], {})
    assert approve(session, supplied, request_id).request.supply == Supply.NEW_PRESCRIPTION


def test_from_the_first_parcel_to_the_second_through_every_step(session: Session) -> None:
    with stopped_clock(FIRST_DAY) as moment:
        case = at_home(session, refills=1)
        drive(session, case, SessionState.CLOSED, moment, mg=100)
        moment.move_to(FIRST_DAY + timedelta(days=8))
        drive(session, case, SessionState.INTEGRATION_DUE, moment, mg=200)
        ledgers.record_count(session, case.actor("therapist"), case.episode.id, 1)
        with pytest.raises(RuleRefused) as refusal:
            requests.request_refill(session, case.actor("therapist"), case.episode.id)
        assert [finding.rule for finding in refusal.value.findings] == [
            "refills.scales_too_old",
            "refills.pdmp_not_current",
            "prescribing.follow_up_missing",
            "refills.earliest_date",
        ]
        follow_up(session, case)
        report_all_scales(session, case.episode)
        check_pdmp(session, case)
        made = requests.request_refill(session, case.actor("therapist"), case.episode.id)
        [row] = session.scalars(select(Prescription))
        with pytest.raises(RuleRefused):
            make_fill(session, case, row, is_refill=True)
        decisions.approve(session, case.prescriber, made.request.id, changed=False)
        parcel = make_shipment(session, case, make_fill(session, case, row, is_refill=True))
        assert parcel.prescription_id == row.id
