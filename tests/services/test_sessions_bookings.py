"""Booking, moving and cancelling sessions; what the patient hears, and what the rules say to a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Role
from services.core.errors import NotAllowed, NotFound, RuleRefused, StaleVersion
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.episodes import advance_episode
from services.people.models import Episode
from services.people.states import EpisodeState, EpisodeStep
from services.prescribing import prescriptions
from services.prescribing.limits import PatientLimits
from services.screening.models import Screening
from services.sessions import afterwards, answers, bookings, rounds
from services.sessions.bookings import Move
from services.sessions.models import TherapySession
from services.sessions.places import Site
from services.sessions.reminders import remind_of_session
from services.sessions.states import SessionKind, SessionState
from services.vault.boxes import box
from tests.factories import audited, make_account, make_actor, make_world
from tests.factories_messaging import DEFAULT, emitted, texts_of
from tests.factories_prescribing import Case, make_case, make_ready
from tests.factories_programmes import run_under
from tests.factories_screening import make_referral
from tests.factories_sessions import (
    book,
    booking,
    drive,
    make_prescribed,
    make_supplied,
    stopped_clock,
    tasks_about,
    therapist,
    timers,
)

WHY = Personal("The room is taken.")
DAY = timedelta(days=1)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    """An approved patient with a signed prescription; nothing has been shipped yet."""
    return make_prescribed(session)[0]


def refused(session: Session, case: Case, **changes: Any) -> RuleRefused:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        book(session, case, **changes)
    return refusal.value


def rules_of(refusal: RuleRefused) -> list[str]:
    return [finding.rule for finding in refusal.findings]


def move(session: Session, case: Case, row: TherapySession, **changes: Any) -> bookings.Booked:
    return bookings.move_session(session, therapist(case), row.id, Move(**changes))


def test_a_dosing_session_is_booked_before_the_parcel_has_come(session: Session, case: Case) -> None:
    row = book(session, case)
    assert (row.state, row.kind, row.therapist_id) == ("scheduled", "dosing", case.world.therapist.id)
    assert (row.patient_id, row.prescription_id, row.version) == (case.episode.patient_id, None, 1)
    assert "session.book" in audited(session)


def test_the_length_follows_from_kind_and_site(session: Session, case: Case) -> None:
    lengths: list[tuple[dict[str, Any], int]] = [
        ({}, 180),
        ({"site": Site.HOME}, 120),
        ({"site": Site.HOME, "remote": True}, 120),
        ({"minutes": 240}, 240),
        ({"kind": SessionKind.PREPARATION}, 60),
        ({"kind": SessionKind.PREPARATION, "minutes": 50}, 50),
    ]
    for week, (changes, minutes) in enumerate(lengths):
        row = book(session, case, starts_at=clock.now() + 7 * week * DAY, **changes)
        assert row.ends_at - row.starts_at == timedelta(minutes=minutes), changes


def test_where_it_is_held_is_sealed(session: Session, case: Case) -> None:
    row = book(session, case, site=Site.HOME, remote=True, address=Personal(" 9 Cabin Road "))
    assert b"Cabin" not in bytes(row.place or b"")
    place = box(session, row.patient_id).open(row, "place").reveal()
    kept = {"site": "home", "remote": True, "address": "9 Cabin Road", "location_id": None, "route": None}
    assert place == kept


def test_the_patient_hears_of_it_and_is_reminded_a_day_before(session: Session, case: Case) -> None:
    starts_at = clock.now() + 3 * DAY
    row = book(session, case, starts_at=starts_at)
    (event,) = emitted(session, EventKind.SESSION_BOOKED)
    assert (event["party"], event["subject"]) == ("patient", ["session", str(row.id)])
    assert event["data"] == {"at": starts_at.isoformat()}
    assert timers(session, row.id) == {"session.reminder_due": 2 * DAY}


def test_at_short_notice_there_is_no_reminder(session: Session, case: Case) -> None:
    for hours, has_reminder in ((27.1, True), (24, False), (2, False)):
        row = book(session, case, kind=SessionKind.PREPARATION, starts_at=clock.now() + timedelta(hours=hours))
        assert bool(timers(session, row.id)) is has_reminder


def test_a_time_must_lie_ahead_but_not_too_far(session: Session, case: Case) -> None:
    for at, rule in (
        (clock.now() - timedelta(seconds=1), "sessions.in_the_past"),
        (datetime(1, 1, 1, tzinfo=UTC), "sessions.in_the_past"),
        (clock.now() + timedelta(days=365, seconds=1), "sessions.too_far_ahead"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "sessions.too_far_ahead"),
    ):
        refusal = refused(session, case, starts_at=at, kind=SessionKind.PREPARATION)
        assert (refusal.rule, refusal.field) == (rule, "starts_at")


def test_now_and_the_last_bookable_moment_are_possible(session: Session, case: Case) -> None:
    assert book(session, case, starts_at=clock.now()).id
    assert book(session, case, starts_at=clock.now() + 365 * DAY).id


@pytest.mark.parametrize(("from_minutes", "minutes"), [(-30, 60), (0, 180), (60, 30), (179, 60), (-60, 400)])
def test_a_therapist_is_in_one_place_at_a_time(session: Session, case: Case, from_minutes: int, minutes: int) -> None:
    start = clock.now() + DAY
    book(session, case, starts_at=start)
    other = make_case(session, world=case.world)
    at = start + timedelta(minutes=from_minutes)
    refusal = refused(session, other, kind=SessionKind.PREPARATION, starts_at=at, minutes=minutes)
    assert (rules_of(refusal), refusal.field) == (["sessions.therapist_overlap"], "starts_at")


def test_sessions_may_touch(session: Session, case: Case) -> None:
    start = clock.now() + DAY
    book(session, case, starts_at=start)
    for from_minutes in (-60, 180):
        at = start + timedelta(minutes=from_minutes)
        assert book(session, case, kind=SessionKind.PREPARATION, starts_at=at, minutes=60).id


def test_a_cancelled_session_and_another_therapist_do_not_stand_in_the_way(session: Session, case: Case) -> None:
    row = book(session, case)
    bookings.cancel_session(session, therapist(case), row.id, WHY)
    assert book(session, case).starts_at == row.starts_at
    assert book(session, make_case(session), kind=SessionKind.PREPARATION).starts_at == row.starts_at


def test_without_a_signed_prescription_no_dosing_session_is_booked(
    session: Session, moment: time_machine.Traveller
) -> None:
    case = make_case(session)
    make_ready(session, case)
    assert rules_of(refused(session, case)) == ["sessions.prescription_missing"]
    assert book(session, case, kind=SessionKind.PREPARATION).id


def test_a_cancelled_prescription_is_none(session: Session, moment: time_machine.Traveller) -> None:
    case, row = make_prescribed(session)
    prescriptions.cancel(session, case.prescriber, row.id, WHY)
    assert rules_of(refused(session, case)) == ["sessions.prescription_missing"]


def test_eligibility_must_be_current(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    moment.shift(181 * DAY)
    assert "sessions.eligibility_not_current" in rules_of(refused(session, case))
    assert book(session, case, kind=SessionKind.PREPARATION).id


def test_in_a_closed_episode_nothing_is_booked(session: Session, case: Case) -> None:
    advance_episode(session, case.prescriber, case.episode, EpisodeStep.CLOSE)
    assert refused(session, case, kind=SessionKind.PREPARATION).rule == "sessions.episode_closed"


def test_dosing_sessions_keep_their_distance(session: Session, case: Case) -> None:
    first = clock.now() + 30 * DAY
    book(session, case, starts_at=first)
    for days in (6, -6):
        refusal = refused(session, case, starts_at=first + days * DAY)
        assert (rules_of(refusal), refusal.field) == (["sessions.interval_too_short"], "starts_at")
        assert refusal.findings[0].setting == "sessions.interval_days"
    for days in (7, 14, -7):
        assert book(session, case, starts_at=first + days * DAY).id


def test_a_prescriber_lowers_the_distance_but_two_a_week_stay_the_most(
    session: Session, moment: time_machine.Traveller
) -> None:
    case, _ = make_prescribed(session, limits=PatientLimits(interval_days=3))
    start = clock.now() + DAY
    book(session, case, starts_at=start)
    book(session, case, starts_at=start + 3 * DAY)
    assert rules_of(refused(session, case, starts_at=start + 2 * DAY))[0] == "sessions.interval_too_short"
    assert rules_of(refused(session, case, starts_at=start + 6 * DAY)) == ["sessions.week_full"]
    assert book(session, case, starts_at=start + 7 * DAY).id


def test_a_round_is_full_until_the_prescriber_extends_it(session: Session, case: Case) -> None:
    start = clock.now() + DAY
    for week in range(8):
        book(session, case, starts_at=start + 7 * week * DAY)
    ninth = {"starts_at": start + 56 * DAY}
    assert rules_of(refused(session, case, **ninth)) == ["sessions.round_full"]
    with pytest.raises(RuleRefused) as refusal:
        rounds.extend_round(session, case.prescriber, case.episode.id, 8, WHY)
    assert (refusal.value.field, refusal.value.rule) == ("sessions", "sessions.extension_too_small")
    rounds.extend_round(session, case.prescriber, case.episode.id, 9, WHY)
    book(session, case, **ninth)
    assert rules_of(refused(session, case, starts_at=start + 63 * DAY)) == ["sessions.round_full"]


def test_in_maintenance_there_are_no_rounds(session: Session, case: Case) -> None:
    start = clock.now() + DAY
    for week in range(8):
        book(session, case, starts_at=start + 7 * week * DAY)
    case.episode.state = EpisodeState.IN_MAINTENANCE
    assert book(session, case, starts_at=start + 56 * DAY).id


def test_only_the_prescriber_extends_a_round(session: Session, case: Case) -> None:
    for who, rule in (("therapist", "access.round.extend"), ("medical_staff", "sessions.extension_not_yours")):
        with pytest.raises(NotAllowed) as refusal:
            rounds.extend_round(session, case.actor(who), case.episode.id, 12, WHY)
        assert refusal.value.rule == rule


def test_a_programme_may_let_the_medical_staff_extend_but_never_the_therapist(session: Session, case: Case) -> None:
    run_under(session, case.episode, {"sessions.round_extended_by": ["prescriber", "medical_staff", "therapist"]})
    assert rounds.extend_round(session, case.actor("medical_staff"), case.episode.id, 12, WHY)
    with pytest.raises(NotAllowed):
        rounds.extend_round(session, therapist(case), case.episode.id, 12, WHY)


def test_a_dosing_session_is_booked_and_moved_only_where_the_programme_doses(session: Session, case: Case) -> None:
    refusal = refused(session, case, site=Site.CLINIC)
    assert (rules_of(refusal), refusal.findings[0].value) == (["sessions.site_not_offered"], ["office", "home"])
    row = book(session, case)
    with pytest.raises(RuleRefused) as moving, session.begin_nested():
        move(session, case, row, site=Site.CLINIC)
    assert rules_of(moving.value) == ["sessions.site_not_offered"]
    assert book(session, case, kind=SessionKind.PREPARATION, site=Site.CLINIC, starts_at=clock.now() + DAY).id
    run_under(session, case.episode, {"sessions.dosing_sites": ["clinic"]})
    clinical = book(session, case, site=Site.CLINIC, starts_at=clock.now() + 10 * DAY)
    assert clinical.ends_at - clinical.starts_at == timedelta(minutes=180)


def test_preparation_is_held_before_the_first_dosing_session_is_booked(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    run_under(session, case.episode, {"sessions.preparation_before_first_dose": 2})
    assert rules_of(refused(session, case)) == ["sessions.preparation_missing"]
    for held in range(2):
        talk = book(session, case, kind=SessionKind.PREPARATION)
        assert rules_of(refused(session, case, starts_at=clock.now() + 9 * DAY)) == ["sessions.preparation_missing"]
        moment.shift(timedelta(hours=1))
        afterwards.hold_session(session, therapist(case), talk.id)
        assert rounds.preparation_done(session, case.episode.id).held == held + 1
    assert book(session, case).id


def test_no_session_at_all_is_booked_before_the_paperwork_where_a_programme_wants_it(
    session: Session, moment: time_machine.Traveller
) -> None:
    world = make_world(session)
    newcomer, who = make_referral(session, world=world), world.actor("therapist")
    talk = booking(kind=SessionKind.PREPARATION)
    assert bookings.book_session(session, who, newcomer.referral.episode_id, talk).row.id
    episode = session.get_one(Episode, newcomer.referral.episode_id)
    run_under(session, episode, {"sessions.screening_before_booking": True})
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        bookings.book_session(session, who, episode.id, booking(kind=SessionKind.PREPARATION, starts_at=at_noon()))
    assert rules_of(refusal.value) == ["sessions.screening_missing"]
    session.get_one(Screening, newcomer.screening_id).completed_at = clock.now()
    later = booking(kind=SessionKind.PREPARATION, starts_at=at_noon())
    assert bookings.book_session(session, who, episode.id, later).row.id


def test_a_dosing_session_is_as_long_as_the_patient_is_observed(session: Session, case: Case) -> None:
    assert rules_of(refused(session, case, minutes=119)) == ["sessions.too_short"]
    assert book(session, case, minutes=120).id


def test_a_remote_session_is_held_from_home(session: Session, case: Case) -> None:
    refusal = refused(session, case, remote=True)
    assert (refusal.rule, refusal.field) == ("sessions.remote_from_home", "remote")


def test_integration_names_a_dosing_session_of_its_episode(session: Session, case: Case) -> None:
    other, _ = make_prescribed(session)
    cancelled = book(session, case)
    bookings.cancel_session(session, therapist(case), cancelled.id, WHY)
    talk = book(session, case, kind=SessionKind.PREPARATION)
    for integrates_id, rule in (
        (None, "sessions.integrates_missing"),
        (book(session, other).id, "sessions.integrates_missing"),
        (talk.id, "sessions.integrates_missing"),
        (cancelled.id, "sessions.integrates_cancelled"),
    ):
        refusal = refused(session, case, kind=SessionKind.INTEGRATION, integrates_id=integrates_id)
        assert (refusal.rule, refusal.field) == (rule, "integrates_id")
    refusal = refused(session, case, kind=SessionKind.PREPARATION, integrates_id=talk.id)
    assert (refusal.rule, refusal.field) == ("sessions.integrates_nothing", "integrates_id")


def test_integration_outside_its_window_is_booked_with_a_note(session: Session, case: Case) -> None:
    dosing = book(session, case)
    for hours, noted in ((22, True), (24, False), (48, False), (50, True)):
        at = dosing.ends_at + timedelta(hours=hours)
        given = booking(kind=SessionKind.INTEGRATION, starts_at=at, integrates_id=dosing.id)
        booked = bookings.book_session(session, therapist(case), case.episode.id, given)
        assert [finding.rule for finding in booked.findings] == ["sessions.integration_outside_window"] * noted
        assert booked.row.integrates_id == dosing.id


def at_noon() -> datetime:
    return clock.now() + timedelta(hours=26)


def test_only_the_therapist_books(session: Session, case: Case) -> None:
    others = [case.actor(who) for who in ("prescriber", "medical_staff", "pharmacist")]
    for actor in (*others, case.patient):
        with pytest.raises(NotAllowed):
            bookings.book_session(session, actor, case.episode.id, booking())


def test_another_therapist_of_the_practice_sees_nothing(session: Session, case: Case) -> None:
    row = book(session, case)
    colleague = make_actor(make_account(session, Role.THERAPIST, organisation=case.world.practice))
    with pytest.raises(NotFound):
        bookings.book_session(session, colleague, case.episode.id, booking())
    with pytest.raises(NotFound):
        bookings.cancel_session(session, colleague, row.id, WHY)


def test_a_moved_session_is_asked_about_anew(session: Session, case: Case) -> None:
    row = book(session, case, starts_at=clock.now() + 3 * DAY)
    answers.ask_to_reschedule(session, case.patient, row.id)
    ask = Subject("session", row.id)
    kind, due_at = TaskKind.RESCHEDULE_SESSION, clock.now() + DAY
    open_task(session, kind, party=Party.THERAPIST, owner_id=row.therapist_id, subject=ask, due_at=due_at)
    later = clock.now() + 5 * DAY
    move(session, case, row, starts_at=later)
    assert (row.starts_at, row.ends_at - later) == (later, timedelta(hours=3))
    assert (row.confirmed_at, row.reschedule_asked_at) == (None, None)
    assert tasks_about(session, row.id) == {"reschedule_session": "completed"}
    assert emitted(session, EventKind.SESSION_MOVED)[0]["data"] == {"at": later.isoformat()}
    assert timers(session, row.id) == {"session.reminder_due": 4 * DAY}


def test_another_place_alone_is_no_news(session: Session, case: Case) -> None:
    row = book(session, case, starts_at=clock.now() + 3 * DAY)
    answers.confirm_session(session, case.patient, row.id)
    move(session, case, row, site=Site.HOME, remote=True)
    assert box(session, row.patient_id).open(row, "place").reveal()["site"] == "home"
    assert row.confirmed_at is not None
    assert emitted(session, EventKind.SESSION_MOVED) == []


def test_moving_asks_the_same_rules(session: Session, case: Case) -> None:
    first = book(session, case, starts_at=clock.now() + DAY)
    second = book(session, case, starts_at=clock.now() + 8 * DAY)
    move(session, case, first, starts_at=first.starts_at + timedelta(hours=1))  # its own time is free to it
    for at, rule in ((7 * DAY, "sessions.interval_too_short"), (DAY, "sessions.therapist_overlap")):
        with pytest.raises(RuleRefused) as refusal, session.begin_nested():
            move(session, case, second, starts_at=clock.now() + at)
        assert rule in rules_of(refusal.value)
        session.refresh(second)
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        move(session, case, second, starts_at=clock.now() - DAY)
    assert refusal.value.rule == "sessions.in_the_past"


def test_a_move_on_an_old_version_is_refused(session: Session, case: Case) -> None:
    row = book(session, case)
    move(session, case, row, minutes=200)
    with pytest.raises(StaleVersion):
        bookings.move_session(session, therapist(case), row.id, Move(minutes=210), version=1)


def test_a_cancelled_session_is_over_for_everybody(session: Session, case: Case) -> None:
    row = book(session, case, starts_at=clock.now() + 3 * DAY)
    bookings.cancel_session(session, therapist(case), row.id, WHY)
    assert (row.state, row.ended_at, timers(session, row.id)) == ("cancelled", clock.now(), {})
    assert box(session, row.patient_id).open(row, "reason").reveal()["texts"] == ["The room is taken."]
    (event,) = emitted(session, EventKind.SESSION_CANCELLED)
    assert event["data"] == {"at": row.starts_at.isoformat()}


def test_a_patient_who_is_there_is_not_texted_that_it_is_cancelled(
    session: Session, moment: time_machine.Traveller
) -> None:
    case = make_supplied(session)
    row = drive(session, case, SessionState.READY, moment)
    bookings.cancel_session(session, therapist(case), row.id, WHY)
    assert (row.state, emitted(session, EventKind.SESSION_CANCELLED)) == ("cancelled", [])


def reminded(session: Session, row: TherapySession) -> bool:
    remind_of_session(session, row.id, DEFAULT)
    return any(kind == NoticeKind.SESSION_REMINDER for kind, _ in texts_of(session, row.patient_id))


def test_the_reminder_goes_out_for_a_session_that_stands(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = book(session, case, starts_at=clock.now() + 3 * DAY)
    moment.shift(2 * DAY)
    assert reminded(session, row)
    assert "session.remind" in audited(session)


def test_a_reminder_that_fired_goes_out_for_nothing_that_was_cancelled_moved_or_begun(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    cancelled = book(session, case, starts_at=clock.now() + 3 * DAY)
    bookings.cancel_session(session, therapist(case), cancelled.id, WHY)
    moved = book(session, case, starts_at=clock.now() + 3 * DAY)
    moment.shift(2 * DAY)
    move(session, case, moved, starts_at=moved.starts_at + 4 * DAY)
    assert not reminded(session, cancelled)
    assert not reminded(session, moved)
    moment.move_to(moved.starts_at)
    assert not reminded(session, moved)
    moment.shift(-DAY)
    assert reminded(session, moved)
