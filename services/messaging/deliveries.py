"""Webhooks as they arrived: stored sealed before any work is done, each once, and opened by the worker that reads them.

The body is sealed under the operations desk's data key, because whose it is stands inside. A repeated delivery is
recognised by the provider's own id and changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import SYSTEM
from services.core.errors import InvalidInput, NotFound, Unavailable
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.models import WebhookDelivery
from services.messaging.outbox import Subject, emit
from services.people.organisations import operations_desk
from services.vault.boxes import box

log = structlog.get_logger()


class Hook(StrEnum):
    """Who posts, and what about."""

    TWILIO_INBOUND = "twilio_inbound"
    TWILIO_STATUS = "twilio_status"
    EASYPOST = "easypost"


EVENTS: Final[Mapping[Hook, EventKind]] = {
    Hook.TWILIO_INBOUND: EventKind.SMS_RECEIVED,
    Hook.TWILIO_STATUS: EventKind.SMS_STATUS_RECEIVED,
    Hook.EASYPOST: EventKind.CARRIER_EVENT_RECEIVED,
}
# How a delivery is named as the subject of events, tasks and notices. A text that came in is a message to its readers.
MESSAGE: Final = "message"
SUBJECT_KINDS: Final[Mapping[Hook, str]] = {
    Hook.TWILIO_INBOUND: MESSAGE,
    Hook.TWILIO_STATUS: "webhook_delivery",
    Hook.EASYPOST: "webhook_delivery",
}


@dataclass(frozen=True, slots=True)
class OpenedDelivery:
    """A delivery, opened. ``context`` is what its address said (a notice's id).

    ``row`` stays locked until the commit.
    """

    row: WebhookDelivery
    body: Personal[bytes]
    context: Mapping[str, str]

    @property
    def subject(self) -> Subject:
        """How events and tasks name it."""
        return Subject(SUBJECT_KINDS[Hook(self.row.provider)], self.row.id)

    def form(self) -> Personal[dict[str, str]]:
        """The body as a form; the first value of a repeated field. Never raises: what is no form has no fields."""
        text = self.body.reveal().decode("utf-8", "replace")
        try:
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            fields = []
        return Personal(dict(reversed(fields)))

    def close(self, outcome: str) -> None:
        """Note that it was read and what came of it (a code, at most 40 characters)."""
        self.row.read_at, self.row.outcome = clock.now(), outcome


def keep_delivery(
    session: Session, hook: Hook, body: bytes, provider_id: str | None, context: Mapping[str, str] | None = None
) -> UUID | None:
    """Store a delivery whose signature was checked, and let the party that reads it know; gives its id.

    ``provider_id`` is the provider's own id of the delivery; without a usable one its content stands in. None means
    that it was stored before: nothing happens. Raises ``Unavailable`` while there is no operations desk to keep it for.
    """
    try:
        desk_id = operations_desk(session)
    except NotFound:
        raise Unavailable("There is no operations desk yet that webhooks could be kept for.") from None
    now = clock.now()
    row = WebhookDelivery(id=new_id(), owner_id=desk_id)
    content = {"body": body.decode("latin-1"), "context": dict(context or {})}
    box(session, desk_id).seal(row, "raw", content)
    fresh = session.scalar(
        insert(WebhookDelivery)
        .values(
            id=row.id,
            provider=hook,
            provider_key=_key(hook, body, provider_id),
            owner_id=desk_id,
            raw=row.raw,
            received_at=now,
        )
        .on_conflict_do_nothing(index_elements=["provider_key"])
        .returning(WebhookDelivery.id)
    )
    if fresh is None:
        log.info("webhook_repeated", hook=hook.value)
        return None
    subject = Subject(SUBJECT_KINDS[hook], row.id)
    record(session, SYSTEM, "webhook.receive", subject.kind, row.id, hook=hook.value)
    emit(session, EVENTS[hook], subject=subject)
    return row.id


def _key(hook: Hook, body: bytes, provider_id: str | None) -> str:
    if provider_id is not None and re.fullmatch(r"[A-Za-z0-9_.:-]{1,90}", provider_id):
        return f"{hook}:{provider_id}"
    return f"{hook}:sha256:{hashlib.sha256(body).hexdigest()}"


def open_delivery(session: Session, delivery_id: UUID, hook: Hook) -> OpenedDelivery:
    """A stored delivery of ``hook``, opened and locked for the rest of the transaction.

    Raises ``NotFound`` when there is none, ``InvalidInput`` when it belongs to another hook.
    """
    row = session.get(WebhookDelivery, delivery_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("There is no such webhook delivery.")
    if row.provider != hook:
        raise InvalidInput("This webhook delivery came from another provider.", field="provider")
    content = box(session, row.owner_id).open(row, "raw").reveal()
    return OpenedDelivery(row, Personal(content["body"].encode("latin-1")), content["context"])
