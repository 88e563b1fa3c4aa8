"""Notices: what patients and staff are told.

    text_patient()        a text to the patient of an episode, within consent, limits and quiet hours
    answer_text()         an answer to a text that came in
    inform()              an in-app notice to an account or organisation
    page()                a text to the people on call
    send_due()            the errand that sends what is due (``sending.py``)
    reconcile_unknown()   the errand that looks for texts of unknown fate (``reconciling.py``)

A text that may not go leaves a notice all the same, whose state and reason say why: nothing is dropped silently.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.config import config
from services.core.errors import InvalidInput, NotFound
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import Programme
from services.core.vocabulary import EventKind, NoticeKind
from services.messaging.addressees import Reach, clinic_of, reach_of, sender_of
from services.messaging.caps import Purpose
from services.messaging.fates import tell_of_dropped
from services.messaging.models import Notice
from services.messaging.notice_states import NOTICE_TRANSITIONS, WAITING, Channel, NoticeState, NoticeStep
from services.messaging.outbox import Subject, emit
from services.messaging.reconciling import reconcile_unknown
from services.messaging.releases import ASKED_FOR, judge
from services.messaging.sending import send_due
from services.messaging.texts import render, text_of, when
from services.people.accounts import Person, on_call_people, person_of
from services.people.models import Account, Episode, Patient
from services.people.organisations import operations_desk
from services.vault.boxes import box

__all__ = [
    "answer_text",
    "inform",
    "page",
    "reconcile_unknown",
    "send_due",
    "suppress_waiting",
    "text_patient",
    "withdraw_texts",
]

# Where a person signs in when a text has no link of its own.
SIGN_IN_PATH: Final = "/sign-in"

_K = NoticeKind

# A patient hears of each of these once for a parcel, whatever else happens to it (DOMAIN 8).
ONCE: Final = frozenset(
    {
        _K.PACKAGE_PREPARING,
        _K.PACKAGE_IN_TRANSIT,
        _K.PACKAGE_OUT_FOR_DELIVERY,
        _K.PACKAGE_DELIVERED,
        _K.PACKAGE_DELAYED,
        _K.PACKAGE_AWAITING_PICKUP,
        _K.RECEIPT_REMINDER,
    }
)

# News that makes older news about the same thing wrong. What has not gone yet is then replaced: a patient must not read
# in the morning that the parcel is on its way when it came last night, or the old date of a visit.
_ON_THE_WAY: Final = frozenset(
    {_K.PACKAGE_PREPARING, _K.PACKAGE_IN_TRANSIT, _K.PACKAGE_OUT_FOR_DELIVERY, _K.PACKAGE_DELAYED}
)
_VISIT: Final = frozenset({_K.SESSION_BOOKED, _K.SESSION_REMINDER, _K.SESSION_MOVED})
REPLACES: Final[Mapping[NoticeKind, frozenset[NoticeKind]]] = {
    _K.PACKAGE_IN_TRANSIT: frozenset({_K.PACKAGE_PREPARING, _K.PACKAGE_DELAYED}),
    _K.PACKAGE_OUT_FOR_DELIVERY: _ON_THE_WAY,
    _K.PACKAGE_AWAITING_PICKUP: _ON_THE_WAY,
    _K.PACKAGE_DELIVERED: _ON_THE_WAY | {_K.PACKAGE_AWAITING_PICKUP},
    _K.RECEIPT_REMINDER: _ON_THE_WAY | {_K.PACKAGE_AWAITING_PICKUP, _K.PACKAGE_DELIVERED},
    _K.PACKAGE_PROBLEM: _ON_THE_WAY | {_K.PACKAGE_AWAITING_PICKUP, _K.PACKAGE_DELIVERED},
    _K.SESSION_MOVED: _VISIT,
    _K.SESSION_CANCELLED: _VISIT,
    _K.ASSESSMENT_REMINDER: frozenset({_K.ASSESSMENT_LINK, _K.ASSESSMENT_REMINDER}),
}


def text_patient(
    session: Session,
    kind: NoticeKind,
    subject: Subject,
    episode: Episode | None,
    event_id: UUID | None,
    data: Mapping[str, Any],
    programme: Programme,
) -> Notice:
    """Let the patient of ``episode`` be texted; gives the notice, which says what is to become of it.

    ``data`` holds what the text needs: ``link`` (a path of this service, default: the sign-in page), ``at`` (ISO 8601
    with offset: the visit, or the end of a pick-up time; the text is dropped after it), ``code``, ``answer``; and may
    hold ``expires_at`` (ISO 8601). Raises ``NotFound`` without an episode, ``InvalidInput`` naming what is missing.
    """
    if episode is None:
        raise NotFound("A text to a patient needs the episode that it is about.")
    once_key = f"{kind}:{subject.id}" if kind in ONCE else None
    told = session.scalar(select(Notice).where(Notice.once_key == once_key)) if once_key else None
    if told is not None:
        return told
    reach, sender = reach_of(session, episode.patient_id), sender_of(session, clinic_of(episode))
    values = _values(text_of(kind, programme).placeholders, data, reach)
    body = render(kind, programme, clinic=sender.name, phone=sender.phone, **values)
    _replace_older(session, kind, subject, episode.patient_id)
    notice = _text(kind, episode.patient_id, episode.id, subject, event_id)
    notice.once_key = once_key
    ends = [_moment(data, name) for name in ("at", "expires_at") if name in data]
    notice.expires_at = min([clock.now() + text_of(kind, programme).expires_after, *ends])
    return _put_on_its_way(session, notice, reach.number, Personal(body), programme)


def _values(wanted: frozenset[str], data: Mapping[str, Any], reach: Reach) -> dict[str, str]:
    values = {name: str(data[name]) for name in ("code", "answer") if name in data}
    if "link" in wanted:
        values["link"] = _address(str(data.get("link", SIGN_IN_PATH)))
    if wanted & {"date", "time"} and "at" in data:
        values |= when(_moment(data, "at"), reach.shown_zone)
    return values


def _address(path: str) -> str:
    if not path.startswith("/") or path.startswith("//"):
        raise InvalidInput("A link in a text is a path of this service.", field="link")
    return config().public_base_url + path


def _moment(data: Mapping[str, Any], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(data[name])
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput("This must be a time in ISO 8601 with its offset.", field=name)
    return moment


def _replace_older(session: Session, kind: NoticeKind, subject: Subject, patient_id: UUID) -> None:
    if kind in REPLACES:
        withdraw_texts(session, patient_id, subject, REPLACES[kind], reason=f"replaced_by_{kind}")


def withdraw_texts(
    session: Session, patient_id: UUID, subject: Subject, kinds: Collection[NoticeKind], *, reason: str = "not_due"
) -> None:
    """Stop the texts of ``kinds`` about ``subject`` that have not gone yet: they would not be true any more."""
    older = select(Notice).where(
        Notice.recipient_id == patient_id,
        Notice.subject_id == subject.id,
        Notice.kind.in_(sorted(kinds)),
        Notice.state.in_(sorted(WAITING)),
    )
    # One that a worker is just about to send is skipped: it goes.
    for notice in session.scalars(older.with_for_update(skip_locked=True)):
        notice.state = NOTICE_TRANSITIONS.advance(NoticeState(notice.state), NoticeStep.REPLACE, SYSTEM.role)
        notice.reason = reason
        record(session, SYSTEM, "notice.replace", "notice", notice.id, episode_id=notice.episode_id, kind=notice.kind)


def _text(
    kind: NoticeKind, recipient_id: UUID, episode_id: UUID | None, subject: Subject, event_id: UUID | None
) -> Notice:
    text = text_of(kind)
    return Notice(
        id=new_id(),
        kind=kind,
        channel=Channel.SMS,
        purpose=text.purpose,
        recipient_id=recipient_id,
        episode_id=episode_id,
        subject_kind=subject.kind,
        subject_id=subject.id,
        event_id=event_id,
        attempts=0,
        created_at=clock.now(),
        expires_at=clock.now() + text.expires_after,
    )


def _put_on_its_way(
    session: Session, notice: Notice, number: Personal[str], body: Personal[str], programme: Programme
) -> Notice:
    verdict = judge(session, notice, programme)
    notice.state, notice.send_at, notice.reason = verdict.state, verdict.at, verdict.reason
    if verdict.state in WAITING:  # what will never be sent need not be kept
        own = box(session, notice.recipient_id)
        own.seal(notice, "address", number)
        own.seal(notice, "body", body)
    session.add(notice)
    record(
        session,
        SYSTEM,
        "notice.create",
        "notice",
        notice.id,
        episode_id=notice.episode_id,
        kind=notice.kind,
        state=notice.state,
        reason=notice.reason,
    )
    tell_of_dropped(session, notice)
    return notice


def answer_text(
    session: Session,
    kind: NoticeKind,
    subject: Subject,
    patient: Patient | None,
    episode: Episode | None,
    number: Personal[str],
    programme: Programme,
    *,
    once_key: str | None = None,
) -> Notice:
    """Answer a text that came from ``number`` (E.164), in the name of the clinic or, without an episode, of the desk.

    Without a ``patient`` (an unknown number) the answer is kept under the desk's data key. With a ``once_key`` that was
    used before, nothing is sent and the earlier answer given.
    """
    told = session.scalar(select(Notice).where(Notice.once_key == once_key)) if once_key else None
    if told is not None:
        return told
    sender = sender_of(session, operations_desk(session) if episode is None else clinic_of(episode))
    body = render(kind, programme, clinic=sender.name, phone=sender.phone)
    recipient_id = operations_desk(session) if patient is None else patient.id
    notice = _text(kind, recipient_id, None if episode is None else episode.id, subject, None)
    notice.once_key = once_key
    return _put_on_its_way(session, notice, number, Personal(body), programme)


def suppress_waiting(session: Session, patient_id: UUID) -> int:
    """Stop what has not gone yet to a patient who opted out, but for answers they asked for; gives how many texts.

    Whoever answered a question of theirs is not to believe that they read it: the care team is asked to reach them.
    """
    waiting = select(Notice).where(
        Notice.recipient_id == patient_id,
        Notice.channel == Channel.SMS,
        Notice.state.in_(sorted(WAITING)),
        Notice.kind.not_in(sorted(ASKED_FOR)),
    )
    # One that a worker is just about to send is skipped; it was asked for before the patient opted out.
    stopped = session.scalars(waiting.with_for_update(skip_locked=True)).all()
    for notice in stopped:
        notice.state = NOTICE_TRANSITIONS.advance(NoticeState(notice.state), NoticeStep.SUPPRESS, SYSTEM.role)
        notice.reason = "sms.opted_out"
        record(session, SYSTEM, "notice.suppress", "notice", notice.id, episode_id=notice.episode_id, kind=notice.kind)
        tell_of_dropped(session, notice)
    return len(stopped)


def inform(
    session: Session, owner_id: UUID, event_kind: EventKind, subject: Subject, episode_id: UUID | None, event_id: UUID
) -> Notice:
    """Leave an in-app notice for an account or an organisation: what happened, to which record, and nothing else."""
    notice = Notice(
        id=new_id(),
        kind=event_kind,
        channel=Channel.IN_APP,
        purpose=Purpose.CARE,
        state=NoticeState.UNREAD,
        recipient_id=owner_id,
        episode_id=episode_id,
        subject_kind=subject.kind,
        subject_id=subject.id,
        event_id=event_id,
        attempts=0,
        created_at=clock.now(),
    )
    session.add(notice)
    return notice


def page(session: Session, owner_id: UUID, subject: Subject, event_id: UUID, programme: Programme) -> list[Notice]:
    """Text everybody on call of the owner's organisation, and the owner when it is an account: somebody must look now.

    When nobody can be reached that way the operations desk gets a task at once.
    """
    body = Personal(render(NoticeKind.STAFF_PAGE, programme, link=_address(SIGN_IN_PATH)))
    notices = [
        _put_on_its_way(
            session, _text(NoticeKind.STAFF_PAGE, account_id, None, subject, event_id), number, body, programme
        )
        for account_id, number in _people_to_page(session, owner_id).items()
    ]
    if not notices:
        emit(session, EventKind.PAGE_UNDELIVERED, subject=subject)
    return notices


def _people_to_page(session: Session, owner_id: UUID) -> dict[UUID, Personal[str]]:
    account = session.get(Account, owner_id)
    people: list[Person] = on_call_people(session, owner_id if account is None else account.organisation_id)
    if account is not None:
        people.append(person_of(session, account.id))
    numbers = {person.account_id: person.phone.reveal() for person in people if not person.disabled}
    return {account_id: Personal(number) for account_id, number in numbers.items() if number is not None}
