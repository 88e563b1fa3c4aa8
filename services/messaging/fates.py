"""What becomes of a text after it was handed over: taken, delivered, tried again, given up, or of unknown fate."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind, TaskKind
from services.messaging.caps import Purpose
from services.messaging.models import Notice
from services.messaging.notice_states import GIVEN_UP, NOTICE_TRANSITIONS, NoticeState, NoticeStep
from services.messaging.outbox import Subject, emit
from services.messaging.tasks import settle_tasks
from services.messaging.twilio_statuses import Action, action_for, advance, is_terminal
from services.people.consents import ConsentSource, withdraw_sms_consent
from services.people.models import Patient
from services.vault.boxes import box

ARRIVED: Final = frozenset({"delivered", "read"})
DROPPED: Final = frozenset({NoticeState.SUPPRESSED, NoticeState.EXPIRED})


def move(session: Session, notice: Notice, step: NoticeStep, **detail: Any) -> None:
    """Move a notice and put it on the audit trail. Raises ``IllegalTransition``."""
    before = notice.state
    notice.state = NOTICE_TRANSITIONS.advance(NoticeState(notice.state), step, SYSTEM.role)
    detail = {"kind": notice.kind, "attempt": notice.attempts, **detail}
    record(session, SYSTEM, f"notice.{step}", "notice", notice.id, episode_id=notice.episode_id, **detail)
    if before == NoticeState.UNRESOLVED:
        settle_tasks(session, SYSTEM, Subject("notice", notice.id), {TaskKind.RECONCILE_NOTICE})


def report(
    session: Session, notice: Notice, sid: str, status: str, code: int | str | None, programme: Programme
) -> bool:
    """Note what the provider says of a text, in its answer, a callback or a look-up; gives whether that was news.

    Reports repeat and come late: the status only ever moves on (DOMAIN 7). Raises ``UnknownStatus`` for a word that we
    do not know. The caller has locked the row and made sure that ``sid`` is this notice's.
    """
    kept = advance(notice.provider_status, status)
    if notice.provider_id == sid and kept == notice.provider_status:
        return False
    notice.provider_id, notice.provider_status = sid, kept
    if notice.sent_at is None:
        notice.sent_at = clock.now()
    if is_terminal(kept) and kept not in ARRIVED:
        _not_delivered(session, notice, code, programme)
        return True
    notice.error_code = None
    if kept in ARRIVED and notice.state != NoticeState.DELIVERED:
        move(session, notice, NoticeStep.DELIVER, status=kept)
    elif kept not in ARRIVED and notice.state != NoticeState.SENT:
        move(session, notice, NoticeStep.ACCEPT, status=kept)
    return True


def _not_delivered(session: Session, notice: Notice, code: int | str | None, programme: Programme) -> None:
    if notice.state in GIVEN_UP:
        return
    action = Action.GIVE_UP if code is None else action_for(code)
    if action.may_retry:
        retry(session, notice, action.value, None if code is None else str(code), programme)
    else:
        fail(session, notice, action, None if code is None else str(code))


def retry(session: Session, notice: Notice, reason: str, code: str | None, programme: Programme) -> None:
    """Try again after a growing pause, or give up after ``sms.sending.attempts_at_most`` attempts."""
    if notice.attempts >= programme.whole("sms.sending.attempts_at_most"):
        fail(session, notice, Action.GIVE_UP, code, reason="too_many_attempts")
        return
    pause = programme.number("sms.sending.retry_first_seconds") * 2 ** (notice.attempts - 1)
    pause = min(pause, programme.number("sms.sending.retry_longest_seconds"))
    notice.send_at, notice.reason, notice.error_code = clock.now() + timedelta(seconds=pause), reason, code
    notice.sent_at = None
    move(session, notice, NoticeStep.RETRY, code=code)


def fail(session: Session, notice: Notice, action: Action, code: str | None, *, reason: str | None = None) -> None:
    """Give a text up for good, and tell a person who can do something about it."""
    notice.reason, notice.error_code = reason or action.value, code
    move(session, notice, NoticeStep.FAIL, code=code, reason=notice.reason)
    if action is Action.MARK_OPTED_OUT:
        number = box(session, notice.recipient_id).open(notice, "address")
        withdraw_sms_consent(session, SYSTEM, number, source=ConsentSource.PROVIDER)
    _tell_somebody(session, notice)


def _tell_somebody(session: Session, notice: Notice) -> None:
    """The therapist contacts the patient instead. Whoever only asked something notices that no answer comes."""
    subject = Subject("notice", notice.id)
    is_patient = session.scalar(select(Patient.id).where(Patient.id == notice.recipient_id)) is not None
    if notice.purpose in (Purpose.REPLY, Purpose.CODE):
        return
    if is_patient and notice.episode_id is not None:
        emit(session, EventKind.NOTICE_UNDELIVERED, subject=subject, episode_id=notice.episode_id)
    elif notice.kind in (NoticeKind.STAFF_PAGE, NoticeKind.CRISIS_REPLY):
        emit(session, EventKind.PAGE_UNDELIVERED, subject=subject)


def tell_of_dropped(session: Session, notice: Notice) -> None:
    """What somebody asked goes unanswered by text, as they opted out or it is too late: a person tells them instead.

    Other texts that fall away so need nobody: they stand on the notice.
    """
    if notice.purpose == Purpose.ANSWER and notice.state in DROPPED and notice.episode_id is not None:
        about = Subject("notice", notice.id)
        if notice.subject_kind is not None and notice.subject_id is not None:
            about = Subject(notice.subject_kind, notice.subject_id)
        emit(session, EventKind.NOTICE_UNDELIVERED, subject=about, episode_id=notice.episode_id)


def lose(session: Session, notice: Notice, programme: Programme, *, look_after_seconds: float | None = None) -> None:
    """Note that nobody knows whether the text went out; ``reconciling.py`` looks for it, it is never sent again."""
    wait = programme.number("sms.unknown.look_after_seconds") if look_after_seconds is None else look_after_seconds
    notice.send_at = clock.now() + timedelta(seconds=wait)
    move(session, notice, NoticeStep.LOSE)
