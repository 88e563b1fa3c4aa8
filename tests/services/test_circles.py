"""Circles: planned, invited to, answered, held; and nobody's record in anybody else's sight."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

import services.tables  # noqa: F401 - so that every table is known
from services.circles import circles, places
from services.circles.circles import CircleDetails
from services.circles.models import Circle, CirclePlace
from services.core import clock as service_clock
from services.core.actors import Actor
from services.core.errors import Conflict, IllegalTransition, NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, Party
from services.messaging.models import Notice, Timer
from services.messaging.notice_states import WAITING
from services.people.models import Account, Episode
from services.people.programmes import programme_of
from services.people.states import EpisodeState
from services.sessions.models import TherapySession
from services.sessions.states import SessionState
from services.vault.boxes import box
from tests.factories import World, audited, make_account, make_actor, make_episode, make_patient_actor
from tests.factories_matching import make_licensed, make_matching_world
from tests.factories_messaging import DAYTIME, DEFAULT, MOBILE, emitted
from tests.factories_programmes import run_under
from workers.effects import OpenedEvent, carry_out


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(session: Session, clock: time_machine.Traveller) -> World:
    return make_matching_world(session)


@pytest.fixture
def host(session: Session, world: World) -> Account:
    """Another therapist of the same practice."""
    return make_licensed(session, make_account(session, organisation=world.practice, full_name="Hana Host"), "CA")


@pytest.fixture
def patients(session: Session, world: World) -> list[Episode]:
    """Two patients in treatment with the world's therapist."""
    names = ("Ada First", "Ben Second")
    return [make_episode(session, world=world, at=EpisodeState.IN_TREATMENT, full_name=name) for name in names]


def plan(session: Session, host: Account, *, capacity: int = 2, starts_at: datetime | None = None) -> Circle:
    begins = starts_at or service_clock.now() + timedelta(days=3)
    details = CircleDetails(
        title=Personal("Evening circle"),
        address=Personal("https://meet.example/abc"),
        starts_at=begins,
        ends_at=begins + timedelta(minutes=90),
        capacity=capacity,
    )
    return circles.plan_circle(session, make_actor(host), details)


@pytest.fixture
def circle(session: Session, host: Account) -> Circle:
    return plan(session, host)


def invite(session: Session, world: World, circle: Circle, episode: Episode) -> CirclePlace:
    return places.invite(session, world.actor("therapist"), circle.id, episode.id)


def accept(session: Session, circle: Circle, episode: Episode) -> CirclePlace:
    return places.answer_invitation(session, make_patient_actor(episode), circle.id, accepts=True)


def test_an_invited_patient_accepts_is_let_in_and_reminded(
    session: Session, world: World, circle: Circle, patients: list[Episode]
) -> None:
    first, patient = patients[0], make_patient_actor(patients[0])
    place = invite(session, world, circle, first)
    (payload,) = emitted(session, EventKind.CIRCLE_INVITED)
    assert (payload["party"], payload["episode"]) == ("patient", str(first.id))
    assert payload["data"]["link"].startswith("/l/")
    assert circles.read_circle(session, patient, circle.id).address.reveal() is None
    accept(session, circle, first)
    read = circles.read_circle(session, patient, circle.id)
    assert (read.address.reveal(), read.title.reveal(), read.host.reveal()) == (
        "https://meet.example/abc",
        "Evening circle",
        "Hana Host",
    )
    timer = session.scalars(select(Timer).where(Timer.subject_id == place.id)).one()
    assert (timer.kind, timer.due_at) == ("circle.reminder_due", circle.starts_at - timedelta(hours=24))
    assert {"circle.plan", "circle.invite", "circle.answer", "circle.read"} <= set(audited(session))


def test_a_patient_sees_the_own_place_and_no_trace_of_others(
    session: Session, world: World, circle: Circle, patients: list[Episode]
) -> None:
    first, second = patients
    own = invite(session, world, circle, first)
    alone = circles.read_circle(session, make_patient_actor(first), circle.id)
    invite(session, world, circle, second)
    accept(session, circle, second)
    together = circles.read_circle(session, make_patient_actor(first), circle.id)
    assert (together.own, together.places) == (own, [])
    assert (alone.circle.version, alone.title, alone.address) == (
        together.circle.version,
        together.title,
        together.address,
    )
    outsider = make_patient_actor(make_episode(session, world=world, at=EpisodeState.IN_TREATMENT))
    with pytest.raises(NotFound):
        circles.read_circle(session, outsider, circle.id)
    assert circles.list_circles(session, outsider) == []
    with pytest.raises(NotFound):
        places.answer_invitation(session, outsider, circle.id, accepts=True)


def test_the_host_knows_whom_to_let_in_and_the_therapist_who_of_the_own_is_there(
    session: Session, world: World, circle: Circle, host: Account, patients: list[Episode]
) -> None:
    invite(session, world, circle, patients[0])
    hosted = circles.read_circle(session, make_actor(host), circle.id)
    assert [(each.first_name.reveal(), each.episode_id) for each in hosted.places] == [("Ada", None)]
    seen = circles.read_circle(session, world.actor("therapist"), circle.id)
    assert [(each.first_name.reveal(), each.episode_id) for each in seen.places] == [(None, patients[0].id)]
    assert seen.address.reveal() is None
    colleague = make_actor(make_account(session, organisation=world.practice))
    assert circles.read_circle(session, colleague, circle.id).places == []
    stranger = make_matching_world(session).actor("therapist")
    with pytest.raises(NotFound):
        circles.read_circle(session, stranger, circle.id)
    with pytest.raises(NotAllowed):
        circles.read_circle(session, world.actor("prescriber"), circle.id)


def test_only_the_own_therapist_invites(
    session: Session, world: World, circle: Circle, patients: list[Episode]
) -> None:
    colleague = make_actor(make_account(session, organisation=world.practice))
    with pytest.raises(NotFound):
        places.invite(session, colleague, circle.id, patients[0].id)
    other = make_matching_world(session)
    theirs = make_episode(session, world=other, at=EpisodeState.IN_TREATMENT)
    with pytest.raises(NotFound):
        places.invite(session, other.actor("therapist"), circle.id, theirs.id)


def test_there_are_only_so_many_places_and_a_free_one_may_be_given_again(
    session: Session, world: World, host: Account, patients: list[Episode]
) -> None:
    first, second = patients
    small = plan(session, host, capacity=1)
    place = invite(session, world, small, first)
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        invite(session, world, small, second)
    assert [finding.rule for finding in refusal.value.findings] == ["circles.full"]
    with pytest.raises(Conflict) as conflict:
        invite(session, world, small, first)
    assert conflict.value.rule == "circles.invited_already"
    places.answer_invitation(session, make_patient_actor(first), small.id, accepts=False)
    invite(session, world, small, second)
    places.withdraw_invitation(session, world.actor("therapist"), invite_id(session, small, second))
    again = invite(session, world, small, first)
    assert (again.id, again.state, again.answered_at) == (place.id, "invited", None)
    with pytest.raises(NotFound):
        circles.read_circle(session, make_patient_actor(second), small.id)


def invite_id(session: Session, circle: Circle, episode: Episode) -> Any:
    query = select(CirclePlace.id).where(CirclePlace.circle_id == circle.id, CirclePlace.episode_id == episode.id)
    return session.scalars(query).one()


@pytest.mark.parametrize("at", [EpisodeState.ELIGIBLE, EpisodeState.CLOSED])
def test_a_circle_is_for_patients_in_treatment(
    session: Session, world: World, circle: Circle, at: EpisodeState
) -> None:
    episode = make_episode(session, world=world, at=at)
    with pytest.raises(RuleRefused) as refusal:
        invite(session, world, circle, episode)
    assert [finding.rule for finding in refusal.value.findings] == ["circles.not_in_treatment"]


def held(
    session: Session, world: World, circle: Circle, clock: time_machine.Traveller, *who: Episode
) -> list[CirclePlace]:
    """Invite and accept, and let the circle begin."""
    made = [invite(session, world, circle, episode) for episode in who]
    for episode in who:
        accept(session, circle, episode)
    clock.move_to(circle.starts_at)
    return made


def test_attendance_and_note_stand_in_each_patients_own_record(
    session: Session,
    world: World,
    host: Account,
    circle: Circle,
    patients: list[Episode],
    clock: time_machine.Traveller,
) -> None:
    first, second = held(session, world, circle, clock, *patients)
    acting = make_actor(host)
    places.record_attendance(session, acting, first.id, attended=True, note=Personal("Canary-Ada spoke of the sea."))
    places.record_attendance(session, acting, second.id, attended=False)
    assert (circle.state, first.state, second.state) == ("held", "attended", "absent")
    assert emitted(session, EventKind.TEXT_CONCERNING) == []
    assert first.note is not None
    assert b"Canary" not in first.note
    therapist = world.actor("therapist")
    (own,) = places.list_places(session, therapist, patients[0].id)
    assert own.note.reveal() == "Canary-Ada spoke of the sea."
    (other,) = places.list_places(session, world.actor("prescriber"), patients[1].id)
    assert other.note.reveal() is None
    with pytest.raises(NotFound):
        places.list_places(session, acting, patients[0].id)  # the host is not this patient's therapist
    with pytest.raises(NotAllowed):
        places.list_places(session, make_patient_actor(patients[0]), patients[0].id)
    with pytest.raises(IllegalTransition):
        places.record_attendance(session, acting, first.id, attended=False)
    clock.move_to(circle.ends_at)
    assert circles.read_circle(session, make_patient_actor(patients[0]), circle.id).address.reveal() is None


def test_the_address_stays_and_answers_are_taken_until_the_end_though_somebody_is_recorded_already(
    session: Session,
    world: World,
    host: Account,
    circle: Circle,
    patients: list[Episode],
    clock: time_machine.Traveller,
) -> None:
    first, second = patients
    (place,) = held(session, world, circle, clock, first)
    clock.move_to(circle.starts_at - timedelta(hours=1))
    invite(session, world, circle, second)
    clock.move_to(circle.starts_at)
    places.record_attendance(session, make_actor(host), place.id, attended=True)
    accept(session, circle, second)
    for actor in (make_actor(host), make_patient_actor(first), make_patient_actor(second)):
        assert circles.read_circle(session, actor, circle.id).address.reveal() == "https://meet.example/abc"
    clock.move_to(circle.ends_at)
    assert circles.read_circle(session, make_patient_actor(second), circle.id).address.reveal() is None
    with pytest.raises(Conflict) as refusal:
        places.answer_invitation(session, make_patient_actor(second), circle.id, accepts=False)
    assert refusal.value.rule == "circles.not_planned"


def carry(session: Session, kind: EventKind, subject: CirclePlace) -> None:
    """Let the patient's worker do what the event of a kind about a place asks for."""
    (payload,) = [each for each in emitted(session, kind) if each["subject"][1] == str(subject.id)]
    event = OpenedEvent.from_payload(new_id(), Party(payload["party"]), kind, payload)
    carry_out(session, [event], DEFAULT)
    session.flush()


@pytest.mark.parametrize("who", ["host", "therapist", "patient"])
def test_texts_that_wait_are_taken_back_when_nobody_is_to_come(
    session: Session, world: World, host: Account, patients: list[Episode], who: str
) -> None:
    circle, episode = (
        plan(session, host),
        make_episode(session, world=world, at=EpisodeState.IN_TREATMENT, mobile=MOBILE, full_name="Cy Third"),
    )
    place = invite(session, world, circle, episode)
    carry(session, EventKind.CIRCLE_INVITED, place)
    notice = session.scalars(select(Notice).where(Notice.subject_id == place.id)).one()
    assert notice.state in WAITING
    match who:
        case "host":
            circles.cancel_circle(session, make_actor(host), circle.id)
        case "therapist":
            places.withdraw_invitation(session, world.actor("therapist"), place.id)
        case _:
            places.answer_invitation(session, make_patient_actor(episode), circle.id, accepts=False)
    assert (notice.kind, notice.state) == ("circle_invited", "replaced")


def test_no_text_about_a_circle_goes_after_it_began(
    session: Session, world: World, host: Account, clock: time_machine.Traveller
) -> None:
    soon = plan(session, host, starts_at=service_clock.now() + timedelta(hours=6))
    episode = make_episode(session, world=world, at=EpisodeState.IN_TREATMENT, mobile=MOBILE)
    place = invite(session, world, soon, episode)
    carry(session, EventKind.CIRCLE_INVITED, place)
    invited = session.scalars(select(Notice).where(Notice.subject_id == place.id)).one()
    accept(session, soon, episode)
    places.remind_of_circle(session, place.id, DEFAULT)
    session.flush()
    reminder = session.scalars(select(Notice).where(Notice.kind == "circle_reminder")).one()
    assert invited.expires_at == reminder.expires_at == soon.starts_at
    clock.move_to(soon.starts_at)
    places.remind_of_circle(session, place.id, DEFAULT)
    session.flush()
    assert session.scalars(select(Notice).where(Notice.kind == "circle_reminder")).all() == [reminder]


def test_nobody_but_the_host_records_and_nobody_before_it_began(
    session: Session, world: World, host: Account, circle: Circle, patients: list[Episode]
) -> None:
    place = invite(session, world, circle, patients[0])
    with pytest.raises(RuleRefused) as refusal:
        places.record_attendance(session, make_actor(host), place.id, attended=True)
    assert [finding.rule for finding in refusal.value.findings] == ["circles.not_begun"]
    with pytest.raises(NotFound):
        places.record_attendance(session, world.actor("therapist"), place.id, attended=True)


def dosed(session: Session, world: World, episode: Episode) -> Any:
    """A dosing session of the patient that awaits its integration."""
    ended_at = service_clock.now() - timedelta(hours=30)
    row = TherapySession(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        therapist_id=world.therapist.id,
        kind="dosing",
        state=SessionState.INTEGRATION_DUE,
        starts_at=ended_at - timedelta(hours=2),
        ends_at=ended_at,
        ended_at=ended_at,
        created_at=ended_at,
    )
    box(session, episode.patient_id).seal(row, "place", {"site": "home", "remote": False, "address": None})
    session.add(row)
    session.flush()
    return row


def test_being_there_is_no_integration_session(
    session: Session,
    world: World,
    host: Account,
    circle: Circle,
    patients: list[Episode],
    clock: time_machine.Traveller,
) -> None:
    (place,) = held(session, world, circle, clock, patients[0])
    session_row = dosed(session, world, patients[0])
    places.record_attendance(session, make_actor(host), place.id, attended=True)
    assert session_row.state == "integration_due"
    assert programme_of(session, patients[0]).value("circles.count_as_integration") is False


@pytest.mark.parametrize(("attended", "state"), [(True, "closed"), (False, "integration_due")])
def test_being_there_counts_as_integration_where_the_programme_says_so(
    session: Session,
    world: World,
    host: Account,
    circle: Circle,
    patients: list[Episode],
    clock: time_machine.Traveller,
    attended: bool,
    state: str,
) -> None:
    (place,) = held(session, world, circle, clock, patients[0])
    session_row = dosed(session, world, patients[0])
    run_under(session, patients[0], {"circles.count_as_integration": True})
    places.record_attendance(session, make_actor(host), place.id, attended=attended)
    assert session_row.state == state


def test_a_circle_does_not_integrate_a_dose_that_came_after_it(
    session: Session,
    world: World,
    host: Account,
    circle: Circle,
    patients: list[Episode],
    clock: time_machine.Traveller,
) -> None:
    (place,) = held(session, world, circle, clock, patients[0])
    before = dosed(session, world, patients[0])
    clock.shift(timedelta(days=3))  # attendance is recorded late, after another dosing session
    after = dosed(session, world, patients[0])
    run_under(session, patients[0], {"circles.count_as_integration": True})
    places.record_attendance(session, make_actor(host), place.id, attended=True)
    assert (before.state, after.state) == ("closed", "integration_due")


def test_cancelling_tells_whoever_might_have_come(
    session: Session, world: World, host: Account, circle: Circle, patients: list[Episode]
) -> None:
    first, second = patients
    invite(session, world, circle, first)
    accept(session, circle, first)
    invite(session, world, circle, second)
    places.answer_invitation(session, make_patient_actor(second), circle.id, accepts=False)
    circles.cancel_circle(session, make_actor(host), circle.id, version=circle.version)
    told = emitted(session, EventKind.CIRCLE_CANCELLED)
    assert [payload["episode"] for payload in told] == [str(first.id)]
    assert told[0]["data"] == {"at": circle.starts_at.isoformat()}
    assert {timer.outcome for timer in session.scalars(select(Timer))} == {"cancelled"}
    for act in (
        lambda: circles.cancel_circle(session, make_actor(host), circle.id),
        lambda: invite(session, world, circle, second),
        lambda: places.answer_invitation(session, make_patient_actor(first), circle.id, accepts=False),
    ):
        with pytest.raises((IllegalTransition, Conflict)):
            act()


def test_only_the_host_cancels_and_only_as_it_stands(
    session: Session, world: World, host: Account, circle: Circle
) -> None:
    with pytest.raises(NotFound):
        circles.cancel_circle(session, world.actor("therapist"), circle.id)
    with pytest.raises(StaleVersion):
        circles.cancel_circle(session, make_actor(host), circle.id, version=circle.version + 1)


def test_who_hosts_must_be_trained_and_a_therapist(session: Session, world: World) -> None:
    untrained = make_account(session, organisation=world.practice, papers=False)
    with pytest.raises(RuleRefused) as refusal:
        plan(session, untrained)
    assert [finding.rule for finding in refusal.value.findings] == ["circles.host_not_trained"]
    staff: Actor = world.actor("medical_staff")
    with pytest.raises(NotAllowed):
        circles.plan_circle(session, staff, None)  # type: ignore[arg-type]
