"""Inboxes and what can be done with a task. Escalation and settlement are tested beside the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import RowMapping, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.programme import programme
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.inboxes import InboxFilter, inbox
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.states import TaskState, TaskStep
from services.messaging.tasks import move_task, open_task, read_reason, read_task, settle_tasks
from services.people.accounts import disable_account
from services.vault.boxes import box
from tests.factories import World, audited, make_account, make_actor, make_episode, make_patient_actor, make_world
from workers.effects import OpenedEvent, carry_out

DUE = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def prescriber(world: World) -> Actor:
    return world.actor("prescriber")


def make_task(
    session: Session, owner_id: UUID, *, due_at: datetime = DUE, kind: TaskKind = TaskKind.DECIDE_REFILL
) -> Task:
    subject = Subject("refill_request", new_id())
    task = open_task(session, kind, party=Party.MEDICAL_TEAM, owner_id=owner_id, subject=subject, due_at=due_at)
    session.flush()
    return task


def ids(tasks: Sequence[Task | RowMapping]) -> list[UUID]:
    return [task.id if isinstance(task, Task) else task["id"] for task in tasks]


def test_ones_own_tasks_and_the_organisations_are_merged_soonest_due_first(
    session: Session, world: World, prescriber: Actor
) -> None:
    owners = [world.prescriber.id, world.medical_team.id] * 3
    made = [
        make_task(session, owner, due_at=DUE + timedelta(hours=hour))
        for owner, hour in zip(owners, [5, 1, 3, 3, 0, 4], strict=True)
    ]
    expected = [made[4], made[1], *sorted((made[2], made[3]), key=lambda task: task.id), made[5], made[0]]
    assert ids(inbox(session, prescriber)) == ids(expected)
    assert ids(inbox(session, prescriber, limit=2)) == ids(expected)[:2]


def test_nobody_elses_tasks_are_in_an_inbox(session: Session, world: World, prescriber: Actor) -> None:
    make_task(session, make_account(session, Role.PRESCRIBER, organisation=world.medical_team).id)
    make_task(session, make_world(session).medical_team.id)
    assert inbox(session, prescriber) == []


def test_a_patient_has_no_inbox(session: Session) -> None:
    patient = make_patient_actor(make_episode(session))
    with pytest.raises(NotAllowed):
        inbox(session, patient)


def test_a_full_page_comes_with_one_more_that_tells_that_there_is_more(
    session: Session, world: World, prescriber: Actor
) -> None:
    for _ in range(102):
        make_task(session, world.prescriber.id)
    assert len(inbox(session, prescriber, limit=101)) == 101
    assert len(inbox(session, prescriber, limit=1_000_000)) == 101


def test_an_inbox_is_filtered_by_state_kind_and_due_time(session: Session, world: World, prescriber: Actor) -> None:
    first = make_task(session, world.prescriber.id, kind=TaskKind.REVIEW_VITALS)
    second = make_task(session, world.medical_team.id, due_at=DUE + timedelta(hours=1))
    done = make_task(session, world.prescriber.id, due_at=DUE + timedelta(hours=2))
    move_task(session, prescriber, done.id, TaskStep.COMPLETE)
    session.flush()

    def shown(**criteria: object) -> list[UUID]:
        return ids(inbox(session, prescriber, InboxFilter(**criteria)))  # type: ignore[arg-type]

    assert shown() == ids([first, second])
    assert shown(states={TaskState.COMPLETED}) == [done.id]
    assert shown(states=set(TaskState)) == ids([first, second, done])
    assert shown(kinds={TaskKind.REVIEW_VITALS}) == [first.id]
    assert shown(kinds={TaskKind.REVIEW_VITALS, TaskKind.DECIDE_REFILL}) == ids([first, second])
    assert shown(due_before=second.due_at) == [first.id]
    assert shown(due_after=second.due_at) == [second.id]


def test_a_task_is_accepted_started_and_completed(session: Session, world: World, prescriber: Actor) -> None:
    task = make_task(session, world.medical_team.id)
    move_task(session, prescriber, task.id, TaskStep.ACCEPT)
    assert (task.state, task.accepted_by, task.owner_id) == ("accepted", prescriber.id, world.medical_team.id)
    move_task(session, prescriber, task.id, TaskStep.START)
    assert (task.state, task.ended_at) == ("in_progress", None)
    before = clock.now()
    move_task(session, prescriber, task.id, TaskStep.COMPLETE)
    assert task.state == "completed"
    assert task.ended_at is not None
    assert before <= task.ended_at <= clock.now()
    assert [action for action in audited(session) if action.startswith("task.")] == [
        "task.accept",
        "task.start",
        "task.complete",
    ]


def test_a_step_that_is_not_possible_changes_nothing(session: Session, world: World, prescriber: Actor) -> None:
    task = make_task(session, world.medical_team.id)
    move_task(session, prescriber, task.id, TaskStep.ACCEPT)
    with pytest.raises(IllegalTransition):
        move_task(session, world.actor("medical_staff"), task.id, TaskStep.ACCEPT)
    assert task.accepted_by == prescriber.id


@pytest.mark.parametrize("step", [TaskStep.COMPLETE, TaskStep.REJECT])
def test_a_duty_is_not_ticked_off_without_its_record(
    session: Session, world: World, prescriber: Actor, step: TaskStep
) -> None:
    task = make_task(session, world.medical_team.id, kind=TaskKind.REVIEW_DIVERSION)
    move_task(session, prescriber, task.id, TaskStep.ACCEPT)
    with pytest.raises(RuleRefused) as refusal:
        move_task(session, prescriber, task.id, step, reason="Looked into it.")
    assert (refusal.value.rule, task.state) == ("messaging.task_ends_with_its_record", "accepted")
    settle_tasks(session, prescriber, Subject("diversion_review", task.subject_id), {TaskKind.REVIEW_DIVERSION})
    assert task.state == "completed"


def test_somebody_elses_task_is_not_found(session: Session, world: World, prescriber: Actor) -> None:
    task = make_task(session, world.pharmacy.id)
    for attempt in (
        lambda: read_task(session, prescriber, task.id),
        lambda: read_task(session, prescriber, new_id()),
        lambda: move_task(session, prescriber, task.id, TaskStep.ACCEPT),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_a_version_that_is_not_the_present_one_is_stale(session: Session, world: World, prescriber: Actor) -> None:
    task = make_task(session, world.prescriber.id)
    with pytest.raises(StaleVersion):
        move_task(session, prescriber, task.id, TaskStep.ACCEPT, version=task.version + 1)
    assert move_task(session, prescriber, task.id, TaskStep.ACCEPT, version=task.version).state == "accepted"


@pytest.mark.parametrize("step", [TaskStep.REJECT, TaskStep.FORWARD])
@pytest.mark.parametrize("reason", [None, "", " \n\t"])
def test_rejecting_and_forwarding_need_a_reason(
    session: Session, world: World, prescriber: Actor, step: TaskStep, reason: str | None
) -> None:
    task = make_task(session, world.prescriber.id)
    with pytest.raises(InvalidInput) as refusal:
        move_task(session, prescriber, task.id, step, reason=reason, to=world.medical_staff.id)
    assert refusal.value.field == "reason"
    session.refresh(task)
    assert (task.state, task.owner_id) == ("requested", world.prescriber.id)


def test_a_forwarded_task_is_its_new_owners_to_accept_and_the_reason_theirs_to_read(
    session: Session, world: World, prescriber: Actor
) -> None:
    colleague = make_account(session, Role.PRESCRIBER, organisation=world.medical_team)
    task = make_task(session, world.prescriber.id)
    move_task(session, prescriber, task.id, TaskStep.ACCEPT)
    move_task(session, prescriber, task.id, TaskStep.FORWARD, reason="You know Rosa.", to=colleague.id)
    session.flush()
    assert (task.owner_id, task.state, task.accepted_by) == (colleague.id, "requested", None)
    assert b"Rosa" not in task.reason
    assert box(session, colleague.id).open(task, "reason").reveal() == "You know Rosa."
    assert inbox(session, prescriber) == []
    with pytest.raises(NotFound):
        read_reason(session, prescriber, task.id)
    theirs = make_actor(colleague)
    assert ids(inbox(session, theirs)) == [task.id]
    assert read_reason(session, theirs, task.id).reveal() == "You know Rosa."
    assert audited(session).count("task.read") == 1


def test_a_task_without_a_reason_has_none_to_read(session: Session, world: World, prescriber: Actor) -> None:
    task = make_task(session, world.prescriber.id)
    assert read_reason(session, prescriber, task.id).reveal() is None
    assert "task.read" not in audited(session)


def test_the_reason_of_a_rejection_is_kept_sealed(session: Session, world: World, prescriber: Actor) -> None:
    task = make_task(session, world.medical_team.id)
    move_task(session, prescriber, task.id, TaskStep.REJECT, reason="Rosa moved away.")
    assert task.state == "rejected"
    assert task.ended_at is not None
    assert b"Rosa" not in task.reason
    assert read_reason(session, world.actor("medical_staff"), task.id).reveal() == "Rosa moved away."


def test_a_task_is_forwarded_only_to_an_active_colleague_of_the_same_organisation(
    session: Session, world: World, prescriber: Actor
) -> None:
    gone = make_account(session, Role.PRESCRIBER, organisation=world.medical_team)
    disable_account(session, world.actor("operator"), gone.id)
    task = make_task(session, world.prescriber.id)
    for to in (None, new_id(), world.therapist.id, world.medical_team.id, gone.id):
        with pytest.raises(InvalidInput) as refusal:
            move_task(session, prescriber, task.id, TaskStep.FORWARD, reason="Please take it.", to=to)
        assert refusal.value.field == "to"
    session.refresh(task)
    assert task.owner_id == world.prescriber.id


def test_a_deadline_in_working_days_counts_the_days_where_its_owner_works(session: Session) -> None:
    """A loss found late on Thursday in New York: DEA hears on Friday (21 CFR 1301.76(b)), though UTC is a day ahead."""
    world = make_world(session, state="NY")
    episode = make_episode(session, world=world, state="NY")
    subject = Subject("loss", new_id())
    with time_machine.travel(datetime(2026, 11, 20, 3, 0, tzinfo=UTC), tick=False):
        lost = OpenedEvent(new_id(), Party.PHARMACY, EventKind.LOSS_DISCOVERED, subject, episode.id, clock.now(), {})
        carry_out(session, [lost], programme())
    session.flush()
    task = session.scalars(select(Task).where(Task.subject_id == subject.id, Task.kind == TaskKind.NOTIFY_DEA)).one()
    assert task.due_at == datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
