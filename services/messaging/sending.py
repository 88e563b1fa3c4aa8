"""The errand that sends texts: row first, then the call with no transaction open, then the result.

    claim    one due row is judged again, moved to ``sending`` and committed
    call     the provider is asked with a time-out
    record   what is known is written down; what is not known is ``unknown`` and never sent again blindly

A process killed between claim and record leaves a row in ``sending``; ``reconciling.py`` finds it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.config import config
from services.core.database import transaction
from services.core.errors import InvalidInput, NotFound, Unavailable, UnreadableSeal
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.messaging.addressees import reach_of
from services.messaging.caps import Purpose
from services.messaging.fates import fail, lose, move, report, retry, tell_of_dropped
from services.messaging.gateways import SendOutcome, SendResult, TwilioGateway
from services.messaging.governing import governing_programme
from services.messaging.lookups import look_for, twilio
from services.messaging.models import ON_ITS_WAY, Notice
from services.messaging.notice_states import WAITING, NoticeState, NoticeStep
from services.messaging.outbox import Subject, emit
from services.messaging.releases import ASKED_FOR, Verdict, judge
from services.messaging.twilio_statuses import Action, UnknownStatus
from services.people.models import Patient
from services.vault.boxes import box

log = structlog.get_logger()

CALLBACK_PATH: Final = "/hooks/twilio/status"
# An error code of ours: the provider answered with a failure of its own, and may have taken the text all the same.
PROVIDER_FAILED: Final = "http_5"

_STEPS: Final = {
    NoticeState.HELD: NoticeStep.HOLD,
    NoticeState.EXPIRED: NoticeStep.EXPIRE,
    NoticeState.SUPPRESSED: NoticeStep.SUPPRESS,
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A claimed text with all that the call needs.

    ``doubtful_since`` is when an earlier attempt began that the provider failed at: it is asked for that one first.
    """

    notice_id: UUID
    attempt: int
    number: Personal[str]
    body: Personal[str]
    doubtful_since: datetime | None


def send_due(programme: Programme) -> None:
    """Send the texts that are due, oldest first, beginning none after ``sms.sending.errand_seconds``.

    Several workers may do so at once; each row is taken by one of them.
    """
    gateway = twilio(programme)
    end = time.monotonic() + programme.number("sms.sending.errand_seconds")
    while time.monotonic() < end:
        claim = _Claim(programme)
        if not claim.take():
            return
        if claim.outgoing is not None:
            _send(gateway, claim.outgoing, programme)


class _Claim:
    """One try to take a due row. ``outgoing`` is set when its text may go."""

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        self.notice_id: UUID | None = None
        self.outgoing: Outgoing | None = None

    def take(self) -> bool:
        """Take the next due row and settle what is to become of it; False when none is due."""
        try:
            with transaction() as session:
                notice = _next_due(session)
                if notice is not None:
                    self.notice_id = notice.id
                    self.outgoing = _begun(session, notice, self.programme)
        except (UnreadableSeal, NotFound, InvalidInput) as error:
            # A row that cannot be opened or judged must not stand in the way of all others.
            if self.notice_id is None:
                raise
            log.error("notice_unsendable", notice=str(self.notice_id), error=error.code)
            with transaction() as session:
                fail(session, locked(session, self.notice_id), Action.ASK_STAFF, None, reason=error.code)
        return self.notice_id is not None


def locked(session: Session, notice_id: UUID) -> Notice:
    """A notice as it is now, held until the commit."""
    return session.get_one(Notice, notice_id, with_for_update=True, populate_existing=True)


def _next_due(session: Session) -> Notice | None:
    # The text of the partial index's own condition, so that every plan may use that index.
    query = select(Notice).where(ON_ITS_WAY, Notice.state.in_(sorted(WAITING)), Notice.send_at <= clock.now())
    return session.scalar(query.order_by(Notice.send_at, Notice.id).limit(1).with_for_update(skip_locked=True))


def _begun(session: Session, notice: Notice, programme: Programme) -> Outgoing | None:
    """Move a due text to ``sending`` if it may still go; otherwise hold, drop or suppress it."""
    # Two workers with two texts to one patient would each see the limits leave room for theirs.
    session.execute(select(func.pg_advisory_xact_lock(notice.recipient_id.int & (2**63 - 1))))
    verdict = judge(session, notice, governing_programme(session, notice.episode_id, programme))
    if verdict.state is not NoticeState.PENDING:
        _put_off(session, notice, verdict)
        return None
    doubtful = notice.attempted_at if (notice.error_code or "").startswith(PROVIDER_FAILED) else None
    number = _number(session, notice)
    notice.attempts += 1
    notice.attempted_at = notice.send_at = clock.now()
    notice.provider_id = notice.provider_status = None
    move(session, notice, NoticeStep.SEND, bypass=verdict.reason)
    body = box(session, notice.recipient_id).open(notice, "body")
    return Outgoing(notice.id, notice.attempts, number, body, doubtful)


def _put_off(session: Session, notice: Notice, verdict: Verdict) -> None:
    notice.send_at, notice.reason = verdict.at, verdict.reason
    move(session, notice, _STEPS[verdict.state], reason=verdict.reason)
    tell_of_dropped(session, notice)


def _number(session: Session, notice: Notice) -> Personal[str]:
    """Where to send it: an answer goes to the number that asked, anything else to the patient's number of today."""
    own = box(session, notice.recipient_id)
    number: Personal[str] = own.open(notice, "address")
    is_answer = notice.kind in ASKED_FOR or notice.purpose == Purpose.REPLY
    if not is_answer and session.get(Patient, notice.recipient_id) is not None:
        today = reach_of(session, notice.recipient_id).number
        if today != number:
            own.seal(notice, "address", today)
            return today
    return number


def _send(gateway: TwilioGateway, outgoing: Outgoing, programme: Programme) -> None:
    """Make the call, with no transaction open, and record what is known."""
    since = outgoing.doubtful_since
    if since is not None:
        try:
            found = look_for(gateway, outgoing.notice_id, outgoing.number, outgoing.body, since, programme)
        except Unavailable:
            _postpone(outgoing, programme)
            return
        if found is not None:
            taken = SendResult(SendOutcome.ACCEPTED, sid=found.sid, status=found.status, error_code=found.error_code)
            _record(outgoing, taken, programme)
            return
    address = f"{config().public_base_url}{CALLBACK_PATH}/{outgoing.notice_id}?attempt={outgoing.attempt}"
    _record(outgoing, gateway.send(outgoing.number, outgoing.body, address), programme)


def _postpone(outgoing: Outgoing, programme: Programme) -> None:
    """The provider cannot even be asked: leave the doubt as it was and come back later."""
    with transaction() as session:
        notice = locked(session, outgoing.notice_id)
        if notice.state == NoticeState.SENDING:
            notice.attempted_at = outgoing.doubtful_since
            retry(session, notice, Action.BACK_OFF.value, notice.error_code, programme)


def _record(outgoing: Outgoing, result: SendResult, programme: Programme) -> None:
    with transaction() as session:
        notice = locked(session, outgoing.notice_id)
        log.info("notice_attempted", notice=str(notice.id), outcome=result.outcome.value, attempt=outgoing.attempt)
        if result.outcome is SendOutcome.ACCEPTED:
            _accepted(session, notice, result, programme)
        elif notice.state != NoticeState.SENDING or notice.attempts != outgoing.attempt:
            return  # a callback was faster and knows better
        elif result.outcome is SendOutcome.UNKNOWN:
            lose(session, notice, programme)
        elif result.may_retry:
            retry(session, notice, (result.action or Action.BACK_OFF).value, _code(result), programme)
        else:
            fail(session, notice, result.action or Action.ASK_STAFF, _code(result))


def _accepted(session: Session, notice: Notice, result: SendResult, programme: Programme) -> None:
    sid, status = result.sid or "", result.status or ""
    if notice.provider_id not in (None, sid):
        log.error("notice_sent_twice", notice=str(notice.id))
        return
    try:
        report(session, notice, sid, status, result.error_code, programme)
    except UnknownStatus:
        # It was taken, whatever the word means; a person looks at the word.
        log.error("provider_status_unknown", notice=str(notice.id))
        notice.provider_id, notice.sent_at = sid, clock.now()
        move(session, notice, NoticeStep.ACCEPT)
        emit(session, EventKind.NOTICE_FATE_UNKNOWN, subject=Subject("notice", notice.id), episode_id=notice.episode_id)


def _code(result: SendResult) -> str | None:
    if result.http_status is not None and (result.http_status >= 500 or result.error_code is None):
        return f"http_{result.http_status}"
    return None if result.error_code is None else str(result.error_code)
