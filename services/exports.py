"""Everything the service holds about one patient, as the patient may take it away (45 CFR 164.524).

The export walks every table that names a patient or an episode, so that a table added later is included by itself.
Psychotherapy notes (164.501) are never part of it, nor are keys, tokens and the plumbing of message queues.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, inspect, or_, select
from sqlalchemy.orm import Mapper, Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.database import Base
from services.core.errors import NotFound
from services.people.access import Action, authorize, visible_episode
from services.people.models import Episode, Patient
from services.vault.boxes import box
from services.vault.models import Purpose
from services.vault.rotation import sealed_columns

LEFT_OUT: Final = frozenset({"tokens", "personal_links", "data_keys", "timers"})


def export_patient(session: Session, actor: Actor, patient_id: UUID) -> dict[str, Any]:
    """All records of a patient by table, opened. Raises ``NotFound``; audited as a disclosure (164.528)."""
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise NotFound("There is no such patient, or it is not yours to see.")
    episode_ids = list(session.scalars(select(Episode.id).where(Episode.patient_id == patient_id)))
    _authorize(session, actor, episode_ids)
    tables = {
        mapper.class_.__tablename__: rows
        for mapper in sorted(Base.registry.mappers, key=lambda each: str(each.class_.__tablename__))
        if (rows := _rows_of(session, mapper, patient_id, episode_ids))
    }
    record(session, actor, "patient.export", "patient", patient_id, tables=len(tables))
    return {"patient": str(patient_id), "exported_at": clock.now().isoformat(), "records": tables}


def _authorize(session: Session, actor: Actor, episode_ids: list[UUID]) -> None:
    authorize(actor, Action.EXPORT_PATIENT)
    for episode_id in episode_ids:
        visible_episode(session, actor, Action.EXPORT_PATIENT, episode_id)


def _rows_of(
    session: Session, mapper: Mapper[Any], patient_id: UUID, episode_ids: list[UUID]
) -> list[Mapping[str, Any]]:
    model, columns = mapper.class_, mapper.class_.__table__.columns
    sealed = sealed_columns(mapper)
    if model.__tablename__ in LEFT_OUT or any(c.info["sealed_purpose"] is not Purpose.RECORD for c in sealed):
        return []
    conditions: list[ColumnElement[bool]] = []
    if model is Patient:
        conditions.append(Patient.id == patient_id)
    if "patient_id" in columns:
        conditions.append(model.patient_id == patient_id)
    if "episode_id" in columns:
        conditions.append(model.episode_id.in_(episode_ids))
    if "recipient_id" in columns:
        conditions.append(model.recipient_id == patient_id)
    if not conditions:
        return []
    return [_plain_row(session, row, sealed) for row in session.scalars(select(model).where(or_(*conditions)))]


def _plain_row(session: Session, row: Any, sealed: list[Any]) -> dict[str, Any]:
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
