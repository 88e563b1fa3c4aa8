"""Short ways to make and look at notices, webhooks and events. Twilio is the sandbox, over real sockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.local.sandbox.endpoints import Sandbox
from services.core.config import config
from services.core.ids import new_id
from services.core.programme import programme
from services.core.vocabulary import EventKind, NoticeKind, Party
from services.messaging import notices
from services.messaging.deliveries import Hook, keep_delivery
from services.messaging.models import Event, Notice
from services.messaging.outbox import Subject
from services.people.models import Episode
from services.vault.boxes import box
from services.vault.envelopes import open_envelope

DEFAULT = programme()
# A Monday: 10:00 in California, 12:00 in Texas, 13:00 in New York.
DAYTIME = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
MOBILE = "+14155550142"


@contextmanager
def running_sandbox(environment: Mapping[str, str]) -> Iterator[Sandbox]:
    """Twilio and EasyPost on loopback; this process's configuration points there meanwhile."""
    sandbox = Sandbox(environment)
    sandbox.start()
    before = os.environ["TWILIO_API_BASE"]
    os.environ["TWILIO_API_BASE"] = sandbox.url
    config.cache_clear()
    try:
        yield sandbox
    finally:
        os.environ["TWILIO_API_BASE"] = before
        config.cache_clear()
        sandbox.stop()


def texted(sandbox: Sandbox) -> list[tuple[str, str]]:
    """The texts that the provider took, oldest first: to whom, and what."""
    return [(message["to"], message["body"]) for message in sandbox.messages.all() if message["direction"] != "inbound"]


def tell(
    session: Session,
    episode: Episode,
    kind: NoticeKind = NoticeKind.MORE_INFORMATION,
    subject: UUID | None = None,
    **data: Any,
) -> Notice:
    """Let the episode's patient be told something."""
    about = Subject("thing", subject or new_id())
    notice = notices.text_patient(session, kind, about, episode, new_id(), data, DEFAULT)
    session.flush()
    return notice


def now_of(session: Session, notice: Notice) -> Notice:
    """The notice as it is in the database now."""
    session.refresh(notice)
    return notice


def body_of(session: Session, notice: Notice) -> str:
    """The words of a text."""
    return str(box(session, notice.recipient_id).open(notice, "body").reveal())


def texts_of(session: Session, patient_id: UUID) -> list[tuple[str, str]]:
    """Kind and state of every notice for somebody, as the database has it, in the order of kinds."""
    session.flush()
    rows = session.execute(select(Notice.kind, Notice.state).where(Notice.recipient_id == patient_id))
    return sorted((kind, state) for kind, state in rows)


def emitted(session: Session, kind: EventKind) -> list[dict[str, Any]]:
    """The payloads of the events of a kind, one per party, oldest first; ``party`` is added."""
    session.flush()
    rows = session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id))
    return [
        {**open_envelope(Party(row.party), row.kind, row.id, row.key_name, row.envelope), "party": row.party}
        for row in rows
    ]


def inbound_form(body: str, sender: str = MOBILE, **fields: str) -> dict[str, str]:
    """What Twilio posts for a text that came in."""
    return {
        "MessageSid": "SM" + secrets.token_hex(16),
        "AccountSid": config().twilio_account_sid,
        "From": sender,
        "To": "+15005550006",
        "Body": body,
        "NumMedia": "0",
        **fields,
    }


def keep_text(session: Session, body: str, sender: str = MOBILE, **fields: str) -> UUID:
    """A text that came in, stored."""
    form = inbound_form(body, sender, **fields)
    delivery_id = keep_delivery(session, Hook.TWILIO_INBOUND, urlencode(form).encode(), form["MessageSid"])
    assert delivery_id is not None
    return delivery_id


def keep_report(
    session: Session,
    notice: Notice,
    status: str,
    *,
    sid: str | None = None,
    code: str | None = None,
    attempt: int | None = None,
) -> UUID | None:
    """A status report about a notice, stored; None when it is a repeat."""
    sid = sid or notice.provider_id or "SM" + "e" * 32
    form = {"MessageSid": sid, "MessageStatus": status, **({"ErrorCode": code} if code else {})}
    context = {"notice": str(notice.id), "attempt": str(attempt or notice.attempts)}
    return keep_delivery(session, Hook.TWILIO_STATUS, urlencode(form).encode(), f"{sid}:{status}", context)


def twilio_signature(url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature over a form post (DOMAIN 7)."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    key = config().twilio_auth_token.reveal().encode()
    return base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha1).digest()).decode()
