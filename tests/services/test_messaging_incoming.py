"""What becomes of a text that comes in: opt-out, opt-in, help, a crisis, a command, or a person who reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.actors import Actor, Role
from services.core.errors import NotAllowed, NotFound, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging import messages
from services.messaging.deliveries import Hook, keep_delivery
from services.messaging.incoming import CommandHandler, read_sms, read_sms_status
from services.messaging.keywords import Command, Reading, Seal
from services.messaging.models import Notice, WebhookDelivery
from services.messaging.twilio_statuses import UnknownStatus
from services.people import consents
from services.people.consents import ConsentKind
from services.people.models import Consent, Episode, Organisation
from services.people.states import EpisodeState
from services.vault.boxes import box
from tests.factories import (
    World,
    audited,
    colleague_of,
    make_episode,
    make_world,
    prescriber_of,
    therapist_of,
)
from tests.factories_messaging import (
    DAYTIME,
    DEFAULT,
    MOBILE,
    body_of,
    emitted,
    keep_report,
    keep_text,
    now_of,
    tell,
    texts_of,
)

STRANGER = "+14155550177"
NIGHT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)  # 02:00 in California


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(session: Session, clock: time_machine.Traveller) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    return make_episode(session, world=world, mobile=MOBILE)


def text_in(
    session: Session,
    body: str,
    sender: str = MOBILE,
    *,
    commands: Mapping[Command, CommandHandler] | None = None,
    **fields: str,
) -> WebhookDelivery:
    """A patient texts; the worker reads it."""
    delivery_id = keep_text(session, body, sender, **fields)
    read_sms(session, delivery_id, DEFAULT, commands or {})
    session.flush()
    return session.get_one(WebhookDelivery, delivery_id)


def answers_to(session: Session, recipient_id: UUID) -> list[str]:
    return [kind for kind, state in texts_of(session, recipient_id) if state == "pending"]


# STOP, START, HELP


@pytest.mark.parametrize("body", ["STOP", "Stop please", "no more texts", "CANCEL", "opt-out"])
def test_stop_withdraws_the_consent_at_once_with_exactly_one_confirmation(
    session: Session, episode: Episode, body: str
) -> None:
    waiting = tell(session, episode)
    assert text_in(session, body).outcome == "stop"
    assert not consents.may_be_texted(session, episode.patient_id)
    assert (now_of(session, waiting).state, waiting.reason) == ("suppressed", "sms.opted_out")
    text_in(session, body)
    assert answers_to(session, episode.patient_id) == ["opt_out_confirmed"]
    assert "consent.withdraw" in audited(session)


def test_stop_counts_for_everybody_who_has_the_number_and_is_confirmed_once(
    session: Session, world: World, episode: Episode
) -> None:
    relative = make_episode(session, world=world, mobile=MOBILE)
    text_in(session, "STOP")
    sent = [*answers_to(session, episode.patient_id), *answers_to(session, relative.patient_id)]
    assert sent == ["opt_out_confirmed"]
    assert not consents.may_be_texted(session, relative.patient_id)


def test_stop_of_somebody_who_never_agreed_is_confirmed_and_remembered(session: Session, world: World) -> None:
    episode = make_episode(session, world=world, mobile=MOBILE, sms_consent=False)
    for _ in range(2):
        text_in(session, "STOP")
    assert answers_to(session, episode.patient_id) == ["opt_out_confirmed"]
    assert tell(session, episode, NoticeKind.AFTER_SESSION).reason == "sms.opted_out"


def test_after_stop_then_start_then_stop_each_is_confirmed(session: Session, episode: Episode) -> None:
    for body in ("STOP", "START", "STOP"):
        text_in(session, body)
    kinds = answers_to(session, episode.patient_id)
    assert sorted(kinds) == ["opt_in_confirmed", "opt_out_confirmed", "opt_out_confirmed"]
    assert not consents.may_be_texted(session, episode.patient_id)


def test_start_puts_a_new_consent_on_record_with_the_words_that_were_texted(session: Session, episode: Episode) -> None:
    for body in ("STOP", "Start"):
        text_in(session, body)
    query = select(Consent).where(Consent.patient_id == episode.patient_id, Consent.withdrawn_at.is_(None))
    consent = session.scalars(query).one()
    assert (consent.kind, consent.source, consent.text_version) == (ConsentKind.SMS, "sms", "sms-start-1")
    assert box(session, episode.patient_id).open(consent, "wording").reveal() == "Start"
    assert tell(session, episode).state == "pending"


def test_help_is_answered_in_the_name_of_the_practice_even_after_an_opt_out(
    session: Session, world: World, episode: Episode
) -> None:
    for body in ("STOP", "HELP"):
        text_in(session, body)
    assert answers_to(session, episode.patient_id) == ["help", "opt_out_confirmed"]
    notice = session.scalars(select(Notice).where(Notice.kind == NoticeKind.HELP)).one()
    assert body_of(session, notice).startswith(f"{world.practice.short_name}: ")
    assert (notice.purpose, notice.reason) == ("reply", "sms.caps.bypass")


def test_what_twilio_answered_itself_is_not_answered_again(session: Session, episode: Episode) -> None:
    text_in(session, "STOP", OptOutType="STOP")
    assert not consents.may_be_texted(session, episode.patient_id)
    assert answers_to(session, episode.patient_id) == []


# Crisis


@pytest.mark.parametrize("body", ["I want to die", "im going to k1ll myself. kill myself", "HELP ME"])
def test_a_crisis_is_answered_at_once_and_put_before_the_whole_care_team(
    session: Session, episode: Episode, clock: time_machine.Traveller, body: str
) -> None:
    clock.move_to(NIGHT)
    delivery = text_in(session, body)
    notice = session.scalars(select(Notice).where(Notice.kind == NoticeKind.CRISIS_REPLY)).one()
    assert (notice.state, notice.send_at, notice.reason) == ("pending", NIGHT, "sms.caps.bypass")
    words = body_of(session, notice)
    assert "911" in words
    assert "988" in words
    events = emitted(session, EventKind.SMS_CRISIS)
    assert sorted(each["party"] for each in events) == ["medical_team", "therapist"]
    assert {each["episode"] for each in events} == {str(episode.id)}
    assert {tuple(each["subject"]) for each in events} == {("message", str(delivery.id))}
    assert delivery.outcome == "crisis"


def test_a_crisis_is_answered_even_after_an_opt_out(session: Session, episode: Episode) -> None:
    for body in ("STOP", "i want to end my life"):
        text_in(session, body)
    assert answers_to(session, episode.patient_id) == ["crisis_reply", "opt_out_confirmed"]


def test_a_burst_of_crisis_texts_gets_one_answer_and_each_reaches_the_care_team(
    session: Session, episode: Episode, clock: time_machine.Traveller
) -> None:
    for _ in range(3):
        text_in(session, "i want to die")
    assert answers_to(session, episode.patient_id) == ["crisis_reply"]
    assert len(emitted(session, EventKind.SMS_CRISIS)) == 6
    clock.shift(timedelta(minutes=6))
    text_in(session, "i want to die")
    assert answers_to(session, episode.patient_id) == ["crisis_reply", "crisis_reply"]


def test_a_crisis_on_a_shared_phone_reaches_every_care_team(session: Session, episode: Episode) -> None:
    relative = make_episode(session, mobile=MOBILE)
    text_in(session, "i want to die")
    reached = {(each["party"], each["episode"]) for each in emitted(session, EventKind.SMS_CRISIS)}
    expected = {(party, str(one.id)) for party in ("therapist", "medical_team") for one in (episode, relative)}
    assert reached == expected


def test_a_crisis_from_an_unknown_number_is_answered_and_reaches_the_desk(session: Session, world: World) -> None:
    delivery = text_in(session, "i want to die", STRANGER)
    events = emitted(session, EventKind.SMS_CRISIS_UNPLACED)
    assert [(each["party"], each["subject"]) for each in events] == [("operations", ["message", str(delivery.id)])]
    assert answers_to(session, world.operations.id) == ["crisis_reply"]


def test_a_crisis_of_a_former_patient_reaches_the_desk(session: Session, world: World) -> None:
    episode = make_episode(session, world=world, mobile=MOBILE, at=EpisodeState.CLOSED)
    text_in(session, "i want to die")
    assert len(emitted(session, EventKind.SMS_CRISIS_UNPLACED)) == 1
    assert answers_to(session, episode.patient_id) == ["crisis_reply"]


# What nobody can guess


def test_an_unclear_text_goes_to_a_person_with_a_gentle_answer_once_a_day(
    session: Session, episode: Episode, clock: time_machine.Traveller
) -> None:
    delivery = text_in(session, "my dog ate it, what now?")
    text_in(session, "hello??")
    events = emitted(session, EventKind.SMS_UNCLEAR)
    assert len(events) == 2
    assert (events[0]["party"], events[0]["episode"]) == ("operations", str(episode.id))
    assert ["message", str(delivery.id)] in [each["subject"] for each in events]
    assert answers_to(session, episode.patient_id) == ["reply_received"]
    clock.shift(timedelta(hours=25))
    text_in(session, "hello??")
    assert answers_to(session, episode.patient_id) == ["reply_received", "reply_received"]


def test_an_unclear_text_after_an_opt_out_is_read_but_not_answered(session: Session, episode: Episode) -> None:
    for body in ("STOP", "what about my package"):
        text_in(session, body)
    assert answers_to(session, episode.patient_id) == ["opt_out_confirmed"]
    assert len(emitted(session, EventKind.SMS_UNCLEAR)) == 1


def test_a_text_from_an_unknown_number_goes_to_the_desk_without_an_answer(session: Session, world: World) -> None:
    delivery = text_in(session, "who is this", STRANGER)
    assert (delivery.outcome, len(emitted(session, EventKind.SMS_UNCLEAR))) == ("unknown_number", 1)
    assert texts_of(session, world.operations.id) == []


@pytest.mark.parametrize(("body", "kind"), [("STOP", "opt_out_confirmed"), ("HELP", "help")])
def test_an_unknown_number_gets_an_answer_to_stop_and_help_once(
    session: Session, world: World, body: str, kind: str
) -> None:
    for _ in range(3):
        text_in(session, body, STRANGER)
    assert answers_to(session, world.operations.id) == [kind]
    notice = session.scalars(select(Notice).where(Notice.recipient_id == world.operations.id)).one()
    assert box(session, world.operations.id).open(notice, "address").reveal() == STRANGER
    assert STRANGER not in (notice.once_key or "")
    assert len(emitted(session, EventKind.SMS_UNCLEAR)) == 3


def test_start_from_an_unknown_number_goes_to_a_person(session: Session, world: World) -> None:
    text_in(session, "START", STRANGER)
    assert texts_of(session, world.operations.id) == []
    assert emitted(session, EventKind.SMS_UNCLEAR)[0]["data"]["resembles"] == "start"


@pytest.mark.parametrize("body", [b"not a form at all", b"", b"\xff\xfe", b"From=%2B14155550142"])
def test_a_delivery_without_a_text_goes_to_a_person(session: Session, world: World, body: bytes) -> None:
    delivery_id = keep_delivery(session, Hook.TWILIO_INBOUND, body, None)
    assert delivery_id is not None
    read_sms(session, delivery_id, DEFAULT, {})
    assert session.get_one(WebhookDelivery, delivery_id).outcome == "malformed"
    assert emitted(session, EventKind.SMS_UNCLEAR)[0]["data"]["why"] == "malformed"


def test_a_text_from_a_short_code_goes_to_a_person(session: Session, world: World) -> None:
    assert text_in(session, "STOP", "24273").outcome == "stop"
    assert texts_of(session, world.operations.id) == []
    assert len(emitted(session, EventKind.SMS_UNCLEAR)) == 1


def test_a_text_is_read_once(session: Session, episode: Episode) -> None:
    delivery = text_in(session, "HELP")
    read_sms(session, delivery.id, DEFAULT, {})
    assert answers_to(session, episode.patient_id) == ["help"]


# Commands of the packages that own visits and parcels


class Recorder:
    """Stands where the owner of a visit or parcel would, and notes what it is asked."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.asked: list[tuple[Actor, UUID, Reading]] = []

    def __call__(self, session: Session, actor: Actor, episode: Episode, reading: Reading) -> bool:
        self.asked.append((actor, episode.id, reading))
        return self.answer


@pytest.mark.parametrize(
    ("body", "reading", "thanks"),
    [
        ("Confirm", Reading(Command.CONFIRM), []),
        ("RESCHED", Reading(Command.RESCHEDULE), ["reply_received"]),
        ("received 4 sealed", Reading(Command.RECEIVED, count=4, seal=Seal.SEALED), ["receipt_thanks"]),
        ("NOT RECEIVED", Reading(Command.NOT_RECEIVED), ["receipt_thanks"]),
    ],
)
def test_a_command_is_handed_to_its_owner_as_the_patient(
    session: Session, episode: Episode, body: str, reading: Reading, thanks: list[str]
) -> None:
    owner = Recorder()
    delivery = text_in(session, body, commands={reading.command: owner})
    patient = Actor(episode.patient_id, Role.PATIENT, episode_id=episode.id)
    assert owner.asked == [(patient, episode.id, reading)]
    assert answers_to(session, episode.patient_id) == thanks
    assert delivery.outcome == reading.command
    assert emitted(session, EventKind.SMS_UNCLEAR) == []


def test_a_command_that_means_nothing_right_now_goes_to_a_person(session: Session, episode: Episode) -> None:
    delivery = text_in(session, "CONFIRM", commands={Command.CONFIRM: Recorder(answer=False)})
    assert delivery.outcome == "not_possible"
    assert emitted(session, EventKind.SMS_UNCLEAR)[0]["data"] == {"why": "not_possible", "resembles": "confirm"}


def test_a_command_that_a_rule_refuses_leaves_nothing_behind_and_goes_to_a_person(
    session: Session, episode: Episode
) -> None:
    def refuse(session: Session, actor: Actor, episode: Episode, reading: Reading) -> bool:
        consents.withdraw_consent(session, actor, episode, ConsentKind.SMS, source=consents.ConsentSource.SMS)
        session.flush()
        raise RuleRefused("The count does not fit.", rule="receipt.count")

    audited(session)
    delivery = text_in(session, "RECEIVED 9 SEALED", commands={Command.RECEIVED: refuse})
    assert delivery.outcome == "not_possible"
    session.expire_all()
    assert consents.may_be_texted(session, episode.patient_id)
    trail = audited(session)
    assert "consent.withdraw" not in trail
    assert "message.handle" in trail
    assert "webhook.receive" in trail


def test_a_command_from_a_shared_phone_goes_to_a_person(session: Session, world: World, episode: Episode) -> None:
    make_episode(session, world=world, mobile=MOBILE)
    owner = Recorder()
    assert text_in(session, "RECEIVED 4 SEALED", commands={Command.RECEIVED: owner}).outcome == "several_episodes"
    assert owner.asked == []


def test_a_command_nobody_takes_goes_to_a_person(session: Session, episode: Episode) -> None:
    text_in(session, "CONFIRM")
    assert emitted(session, EventKind.SMS_UNCLEAR)[0]["data"]["resembles"] == "confirm"


# How staff read it


def test_a_text_is_stored_sealed_and_shown_to_the_desk_with_the_number(
    session: Session, world: World, episode: Episode
) -> None:
    delivery = text_in(session, "my dog ate it")
    assert b"my+dog" not in (delivery.raw or b"")
    message = messages.read_message(session, world.actor("operator"), delivery.id)
    assert (message.text, message.sender) == (Personal("my dog ate it"), Personal(MOBILE))
    assert (list(message.episode_ids), message.outcome) == ([episode.id], "unclear")
    assert audited(session)[-1] == "message.read"


@pytest.mark.parametrize("who", ["therapist", "prescriber", "medical_staff"])
def test_the_care_team_reads_it_without_the_number(session: Session, world: World, episode: Episode, who: str) -> None:
    delivery = text_in(session, "i want to die")
    message = messages.read_message(session, world.actor(who), delivery.id)
    assert (message.text, message.sender) == (Personal("i want to die"), None)


def test_others_do_not_see_it(session: Session, world: World, episode: Episode) -> None:
    delivery = text_in(session, "i want to die")
    stranger = make_episode(session)
    for actor in (therapist_of(session, stranger), prescriber_of(session, stranger)):
        with pytest.raises(NotFound):
            messages.read_message(session, actor, delivery.id)
    with pytest.raises(NotAllowed):
        messages.read_message(session, colleague_of(session, world.pharmacy.id, Role.PHARMACIST), delivery.id)


def test_a_text_from_an_unknown_number_is_for_the_desk_alone(session: Session, world: World, episode: Episode) -> None:
    delivery = text_in(session, "who is this", STRANGER)
    assert messages.read_message(session, world.actor("operator"), delivery.id).sender == Personal(STRANGER)
    with pytest.raises(NotFound):
        messages.read_message(session, world.actor("therapist"), delivery.id)


def test_a_status_report_is_no_message(session: Session, world: World, episode: Episode) -> None:
    report_id = keep_report(session, tell(session, episode), "sent")
    assert report_id is not None
    with pytest.raises(NotFound):
        messages.read_message(session, world.actor("operator"), report_id)


# Status reports that are none


def attempted(session: Session, episode: Episode) -> Notice:
    notice = tell(session, episode)
    notice.state, notice.attempts, notice.attempted_at = "sent", 1, DAYTIME
    session.flush()
    return notice


def test_an_unknown_status_is_loud_and_the_report_kept(session: Session, episode: Episode) -> None:
    notice = attempted(session, episode)
    report_id = keep_report(session, notice, "teleported")
    assert report_id is not None
    with pytest.raises(UnknownStatus):
        read_sms_status(session, report_id, DEFAULT)
    report = session.get_one(WebhookDelivery, report_id)
    assert (report.read_at, notice.provider_status) == (None, None)


def test_a_report_about_a_text_that_was_never_sent_is_loud(session: Session, episode: Episode) -> None:
    report_id = keep_report(session, tell(session, episode), "delivered")
    assert report_id is not None
    with pytest.raises(NotFound):
        read_sms_status(session, report_id, DEFAULT)


def test_a_delivery_is_kept_once_and_raises_one_event(session: Session, world: World) -> None:
    for _ in range(2):
        keep_delivery(session, Hook.EASYPOST, b'{"id": "evt_1"}', "evt_1")
    events = emitted(session, EventKind.CARRIER_EVENT_RECEIVED)
    assert [each["party"] for each in events] == ["pharmacy"]
    assert session.get_one(Organisation, world.operations.id).kind == "operations"
