"""What is to become of a text when it is asked for: consent, limits, quiet hours, once per stage, replaced news."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM, Role
from services.core.errors import InvalidInput, NotFound
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging import notices
from services.messaging.models import Notice
from services.messaging.notice_states import NoticeState
from services.messaging.outbox import Subject
from services.messaging.sms import shown_number
from services.people import consents, patients
from services.people.models import Episode, Organisation
from tests.factories import audited, make_account, make_episode, make_patient_actor, make_world
from tests.factories_messaging import DAYTIME, DEFAULT, MOBILE, body_of, emitted, tell, texts_of

NIGHT = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)  # 22:30 in California
MORNING = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)  # 08:00 in California


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def episode(session: Session, clock: time_machine.Traveller) -> Episode:
    return make_episode(session, mobile=MOBILE)


def sent(session: Session, notice: Notice) -> None:
    """As if the provider had taken it at the present moment."""
    notice.state, notice.attempts, notice.attempted_at = NoticeState.SENT, 1, notice.created_at
    session.flush()


def test_a_text_names_the_practice_and_is_sealed_for_the_patient(session: Session, episode: Episode) -> None:
    notice = tell(session, episode, NoticeKind.MORE_INFORMATION, link="/l/abcdefghijklmnopqrstuv")
    practice = session.get_one(Organisation, episode.practice_id)
    body = body_of(session, notice)
    assert body.startswith(f"{practice.short_name}: we need more information http://127.0.0.1:1/l/abcdefgh")
    assert shown_number(practice.phone) in body
    assert body.encode() not in (notice.body or b"")
    assert MOBILE.encode() not in (notice.address or b"")
    assert (notice.state, notice.send_at, notice.reason) == ("pending", DAYTIME, None)
    assert audited(session)[-1] == "notice.create"


def test_without_a_link_of_its_own_a_text_leads_to_the_sign_in_page(session: Session, episode: Episode) -> None:
    assert "http://127.0.0.1:1/sign-in " in body_of(session, tell(session, episode, NoticeKind.RECEIPT_REMINDER))


@pytest.mark.parametrize("link", ["https://elsewhere.example/l/1", "//elsewhere.example/l/1", ""])
def test_a_link_to_elsewhere_is_refused(session: Session, episode: Episode, link: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        tell(session, episode, link=link)
    assert refused.value.field == "link"


def test_date_and_time_are_shown_in_the_patients_zone(session: Session, episode: Episode) -> None:
    visit = tell(session, episode, NoticeKind.SESSION_BOOKED, at="2026-11-25T18:30:00+00:00")
    assert "for Wed Nov 25 at 10:30 AM." in body_of(session, visit)


@pytest.mark.parametrize("at", ["2026-11-25T18:30:00", "tomorrow", None])
def test_a_visit_without_a_usable_time_is_refused(session: Session, episode: Episode, at: str | None) -> None:
    with pytest.raises(InvalidInput):
        tell(session, episode, NoticeKind.SESSION_BOOKED, **({} if at is None else {"at": at}))


def test_a_text_without_an_episode_is_refused(session: Session, episode: Episode) -> None:
    subject = Subject("thing", new_id())
    with pytest.raises(NotFound):
        notices.text_patient(session, NoticeKind.DECISION_MADE, subject, None, new_id(), {}, DEFAULT)


def test_without_consent_a_notice_says_why_nothing_is_sent(session: Session, clock: time_machine.Traveller) -> None:
    episode = make_episode(session, sms_consent=False)
    notice = tell(session, episode)
    assert (notice.state, notice.reason, notice.send_at) == ("suppressed", "sms.no_consent", None)
    assert (notice.address, notice.body) == (None, None)


def test_a_consent_for_another_number_is_none(session: Session, episode: Episode) -> None:
    patient = patients.patient_of(session, episode.patient_id)
    changes = patients.PatientChanges(mobile=Personal("+14155550199"))
    patients.change_patient(session, make_patient_actor(episode), episode.id, changes, version=patient.version)
    assert tell(session, episode).reason == "sms.no_consent"


@pytest.mark.parametrize("kind", [NoticeKind.AFTER_SESSION, NoticeKind.SIGN_IN_CODE])
def test_safety_texts_and_codes_need_no_consent(
    session: Session, clock: time_machine.Traveller, kind: NoticeKind
) -> None:
    episode = make_episode(session, sms_consent=False)
    assert tell(session, episode, kind, code="482913").state == "pending"


def test_after_an_opt_out_only_what_the_patient_asks_for_goes(session: Session, episode: Episode) -> None:
    consents.withdraw_sms_consent(session, SYSTEM, Personal(MOBILE))
    for kind in (NoticeKind.DECISION_MADE, NoticeKind.AFTER_SESSION):
        notice = tell(session, episode, kind)
        assert (notice.state, notice.reason) == ("suppressed", "sms.opted_out")
    assert tell(session, episode, NoticeKind.SIGN_IN_CODE, code="482913").state == "pending"


def test_a_second_text_within_a_day_is_held_until_the_limit_allows(session: Session, episode: Episode) -> None:
    sent(session, tell(session, episode))
    second = tell(session, episode)
    assert (second.state, second.reason, second.send_at) == ("held", "sms.caps", DAYTIME + timedelta(days=1))


def test_safety_texts_pass_the_limits_with_a_reason_and_do_not_count(session: Session, episode: Episode) -> None:
    sent(session, tell(session, episode))
    after = tell(session, episode, NoticeKind.AFTER_SESSION)
    assert (after.state, after.reason) == ("pending", "sms.caps.bypass")


def test_a_safety_text_leaves_room_for_a_text_about_care(session: Session, episode: Episode) -> None:
    sent(session, tell(session, episode, NoticeKind.AFTER_SESSION))
    assert tell(session, episode).state == "pending"


@pytest.mark.parametrize("state", [NoticeState.UNKNOWN, NoticeState.UNRESOLVED, NoticeState.SENDING])
def test_a_text_that_may_have_arrived_counts(session: Session, episode: Episode, state: NoticeState) -> None:
    first = tell(session, episode)
    sent(session, first)
    first.state = state
    assert tell(session, episode).state == "held"


def test_a_text_that_failed_does_not_count(session: Session, episode: Episode) -> None:
    first = tell(session, episode)
    sent(session, first)
    first.state = NoticeState.FAILED
    assert tell(session, episode).state == "pending"


def test_at_night_a_text_is_held_until_eight_in_the_morning(
    session: Session, episode: Episode, clock: time_machine.Traveller
) -> None:
    clock.move_to(NIGHT)
    notice = tell(session, episode)
    assert (notice.state, notice.reason, notice.send_at) == ("held", "sms.quiet_hours", MORNING)


def test_quiet_hours_follow_the_zone_that_the_patient_gave(session: Session, clock: time_machine.Traveller) -> None:
    clock.move_to(NIGHT)
    abroad = make_episode(session, zone="Pacific/Honolulu")  # 20:30 there
    assert tell(session, abroad).state == "pending"


def test_news_that_would_come_too_late_is_dropped(
    session: Session, episode: Episode, clock: time_machine.Traveller
) -> None:
    clock.move_to(NIGHT)
    at = (NIGHT + timedelta(hours=2)).isoformat()
    notice = tell(session, episode, NoticeKind.SESSION_MOVED, at=at)
    assert (notice.state, notice.reason) == ("expired", "sms.expired")


def test_a_stage_of_a_parcel_is_told_once_whoever_asks(session: Session, episode: Episode) -> None:
    parcel = new_id()
    first = tell(session, episode, NoticeKind.PACKAGE_IN_TRANSIT, parcel)
    sent(session, first)
    again = tell(session, episode, NoticeKind.PACKAGE_IN_TRANSIT, parcel)
    assert again.id == first.id
    assert tell(session, episode, NoticeKind.PACKAGE_IN_TRANSIT).id != first.id
    assert len(texts_of(session, episode.patient_id)) == 2


def test_newer_news_replaces_what_has_not_gone_yet(
    session: Session, episode: Episode, clock: time_machine.Traveller
) -> None:
    clock.move_to(NIGHT)
    parcel = new_id()
    for kind in (NoticeKind.PACKAGE_IN_TRANSIT, NoticeKind.PACKAGE_DELIVERED):
        tell(session, episode, kind, parcel)
    assert texts_of(session, episode.patient_id) == [("package_delivered", "held"), ("package_in_transit", "replaced")]


def test_a_moved_visit_replaces_the_old_date_of_that_visit_only(
    session: Session, episode: Episode, clock: time_machine.Traveller
) -> None:
    clock.move_to(NIGHT)
    visit, at = new_id(), (NIGHT + timedelta(days=3)).isoformat()
    booked = tell(session, episode, NoticeKind.SESSION_BOOKED, visit, at=at)
    other = tell(session, episode, NoticeKind.SESSION_BOOKED, at=at)
    moved = tell(session, episode, NoticeKind.SESSION_MOVED, visit, at=at)
    assert (booked.state, other.state, moved.state) == ("replaced", "held", "held")
    assert booked.reason == "replaced_by_session_moved"


def test_what_was_sent_is_not_replaced(session: Session, episode: Episode) -> None:
    parcel = new_id()
    sent(session, tell(session, episode, NoticeKind.PACKAGE_IN_TRANSIT, parcel))
    tell(session, episode, NoticeKind.PACKAGE_DELIVERED, parcel)
    assert ("package_in_transit", "sent") in texts_of(session, episode.patient_id)


def test_an_in_app_notice_is_unread_and_says_nothing_but_what_happened(session: Session, episode: Episode) -> None:
    subject = Subject("referral", new_id())
    notice = notices.inform(session, episode.medical_team_id, EventKind.REFERRAL_CREATED, subject, episode.id, new_id())
    session.flush()
    assert (notice.channel, notice.state, notice.kind) == ("in_app", "unread", "referral.created")
    assert (notice.address, notice.body, notice.subject_id) == (None, None, subject.id)


def paged(session: Session, owner_id: UUID) -> list[UUID]:
    subject = Subject("risk_flag", new_id())
    return sorted(notice.recipient_id for notice in notices.page(session, owner_id, subject, new_id(), DEFAULT))


def test_a_page_reaches_everybody_on_call_in_the_organisation(session: Session, clock: time_machine.Traveller) -> None:
    clock.move_to(NIGHT)
    world = make_world(session)
    on_call = [
        make_account(session, Role.MEDICAL_STAFF, organisation=world.medical_team, on_call=True, papers=False)
        for _ in range(2)
    ]
    assert paged(session, world.medical_team.id) == sorted(account.id for account in on_call)
    page = session.scalars(select(Notice).where(Notice.recipient_id == on_call[0].id)).one()
    assert (page.state, page.purpose, page.reason, page.send_at) == ("pending", "safety", "sms.caps.bypass", NIGHT)
    assert body_of(session, page) == "You have an urgent task. Sign in: http://127.0.0.1:1/sign-in"


def test_a_page_to_somebody_reaches_them_and_whoever_is_on_call(session: Session) -> None:
    world = make_world(session)
    colleague = make_account(session, Role.THERAPIST, organisation=world.practice, on_call=True)
    assert paged(session, world.therapist.id) == sorted([world.therapist.id, colleague.id])
    assert paged(session, colleague.id) == [colleague.id]


def test_a_page_that_reaches_nobody_becomes_a_task_of_the_desk_at_once(session: Session) -> None:
    world = make_world(session)
    unreachable = make_account(session, Role.PRESCRIBER, organisation=world.medical_team, phone=None)
    assert paged(session, unreachable.id) == []
    event = emitted(session, EventKind.PAGE_UNDELIVERED)
    assert [each["party"] for each in event] == ["operations"]
    assert event[0]["subject"][0] == "risk_flag"
