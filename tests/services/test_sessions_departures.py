"""The way home from a dosing session, emergencies, and what is due afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import InvalidInput, NotAllowed, RuleRefused
from services.core.personal import Personal, Secret
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.messaging.timers import fire_due
from services.people.links import exchange_link
from services.prescribing import prescriptions
from services.prescribing.limits import PatientLimits
from services.sessions import afterwards, departures, emergencies, histories
from services.sessions.models import TherapySession
from services.sessions.states import SessionKind, SessionState
from services.sessions.vitals import Phase
from services.vault.boxes import box
from tests.factories import audited
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case
from tests.factories_sessions import (
    book,
    drive,
    give,
    make_supplied,
    measure,
    stopped_clock,
    tasks_about,
    therapist,
    timers,
    well,
)

WHY = Personal("Too loud in here.")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
PACIFIC = ZoneInfo("America/Los_Angeles")
INTEGRATION = {
    "integration.due": 24 * HOUR,
    "integration.overdue": 48 * HOUR,
    "integration.escalated": 72 * HOUR,
    "check_in.due": 16 * HOUR,
}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


def unmet(session: Session, case: Case, row: TherapySession, **changes: bool) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        departures.pass_discharge(session, therapist(case), row.id, well(**changes))
    session.expire_all()
    return [finding.rule.removeprefix("vitals.discharge_") for finding in refusal.value.findings]


def ask_for(session: Session, row: TherapySession, *kinds: TaskKind) -> None:
    for kind in kinds:
        subject = Subject("session", row.id)
        open_task(session, kind, party=Party.THERAPIST, owner_id=row.therapist_id, subject=subject, due_at=clock.now())


def test_each_condition_for_going_home_is_named(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.MONITORING, moment)
    nothing = unmet(session, case, row, oriented=False, walks_unaided=False, vomiting=True, escort_present=False)
    assert nothing == ["too_soon", "no_reading", "not_oriented", "not_walking", "vomiting", "no_escort"]
    moment.shift(105 * MINUTE)
    assert unmet(session, case, row) == ["no_reading"]
    measure(session, case, row, Phase.AFTER, systolic=145)
    assert unmet(session, case, row) == ["vitals.start_systolic_below"]
    moment.shift(MINUTE)
    measure(session, case, row, Phase.AFTER, systolic=144)  # this patient's own limit
    assert unmet(session, case, row, escort_present=False) == ["no_escort"]
    assert departures.pass_discharge(session, therapist(case), row.id, well()).state == "discharge_ready"


def test_the_limits_of_what_was_taken_hold_even_when_it_is_cancelled(
    session: Session, moment: time_machine.Traveller
) -> None:
    case = make_supplied(session, limits=PatientLimits(systolic_below=130))
    row = drive(session, case, SessionState.MONITORING, moment)
    assert row.prescription_id is not None
    prescriptions.cancel(session, case.prescriber, row.prescription_id, WHY)
    moment.shift(2 * HOUR)
    measure(session, case, row, Phase.AFTER, systolic=131)
    assert unmet(session, case, row) == ["vitals.start_systolic_below"]


def test_the_time_counts_from_the_last_dose(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.DOSED, moment, mg=50)
    moment.shift(30 * MINUTE)
    give(session, case, row, 50)
    moment.shift(119 * MINUTE)
    measure(session, case, row, Phase.AFTER)
    assert unmet(session, case, row) == ["too_soon"]
    moment.shift(MINUTE)
    assert departures.pass_discharge(session, therapist(case), row.id, well())


def test_after_discharge_integration_is_due(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    assert (row.state, row.ended_at) == ("integration_due", clock.now())
    assert timers(session, row.id) == INTEGRATION
    assert {"session.pass_discharge", "session.discharge"} <= set(audited(session))


def test_the_patient_gets_a_link_and_nothing_else(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    drive(session, case, SessionState.INTEGRATION_DUE, moment)
    events = {event["party"]: event["data"] for event in emitted(session, EventKind.SESSION_DISCHARGED)}
    assert set(events) == {"patient", "therapist"}
    assert (set(events["patient"]), events["therapist"]) == ({"link"}, {})
    token = exchange_link(session, Secret(events["patient"]["link"].removeprefix("/l/")))
    assert token.scopes


def test_no_driving_until_the_next_day_and_twelve_hours(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)  # dosed at 11:05 in California
    for actor in (case.patient, therapist(case), case.prescriber):
        drives_from = histories.read_session(session, actor, row.id).drives_from
        assert drives_from == datetime(2026, 11, 24, 0, 0, tzinfo=PACIFIC)
        assert drives_from.utcoffset() == -8 * HOUR


def test_an_aborted_session_reaches_the_prescriber_and_is_followed_up(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.DOSED, moment)
    moment.shift(40 * MINUTE)
    departures.abort(session, therapist(case), row.id, WHY)
    assert (row.state, row.ended_at, timers(session, row.id)) == ("aborted", clock.now(), INTEGRATION)
    events = {event["party"]: set(event["data"]) for event in emitted(session, EventKind.SESSION_ABORTED)}
    assert events == {"patient": {"link"}, "medical_team": set()}
    assert box(session, row.patient_id).open(row, "reason").reveal()["texts"] == ["Too loud in here."]


def test_holding_the_integration_closes_the_dosing_session_and_what_was_asked_for(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    ask_for(session, row, TaskKind.RECORD_INTEGRATION, TaskKind.CHASE_OVERDUE_TASK, TaskKind.CHECK_ON_PATIENT)
    starts_at = clock.now() + 26 * HOUR
    talk = book(session, case, kind=SessionKind.INTEGRATION, starts_at=starts_at, integrates_id=row.id)
    moment.move_to(starts_at)
    afterwards.hold_session(session, therapist(case), talk.id)
    assert (talk.state, row.state, talk.ended_at) == ("closed", "closed", clock.now())
    assert timers(session, row.id) == timers(session, talk.id) == {}
    assert tasks_about(session, row.id) == {
        "record_integration": "completed",
        "chase_overdue_task": "completed",
        "check_on_patient": "requested",  # the prescriber's own
    }


def test_what_nobody_does_shows_itself(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    drive(session, case, SessionState.INTEGRATION_DUE, moment)
    ended_at = clock.now()
    for hours, kind in (
        (16, EventKind.CHECK_IN_DUE),
        (24, EventKind.INTEGRATION_DUE),
        (48, EventKind.INTEGRATION_OVERDUE),
        (72, EventKind.INTEGRATION_ESCALATED),
    ):
        assert emitted(session, kind) == []
        moment.move_to(ended_at + hours * HOUR)
        assert fire_due(session) == 1
        assert emitted(session, kind)


def test_a_talk_is_held_at_its_time(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    talk = book(session, case, kind=SessionKind.PREPARATION)
    moment.shift(59 * MINUTE)
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        afterwards.hold_session(session, therapist(case), talk.id)
    assert refusal.value.rule == "sessions.talk_not_begun"
    moment.shift(MINUTE)
    assert afterwards.hold_session(session, therapist(case), talk.id).state == "closed"


@pytest.mark.parametrize("state", [SessionState.SCHEDULED, SessionState.DOSED, SessionState.EMERGENCY])
def test_nothing_is_integrated_that_is_not_over(
    session: Session, case: Case, moment: time_machine.Traveller, state: SessionState
) -> None:
    row = drive(session, case, state, moment)
    at = row.ends_at + HOUR
    talk = book(session, case, kind=SessionKind.INTEGRATION, integrates_id=row.id, starts_at=at)
    moment.move_to(talk.starts_at)
    with pytest.raises(RuleRefused) as refusal:
        afterwards.hold_session(session, therapist(case), talk.id)
    assert refusal.value.rule == "sessions.integrates_unfinished"


def test_a_second_integration_changes_nothing_more(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.CLOSED, moment)
    talk = book(session, case, kind=SessionKind.INTEGRATION, integrates_id=row.id)
    moment.move_to(talk.starts_at)
    assert afterwards.hold_session(session, therapist(case), talk.id).state == "closed"
    assert row.state == "closed"


def test_a_check_in_settles_its_task(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    ask_for(session, row, TaskKind.CHECK_IN)
    afterwards.record_check_in(session, therapist(case), row.id, True, Personal("Slept badly."))
    assert "check_in.due" not in timers(session, row.id)
    assert tasks_about(session, row.id) == {"check_in": "completed"}
    checks = histories.read_session(session, case.prescriber, row.id).checks
    assert checks is not None
    (called,) = [each for each in checks if each.check.kind == "check_in"]
    assert called.content.reveal() == {"concern": True, "note": "Slept badly."}


def test_an_emergency_is_declared_with_words_and_flags(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.EMERGENCY, moment)
    assert emergencies.declare_emergency(session, therapist(case), row.id, {"seizure"}, Personal("Now a seizure."))
    view = histories.read_session(session, case.prescriber, row.id)
    assert view.reason is not None
    assert view.reason.reveal() == {
        "red_flags": ["chest_pain", "seizure"],
        "texts": ["Pain in the chest.", "Now a seizure."],
    }
    assert view.advice is not None
    assert (view.advice.call, "911" in view.advice.sentence) == ("911", True)
    assert len(emitted(session, EventKind.EMERGENCY_DECLARED)) == 1
    with pytest.raises(InvalidInput):
        emergencies.declare_emergency(session, therapist(case), row.id, {"hiccups"}, WHY)


def test_why_a_session_was_aborted_is_not_lost_in_an_emergency(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.ABORTED, moment)
    emergencies.declare_emergency(session, therapist(case), row.id, (), Personal("Fell at the door."))
    texts = box(session, row.patient_id).open(row, "reason").reveal()["texts"]
    assert texts == ["The patient left.", "Fell at the door."]


def test_the_prescriber_closes_an_emergency_and_integration_is_due(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.EMERGENCY, moment)
    ask_for(session, row, TaskKind.RESPOND_TO_EMERGENCY)
    with pytest.raises(NotAllowed):
        emergencies.close_emergency(session, therapist(case), row.id, WHY)
    emergencies.close_emergency(session, case.prescriber, row.id, Personal("Seen in hospital, all well."))
    assert (row.state, row.ended_at) == ("integration_due", clock.now())
    assert timers(session, row.id) == INTEGRATION
    assert tasks_about(session, row.id) == {"respond_to_emergency": "completed"}


def test_an_emergency_before_any_dose_ends_the_session(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.READY, moment)
    emergencies.declare_emergency(session, therapist(case), row.id, {"chest_pain"}, WHY)
    emergencies.close_emergency(session, case.prescriber, row.id, WHY)
    assert (row.state, timers(session, row.id)) == ("cancelled", {})


def test_the_patient_sees_when_and_where_and_no_findings(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    view = histories.read_session(session, case.patient, row.id)
    assert (view.place.site.value, view.drives_from is not None) == ("office", True)
    assert (view.readiness, view.doses, view.checks, view.reason, view.watch) == (None, None, None, None, None)
    with pytest.raises(NotAllowed):
        histories.read_session(session, case.actor("pharmacist"), row.id)


def test_held_sessions_tell_what_a_refill_asks(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    assert histories.held_dosing_sessions(session, case.episode.id) == []
    book(session, case, kind=SessionKind.PREPARATION)
    row = drive(session, case, SessionState.DOSED, moment, book(session, case, starts_at=clock.now() + 2 * HOUR))
    (held,) = histories.held_dosing_sessions(session, case.episode.id)
    assert (held.session_id, held.held_at, held.vitals_recorded) == (row.id, row.dosed_at, False)
    moment.shift(MINUTE)
    measure(session, case, row, Phase.DURING)
    (held,) = histories.held_dosing_sessions(session, case.episode.id)
    assert (held.vitals_recorded, held.integration_done) == (True, False)


def test_an_integrated_session_is_done(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    drive(session, case, SessionState.CLOSED, moment)
    (held,) = histories.held_dosing_sessions(session, case.episode.id)
    assert (held.vitals_recorded, held.integration_done) == (True, True)


def test_sessions_are_listed_by_their_time(session: Session, case: Case, moment: time_machine.Traveller) -> None:
    later = book(session, case, starts_at=clock.now() + 30 * HOUR)
    sooner = book(session, case, kind=SessionKind.PREPARATION)
    listed = histories.list_sessions(session, case.patient, case.episode.id)
    assert [row.id for row in listed] == [sooner.id, later.id]
    only = histories.list_sessions(session, case.prescriber, case.episode.id, kind=SessionKind.DOSING)
    assert [row.id for row in only] == [later.id]
    state = SessionState.CANCELLED
    assert histories.list_sessions(session, case.prescriber, case.episode.id, state=state) == []
    after = (sooner.starts_at, sooner.id)
    assert [row.id for row in histories.list_sessions(session, case.patient, case.episode.id, after=after)] == [
        later.id
    ]
