"""Everything the service holds about one patient, as the patient may take it away (45 CFR 164.524).

The export walks every table that names a patient or an episode, so that a table added later is included by itself, and
adds the texts that came from the patient's number. What a patient never shared of their journal goes to them alone.
Psychotherapy notes (164.501) are never part of it, not even that they exist; nor are keys, tokens and the plumbing of
message queues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Table, func, inspect, not_, or_, select
from sqlalchemy.orm import Mapper, Session

from services.audit.models import AuditRecord
from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.database import Base
from services.core.errors import NotFound
from services.core.personal import Personal
from services.journals.models import JournalEntry
from services.journals.states import EntryState
from services.messaging.deliveries import Hook, OpenedDelivery
from services.messaging.messages import text_in
from services.messaging.models import WebhookDelivery
from services.people.access import Action, authorize, visible_episode
from services.people.models import Episode, Patient
from services.people.patients import mobile_index
from services.tables import metadata
from services.vault.boxes import box
from services.vault.models import Purpose
from services.vault.rotation import sealed_columns

LEFT_OUT: Final = frozenset({"tokens", "personal_links", "data_keys", "timers"})
NOTES: Final = "psychotherapy_note."


def export_patient(session: Session, actor: Actor, patient_id: UUID) -> dict[str, Any]:
    """All records of a patient by table, opened. Raises ``NotFound``; audited as a disclosure (164.528)."""
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise NotFound("There is no such patient, or it is not yours to see.")
    episode_ids = list(session.scalars(select(Episode.id).where(Episode.patient_id == patient_id)))
    _authorize(session, actor, episode_ids)
    tables: dict[str, Sequence[dict[str, Any]]] = {
        mapper.class_.__tablename__: rows
        for mapper in sorted(_mappers(), key=lambda each: str(each.class_.__tablename__))
        if (rows := _rows_of(session, mapper, actor, patient_id, episode_ids))
    }
    texts = list(_texts_from(session, patient))
    if texts:
        tables["texts_received"] = texts
    record(session, actor, "patient.export", "patient", patient_id, tables=len(tables))
    return {"patient": str(patient_id), "exported_at": clock.now().isoformat(), "records": tables}


def _authorize(session: Session, actor: Actor, episode_ids: list[UUID]) -> None:
    authorize(actor, Action.EXPORT_PATIENT)
    for episode_id in episode_ids:
        visible_episode(session, actor, Action.EXPORT_PATIENT, episode_id)


def _mappers() -> Iterator[Mapper[Any]]:
    known = {table.name for table in metadata.sorted_tables}
    return (mapper for mapper in Base.registry.mappers if mapper.class_.__tablename__ in known)


def _rows_of(
    session: Session, mapper: Mapper[Any], actor: Actor, patient_id: UUID, episode_ids: list[UUID]
) -> list[dict[str, Any]]:
    model, table = mapper.class_, mapper.class_.__table__
    sealed = sealed_columns(table)
    if table.name in LEFT_OUT or any(column.info["sealed_purpose"] is not Purpose.RECORD for column in sealed):
        return []
    conditions = _conditions(model, table, patient_id, episode_ids)
    if not conditions:
        return []
    query = select(model).where(or_(*conditions)).order_by(*table.primary_key.columns)
    if model is AuditRecord:
        query = query.where(not_(func.starts_with(AuditRecord.action, NOTES)))
    if model is JournalEntry and actor.role is not Role.PATIENT:
        # What a patient keeps private the desk does not take out, not even for the patient.
        query = query.where(JournalEntry.state == EntryState.SHARED)
    return [_plain_row(session, row, sealed) for row in session.scalars(query)]


def _conditions(model: Any, table: Table, patient_id: UUID, episode_ids: list[UUID]) -> list[ColumnElement[bool]]:
    if model is Patient:
        return [model.id == patient_id]
    if "recipient_id" in table.columns:
        # What staff were told about the episode went to numbers and addresses that are theirs.
        return [model.recipient_id == patient_id]
    conditions: list[ColumnElement[bool]] = []
    if "patient_id" in table.columns:
        conditions.append(model.patient_id == patient_id)
    if "episode_id" in table.columns:
        conditions.append(model.episode_id.in_(episode_ids))
    return conditions


def _texts_from(session: Session, patient: Patient) -> Iterator[dict[str, Any]]:
    """The texts that came in from the patient's number; none when somebody else has the same number.

    A text is stored before anybody knows whose it is, so each has to be opened to find out.
    """
    sharing = select(func.count()).where(Patient.mobile_index == patient.mobile_index)
    if session.scalar(sharing) != 1:
        return
    received = select(WebhookDelivery).where(WebhookDelivery.provider == Hook.TWILIO_INBOUND)
    for row in session.scalars(received.order_by(WebhookDelivery.id)):
        content = box(session, row.owner_id).open(row, "raw").reveal()
        text = text_in(OpenedDelivery(row, Personal(content["body"].encode("latin-1")), content["context"]))
        if text is not None and text.number is not None and mobile_index(text.number) == patient.mobile_index:
            yield {
                "id": str(row.id),
                "received_at": row.received_at.isoformat(),
                "text": text.body.reveal(),
                "outcome": row.outcome,
            }


def _plain_row(session: Session, row: Any, sealed: Sequence[Column[Any]]) -> dict[str, Any]:
    opened = {
        column.key: box(session, getattr(row, column.info["sealed_owner"])).open(row, column.key).reveal()
        for column in sealed
    }
    values = {attribute.key: getattr(row, attribute.key) for attribute in inspect(type(row)).column_attrs}
    return {
        name: opened.get(name, _plain(value))
        for name, value in values.items()
        if name in opened or not isinstance(value, bytes)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
