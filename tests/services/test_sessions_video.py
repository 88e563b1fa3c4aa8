"""A remote session: the therapist is on video throughout, and whoever is out of sight is not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core.errors import RuleRefused
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.sessions import departures, histories
from services.sessions.models import TherapySession
from services.sessions.places import Site
from services.sessions.vitals import Phase
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case
from tests.factories_sessions import (
    MORNING,
    book,
    give,
    look,
    make_ready,
    make_supplied,
    measure,
    remote_facts,
    stopped_clock,
    therapist,
    timers,
    well,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case) -> TherapySession:
    """A remote session in which half of the dose was just taken."""
    booked = book(session, case, site=Site.HOME, remote=True)
    make_ready(session, case, booked, remote=remote_facts())
    measure(session, case, booked)
    return give(session, case, booked, 50)


def leaving(session: Session, case: Case, row: TherapySession) -> list[str]:
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        departures.pass_discharge(session, therapist(case), row.id, well())
    session.refresh(row)
    return [finding.rule for finding in refusal.value.findings]


def shown(session: Session, case: Case, row: TherapySession) -> list[str]:
    return [finding.rule for finding in histories.read_session(session, therapist(case), row.id).findings]


def test_a_look_without_video_is_none_and_asks_the_therapist_to_act_at_once(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    moment.shift(15 * MINUTE)
    look(session, case, row, on_video=True)
    assert (timers(session, row.id)["look.missed"], emitted(session, EventKind.VIDEO_LOST)) == (20 * MINUTE, [])
    moment.shift(10 * MINUTE)
    look(session, case, row, on_video=False)
    told = emitted(session, EventKind.VIDEO_LOST)
    assert {each["party"] for each in told} == {Party.THERAPIST, Party.MEDICAL_TEAM}
    assert timers(session, row.id)["look.missed"] == 10 * MINUTE
    view = histories.read_session(session, therapist(case), row.id)
    assert view.watch is not None
    assert view.checks is not None
    assert view.watch.next_check_at == MORNING + 30 * MINUTE
    assert ([each.rule for each in view.findings], view.checks[-1].content.reveal()["on_video"]) == (
        ["sessions.video_off"],
        False,
    )
    look(session, case, row)  # nobody said: that is no look either, and asks for nothing twice
    assert len(emitted(session, EventKind.VIDEO_LOST)) == len(told)


def test_nothing_more_is_taken_before_the_patient_is_seen_again(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    moment.shift(15 * MINUTE)
    look(session, case, row, on_video=False)
    moment.shift(5 * MINUTE)
    with pytest.raises(RuleRefused) as refusal, session.begin_nested():
        give(session, case, row, 50)
    assert [finding.rule for finding in refusal.value.findings] == ["sessions.video_off"]
    session.refresh(row)
    task = open_task(
        session,
        TaskKind.WATCH_PATIENT,
        party=Party.THERAPIST,
        owner_id=case.world.therapist.id,
        subject=Subject("session", row.id),
        due_at=MORNING,
    )
    measure(session, case, row, Phase.DURING)  # read out over the phone
    assert task.state == "requested"
    look(session, case, row, on_video=True)
    assert (task.state, shown(session, case, row)) == ("completed", [])
    assert give(session, case, row, 50).state == "monitoring"


def test_lost_video_holds_the_discharge_and_takes_it_back(
    session: Session, case: Case, row: TherapySession, moment: time_machine.Traveller
) -> None:
    moment.shift(40 * MINUTE)
    look(session, case, row, on_video=False)
    measure(session, case, row, Phase.DURING)
    moment.shift(85 * MINUTE)
    measure(session, case, row, Phase.AFTER)
    assert leaving(session, case, row) == ["sessions.video_off", "vitals.checks_missed"]
    look(session, case, row, on_video=True)
    assert departures.pass_discharge(session, therapist(case), row.id, well()).state == "discharge_ready"
    said = histories.read_session(session, therapist(case), row.id).checks
    assert said is not None
    explained = next(each.content.reveal() for each in said if each.check.kind == "explanation")
    assert explained["missed"] == ["sessions.video_missed", "vitals.checks_missed"]
    moment.shift(MINUTE)
    assert look(session, case, row, on_video=True).state == "discharge_ready"
    moment.shift(MINUTE)
    assert look(session, case, row, on_video=False).state == "monitoring"


def test_where_everybody_is_in_one_room_nobody_asks_for_video(session: Session, case: Case) -> None:
    booked = book(session, case)
    make_ready(session, case, booked)
    measure(session, case, booked)
    give(session, case, booked, 50)
    look(session, case, booked)
    assert (shown(session, case, booked), emitted(session, EventKind.VIDEO_LOST)) == ([], [])
