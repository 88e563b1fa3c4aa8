"""Texts that came in: what stands in a stored delivery, whose it may be, and how staff read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor, Role
from services.core.errors import InvalidInput, NotAllowed, NotFound
from services.core.personal import Personal
from services.messaging.deliveries import MESSAGE, Hook, OpenedDelivery, open_delivery
from services.messaging.models import WebhookDelivery
from services.people.access import Action, authorize
from services.people.models import Episode, Patient
from services.people.patients import patients_with_mobile
from services.people.phones import e164
from services.people.states import EpisodeState

NOT_YOURS = "There is no such message, or it is not yours to see."


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text as it came in. ``number`` is None when it did not come from a phone number that can be answered.

    ``answered_by_provider`` tells that Twilio already sent its own answer to STOP, START or HELP.
    """

    number: Personal[str] | None
    body: Personal[str]
    answered_by_provider: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A text as staff read it. ``sender`` is for the operations desk, which has to find out whose an unknown number is.

    ``outcome`` is what the service made of it, None while it has not been read; ``episode_ids`` are those that the
    reader may see of the patients who have the number. A delivery that holds no text is shown as it came.
    """

    id: UUID
    received_at: datetime
    text: Personal[str]
    sender: Personal[str] | None
    outcome: str | None
    episode_ids: Sequence[UUID]


def text_in(delivery: OpenedDelivery) -> InboundText | None:
    """The text in a delivery from Twilio; None when it holds none."""
    form = delivery.form().reveal()
    if "From" not in form or "Body" not in form:
        return None
    try:
        number = e164(Personal(form["From"]), field="From")
    except InvalidInput:
        number = None
    return InboundText(number, Personal(form["Body"]), bool(form.get("OptOutType")))


def senders_of(session: Session, text: InboundText) -> Sequence[Patient]:
    """The patients it may come from: everybody who gave the number."""
    return [] if text.number is None else patients_with_mobile(session, text.number)


def episodes_of(session: Session, patients: Sequence[Patient], *, only_open: bool = True) -> Sequence[Episode]:
    """The patients' episodes, newest first."""
    query = select(Episode).where(Episode.patient_id.in_([patient.id for patient in patients]))
    if only_open:
        query = query.where(Episode.state != EpisodeState.CLOSED)
    return session.scalars(query.order_by(Episode.id.desc())).all() if patients else []


def read_message(session: Session, actor: Actor, message_id: UUID) -> Message:
    """One text that came in, for the operations desk and for the care team of whoever has its number; audited.

    Raises ``NotFound`` for anybody else, ``NotAllowed`` for a role that reads no messages.
    """
    authorize(actor, Action.READ_MESSAGE)
    row = session.get(WebhookDelivery, message_id)
    if row is None or row.provider != Hook.TWILIO_INBOUND:
        raise NotFound(NOT_YOURS)
    delivery = open_delivery(session, message_id, Hook.TWILIO_INBOUND)
    text = text_in(delivery)
    episodes = [] if text is None else episodes_of(session, senders_of(session, text), only_open=False)
    is_desk = actor.role is Role.OPERATIONS
    visible = [episode.id for episode in episodes if is_desk or _sees(actor, episode)]
    if not is_desk and not visible:
        raise NotFound(NOT_YOURS)
    record(session, actor, "message.read", MESSAGE, row.id, episode_id=visible[0] if len(visible) == 1 else None)
    return Message(
        id=row.id,
        received_at=row.received_at,
        text=Personal(delivery.body.reveal().decode("utf-8", "replace")) if text is None else text.body,
        sender=text.number if text is not None and is_desk else None,
        outcome=row.outcome,
        episode_ids=visible,
    )


def _sees(actor: Actor, episode: Episode) -> bool:
    try:
        authorize(actor, Action.READ_MESSAGE, episode)
    except (NotFound, NotAllowed):
        return False
    return True
