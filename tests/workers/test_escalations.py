"""A task past its due time: its owner is reminded, then the team gets it, then the desk on call, weekends included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services import routing
from services.core import clock as service_clock
from services.core.actors import Role
from services.core.ids import new_id
from services.core.vocabulary import EventKind, NoticeKind, Party, Priority, TaskKind
from services.messaging.escalations import escalate_due
from services.messaging.models import Notice, Task
from services.messaging.outbox import Subject
from services.messaging.states import OPEN_STATES, TaskStep
from services.messaging.tasks import move_task, open_task, settle_tasks
from services.people.accounts import change_on_call
from services.people.models import Episode
from services.vault.boxes import box
from tests.factories import World, make_account, make_actor, make_episode
from tests.factories_messaging import emitted
from tests.workers.bags import DEFAULT, work
from workers import ticker

HOURS = {name: DEFAULT.number(f"escalation.{name}_after_hours") for name in ("team", "on_call", "repeat_on_call")}
STAT_HOURS = {name: DEFAULT.number(f"escalation.stat_{name}_after_hours") for name in ("team", "on_call")}
SATURDAY = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
STAFF = (Party.THERAPIST, Party.MEDICAL_TEAM, Party.PHARMACY)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world)


def make_task(
    session: Session,
    episode: Episode | None,
    owner_id: UUID,
    *,
    party: Party = Party.THERAPIST,
    kind: TaskKind = TaskKind.RECORD_INTEGRATION,
    priority: Priority = Priority.ROUTINE,
) -> Task:
    """A task that is due this moment."""
    task = open_task(
        session,
        kind,
        party=party,
        owner_id=owner_id,
        subject=Subject("session", new_id()),
        due_at=service_clock.now(),
        priority=priority,
        episode_id=None if episode is None else episode.id,
    )
    session.commit()
    return task


def about(task: Task) -> Subject:
    """What a task is about."""
    assert task.subject_id is not None
    return Subject(task.subject_kind, task.subject_id)


def escalate(session: Session, clock: time_machine.Traveller, hours: float = 0) -> int:
    """Let so many hours pass, and the ticker look at the tasks."""
    clock.shift(timedelta(hours=hours))
    count = escalate_due(session, DEFAULT)
    session.commit()
    return count


def reminded(session: Session) -> list[UUID]:
    """Who got a reminder, in turn."""
    return [UUID(each["data"]["owner"]) for each in emitted(session, EventKind.TASK_REMINDED)]


def chases(session: Session, states: Sequence[str] = sorted(OPEN_STATES)) -> list[Task]:
    """The desk's tasks to look after overdue ones."""
    session.expire_all()
    query = select(Task).where(Task.kind == TaskKind.CHASE_OVERDUE_TASK, Task.state.in_(states))
    return list(session.scalars(query))


def to_the_desk(session: Session, clock: time_machine.Traveller) -> None:
    for name in (None, "team", "on_call"):
        assert escalate(session, clock, 0 if name is None else HOURS[name]) == 1


def test_nothing_happens_before_a_task_is_due(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    make_task(session, episode, world.therapist.id)
    clock.shift(-timedelta(seconds=1))
    assert escalate(session, clock) == 0


def test_the_owner_is_reminded_then_the_team_gets_it_then_the_desk_on_call(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    task = make_task(session, episode, world.therapist.id)
    assert escalate(session, clock) == 1
    assert (task.escalation, task.owner_id, reminded(session)) == (1, world.therapist.id, [world.therapist.id])
    assert escalate(session, clock, HOURS["team"] - 0.01) == 0
    assert escalate(session, clock, 0.01) == 1
    assert (task.escalation, task.owner_id) == (2, world.practice.id)
    assert reminded(session) == [world.therapist.id, world.practice.id]
    assert escalate(session, clock, HOURS["on_call"]) == 1
    assert (task.escalation, len(emitted(session, EventKind.TASK_ESCALATED))) == (3, 1)
    work(session, Party.OPERATIONS)
    (chase,) = chases(session)
    assert (chase.subject_id, chase.owner_id, chase.priority) == (task.id, world.operations.id, Priority.URGENT)


def test_the_desk_on_call_is_paged_at_once(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    change_on_call(session, make_actor(world.operator), world.operator.id, True)
    make_task(session, episode, world.therapist.id)
    to_the_desk(session, clock)
    work(session, Party.OPERATIONS)
    pages = session.scalars(select(Notice).where(Notice.kind == NoticeKind.STAFF_PAGE)).all()
    assert [(page.recipient_id, page.state) for page in pages] == [(world.operator.id, "pending")]


def test_a_weekend_stops_nothing(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    clock.move_to(SATURDAY)
    make_task(session, episode, world.therapist.id)
    to_the_desk(session, clock)
    work(session, Party.OPERATIONS)
    (chase,) = chases(session)
    assert service_clock.now() < SATURDAY + timedelta(days=1)
    assert chase.due_at < SATURDAY + timedelta(days=1)


def test_what_cannot_wait_escalates_faster(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    make_task(session, episode, world.therapist.id, priority=Priority.STAT)
    steps = [escalate(session, clock, hours) for hours in (0, STAT_HOURS["team"], STAT_HOURS["on_call"])]
    assert steps == [1, 1, 1]
    assert len(emitted(session, EventKind.TASK_ESCALATED)) == 1


@pytest.mark.parametrize("how", ["completed", "rejected", "settled"])
def test_a_task_that_ended_does_not_escalate(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller, how: str
) -> None:
    task, therapist = make_task(session, episode, world.therapist.id), world.actor("therapist")
    if how == "settled":
        settle_tasks(session, therapist, about(task), {TaskKind(task.kind)})
    elif how == "rejected":
        move_task(session, therapist, task.id, TaskStep.REJECT, reason="Not mine.")
    else:
        move_task(session, therapist, task.id, TaskStep.COMPLETE)
    assert escalate(session, clock, 1000) == 0


def test_a_task_that_was_accepted_still_escalates(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    task = make_task(session, episode, world.therapist.id)
    move_task(session, world.actor("therapist"), task.id, TaskStep.ACCEPT)
    to_the_desk(session, clock)


def test_the_desk_hears_again_every_day_but_has_one_task_for_it(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    make_task(session, episode, world.therapist.id)
    to_the_desk(session, clock)
    work(session, Party.OPERATIONS)
    for _ in range(3):
        escalate(session, clock, HOURS["repeat_on_call"])
        work(session, Party.OPERATIONS)
    assert len(emitted(session, EventKind.TASK_ESCALATED)) == 4
    assert len(chases(session)) == 1


@pytest.mark.parametrize("how", ["completed", "settled"])
def test_the_desks_task_ends_with_the_overdue_one(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller, how: str
) -> None:
    task, therapist = make_task(session, episode, world.therapist.id), world.actor("therapist")
    to_the_desk(session, clock)
    work(session, Party.OPERATIONS)
    if how == "completed":
        move_task(session, therapist, task.id, TaskStep.COMPLETE)
    else:
        settle_tasks(session, therapist, about(task), {TaskKind(task.kind)})
    session.commit()
    assert chases(session) == []
    assert len(chases(session, ["completed"])) == 1


def test_an_overdue_task_of_the_desk_itself_pages_whoever_is_on_call(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    task = make_task(session, None, world.operations.id, party=Party.OPERATIONS, kind=TaskKind.HANDLE_DEAD_LETTER)
    to_the_desk(session, clock)
    assert len(emitted(session, EventKind.TASK_ESCALATED)) == 1
    work(session, Party.OPERATIONS)
    assert [chase.subject_id for chase in chases(session)] == [task.id]


def test_the_desks_own_chasing_is_reminded_of_but_never_chased(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    make_task(session, episode, world.therapist.id)
    to_the_desk(session, clock)
    work(session, Party.OPERATIONS)
    for _ in range(30):
        escalate(session, clock, 12)
        work(session, Party.OPERATIONS)
    assert len(chases(session)) == 1
    assert {chase.subject_kind for chase in chases(session, ["cancelled", "completed", "requested"])} == {"task"}
    chased = {chase.subject_id for chase in chases(session, ["cancelled", "completed", "requested"])}
    assert len(chased) == 1


def test_a_reason_stays_readable_when_the_team_gets_the_task(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    task = make_task(session, episode, world.therapist.id)
    colleague = make_account(session, Role.THERAPIST, organisation=world.practice)
    move_task(session, world.actor("therapist"), task.id, TaskStep.FORWARD, reason="On leave.", to=colleague.id)
    session.commit()
    escalate(session, clock)
    escalate(session, clock, HOURS["team"])
    assert task.owner_id == world.practice.id
    assert box(session, task.owner_id).open(task, "reason").reveal() == "On leave."


def test_a_task_without_an_episode_goes_to_the_team_of_its_owner(
    session: Session, world: World, clock: time_machine.Traveller
) -> None:
    task = make_task(session, None, world.pharmacist.id, party=Party.PHARMACY)
    escalate(session, clock)
    escalate(session, clock, HOURS["team"])
    assert task.owner_id == world.pharmacy.id


def test_the_ticker_escalates_all_that_is_due(
    session: Session, world: World, episode: Episode, clock: time_machine.Traveller
) -> None:
    made = [make_task(session, episode, world.therapist.id) for _ in range(5)]
    for _ in range(2):
        ticker.escalate_tasks(DEFAULT)
    session.expire_all()
    assert [task.escalation for task in made] == [1] * 5


@pytest.mark.parametrize("party", sorted({p for routes in routing.ROUTES.values() for p in routes}))
def test_whoever_can_have_a_task_can_be_reminded_of_it(party: Party) -> None:
    has_tasks = any(
        isinstance(effect, routing.Task) for routes in routing.ROUTES.values() for effect in routes.get(party, ())
    )
    assert has_tasks == (party in routing.ROUTES[EventKind.TASK_REMINDED])
