"""Asking for a refill: the gate over the whole record, one open request at a time, what is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import Conflict, NotAllowed, NotFound, RuleRefused
from services.core.findings import Severity
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import programme
from services.core.vocabulary import EventKind
from services.messaging.models import Event
from services.people import episodes, practitioners
from services.people.models import DeaRegistration, Episode, Licence
from services.people.states import EpisodeState
from services.prescribing import contacts
from services.prescribing.cases import case_of
from services.prescribing.contacts import Manner
from services.refills import decisions, gate, requests
from services.refills.gate import findings_from
from services.refills.models import RefillRequest
from services.refills.states import REFILL_TRANSITIONS, RefillState, RefillStep
from services.sessions import adverse_events, ledgers, reconciliations
from services.sessions.adverse_event_rules import Grade
from services.sessions.adverse_events import Report
from services.sessions.reconciliations import Outcome
from services.shipping import diversions
from services.vault.boxes import box
from tests.factories import audited, make_account, make_actor, make_patient_actor
from tests.factories_prescribing import check_pdmp, make_case, make_fill, make_signed
from tests.factories_refills import (
    ASKED_AT,
    Supplied,
    ask,
    held_with,
    make_supplied,
    phq9,
    receive,
    report,
    report_all_scales,
)
from tests.statements import counted_statements

COMMENT = "Canary-comment: sleeps well, wants to go on."


@pytest.fixture
def supplied(session: Session) -> Iterator[Supplied]:
    with make_supplied(session) as made:
        yield made


def unmet(session: Session, supplied: Supplied, remaining: float | None = 1) -> list[str]:
    """The rules that refuse a request now."""
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        ask(session, supplied, remaining)
    assert all(finding.source for finding in refusal.value.findings)
    return [finding.rule for finding in refusal.value.findings if finding.severity is Severity.STOP]


def events(session: Session, kind: EventKind) -> list[str]:
    return sorted(session.scalars(select(Event.party).where(Event.kind == kind)))


def test_a_request_that_meets_every_condition_is_made(session: Session, supplied: Supplied) -> None:
    made = ask(session, supplied, comment=Personal(COMMENT))
    row = made.request
    assert (row.state, row.requested_by, row.version) == (RefillState.REQUESTED, supplied.therapist.id, 1)
    assert (row.prescription_id, row.supply, row.decided_at) == (supplied.prescription.id, None, None)
    assert (made.comment.reveal(), made.findings, made.acts) == (COMMENT, (), ())
    assert events(session, EventKind.REFILL_REQUESTED) == ["medical_team"]


def test_the_gate_asks_few_queries(session: Session, supplied: Supplied) -> None:
    session.expire_all()
    case = case_of(session, session.get_one(Episode, supplied.episode.id))
    with counted_statements(session) as statements:
        found = gate.evaluate_gate(session, case, prescriber_id=case.episode.prescriber_id)
    assert found.facts is not None
    # The stock: parcels, what moved, the last count. The supply: what came last, what is in force, its fills, who
    # authorized them. What stands, papers, sessions, the round (twice), scales, PDMP, the times of what was taken.
    assert len(statements) <= 15, "\n".join(statements)


def test_a_request_keeps_the_facts_their_hash_and_the_programme(session: Session, supplied: Supplied) -> None:
    made = ask(session, supplied)
    facts = made.facts.reveal()
    assert (facts["dispensed_units"], facts["taken_units"], facts["remaining_units"]) == (4, 3, 1)
    assert (facts["units_per_session"], facts["on"]) == (2, ASKED_AT.date().isoformat())
    assert [each["integration_done"] for each in facts["sessions"]] == [True, False]
    row = session.get_one(RefillRequest, made.request.id)
    own = box(session, row.patient_id)
    assert own.open(row, "inputs_hash").reveal() == (
        hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    )
    assert row.programme_version == programme().version
    assert row.comment is None
    assert row.facts is not None
    assert b"dispensed" not in row.facts


def test_the_count_goes_on_record(session: Session, supplied: Supplied) -> None:
    ask(session, supplied, 1)
    assert ledgers.ledger(session, supplied.episode.id).remaining_reported == 1


def test_a_count_made_before_serves_as_well(session: Session, supplied: Supplied) -> None:
    assert unmet(session, supplied, None) == ["refills.count_missing"]
    ledgers.record_count(session, supplied.therapist, supplied.episode.id, 1)
    assert ask(session, supplied, None).request.state == RefillState.REQUESTED


def test_the_same_request_twice_is_a_conflict(session: Session, supplied: Supplied) -> None:
    ask(session, supplied)
    with pytest.raises(Conflict) as refusal:
        ask(session, supplied)
    assert refusal.value.rule == "refills.request_open"


@pytest.mark.parametrize("state", [RefillState.REQUESTED, RefillState.RETURNED])
def test_the_database_itself_holds_one_open_request_per_episode(
    session: Session, supplied: Supplied, state: RefillState
) -> None:
    first = ask(session, supplied).request
    twin = RefillRequest(
        id=new_id(),
        patient_id=first.patient_id,
        episode_id=first.episode_id,
        state=state,
        requested_by=first.requested_by,
        requested_at=first.requested_at,
        facts=first.facts,
        inputs_hash=first.inputs_hash,
        findings=first.findings,
        programme_version=first.programme_version,
    )
    session.add(twin)
    with pytest.raises(IntegrityError):
        session.flush()


# What can go wrong, one condition of the gate each: how, and which rule names it.


def lapse_eligibility(session: Session, supplied: Supplied) -> None:
    supplied.episode.state = EpisodeState.CLOSED


def leave_adverse_event_open(session: Session, supplied: Supplied) -> None:
    event = Report(grade=Grade.SEVERE, description=Personal("Fell."), occurred_at=clock.now())
    adverse_events.record_adverse_event(session, supplied.therapist, supplied.episode.id, event)


def raise_risk(session: Session, supplied: Supplied) -> None:
    report(session, supplied.episode, phq9={**phq9(8), "q9": 1})


def revoke_licence(session: Session, supplied: Supplied) -> None:
    query = select(Licence.id).where(Licence.account_id == supplied.prescriber.id)
    for licence_id in session.scalars(query):
        practitioners.revoke_licence(session, SYSTEM, licence_id)


def revoke_registration(session: Session, supplied: Supplied) -> None:
    query = select(DeaRegistration.id).where(DeaRegistration.account_id == supplied.prescriber.id)
    for registration_id in session.scalars(query):
        practitioners.revoke_dea_registration(session, SYSTEM, registration_id)


def check_pdmp_elsewhere(session: Session, supplied: Supplied) -> None:
    check_pdmp(session, supplied.case, states=["NV"])


def sign_another(session: Session, supplied: Supplied) -> None:
    content = {"first_session_dose_mg": None, "replaces_id": None}
    make_signed(session, supplied.case, **content)


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lapse_eligibility, "refills.eligibility_lapsed"),
        (leave_adverse_event_open, "refills.adverse_event_open"),
        (raise_risk, "refills.suicide_risk_open"),
        (revoke_licence, "refills.licence_not_valid"),
        (revoke_registration, "refills.dea_not_valid"),
        (check_pdmp_elsewhere, "refills.pdmp_not_current"),
        (sign_another, "refills.fill_outstanding"),
    ],
)
def test_each_condition_is_looked_up_in_the_record(session: Session, supplied: Supplied, spoil: Any, rule: str) -> None:
    spoil(session, supplied)
    session.flush()
    assert unmet(session, supplied) == [rule]


def test_a_wrong_count_is_named_kept_and_reviewed_before_a_right_one_helps(
    session: Session, supplied: Supplied
) -> None:
    with pytest.raises(RuleRefused) as refusal:
        ask(session, supplied, 2)
    rules = [finding.rule for finding in refusal.value.findings]
    assert rules == ["refills.diversion_review_open", "refills.count_off"]
    assert ledgers.ledger(session, supplied.episode.id).remaining_reported == 2
    ledgers.record_count(session, supplied.therapist, supplied.episode.id, 1)
    assert unmet(session, supplied, None) == ["refills.diversion_review_open"]
    review = diversions.open_review(session, supplied.episode.id)
    assert review is not None
    reason = Personal("Counted twice.")
    reconciliations.resolve_review(session, supplied.prescriber, review.id, Outcome.EXPLAINED, reason)
    assert ask(session, supplied, None).request.state == RefillState.REQUESTED


def test_what_was_wasted_counts(session: Session, supplied: Supplied) -> None:
    ledgers.record_waste(session, supplied.therapist, supplied.episode.id, 1, Personal("Fell into the sink."))
    assert ask(session, supplied, 0).request.state == RefillState.REQUESTED


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"vitals": False}, "refills.vitals_missing"), ({"integrated": False}, "refills.integration_missing")],
)
def test_what_sessions_lack_is_named(session: Session, options: dict[str, bool], rule: str) -> None:
    with make_supplied(session, **options) as supplied:
        assert unmet(session, supplied) == [rule]


def test_every_unmet_condition_is_named_at_once(session: Session, supplied: Supplied) -> None:
    leave_adverse_event_open(session, supplied)
    revoke_licence(session, supplied)
    assert unmet(session, supplied, 3) == [
        "refills.adverse_event_open",
        "refills.licence_not_valid",
        "refills.diversion_review_open",
        "refills.count_off",
    ]


def test_scales_contact_and_pdmp_grow_old(session: Session, supplied: Supplied) -> None:
    with time_machine.travel(ASKED_AT + timedelta(days=7)):
        assert ask_and_undo(session, supplied)
    with time_machine.travel(ASKED_AT + timedelta(days=8)):
        assert unmet(session, supplied) == ["refills.scales_too_old", "refills.pdmp_not_current"]
    with time_machine.travel(ASKED_AT + timedelta(days=29)):
        report_all_scales(session, supplied.episode)
        check_pdmp(session, supplied.case)
        assert unmet(session, supplied) == ["refills.prescriber_contact_too_old"]


def ask_and_undo(session: Session, supplied: Supplied) -> bool:
    with session.begin_nested() as nested:
        made = ask(session, supplied).request.state == RefillState.REQUESTED
        nested.rollback()
    return made


def test_a_recorded_contact_counts(session: Session, supplied: Supplied) -> None:
    with time_machine.travel(ASKED_AT + timedelta(days=30)):
        report_all_scales(session, supplied.episode)
        check_pdmp(session, supplied.case)
        held_at = clock.now() - timedelta(days=30)
        contacts.record_contact(session, supplied.prescriber, supplied.episode.id, Manner.VIDEO, held_at=held_at)
        assert ask(session, supplied).request.state == RefillState.REQUESTED


def test_in_maintenance_scales_and_contact_may_be_older(session: Session, supplied: Supplied) -> None:
    supplied.episode.state = EpisodeState.IN_MAINTENANCE
    with time_machine.travel(ASKED_AT + timedelta(days=14)):
        check_pdmp(session, supplied.case)
        assert ask(session, supplied).facts.reveal()["maintenance"] is True


def test_the_latest_dose_asks_for_a_new_count(session: Session, supplied: Supplied) -> None:
    ledgers.record_count(session, supplied.therapist, supplied.episode.id, 1)
    with time_machine.travel(ASKED_AT + timedelta(days=5)):
        held_with(session, supplied.episode, supplied.prescription, 100, clock.now())
        assert "refills.count_missing" in unmet(session, supplied, None)


def test_before_anything_was_handed_out_there_is_nothing_to_refill(session: Session, supplied: Supplied) -> None:
    fresh = make_case(session, world=supplied.case.world)
    found = gate.read_gate(session, supplied.therapist, fresh.episode.id)
    assert [finding.rule for finding in found.findings] == ["refills.nothing_handed_out"]
    with pytest.raises(RuleRefused):
        requests.request_refill(session, supplied.therapist, fresh.episode.id)


def test_a_refusal_names_the_earliest_day_and_shows_no_measured_value(session: Session, supplied: Supplied) -> None:
    asked_at = ASKED_AT + timedelta(days=8)
    with time_machine.travel(asked_at), pytest.raises(RuleRefused) as refusal:
        ask(session, supplied)
    earliest = refusal.value.findings[-1]
    assert (earliest.rule, earliest.severity) == ("refills.earliest_date", Severity.INFORM)
    assert earliest.value == asked_at.date().isoformat()
    assert earliest.value in refusal.value.message
    assert all(not finding.inputs for finding in refusal.value.findings)


def test_no_day_is_named_while_nobody_knows_one(session: Session, supplied: Supplied) -> None:
    revoke_licence(session, supplied)
    with pytest.raises(RuleRefused) as refusal:
        ask(session, supplied)
    assert [finding.rule for finding in refusal.value.findings] == ["refills.licence_not_valid"]
    assert "Nobody can say" in refusal.value.message


def test_a_supply_that_lasts_longer_names_the_day_when_two_doses_are_left(session: Session, supplied: Supplied) -> None:
    made = ask(session, supplied).request
    decisions.approve(session, supplied.prescriber, made.id, changed=False)
    receive(session, supplied.case, make_fill(session, supplied.case, supplied.prescription, is_refill=True))
    # Five units are two doses and a half; the last session was on the 10th, so one dose fewer is left on the 17th.
    assert unmet(session, supplied, 5) == ["refills.too_early"]
    with pytest.raises(RuleRefused) as refusal:
        ask(session, supplied, 5)
    assert refusal.value.findings[-1].value == date(2026, 11, 17).isoformat()


def test_the_gate_can_be_read_without_asking(session: Session, supplied: Supplied) -> None:
    ledgers.record_count(session, supplied.therapist, supplied.episode.id, 1)
    for who in ("therapist", "prescriber", "medical_staff"):
        found = gate.read_gate(session, supplied.case.actor(who), supplied.episode.id)
        assert (found.is_met, found.earliest_on) == (True, ASKED_AT.date())
    assert session.scalars(select(RefillRequest)).all() == []
    assert audited(session).count("refill_gate.read") == 3


def test_the_gate_is_not_for_the_pharmacy_the_patient_or_strangers(session: Session, supplied: Supplied) -> None:
    for actor in (supplied.case.actor("pharmacist"), make_patient_actor(supplied.episode)):
        with pytest.raises(NotAllowed):
            gate.read_gate(session, actor, supplied.episode.id)
    with pytest.raises(NotFound):
        gate.read_gate(session, make_actor(make_account(session)), supplied.episode.id)


def test_only_the_therapist_of_record_asks(session: Session, supplied: Supplied) -> None:
    for who in ("prescriber", "medical_staff", "pharmacist"):
        with pytest.raises(NotAllowed):
            requests.request_refill(session, supplied.case.actor(who), supplied.episode.id)


def test_without_a_therapist_the_gate_says_so(session: Session, supplied: Supplied) -> None:
    episodes.change_therapist(session, supplied.prescriber, supplied.episode.id, None)
    found = gate.read_gate(session, supplied.prescriber, supplied.episode.id)
    assert "refills.no_therapist" in [finding.rule for finding in found.findings]


def test_without_a_prescriber_no_papers_count(session: Session, supplied: Supplied) -> None:
    supplied.episode.prescriber_id = None
    assert unmet(session, supplied) == ["refills.licence_not_valid", "refills.dea_not_valid"]


def test_requests_are_read_and_listed_by_those_who_may(session: Session, supplied: Supplied) -> None:
    made = ask(session, supplied, comment=Personal(COMMENT)).request
    for who in ("therapist", "prescriber", "medical_staff"):
        actor = supplied.case.actor(who)
        assert requests.read_request(session, actor, made.id).comment.reveal() == COMMENT
        assert list(requests.list_requests(session, actor, supplied.episode.id)) == [made]
    for actor in (supplied.case.actor("pharmacist"), make_patient_actor(supplied.episode)):
        with pytest.raises(NotAllowed):
            requests.read_request(session, actor, made.id)
    with pytest.raises(NotFound):
        requests.read_request(session, make_actor(make_account(session, Role.PRESCRIBER)), made.id)
    assert audited(session).count("refill_request.read") == 3


def test_findings_come_back_as_they_were_kept(session: Session, supplied: Supplied) -> None:
    found = gate.read_gate(session, supplied.therapist, supplied.episode.id).findings
    assert found
    stored = json.loads(json.dumps([finding.as_dict() for finding in found]))
    assert findings_from(stored) == found


def test_only_an_undecided_request_moves_and_only_by_who_may() -> None:
    expected = {
        (RefillState.REQUESTED, RefillStep.APPROVE): (RefillState.APPROVED, {Role.PRESCRIBER}),
        (RefillState.REQUESTED, RefillStep.DECLINE): (RefillState.DECLINED, {Role.PRESCRIBER}),
        (RefillState.REQUESTED, RefillStep.ASK): (RefillState.RETURNED, {Role.PRESCRIBER}),
        (RefillState.REQUESTED, RefillStep.FORWARD): (RefillState.REQUESTED, {Role.PRESCRIBER}),
        (RefillState.RETURNED, RefillStep.ANSWER): (RefillState.REQUESTED, {Role.THERAPIST}),
        (RefillState.RETURNED, RefillStep.DECLINE): (RefillState.DECLINED, {Role.PRESCRIBER}),
    }
    assert {move: (after, set(roles)) for move, (after, roles) in REFILL_TRANSITIONS.table.items()} == expected
