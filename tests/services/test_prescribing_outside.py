"""Prescriptions signed in a certified system elsewhere: every rule holds, and they are marked as what they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core.actors import Actor, Role
from services.core.errors import IllegalTransition, NotAllowed, NotFound, NotSignedIn, RuleRefused
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party
from services.people.attempts import Refused
from services.people.models import Licence, SigningGrant
from services.prescribing import outside, prescriptions, views
from services.prescribing.models import Prescription
from services.prescribing.signing import verify_signature
from tests.factories import PASSWORD, audited, code_of, make_account, make_actor
from tests.factories_messaging import emitted
from tests.factories_prescribing import (
    Case,
    check_pdmp,
    make_case,
    make_draft,
    make_fill,
    make_ready,
    make_reported,
    make_shipment,
    make_signed,
    timers_of,
)

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
YESTERDAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    found = make_case(session, pdmp=False)
    check_pdmp(session, found, checked_at=NOON - timedelta(days=2))
    return found


def confirm(
    session: Session, case: Case, row: Prescription, *, by: Actor | None = None, code: str | None = None
) -> Prescription | Refused:
    account = case.world.prescriber
    account.totp_last_step = 0
    given = Secret(code or code_of(session, account))
    return outside.confirm(session, by or case.prescriber, row.id, given, password=Secret(PASSWORD))


def refusing_rules(session: Session, case: Case, row: Prescription) -> set[str]:
    with pytest.raises(RuleRefused) as refusal:
        confirm(session, case, row)
    return {finding.rule for finding in refusal.value.findings}


def test_staff_record_it_the_prescriber_confirms_and_it_is_filled_and_shipped(session: Session, case: Case) -> None:
    row = make_reported(session, case)
    assert (row.state, row.signed_outside) == ("reported", False)
    (asked,) = emitted(session, EventKind.PRESCRIPTION_REPORTED)
    assert (asked["party"], asked["data"]) == (Party.MEDICAL_TEAM, {"owner": str(case.world.prescriber.id)})
    with pytest.raises(NotFound):
        make_fill(session, case, row)
    assert confirm(session, case, row) is row
    assert (row.state, row.issued_on, row.expires_on) == ("signed", YESTERDAY, date(2027, 5, 22))
    assert (row.signed_outside, verify_signature(session, row)) == (True, True)
    assert timers_of(session, row.id) == {"prescription.expired": datetime(2027, 5, 23, 7, 0, tzinfo=UTC)}
    assert make_shipment(session, case, make_fill(session, case, row)).prescription_id == row.id
    assert {"prescription.report_signed", "prescription.confirm_signed"} <= set(audited(session))
    assert {each["party"] for each in emitted(session, EventKind.PRESCRIPTION_SIGNED)} == {
        Party.PHARMACY,
        Party.THERAPIST,
    }


def test_who_may_see_where_it_was_signed(session: Session, case: Case) -> None:
    row = make_reported(session, case)
    confirm(session, case, row)
    for who in ("prescriber", "medical_staff", "pharmacist"):
        told = views.read_prescription(session, case.actor(who), row.id).outside
        assert told is not None
        seen = told.reveal()
        assert seen is not None
        assert (seen["system"], seen["reference"], seen["issued_on"]) == ("Certified Rx", "RX-4711", "2026-11-22")
    assert views.read_prescription(session, case.actor("therapist"), row.id).outside is None
    ours = make_signed(session, make_case(session, world=case.world))
    assert not ours.signed_outside
    seen_here = views.read_prescription(session, case.actor("pharmacist"), ours.id).outside
    assert seen_here is not None
    assert seen_here.reveal() is None


def test_it_needs_no_access_to_signing_here(session: Session, case: Case) -> None:
    session.query(SigningGrant).filter_by(account_id=case.world.prescriber.id).delete()
    row = make_reported(session, case)
    assert confirm(session, case, row) is row


def test_only_the_named_prescriber_confirms_with_both_factors(session: Session, case: Case) -> None:
    row = make_reported(session, case)
    colleague = make_actor(make_account(session, Role.PRESCRIBER, organisation=case.world.medical_team))
    for actor in (colleague, case.actor("medical_staff"), case.actor("pharmacist")):
        with pytest.raises((NotAllowed, NotFound)):
            confirm(session, case, row, by=actor)
    refused = confirm(session, case, row, code="000000")
    assert isinstance(refused, Refused)
    with pytest.raises(NotSignedIn):
        refused.require()
    assert (row.state, case.world.prescriber.failed_attempts) == ("reported", 1)


@pytest.mark.parametrize(
    ("issued_on", "rule"),
    [
        (date(2026, 11, 24), "prescribing.outside_issue_in_future"),
        (date(2026, 5, 22), "prescribing.outside_issue_over"),
    ],
)
def test_a_day_that_cannot_be_is_refused(session: Session, case: Case, issued_on: date, rule: str) -> None:
    with pytest.raises(RuleRefused) as refusal:
        make_reported(session, case, issued_on=issued_on)
    assert ([each.rule for each in refusal.value.findings], refusal.value.field) == ([rule], "issued_on")


def test_the_pdmp_had_been_checked_when_it_was_issued(session: Session) -> None:
    case = make_case(session, pdmp=False)
    row = make_reported(session, case)
    assert refusing_rules(session, case, row) == {"prescribing.pdmp_missing"}
    check_pdmp(session, case)  # today: too late for yesterday
    assert refusing_rules(session, case, row) == {"prescribing.pdmp_in_future"}
    check_pdmp(session, case, checked_at=NOON - timedelta(days=1))
    assert confirm(session, case, row) is row


def test_the_licence_was_valid_when_it_was_issued_and_still_is(session: Session, case: Case) -> None:
    row = make_reported(session, case)
    (paper,) = session.query(Licence).filter_by(account_id=case.world.prescriber.id)
    paper.revoked_on = YESTERDAY
    session.flush()
    assert refusing_rules(session, case, row) == {"people.licence_not_valid_on_day"}
    paper.revoked_on = NOON.date()  # suspended since: nothing is put in force any more
    session.flush()
    assert refusing_rules(session, case, row) == {"people.licence_not_valid_on_day"}
    paper.revoked_on = NOON.date() + timedelta(days=1)
    session.flush()
    assert confirm(session, case, row) is row


def test_only_a_ready_one_is_reported_and_a_change_forgets_it(session: Session, case: Case) -> None:
    draft = make_draft(session, case)
    signature = outside.OutsideSignature(system="Certified Rx", reference="RX-1", issued_on=YESTERDAY)
    with pytest.raises(IllegalTransition):
        outside.report(session, case.actor("medical_staff"), draft.id, signature)
    row = make_reported(session, case)
    prescriptions.change(session, case.actor("medical_staff"), row.id, {"directions": "Other words."})
    assert (row.state, row.outside) == ("drafted", None)
    with pytest.raises(IllegalTransition):
        confirm(session, case, row)
    with pytest.raises(NotAllowed):
        outside.report(session, case.actor("therapist"), make_ready(session, case).id, signature)


def test_one_that_waits_for_confirmation_counts_as_a_duplicate_and_can_be_cancelled(
    session: Session, case: Case
) -> None:
    row = make_reported(session, case)
    with pytest.raises(RuleRefused) as refusal:
        prescriptions.mark_ready(session, case.prescriber, make_draft(session, case).id, {})
    assert [finding.rule for finding in refusal.value.findings] == ["prescribing.duplicate_active"]
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Never signed."))
    assert row.state == "cancelled"


def test_what_was_recorded_cannot_be_altered_unseen(session: Session, case: Case) -> None:
    row = make_reported(session, case)
    confirm(session, case, row)
    session.flush()
    session.execute(text("UPDATE prescriptions SET outside = NULL WHERE id = :id"), {"id": row.id})
    session.expire_all()
    assert not verify_signature(session, row)
