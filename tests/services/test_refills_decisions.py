"""Deciding on a refill: who may, what an approval brings about, and that nothing else ever lets a unit out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind, TaskKind
from services.people.attempts import Refused
from services.refills import decisions, requests
from services.refills.models import RefillAct, RefillRequest
from services.refills.states import RefillState, RefillStep
from services.sessions import adverse_events, ledgers
from services.sessions.adverse_event_rules import Grade
from services.sessions.adverse_events import Report
from services.vault.boxes import box
from tests.factories import audited, make_account, make_actor
from tests.factories_refills import (
    ASKED_AT,
    Supplied,
    approve,
    ask,
    authorizations,
    colleague,
    held_with,
    make_supplied,
    open_refill_task,
    told,
)

REASON = Personal("Canary-reason: she felt unsteady for days.")


@pytest.fixture
def supplied(session: Session) -> Iterator[Supplied]:
    with make_supplied(session) as made:
        yield made


@pytest.fixture
def request_id(session: Session, supplied: Supplied) -> UUID:
    return ask(session, supplied).request.id


def test_an_approval_keeps_the_facts_of_its_own_moment(session: Session, supplied: Supplied, request_id: UUID) -> None:
    with time_machine.travel(ASKED_AT + timedelta(days=3)):
        read = approve(session, supplied, request_id, reason=REASON)
    [act] = read.acts
    assert (act.act.step, act.act.acted_by, act.reason.reveal()) == (
        RefillStep.APPROVE,
        supplied.prescriber.id,
        REASON.reveal(),
    )
    facts = box(session, act.act.patient_id).open(act.act, "facts").reveal()
    assert facts["on"] == (ASKED_AT + timedelta(days=3)).date().isoformat()
    assert act.act.programme_version == read.request.programme_version


def test_what_changed_since_the_request_stops_the_approval(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    event = Report(grade=Grade.SERIOUS, description=Personal("Fell."), occurred_at=clock.now())
    recorded = adverse_events.record_adverse_event(session, supplied.therapist, supplied.episode.id, event)
    with pytest.raises(RuleRefused) as refusal:
        approve(session, supplied, request_id)
    assert [finding.rule for finding in refusal.value.findings] == ["refills.adverse_event_open"]
    assert session.get_one(RefillRequest, request_id).state == RefillState.REQUESTED
    assert authorizations(session) == []
    adverse_events.close_adverse_event(session, supplied.prescriber, recorded.event.id, REASON)
    approve(session, supplied, request_id)


def test_a_dose_taken_since_the_request_is_reckoned_off(session: Session, supplied: Supplied, request_id: UUID) -> None:
    with time_machine.travel(ASKED_AT + timedelta(days=5)):
        supplied.sessions[1].state = "closed"
        held_with(session, supplied.episode, supplied.prescription, 100, clock.now() - timedelta(hours=4))
        [act] = approve(session, supplied, request_id).acts
        facts = box(session, act.act.patient_id).open(act.act, "facts").reveal()
        assert (facts["taken_units"], facts["remaining_units"]) == (4, 0)


def test_a_count_that_turned_out_wrong_since_stops_the_approval(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    ledgers.record_count(session, supplied.therapist, supplied.episode.id, 0)
    with pytest.raises(RuleRefused) as refusal:
        approve(session, supplied, request_id)
    rules = [finding.rule for finding in refusal.value.findings]
    assert rules == ["refills.diversion_review_open", "refills.count_off"]


def test_a_decline_is_told_with_its_reason_kept_sealed(session: Session, supplied: Supplied, request_id: UUID) -> None:
    read = decisions.decline(session, supplied.prescriber, request_id, REASON)
    assert (read.request.state, read.request.decided_by) == (RefillState.DECLINED, supplied.prescriber.id)
    assert read.acts[0].reason.reveal() == REASON.reveal()
    stored = session.get_one(RefillAct, read.acts[0].act.id).reason
    assert stored is not None
    assert b"Canary" not in stored
    assert {party: data for party, (_, data) in told(session, EventKind.REFILL_DECLINED).items()} == {
        "therapist": {},
        "patient": {},
    }


def test_a_question_goes_to_the_therapist_and_the_answer_back_to_who_asked(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    other = make_actor(colleague(session, supplied))
    read = decisions.ask(session, other, request_id, Personal("Any dizziness?"))
    assert (read.request.state, read.request.owner_id) == (RefillState.RETURNED, other.id)
    assert set(told(session, EventKind.REFILL_RETURNED)) == {"therapist"}
    with pytest.raises(IllegalTransition):
        approve(session, supplied, request_id)
    answered = requests.answer_request(session, supplied.therapist, request_id, Personal("None."))
    assert answered.request.state == RefillState.REQUESTED
    assert [(each.act.step, each.reason.reveal()) for each in answered.acts] == [
        ("ask", "Any dizziness?"),
        ("answer", "None."),
    ]
    assert told(session, EventKind.REFILL_ANSWERED)["medical_team"][1] == {"owner": str(other.id)}
    approve(session, supplied, request_id)


def test_a_request_that_waits_for_an_answer_can_be_declined(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    decisions.ask(session, supplied.prescriber, request_id, Personal("Any dizziness?"))
    assert decisions.decline(session, supplied.prescriber, request_id, REASON).request.state == RefillState.DECLINED


def test_after_a_decline_the_therapist_may_ask_anew(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.decline(session, supplied.prescriber, request_id, REASON)
    assert ask(session, supplied).request.id != request_id


def test_a_forwarded_request_lies_with_the_colleague(session: Session, supplied: Supplied, request_id: UUID) -> None:
    other = colleague(session, supplied)
    read = decisions.forward(session, supplied.prescriber, request_id, other.id, Personal("You know her."))
    assert (read.request.state, read.request.owner_id) == (RefillState.REQUESTED, other.id)
    assert (read.acts[0].act.to_id, read.acts[0].reason.reveal()) == (other.id, "You know her.")
    assert told(session, EventKind.REFILL_FORWARDED)["medical_team"][1] == {"owner": str(other.id)}
    approved = decisions.approve(session, make_actor(other), request_id, changed=False)
    assert not isinstance(approved, Refused)
    assert authorizations(session)[0].authorized_by == other.id


def test_a_request_is_forwarded_only_to_a_colleague_who_could_decide(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    world = supplied.case.world
    strangers = {
        "oneself": world.prescriber.id,
        "staff": world.medical_staff.id,
        "another team": make_account(session, Role.PRESCRIBER).id,
        "without papers": colleague(session, supplied, papers=False).id,
        "another state": colleague(session, supplied, state="NY").id,
        "nobody": request_id,
    }
    disabled = colleague(session, supplied)
    disabled.disabled_at = clock.now()
    for to in (*strangers.values(), disabled.id):
        with pytest.raises(RuleRefused) as refusal:
            decisions.forward(session, supplied.prescriber, request_id, to, REASON)
        assert (refusal.value.field, refusal.value.rule) in {
            ("to", "refills.forward_to_colleague"),
            ("to", "refills.licence_not_valid"),
        }
    assert session.get_one(RefillRequest, request_id).owner_id is None


DECISIONS: dict[str, Callable[[Session, Actor, UUID], object]] = {
    "approve": lambda session, actor, request: decisions.approve(session, actor, request, changed=False),
    "decline": lambda session, actor, request: decisions.decline(session, actor, request, REASON),
    "ask": lambda session, actor, request: decisions.ask(session, actor, request, REASON),
}


def test_a_prescriber_without_a_licence_in_the_patients_state_does_not_decide(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    other = make_actor(colleague(session, supplied, state="NY"))
    for decide in DECISIONS.values():
        with pytest.raises(RuleRefused) as refusal:
            decide(session, other, request_id)
        assert refusal.value.findings[0].rule == "refills.licence_not_valid"
    assert session.get_one(RefillRequest, request_id).state == RefillState.REQUESTED


def test_a_prescriber_without_a_licence_there_may_still_hand_it_on(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    other = make_actor(colleague(session, supplied, state="NY"))
    decisions.forward(session, other, request_id, supplied.prescriber.id, Personal("Not my state."))


def test_nobody_but_a_prescriber_decides(session: Session, supplied: Supplied, request_id: UUID) -> None:
    for who, decide in product(("therapist", "medical_staff", "pharmacist"), DECISIONS.values()):
        with pytest.raises(NotAllowed):
            decide(session, supplied.case.actor(who), request_id)


def test_to_another_team_the_request_does_not_exist(session: Session, supplied: Supplied, request_id: UUID) -> None:
    stranger = make_actor(make_account(session, Role.PRESCRIBER))
    for decide in DECISIONS.values():
        with pytest.raises(NotFound):
            decide(session, stranger, request_id)


def test_only_the_therapist_answers(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    with pytest.raises(NotAllowed):
        requests.answer_request(session, supplied.prescriber, request_id, REASON)


@pytest.mark.parametrize("first", ["approve", "decline"])
def test_a_decision_is_made_once(session: Session, supplied: Supplied, request_id: UUID, first: str) -> None:
    DECISIONS[first](session, supplied.prescriber, request_id)
    other = make_actor(colleague(session, supplied))
    for decide in DECISIONS.values():
        with pytest.raises(IllegalTransition):
            decide(session, other, request_id)


def test_a_decision_on_an_older_reading_is_refused(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.forward(session, supplied.prescriber, request_id, colleague(session, supplied).id, REASON)
    with pytest.raises(StaleVersion):
        decisions.approve(session, supplied.prescriber, request_id, changed=False, version=1)
    with pytest.raises(StaleVersion):
        decisions.decline(session, supplied.prescriber, request_id, REASON, version=1)


def test_a_blank_reason_is_none(session: Session, supplied: Supplied, request_id: UUID) -> None:
    blank, other = Personal(" \n"), colleague(session, supplied)
    for act, field in (
        (lambda: decisions.decline(session, supplied.prescriber, request_id, blank), "reason"),
        (lambda: decisions.ask(session, supplied.prescriber, request_id, blank), "question"),
        (lambda: decisions.forward(session, supplied.prescriber, request_id, other.id, blank), "reason"),
    ):
        with pytest.raises(RuleRefused) as refusal:
            act()
        assert (refusal.value.field, refusal.value.rule) == (field, "refills.text_needed")


@pytest.mark.parametrize(
    ("act", "after"),
    [
        ("approve", "completed"),
        ("decline", "completed"),
        ("ask", "completed"),
    ],
)
def test_what_was_asked_for_is_settled(
    session: Session, supplied: Supplied, request_id: UUID, act: str, after: str
) -> None:
    asked = open_refill_task(session, request_id, supplied.prescriber)
    DECISIONS[act](session, supplied.prescriber, request_id)
    assert asked.state == after


def test_forwarding_takes_the_task_away_and_answering_settles_the_question(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    asked = open_refill_task(session, request_id, supplied.prescriber)
    decisions.forward(session, supplied.prescriber, request_id, colleague(session, supplied).id, REASON)
    assert asked.state == "cancelled"
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    question = open_refill_task(session, request_id, supplied.therapist, TaskKind.ANSWER_REFILL)
    requests.answer_request(session, supplied.therapist, request_id, Personal("None."))
    assert question.state == "completed"


def test_every_act_is_audited(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.forward(session, supplied.prescriber, request_id, colleague(session, supplied).id, REASON)
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    requests.answer_request(session, supplied.therapist, request_id, Personal("None."))
    approve(session, supplied, request_id)
    trail = [action for action in audited(session) if action.startswith("refill_request.")]
    assert trail == [f"refill_request.{step}" for step in ("create", "forward", "ask", "answer", "approve")]
