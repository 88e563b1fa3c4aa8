"""A send whose fate is unknown ends reconciled or in front of a person, and is never sent again blindly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from coordinator.local.sandbox.endpoints import Sandbox
from services.core.programme import Programme
from services.core.vocabulary import EventKind, Party, Priority, TaskKind
from services.messaging import notices
from services.messaging.incoming import read_sms_status
from services.messaging.models import Notice, Task
from services.messaging.notice_states import NoticeState
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people.models import Episode
from services.vault.boxes import box
from tests.factories import make_episode
from tests.factories_messaging import (
    DAYTIME,
    DEFAULT,
    MOBILE,
    emitted,
    keep_report,
    now_of,
    running_sandbox,
    tell,
    texted,
)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sandbox(environment: Mapping[str, str], clock: time_machine.Traveller) -> Iterator[Sandbox]:
    with running_sandbox(environment) as sandbox:
        yield sandbox


@pytest.fixture
def episode(session: Session, clock: time_machine.Traveller) -> Episode:
    return make_episode(session, mobile=MOBILE)


@pytest.fixture
def impatient() -> Programme:
    """The default programme with a gateway that waits only a moment."""
    return replace(DEFAULT, settings={**DEFAULT.settings, "sms.gateway.timeout_seconds": 0.2})


@pytest.fixture
def unknown(session: Session, sandbox: Sandbox, episode: Episode, impatient: Programme) -> Notice:
    """A text of unknown fate that the provider did take."""
    sandbox.faults.order({"kind": "accept_then_vanish"})
    return sent_into_silence(session, episode, impatient)


@pytest.fixture
def lost(session: Session, sandbox: Sandbox, episode: Episode, impatient: Programme) -> Notice:
    """A text of unknown fate that the provider did not take."""
    sandbox.faults.order({"kind": "hang"})
    return sent_into_silence(session, episode, impatient)


def sent_into_silence(session: Session, episode: Episode, impatient: Programme) -> Notice:
    notice = tell(session, episode)
    session.commit()
    notices.send_due(impatient)
    assert now_of(session, notice).state == "unknown"
    return notice


def go_round(session: Session) -> None:
    """What the worker does every second: send what is due, look for what is unknown."""
    session.commit()
    notices.send_due(DEFAULT)
    notices.reconcile_unknown(DEFAULT)


def test_an_unknown_text_is_never_sent_again(
    session: Session, sandbox: Sandbox, lost: Notice, clock: time_machine.Traveller
) -> None:
    for _ in range(40):
        clock.shift(timedelta(minutes=1))
        go_round(session)
    assert texted(sandbox) == []


def test_a_text_that_the_provider_has_is_found_and_settled(
    session: Session, sandbox: Sandbox, unknown: Notice, clock: time_machine.Traveller
) -> None:
    go_round(session)
    assert now_of(session, unknown).state == "unknown"  # the provider's list may lag behind
    clock.shift(timedelta(seconds=30))
    go_round(session)
    assert now_of(session, unknown).provider_id == sandbox.messages.all()[0]["sid"]
    assert unknown.state == "delivered"
    assert len(texted(sandbox)) == 1
    assert emitted(session, EventKind.NOTICE_FATE_UNKNOWN) == []


def test_a_text_that_is_nowhere_is_put_before_a_person_once(
    session: Session, sandbox: Sandbox, lost: Notice, clock: time_machine.Traveller
) -> None:
    clock.shift(timedelta(minutes=14))
    go_round(session)
    assert now_of(session, lost).state == "unknown"
    for _ in range(3):
        clock.shift(timedelta(minutes=2))
        go_round(session)
    assert now_of(session, lost).state == "unresolved"
    event = emitted(session, EventKind.NOTICE_FATE_UNKNOWN)
    assert [(each["party"], each["subject"]) for each in event] == [("operations", ["notice", str(lost.id)])]


def test_a_provider_that_cannot_be_asked_delays_but_does_not_hide_it(
    session: Session, sandbox: Sandbox, lost: Notice, clock: time_machine.Traveller
) -> None:
    sandbox.stop()
    clock.shift(timedelta(minutes=1))
    go_round(session)
    assert now_of(session, lost).state == "unknown"
    clock.shift(timedelta(minutes=15))
    go_round(session)
    assert now_of(session, lost).state == "unresolved"


def test_the_same_words_that_another_notice_sent_are_not_taken_for_it(
    session: Session, sandbox: Sandbox, episode: Episode, lost: Notice, clock: time_machine.Traveller
) -> None:
    twin = make_episode(session, mobile=MOBILE)  # a family phone, and a practice of the same name
    other = tell(session, twin)
    other.body = None
    words = box(session, episode.patient_id).open(lost, "body")
    box(session, twin.patient_id).seal(other, "body", words)
    go_round(session)
    assert now_of(session, other).state == "sent"
    clock.shift(timedelta(seconds=30))
    go_round(session)
    assert now_of(session, lost).state == "unknown"


def test_a_status_report_settles_an_unknown_text(session: Session, unknown: Notice) -> None:
    delivery_id = keep_report(session, unknown, "delivered")
    assert delivery_id is not None
    read_sms_status(session, delivery_id, DEFAULT)
    assert (unknown.state, unknown.provider_id) == ("delivered", "SM" + "e" * 32)


def test_a_late_report_settles_the_persons_task_as_well(
    session: Session, lost: Notice, clock: time_machine.Traveller
) -> None:
    clock.shift(timedelta(hours=1))
    go_round(session)
    task = open_task(
        session,
        TaskKind.RECONCILE_NOTICE,
        party=Party.OPERATIONS,
        owner_id=lost.recipient_id,
        subject=Subject("notice", lost.id),
        due_at=DAYTIME,
        priority=Priority.ROUTINE,
    )
    session.flush()
    delivery_id = keep_report(session, now_of(session, lost), "sent")
    assert delivery_id is not None
    read_sms_status(session, delivery_id, DEFAULT)
    assert now_of(session, lost).state == "sent"
    assert session.get_one(Task, task.id).state == "completed"


def test_a_send_cut_off_by_a_killed_process_is_looked_for_not_repeated(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    notice = tell(session, episode)
    notice.state, notice.attempts = NoticeState.SENDING, 1
    notice.attempted_at = notice.send_at = DAYTIME
    clock.shift(timedelta(seconds=119))
    go_round(session)
    assert now_of(session, notice).state == "sending"
    clock.shift(timedelta(seconds=1))
    go_round(session)
    assert now_of(session, notice).state == "unknown"
    assert texted(sandbox) == []
    clock.shift(timedelta(minutes=15))
    go_round(session)
    assert now_of(session, notice).state == "unresolved"


def test_an_unknown_text_counts_against_the_limits(session: Session, episode: Episode, lost: Notice) -> None:
    assert tell(session, episode).state == "held"


def test_two_looks_for_one_text_are_apart(session: Session, lost: Notice, clock: time_machine.Traveller) -> None:
    clock.shift(timedelta(seconds=30))
    go_round(session)
    assert now_of(session, lost).send_at == DAYTIME + timedelta(seconds=90)
