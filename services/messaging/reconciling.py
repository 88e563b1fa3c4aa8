"""Texts of unknown fate: looked for at the provider, then put in front of a person, never sent again (DOMAIN 7).

A send whose answer got lost may have reached the patient. The provider's list tells, or a status callback, which
carries the notice's id; when neither does in time, a person decides.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.database import transaction
from services.core.errors import Unavailable, UnreadableSeal
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind
from services.messaging.fates import lose, move, report
from services.messaging.lookups import look_for, twilio
from services.messaging.models import OF_UNKNOWN_FATE, ON_ITS_WAY, Notice
from services.messaging.notice_states import NoticeState, NoticeStep
from services.messaging.outbox import Subject, emit
from services.messaging.provider_messages import ProviderMessage
from services.messaging.twilio_statuses import UnknownStatus
from services.vault.boxes import box

log = structlog.get_logger()

BATCH = 100


@dataclass(frozen=True, slots=True)
class Missing:
    """A text to look for. ``began_at`` is when its send began."""

    notice_id: UUID
    number: Personal[str]
    body: Personal[str]
    began_at: datetime


def reconcile_unknown(programme: Programme) -> None:
    """Look for every text of unknown fate whose time has come, for at most ``sms.sending.errand_seconds``."""
    while _lose_stuck(programme):
        pass
    gateway = twilio(programme)
    end = time.monotonic() + programme.number("sms.sending.errand_seconds")
    while time.monotonic() < end:
        missing = _next_missing(programme)
        if missing is None:
            return
        try:
            found = look_for(gateway, missing.notice_id, missing.number, missing.body, missing.began_at, programme)
        except Unavailable:
            log.warning("provider_unavailable", notice=str(missing.notice_id))
            found = None
        with transaction() as session:
            _settle(session, missing, found, programme)


def _lose_stuck(programme: Programme) -> int:
    """Sends without a result after ``sms.sending.stuck_after_seconds`` were cut off: their fate is unknown."""
    since = clock.now() - timedelta(seconds=programme.number("sms.sending.stuck_after_seconds"))
    query = select(Notice).where(ON_ITS_WAY, Notice.state == NoticeState.SENDING, Notice.send_at <= since)
    with transaction() as session:
        stuck = session.scalars(query.limit(BATCH).with_for_update(skip_locked=True)).all()
        for notice in stuck:
            log.warning("notice_stuck", notice=str(notice.id))
            lose(session, notice, programme, look_after_seconds=0)
    return len(stuck)


def _next_missing(programme: Programme) -> Missing | None:
    """The next text to look for; nobody else looks for it until ``sms.sending.look_again_seconds`` have passed."""
    query = select(Notice).where(OF_UNKNOWN_FATE, Notice.send_at <= clock.now()).order_by(Notice.send_at).limit(1)
    while True:
        with transaction() as session:
            notice = session.scalar(query.with_for_update(skip_locked=True))
            if notice is None:
                return None
            pause = programme.number("sms.sending.look_again_seconds")
            notice.send_at = clock.now() + timedelta(seconds=pause)
            try:
                own = box(session, notice.recipient_id)
                number, body = own.open(notice, "address"), own.open(notice, "body")
            except UnreadableSeal:
                _hand_over(session, notice)
                continue
            return Missing(notice.id, number, body, notice.attempted_at or notice.created_at)


def _settle(session: Session, missing: Missing, found: ProviderMessage | None, programme: Programme) -> None:
    notice = session.get_one(Notice, missing.notice_id, with_for_update=True, populate_existing=True)
    if notice.state != NoticeState.UNKNOWN:
        return  # a callback settled it meanwhile
    if found is not None:
        log.info("notice_found", notice=str(notice.id))
        try:
            report(session, notice, found.sid, found.status, found.error_code, programme)
        except UnknownStatus:
            log.error("provider_status_unknown", notice=str(notice.id))
            _hand_over(session, notice)
    elif clock.now() - missing.began_at >= timedelta(seconds=programme.number("sms.unknown.person_after_seconds")):
        _hand_over(session, notice)


def _hand_over(session: Session, notice: Notice) -> None:
    """Nobody but a person can tell: the operations desk looks into it."""
    move(session, notice, NoticeStep.HAND_OVER)
    emit(session, EventKind.NOTICE_FATE_UNKNOWN, subject=Subject("notice", notice.id), episode_id=notice.episode_id)
