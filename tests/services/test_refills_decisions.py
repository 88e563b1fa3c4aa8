"""Deciding on a refill: who may, what an approval brings about, and that nothing else ever lets a unit out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Event, Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.attempts import Refused
from services.prescribing import prescriptions
from services.prescribing.models import Fill, FillAuthorization
from services.prescribing.states import PrescriptionState
from services.refills import decisions, requests
from services.refills.models import RefillAct, RefillRequest
from services.refills.requests import ReadRequest
from services.refills.rules import Supply
from services.refills.states import RefillState, RefillStep
from services.sessions import adverse_events, ledgers
from services.sessions.adverse_events import Report
from services.sessions.rules import Grade
from services.vault.boxes import box
from services.vault.envelopes import open_envelope
from tests.factories import audited, make_account, make_actor
from tests.factories_prescribing import content, make_fill
from tests.factories_refills import ASKED_AT, Supplied, ask, colleague, held_with, make_supplied

REASON = Personal("Canary-reason: she felt unsteady for days.")


@pytest.fixture
def supplied(session: Session) -> Iterator[Supplied]:
    with make_supplied(session) as made:
        yield made


@pytest.fixture
def request_id(session: Session, supplied: Supplied) -> UUID:
    return ask(session, supplied).request.id


def approve(session: Session, supplied: Supplied, request_id: UUID, **details: Any) -> ReadRequest:
    approved = decisions.approve(session, supplied.prescriber, request_id, **{"changed": False, **details})
    assert not isinstance(approved, Refused)
    return approved


def told(session: Session, kind: EventKind) -> dict[str, tuple[str, dict[str, Any]]]:
    """Who hears of an event, about what, with which data."""
    found = {}
    for event in session.scalars(select(Event).where(Event.kind == kind)):
        payload = open_envelope(Party(event.party), event.kind, event.id, event.key_name, event.envelope)
        found[event.party] = (payload["subject"][0], payload["data"])
    return found


def authorizations(session: Session) -> list[FillAuthorization]:
    return list(session.scalars(select(FillAuthorization)))


def task(session: Session, request_id: UUID, owner: Actor, kind: TaskKind = TaskKind.DECIDE_REFILL) -> Task:
    """The task that the request brought about."""
    made = open_task(
        session,
        kind,
        party=Party.MEDICAL_TEAM,
        owner_id=owner.id,
        subject=Subject("refill_request", request_id),
        due_at=clock.now() + timedelta(days=1),
    )
    session.flush()
    return made


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
        make_fill(session, supplied.case, supplied.prescription, 1, is_refill=True)
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
        asked = task(session, request_id, supplied.prescriber, TaskKind.DRAFT_PRESCRIPTION)
        asked.episode_id = supplied.episode.id
        prescriptions.draft(
            session,
            supplied.prescriber,
            supplied.episode.id,
            content(first_session_dose_mg=None),
            refill_request_id=request_id,
        )
        assert asked.state == "completed"


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
    assert refusal.value.findings[0].rule == "refills.count_off"


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
        assert refusal.value.field == "to"
    assert session.get_one(RefillRequest, request_id).owner_id is None


DECISIONS: dict[str, Callable[[Session, Actor, UUID], object]] = {
    "approve": lambda session, actor, request: decisions.approve(session, actor, request, changed=False),
    "decline": lambda session, actor, request: decisions.decline(session, actor, request, REASON),
    "ask": lambda session, actor, request: decisions.ask(session, actor, request, REASON),
}


@pytest.mark.parametrize("decide", DECISIONS)
def test_a_prescriber_without_a_licence_in_the_patients_state_does_not_decide(
    session: Session, supplied: Supplied, request_id: UUID, decide: str
) -> None:
    other = make_actor(colleague(session, supplied, state="NY"))
    with pytest.raises(RuleRefused) as refusal:
        DECISIONS[decide](session, other, request_id)
    assert refusal.value.findings[0].rule == "refills.licence_not_valid"
    assert session.get_one(RefillRequest, request_id).state == RefillState.REQUESTED


def test_a_prescriber_without_a_licence_there_may_still_hand_it_on(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    other = make_actor(colleague(session, supplied, state="NY"))
    decisions.forward(session, other, request_id, supplied.prescriber.id, Personal("Not my state."))


@pytest.mark.parametrize("decide", DECISIONS)
@pytest.mark.parametrize("who", ["therapist", "medical_staff", "pharmacist"])
def test_nobody_but_a_prescriber_decides(
    session: Session, supplied: Supplied, request_id: UUID, who: str, decide: str
) -> None:
    with pytest.raises(NotAllowed):
        DECISIONS[decide](session, supplied.case.actor(who), request_id)


@pytest.mark.parametrize("decide", DECISIONS)
def test_to_another_team_the_request_does_not_exist(
    session: Session, supplied: Supplied, request_id: UUID, decide: str
) -> None:
    with pytest.raises(NotFound):
        DECISIONS[decide](session, make_actor(make_account(session, Role.PRESCRIBER)), request_id)


def test_only_the_therapist_answers(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    with pytest.raises(NotAllowed):
        requests.answer_request(session, supplied.prescriber, request_id, REASON)


@pytest.mark.parametrize("decide", DECISIONS)
@pytest.mark.parametrize("first", ["approve", "decline"])
def test_a_decision_is_made_once(
    session: Session, supplied: Supplied, request_id: UUID, first: str, decide: str
) -> None:
    DECISIONS[first](session, supplied.prescriber, request_id)
    with pytest.raises(IllegalTransition):
        DECISIONS[decide](session, make_actor(colleague(session, supplied)), request_id)


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
        assert refusal.value.field == field


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
    asked = task(session, request_id, supplied.prescriber)
    DECISIONS[act](session, supplied.prescriber, request_id)
    assert asked.state == after


def test_forwarding_takes_the_task_away_and_answering_settles_the_question(
    session: Session, supplied: Supplied, request_id: UUID
) -> None:
    asked = task(session, request_id, supplied.prescriber)
    decisions.forward(session, supplied.prescriber, request_id, colleague(session, supplied).id, REASON)
    assert asked.state == "cancelled"
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    question = task(session, request_id, supplied.therapist, TaskKind.ANSWER_REFILL)
    requests.answer_request(session, supplied.therapist, request_id, Personal("None."))
    assert question.state == "completed"


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
    changed = prescriptions.content_of(box(session, supplied.episode.patient_id), supplied.prescription).as_dict()
    own = box(session, supplied.episode.patient_id)
    own.seal(supplied.prescription, "content", {**changed, "dose_mg": 190})
    session.flush()
    refused = decisions.approve(session, supplied.prescriber, request_id, changed=False)
    assert isinstance(refused, Refused)
    assert supplied.prescription.state == PrescriptionState.CANCELLED
    assert session.get_one(RefillRequest, request_id).state == RefillState.REQUESTED
    assert (authorizations(session), told(session, EventKind.REFILL_FILL_APPROVED)) == ([], {})
    assert approve(session, supplied, request_id).request.supply == Supply.NEW_PRESCRIPTION


def test_every_act_is_audited(session: Session, supplied: Supplied, request_id: UUID) -> None:
    decisions.forward(session, supplied.prescriber, request_id, colleague(session, supplied).id, REASON)
    decisions.ask(session, supplied.prescriber, request_id, REASON)
    requests.answer_request(session, supplied.therapist, request_id, Personal("None."))
    approve(session, supplied, request_id)
    trail = [action for action in audited(session) if action.startswith("refill_request.")]
    assert trail == [f"refill_request.{step}" for step in ("create", "forward", "ask", "answer", "approve")]
