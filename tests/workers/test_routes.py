"""THE table, row by row: every event reaches each of its parties, and everything that follows from it can be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from services import routing
from services.audit.models import AuditRecord
from services.circles.models import Circle, CirclePlace
from services.core import clock as service_clock
from services.core.database import Sessions
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind, Party
from services.messaging.models import DeadLetter, Event, Notice, Task, Timer, WebhookDelivery
from services.messaging.notice_states import NoticeState
from services.messaging.outbox import Subject, emit
from services.outcomes.assessments import request_assessment
from services.people.accounts import change_on_call
from services.people.models import Episode
from services.prescribing.models import Prescription
from services.routing import Call, Errand, Inform, Owner, Page, Sms, Work
from services.vault.boxes import box, forget_boxes
from tests.factories import World, make_actor, make_episode, make_world
from tests.factories_messaging import DAYTIME, MOBILE, keep_report, keep_text
from tests.factories_prescribing import carrier_event, make_case, make_shipment, make_signed
from tests.factories_screening import make_eligible
from tests.factories_sessions import book
from tests.workers.bags import bag_of
from workers.effects import COMMANDS, WORK
from workers.errands import ERRANDS
from workers.handlers import handle_bag

Row = tuple[EventKind, Party, tuple[routing.Effect, ...]]
ROWS: list[Row] = [
    (kind, party, effects) for kind, routes in routing.ROUTES.items() for party, effects in routes.items()
]


def rows_with(*kinds: type[routing.Effect]) -> list[Row]:
    """The rows of the table with an effect of these kinds."""
    return [row for row in ROWS if any(isinstance(effect, kinds) for effect in row[2])]


def name_of(value: object) -> str:
    """How a value of a row is shown in the name of a test."""
    return "" if isinstance(value, tuple) else str(value)


OWNERS = {
    Owner.THERAPIST: "therapist",
    Owner.PRESCRIBER: "prescriber",
    Owner.MEDICAL_TEAM: "medical_team",
    Owner.PHARMACY: "pharmacy",
    Owner.OPERATIONS: "operations",
    Owner.ADDRESSEE: "medical_staff",
}
ON_CALL = {Owner.THERAPIST: "therapist", Owner.MEDICAL_TEAM: "medical_staff", Owner.OPERATIONS: "operator"}


@dataclass(frozen=True)
class Stage:
    """Everybody, and an episode with a complete care team; committed for all tests of this file."""

    session: Session
    world: World
    episode: Episode

    def owner(self, owner: Owner) -> UUID:
        found: UUID = getattr(self.world, OWNERS[owner]).id
        return found


@pytest.fixture(scope="module")
def stage(environment: Mapping[str, str], database: Engine) -> Iterator[Stage]:
    """One stage for the whole table: each row brings its own event, and looks at what came of that alone."""
    before = dict(Sessions.kw)
    with time_machine.travel(DAYTIME), database.connect() as connection:
        outer = connection.begin()
        Sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
        try:
            with Sessions() as session:
                world = make_world(session)
                for who in ON_CALL.values():
                    change_on_call(session, make_actor(world.operator), getattr(world, who).id, True)
                yield Stage(session, world, make_episode(session, world=world, mobile=MOBILE))
        finally:
            Sessions.kw.clear()
            Sessions.kw.update(before)
            forget_boxes()
            outer.rollback()


def data_for(stage: Stage) -> dict[str, Any]:
    """What any event may hold: each effect takes what it needs."""
    return {
        "owner": str(stage.owner(Owner.ADDRESSEE)),
        "notice": NoticeKind.HELP.value,
        "at": (service_clock.now() + timedelta(days=3)).isoformat(),
        "link": "/l/made-up",
        "code": "123456",
    }


def came_of(session: Session, model: type[Any], event: Event) -> list[Any]:
    session.expire_all()
    return list(session.scalars(select(model).where(model.event_id == event.id).order_by(model.id)))


def send(stage: Stage, kind: EventKind, party: Party, subject: Subject | None = None) -> Event:
    """Emit an event for one party and let that party's worker handle it."""
    about = subject or Subject("thing", new_id())
    (event_id,) = emit(stage.session, kind, subject=about, episode_id=stage.episode.id, to=[party], **data_for(stage))
    stage.session.commit()
    event = stage.session.get_one(Event, event_id)
    handle_bag(party, bag_of([event]))
    stage.session.expire_all()
    assert (event.outcome, event.last_failure) == ("handled", None)
    return event


def test_every_event_has_a_route_and_every_route_a_party_and_an_effect() -> None:
    assert set(routing.ROUTES) == set(EventKind)
    assert all(routes for routes in routing.ROUTES.values())
    assert all(effects for routes in routing.ROUTES.values() for effects in routes.values())
    assert all(routing.parties_of(kind) == tuple(routes) for kind, routes in routing.ROUTES.items())


def test_every_work_and_errand_that_is_named_is_somebodys() -> None:
    named = {
        (effect.work, party)
        for routes in routing.ROUTES.values()
        for party, effects in routes.items()
        for effect in effects
        if isinstance(effect, Call)
    }
    assert {work for work, _ in named} == set(Work) == set(WORK) == set(SUBJECTS)
    errands = {
        party
        for routes in routing.ROUTES.values()
        for party, effects in routes.items()
        if any(isinstance(effect, Errand) for effect in effects)
    }
    assert errands <= set(ERRANDS)
    assert all(callable(errand) for party_errands in ERRANDS.values() for errand in party_errands)
    assert all(callable(handler) for handler in COMMANDS.values())


@pytest.mark.parametrize(
    ("kind", "party", "effects"),
    [row for row in ROWS if row not in rows_with(Call)],
    ids=name_of,
)
def test_what_follows_from_an_event_is_done(
    stage: Stage, kind: EventKind, party: Party, effects: tuple[routing.Effect, ...]
) -> None:
    letters_before = stage.session.scalars(select(DeadLetter.id)).all()
    event = send(stage, kind, party)
    tasks, notices = came_of(stage.session, Task, event), came_of(stage.session, Notice, event)
    expected_tasks: list[tuple[object, ...]] = []
    expected_notices: list[tuple[object, ...]] = []
    for effect in effects:
        match effect:
            case routing.Task():
                expected_tasks.append((effect.kind, stage.owner(effect.owner), effect.priority, party))
            case Sms(kind=text):
                expected_notices.append((text or NoticeKind.HELP, "sms", stage.episode.patient_id))
            case Inform(owner=owner):
                expected_notices.append((kind, "in_app", stage.owner(owner)))
            case Page(owner=owner):
                expected_notices.extend((NoticeKind.STAFF_PAGE, "sms", who) for who in paged(stage, owner))
    assert Counter((task.kind, task.owner_id, task.priority, task.party) for task in tasks) == Counter(expected_tasks)
    assert Counter((each.kind, each.channel, each.recipient_id) for each in notices) == Counter(expected_notices)
    assert all(task.due_at > service_clock.now() and task.escalate_at == task.due_at for task in tasks)
    assert all(task.episode_id == stage.episode.id for task in tasks)
    assert stage.session.scalars(select(DeadLetter.id)).all() == letters_before


def paged(stage: Stage, owner: Owner) -> set[UUID]:
    """Whoever is on call for an owner."""
    found: UUID = getattr(stage.world, ON_CALL[owner]).id
    return {found}


@pytest.mark.parametrize(
    ("kind", "party", "effects"),
    rows_with(routing.Task, Inform, Page),
    ids=name_of,
)
def test_somebody_has_it_while_the_care_team_is_not_complete(
    stage: Stage, kind: EventKind, party: Party, effects: tuple[routing.Effect, ...]
) -> None:
    """A prescriber may not be assigned yet: then the medical team has it, and nothing is lost."""
    stage.episode.prescriber_id = None
    stage.session.commit()
    try:
        event = send(stage, kind, party)
    finally:
        stage.episode.prescriber_id = stage.world.prescriber.id
        stage.session.commit()
    owners = {task.owner_id for task in came_of(stage.session, Task, event)}
    expected = {
        stage.world.medical_team.id if effect.owner is Owner.PRESCRIBER else stage.owner(effect.owner)
        for effect in effects
        if isinstance(effect, routing.Task)
    }
    assert owners == expected


def a_report(stage: Stage) -> UUID:
    notice = Notice(
        id=new_id(),
        kind=NoticeKind.HELP,
        channel="sms",
        purpose="reply",
        state=NoticeState.SENT,
        recipient_id=stage.episode.patient_id,
        attempts=1,
        provider_id="SM" + "e" * 32,
        provider_status="sent",
        created_at=service_clock.now(),
    )
    stage.session.add(notice)
    stage.session.flush()
    delivery_id = keep_report(stage.session, notice, "delivered")
    assert delivery_id is not None
    return delivery_id


def a_carrier_event(stage: Stage) -> UUID:
    delivery_id = carrier_event(stage.session, a_shipment(stage), "in_transit")
    assert delivery_id is not None
    return delivery_id


def a_shipment(stage: Stage) -> Any:
    return make_shipment(stage.session, make_case(stage.session, world=stage.world))


def a_session(stage: Stage) -> UUID:
    case = make_case(stage.session, world=stage.world)
    soon = service_clock.now() + timedelta(hours=23)
    return book(stage.session, case, kind="preparation", starts_at=soon).id


def an_assessment(stage: Stage) -> UUID:
    approved = make_eligible(stage.session, world=stage.world)
    asked = request_assessment(stage.session, stage.world.actor("therapist"), approved.id)
    return asked.assessment.id


def a_place(stage: Stage) -> UUID:
    """A place in a circle of tomorrow that the patient accepted."""
    session, now = stage.session, service_clock.now()
    circle = Circle(
        id=new_id(),
        host_id=stage.world.therapist.id,
        medical_team_id=stage.world.medical_team.id,
        state="planned",
        starts_at=now + timedelta(days=1),
        ends_at=now + timedelta(days=1, hours=1),
        capacity=4,
        created_at=now,
    )
    for name in ("title", "address"):
        box(session, circle.host_id).seal(circle, name, Personal("https://meet.example/abc"))
    session.add(circle)
    session.flush()
    place = CirclePlace(
        id=new_id(),
        circle_id=circle.id,
        patient_id=stage.episode.patient_id,
        episode_id=stage.episode.id,
        state="accepted",
        invited_by=circle.host_id,
        invited_at=now,
    )
    session.add(place)
    session.flush()
    return place.id


SUBJECTS: dict[Work, Callable[[Stage], UUID]] = {
    Work.READ_SMS: lambda stage: keep_text(stage.session, "HELP"),
    Work.READ_SMS_STATUS: a_report,
    Work.READ_CARRIER_EVENT: a_carrier_event,
    Work.CHECK_SILENCE: lambda stage: a_shipment(stage).id,
    Work.END_PRESCRIPTION: lambda stage: make_signed(stage.session, make_case(stage.session, world=stage.world)).id,
    Work.NOTE_TRANSMISSION: lambda stage: make_signed(stage.session, make_case(stage.session, world=stage.world)).id,
    Work.REMIND_OF_SESSION: a_session,
    Work.PLAN_ASSESSMENTS: lambda stage: make_eligible(stage.session, world=stage.world).id,
    Work.REMIND_OF_ASSESSMENT: an_assessment,
    Work.REMIND_OF_CIRCLE: a_place,
}


def trace(session: Session, work: Work, subject_id: UUID) -> datetime | str | int | None:
    """What shows that a work was done."""
    session.expire_all()
    match work:
        case Work.READ_SMS | Work.READ_SMS_STATUS | Work.READ_CARRIER_EVENT:
            return session.get_one(WebhookDelivery, subject_id).read_at
        case Work.CHECK_SILENCE | Work.PLAN_ASSESSMENTS:
            return len(session.scalars(select(Timer.id).where(Timer.subject_id == subject_id)).all())
        case Work.NOTE_TRANSMISSION:
            noted = (AuditRecord.action == "prescription.transmit", AuditRecord.subject_id == subject_id)
            return len(session.scalars(select(AuditRecord.id).where(*noted)).all())
        case Work.END_PRESCRIPTION:
            return session.get_one(Prescription, subject_id).state
        case Work.REMIND_OF_SESSION:
            reminder = Notice.kind == NoticeKind.SESSION_REMINDER
            return len(session.scalars(select(Notice.id).where(Notice.subject_id == subject_id, reminder)).all())
        case Work.REMIND_OF_CIRCLE:
            return len(session.scalars(select(Notice.id).where(Notice.subject_id == subject_id)).all())
        case Work.REMIND_OF_ASSESSMENT:
            reminder = Notice.kind == NoticeKind.ASSESSMENT_REMINDER
            return len(session.scalars(select(Notice.id).where(Notice.subject_id == subject_id, reminder)).all())


@pytest.mark.parametrize(
    ("kind", "party", "effects"),
    rows_with(Call),
    ids=name_of,
)
def test_the_work_that_an_event_calls_for_is_done(
    stage: Stage, kind: EventKind, party: Party, effects: tuple[routing.Effect, ...]
) -> None:
    (effect,) = (each for each in effects if isinstance(each, Call))
    subject_id = SUBJECTS[effect.work](stage)
    stage.session.commit()
    before = trace(stage.session, effect.work, subject_id)
    send(stage, kind, party, Subject("thing", subject_id))
    assert trace(stage.session, effect.work, subject_id) != before
