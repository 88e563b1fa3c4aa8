"""Sending over real sockets: what is sent, held again, tried again, given up, and what is not known (DOMAIN 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy.orm import Session

from coordinator.local.sandbox.endpoints import Sandbox
from services.core.actors import SYSTEM
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging import notices
from services.messaging.incoming import read_sms_status
from services.messaging.models import Notice
from services.messaging.outbox import Subject
from services.people import consents, patients
from services.people.models import Episode
from tests.factories import (
    audited,
    make_account,
    make_episode,
    make_patient_actor,
)
from tests.factories_messaging import (
    DAYTIME,
    DEFAULT,
    MOBILE,
    body_of,
    emitted,
    keep_report,
    now_of,
    running_sandbox,
    tell,
    texted,
)

NIGHT = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)  # 22:30 in California
MORNING = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)  # 08:00 in California


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


def send(session: Session) -> None:
    session.commit()
    notices.send_due(DEFAULT)


def test_a_due_text_is_handed_to_the_provider_once(session: Session, sandbox: Sandbox, episode: Episode) -> None:
    notice = tell(session, episode)
    words = body_of(session, notice)
    send(session)
    send(session)
    assert texted(sandbox) == [(MOBILE, words)]
    now_of(session, notice)
    assert (notice.state, notice.attempts, notice.sent_at) == ("sent", 1, DAYTIME)
    assert notice.provider_id == sandbox.messages.all()[0]["sid"]
    assert notice.provider_status == "accepted"
    assert {"notice.send", "notice.accept"} <= set(audited(session))


def test_what_was_held_over_night_goes_in_the_morning(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    clock.move_to(NIGHT)
    notice = tell(session, episode)
    send(session)
    clock.move_to(MORNING - timedelta(seconds=1))
    send(session)
    assert texted(sandbox) == []
    clock.move_to(MORNING)
    send(session)
    assert now_of(session, notice).state == "sent"


def test_two_texts_due_at_once_keep_to_the_limit(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    both = [tell(session, episode), tell(session, episode)]
    send(session)
    assert len(texted(sandbox)) == 1
    held = next(notice for notice in both if now_of(session, notice).state == "held")
    assert (held.reason, held.send_at) == ("sms.caps", DAYTIME + timedelta(days=1))
    clock.move_to(DAYTIME + timedelta(days=1))
    send(session)
    assert len(texted(sandbox)) == 2


def test_the_fourth_text_of_a_week_waits_for_the_week_to_pass(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    for day in range(3):
        clock.move_to(DAYTIME + timedelta(days=day))
        tell(session, episode)
        send(session)
    clock.move_to(DAYTIME + timedelta(days=5))
    fourth = tell(session, episode)
    assert (fourth.state, fourth.send_at) == ("held", DAYTIME + timedelta(days=7))
    assert len(texted(sandbox)) == 3


def test_a_text_that_could_not_go_in_time_expires(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    notice = tell(session, episode)
    session.commit()
    clock.move_to(DAYTIME + timedelta(days=5))
    send(session)
    assert texted(sandbox) == []
    assert (now_of(session, notice).state, notice.reason) == ("expired", "sms.expired")


def test_a_consent_withdrawn_meanwhile_stops_a_waiting_text(
    session: Session, sandbox: Sandbox, episode: Episode
) -> None:
    notice = tell(session, episode)
    consents.withdraw_sms_consent(session, SYSTEM, Personal(MOBILE))
    send(session)
    assert texted(sandbox) == []
    assert (now_of(session, notice).state, notice.reason) == ("suppressed", "sms.opted_out")


@pytest.mark.parametrize("late", [False, True])
def test_an_answer_that_is_dropped_when_it_is_due_is_told_to_the_therapist_and_other_texts_are_not(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller, late: bool
) -> None:
    tell(session, episode)
    answer = tell(session, episode, NoticeKind.QUESTION_LINK)
    if late:
        session.commit()
        clock.move_to(DAYTIME + timedelta(days=5))
    else:
        consents.withdraw_sms_consent(session, SYSTEM, Personal(MOBILE))
    send(session)
    assert texted(sandbox) == []
    assert now_of(session, answer).state == ("expired" if late else "suppressed")
    (told,) = emitted(session, EventKind.NOTICE_UNDELIVERED)
    assert (told["party"], told["subject"]) == ("therapist", [answer.subject_kind, str(answer.subject_id)])


def test_a_text_goes_to_the_number_that_the_patient_has_now(
    session: Session, sandbox: Sandbox, episode: Episode
) -> None:
    tell(session, episode, NoticeKind.AFTER_SESSION)
    patient = patients.patient_of(session, episode.patient_id)
    changes = patients.PatientChanges(mobile=Personal("+14155550143"))
    patients.change_patient(session, make_patient_actor(episode), episode.id, changes, version=patient.version)
    send(session)
    assert [number for number, _ in texted(sandbox)] == ["+14155550143"]


def test_a_page_goes_at_night(session: Session, sandbox: Sandbox, clock: time_machine.Traveller) -> None:
    clock.move_to(NIGHT)
    account = make_account(session, on_call=True, phone="+16285550123")
    notices.page(session, account.organisation_id, Subject("risk_flag", new_id()), new_id(), DEFAULT)
    send(session)
    assert [number for number, _ in texted(sandbox)] == ["+16285550123"]


def test_a_number_that_opted_out_at_the_provider_is_not_texted_again(
    session: Session, sandbox: Sandbox, episode: Episode
) -> None:
    sandbox.faults.order({"kind": "refuse", "code": 21610})
    notice = tell(session, episode)
    send(session)
    assert (now_of(session, notice).state, notice.reason, notice.error_code) == ("failed", "mark_opted_out", "21610")
    assert not consents.may_be_texted(session, episode.patient_id)
    assert tell(session, episode).reason == "sms.opted_out"
    assert len(emitted(session, EventKind.NOTICE_UNDELIVERED)) == 1


@pytest.mark.parametrize(
    ("code", "reason"), [(21211, "mark_invalid"), (21614, "mark_not_mobile"), (29999, "ask_staff")]
)
def test_a_refusal_for_good_is_told_to_the_therapist_and_not_repeated(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller, code: int, reason: str
) -> None:
    sandbox.faults.order({"kind": "refuse", "code": code})
    notice = tell(session, episode)
    send(session)
    clock.shift(timedelta(hours=1))
    send(session)
    assert texted(sandbox) == []
    assert (now_of(session, notice).state, notice.reason) == ("failed", reason)
    event = emitted(session, EventKind.NOTICE_UNDELIVERED)
    assert [(each["party"], each["subject"]) for each in event] == [("therapist", ["notice", str(notice.id)])]


def test_a_failed_page_is_told_to_the_desk(session: Session, sandbox: Sandbox) -> None:
    account = make_account(session, on_call=True)
    notices.page(session, account.organisation_id, Subject("risk_flag", new_id()), new_id(), DEFAULT)
    sandbox.faults.order({"kind": "refuse", "code": 21614})
    send(session)
    assert [each["party"] for each in emitted(session, EventKind.PAGE_UNDELIVERED)] == ["operations"]


def test_too_many_requests_are_tried_again_after_a_growing_pause(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    sandbox.faults.order({"kind": "429", "count": 2})
    notice = tell(session, episode)
    send(session)
    assert (now_of(session, notice).state, notice.send_at) == ("pending", DAYTIME + timedelta(seconds=30))
    clock.move_to(notice.send_at)
    send(session)
    assert (now_of(session, notice).state, notice.send_at) == ("pending", DAYTIME + timedelta(seconds=90))
    clock.move_to(notice.send_at)
    send(session)
    assert (now_of(session, notice).state, notice.attempts) == ("sent", 3)
    assert len(texted(sandbox)) == 1


def test_after_too_many_attempts_a_person_is_told(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    sandbox.faults.order({"kind": "503", "count": 100})
    notice = tell(session, episode)
    for _ in range(8):
        send(session)
        clock.move_to(now_of(session, notice).send_at or DAYTIME)
    assert (notice.state, notice.reason, notice.attempts) == ("failed", "too_many_attempts", 8)
    assert len(emitted(session, EventKind.NOTICE_UNDELIVERED)) == 1


def test_a_provider_that_failed_after_taking_the_text_is_asked_before_it_goes_again(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    sandbox.faults.order({"kind": "accept_then_500"})
    notice = tell(session, episode)
    send(session)
    assert now_of(session, notice).state == "pending"
    clock.shift(timedelta(seconds=30))
    send(session)
    assert len(texted(sandbox)) == 1
    assert (now_of(session, notice).state, notice.provider_id) == ("delivered", sandbox.messages.all()[0]["sid"])


def test_a_provider_that_failed_without_taking_the_text_gets_it_again(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    sandbox.faults.order({"kind": "500"})
    notice = tell(session, episode)
    send(session)
    assert texted(sandbox) == []
    clock.shift(timedelta(seconds=30))
    send(session)
    assert (len(texted(sandbox)), now_of(session, notice).state) == (1, "sent")


def test_an_unreachable_provider_is_tried_again(
    session: Session, environment: Mapping[str, str], episode: Episode, clock: time_machine.Traveller
) -> None:
    notice = tell(session, episode)
    send(session)  # nobody listens at the configured address
    assert (now_of(session, notice).state, notice.attempts) == ("pending", 1)
    with running_sandbox(environment) as sandbox:
        clock.shift(timedelta(seconds=30))
        send(session)
        assert len(texted(sandbox)) == 1


def test_a_text_that_does_not_open_fails_and_holds_up_nobody(
    session: Session, sandbox: Sandbox, episode: Episode
) -> None:
    spoilt = tell(session, episode)
    spoilt.body = bytes(spoilt.body or b"")[:-1] + b"\x00"
    other = make_episode(session, mobile="+14155550188")
    whole = tell(session, other)
    send(session)
    assert (now_of(session, spoilt).state, spoilt.reason) == ("failed", "unreadable_seal")
    assert now_of(session, whole).state == "sent"
    assert len(emitted(session, EventKind.NOTICE_UNDELIVERED)) == 1


# What status reports make of it


def hear(session: Session, notice: Notice, status: str, **details: object) -> bool:
    """Read a status report about the notice; False when it was a repeat."""
    delivery_id = keep_report(session, notice, status, **details)  # type: ignore[arg-type]  # any of its options
    if delivery_id is None:
        return False
    session.commit()
    read_sms_status(session, delivery_id, DEFAULT)
    session.commit()
    now_of(session, notice)
    return True


@pytest.fixture
def notice(session: Session, sandbox: Sandbox, episode: Episode) -> Notice:
    """A text that the provider took."""
    notice = tell(session, episode)
    send(session)
    return now_of(session, notice)


def test_delivered_ends_it(session: Session, notice: Notice) -> None:
    for status in ("sent", "delivered"):
        hear(session, notice, status)
    assert (notice.state, notice.provider_status) == ("delivered", "delivered")


def test_delivered_before_sent_stays_delivered(session: Session, notice: Notice) -> None:
    for status in ("delivered", "sent", "undelivered"):
        hear(session, notice, status, code="30003")
    assert (notice.state, notice.provider_status, notice.attempts) == ("delivered", "delivered", 1)


def test_a_repeated_report_is_kept_once_and_changes_nothing(session: Session, notice: Notice) -> None:
    assert hear(session, notice, "delivered")
    version = notice.version
    assert not hear(session, notice, "delivered")
    assert notice.version == version


def test_read_may_follow_delivered(session: Session, notice: Notice) -> None:
    for status in ("delivered", "read"):
        hear(session, notice, status)
    assert (notice.state, notice.provider_status) == ("delivered", "read")


@pytest.mark.parametrize("code", ["30003", "30008"])
def test_a_handset_out_of_reach_is_tried_again(
    session: Session, sandbox: Sandbox, notice: Notice, clock: time_machine.Traveller, code: str
) -> None:
    hear(session, notice, "undelivered", code=code)
    assert (notice.state, notice.reason, notice.error_code) == ("pending", "retry", code)
    first = notice.provider_id
    clock.shift(timedelta(seconds=30))
    send(session)
    assert (now_of(session, notice).state, notice.attempts, len(texted(sandbox))) == ("sent", 2, 2)
    hear(session, notice, "delivered", sid=first, attempt=1)
    assert notice.state == "sent"


@pytest.mark.parametrize("code", ["30004", "30005", "30006", "30007", "30034", None, "39999"])
def test_what_cannot_be_delivered_is_told_to_the_therapist(session: Session, notice: Notice, code: str | None) -> None:
    hear(session, notice, "undelivered", code=code)
    assert notice.state == "failed"
    assert [each["party"] for each in emitted(session, EventKind.NOTICE_UNDELIVERED)] == ["therapist"]


def test_a_report_that_is_faster_than_the_answer_is_not_undone_by_it(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    sandbox.faults.order({"kind": "accept_then_500"})
    notice = tell(session, episode)
    send(session)
    sid = sandbox.messages.all()[0]["sid"]
    hear(session, now_of(session, notice), "sent", sid=sid)
    assert (notice.state, notice.provider_id, notice.error_code) == ("sent", sid, None)
    clock.shift(timedelta(minutes=5))
    send(session)
    assert len(texted(sandbox)) == 1


def test_a_report_about_an_attempt_that_was_given_up_changes_nothing(
    session: Session, sandbox: Sandbox, episode: Episode, clock: time_machine.Traveller
) -> None:
    sandbox.faults.order({"kind": "500"})
    notice = tell(session, episode)
    send(session)
    clock.shift(timedelta(seconds=30))
    send(session)
    second = now_of(session, notice).provider_id
    hear(session, notice, "failed", sid="SM" + "f" * 32, attempt=1)
    assert (notice.state, notice.provider_id) == ("sent", second)
