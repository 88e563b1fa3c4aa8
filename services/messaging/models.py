"""Tables that carry work between parties: events, tasks, timers, notices, received webhooks, dead letters."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary, SmallInteger, String, text
from sqlalchemy.orm import Mapped, mapped_column

from services.core.database import Base
from services.vault.models import sealed_column


class Event(Base):
    """The outbox: one sealed event for one party, kept with what became of it.

    It is the inbox as well: the worker sets ``acknowledged_at`` in the transaction that holds the effects, so a second
    delivery finds it set and does nothing.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_next_relay_at", "next_relay_at", postgresql_where=text("acknowledged_at IS NULL")),
        Index("ix_events_acknowledged_at", "acknowledged_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    party: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(40))
    key_name: Mapped[str] = mapped_column(String(40))
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    next_relay_at: Mapped[datetime]
    relays: Mapped[int] = mapped_column(SmallInteger, default=0)
    failures: Mapped[int] = mapped_column(SmallInteger, default=0)
    last_failure: Mapped[str | None] = mapped_column(String(60))
    acknowledged_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(10))


class DeadLetter(Base):
    """An envelope that could not be read or handled. It is kept, a person is told, and it can be replayed."""

    __tablename__ = "dead_letters"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(index=True)
    party: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(40))
    key_name: Mapped[str] = mapped_column(String(40))
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str] = mapped_column(String(60))
    buried_at: Mapped[datetime]
    replayed_at: Mapped[datetime | None]


OPEN_TASK = text("state IN ('requested', 'accepted', 'in_progress')")


class Task(Base):
    """What a person or team has to do by a time (FHIR Task). It names its subject by id and says nothing personal."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_inbox", "owner_id", "due_at", "id", postgresql_where=OPEN_TASK),
        Index("ix_tasks_inbox_kind", "owner_id", "kind", "due_at", "id", postgresql_where=OPEN_TASK),
        Index("ix_tasks_owner_state", "owner_id", "state", "due_at", "id"),
        Index("ix_tasks_subject_id", "subject_id", postgresql_where=OPEN_TASK),
        Index("ix_tasks_escalate_at", "escalate_at", postgresql_where=OPEN_TASK),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    priority: Mapped[str] = mapped_column(String(10))
    party: Mapped[str] = mapped_column(String(20))
    owner_id: Mapped[UUID]
    accepted_by: Mapped[UUID | None]
    episode_id: Mapped[UUID | None]
    subject_kind: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID | None]
    reason: Mapped[bytes | None] = sealed_column(owner="owner_id")
    event_id: Mapped[UUID | None]
    due_at: Mapped[datetime]
    escalation: Mapped[int] = mapped_column(SmallInteger, default=0)
    escalate_at: Mapped[datetime]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class Settlement(Base):
    """That a kind of task about a subject was settled, and when.

    Hand-overs take a moment: what a task asks for may be done before the task exists. A task that an event from before
    the settlement asks for is not opened any more.
    """

    __tablename__ = "settlements"

    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    settled_at: Mapped[datetime]


class Timer(Base):
    """An event that will happen at a time unless it is cancelled: a reminder, an integration falling due."""

    __tablename__ = "timers"
    __table_args__ = (
        Index("ix_timers_due_at", "due_at", postgresql_where=text("ended_at IS NULL")),
        Index("ix_timers_subject_id", "subject_id", postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    episode_id: Mapped[UUID]
    subject_kind: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    due_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(10))


ON_ITS_WAY = text("state IN ('pending', 'held', 'sending')")
OF_UNKNOWN_FATE = text("state = 'unknown'")


class Notice(Base):
    """A message to one person: a text message, or an in-app notice. Address and text are sealed.

    ``send_at`` is when it is to be sent or looked at next, ``attempted_at`` when the latest attempt began, ``sent_at``
    when the provider took it. Two notices never share a ``once_key``.
    """

    __tablename__ = "notices"
    __table_args__ = (
        Index("ix_notices_send_at", "send_at", postgresql_where=ON_ITS_WAY),
        Index("ix_notices_recipient_id", "recipient_id", "created_at"),
        Index("ix_notices_provider_id", "provider_id"),
        Index("ix_notices_unknown", "send_at", postgresql_where=OF_UNKNOWN_FATE),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    channel: Mapped[str] = mapped_column(String(10))
    purpose: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(20))
    recipient_id: Mapped[UUID]
    episode_id: Mapped[UUID | None]
    subject_kind: Mapped[str | None] = mapped_column(String(40))
    subject_id: Mapped[UUID | None]
    event_id: Mapped[UUID | None]
    address: Mapped[bytes | None] = sealed_column(owner="recipient_id")
    body: Mapped[bytes | None] = sealed_column(owner="recipient_id")
    reason: Mapped[str | None] = mapped_column(String(60))
    send_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    once_key: Mapped[str | None] = mapped_column(String(120), unique=True)
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    attempted_at: Mapped[datetime | None]
    provider_id: Mapped[str | None] = mapped_column(String(40))
    provider_status: Mapped[str | None] = mapped_column(String(20))
    error_code: Mapped[str | None] = mapped_column(String(20))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy


class WebhookDelivery(Base):
    """A webhook as it arrived: raw and sealed, stored before any work is done on it.

    ``provider_key`` is the provider's own id of the delivery, so that a repeated one is recognised.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(String(20))
    provider_key: Mapped[str | None] = mapped_column(String(120), unique=True)
    owner_id: Mapped[UUID]
    raw: Mapped[bytes | None] = sealed_column(owner="owner_id")
    received_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(40))
