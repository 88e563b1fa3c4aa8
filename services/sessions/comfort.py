"""Comfort preferences belong to the patient, who writes them; the therapist prepares the room by them (DOMAIN 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import StaleVersion
from services.core.ids import new_id
from services.core.personal import Personal
from services.messaging.outbox import Subject
from services.people.access import Action
from services.people.episodes import episode_of_patient
from services.people.models import Patient
from services.screening.rules import CrisisResource
from services.screening.written_texts import heed
from services.sessions.models import ComfortPreferences
from services.vault.boxes import box


class Talking(StrEnum):
    """Whether to talk while the medicine works."""

    TALK = "talk"
    QUIET = "quiet"
    AS_IT_COMES = "as_it_comes"


class Resting(StrEnum):
    """What to lie or sit on."""

    MAT = "mat"
    RECLINER = "recliner"
    BED = "bed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comfort:
    """What a patient would like; None says nothing about it. ``music`` and ``more`` are the patient's own words."""

    music: str | None = None
    talking: Talking | None = None
    resting: Resting | None = None
    aromatherapy: bool | None = None
    eye_mask: bool | None = None
    more: str | None = None

    def __repr__(self) -> str:
        return "<comfort preferences>"

    def as_dict(self) -> dict[str, Any]:
        """The preferences as plain JSON types, for sealing."""
        return {name: getattr(self, name) for name in Comfort.__slots__}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Comfort:
        """The preferences that ``as_dict`` wrote."""
        talking, resting = document["talking"], document["resting"]
        return cls(
            **{
                **document,
                "talking": None if talking is None else Talking(talking),
                "resting": None if resting is None else Resting(resting),
            }
        )


@dataclass(frozen=True, slots=True)
class Preferred:
    """A patient's preferences as they stand. ``version`` is 0 and ``changed_at`` None while there are none.

    ``crisis_resources`` is what to show a patient at once whose own words just called for help.
    """

    patient_id: UUID
    comfort: Personal[Comfort]
    version: int
    changed_at: datetime | None
    crisis_resources: Sequence[CrisisResource] = ()


def change_comfort(
    session: Session, actor: Actor, patient_id: UUID, changes: Mapping[str, Any], *, version: int | None = None
) -> Preferred:
    """The patient says what is liked; what is left out of ``changes`` stays. Raises ``StaleVersion``."""
    episode = episode_of_patient(session, actor, Action.CHANGE_COMFORT, patient_id)
    # Two devices of one patient may write first at the same time: the patient's row is held for both.
    session.get(Patient, patient_id, with_for_update={"key_share": True}, populate_existing=True)
    own = box(session, patient_id)
    row = session.scalar(_OF_PATIENT, {"patient": patient_id})
    if row is None:
        row = ComfortPreferences(id=new_id(), patient_id=patient_id)
        own.seal(row, "content", Comfort().as_dict())
        session.add(row)
    if version is not None and (row.version or 0) != version:
        raise StaleVersion("Somebody else changed these preferences since you read them.", field="version")
    known = own.open(row, "content").reveal()
    own.seal(row, "content", Comfort.from_dict({**known, **changes}).as_dict())
    row.changed_at = clock.now()
    session.flush()
    record(session, actor, "comfort.change", "patient", patient_id, episode_id=episode.id)
    written = [changes.get(name) for name in ("music", "more")]
    shown = heed(session, actor, episode, *written, subject=Subject("patient", patient_id))
    return replace(_preferred(session, row), crisis_resources=shown)


_OF_PATIENT: Final = (
    select(ComfortPreferences)
    .where(ComfortPreferences.patient_id == bindparam("patient"))
    .execution_options(populate_existing=True)
)


def read_comfort(session: Session, actor: Actor, patient_id: UUID) -> Preferred:
    """What a patient would like, for the patient and the therapist; an audited read."""
    episode = episode_of_patient(session, actor, Action.READ_COMFORT, patient_id)
    record(session, actor, "comfort.read", "patient", patient_id, episode_id=episode.id)
    return preferred(session, patient_id)


def preferred(session: Session, patient_id: UUID) -> Preferred:
    """What a patient would like. The caller has authorized and audits."""
    row = session.scalar(_OF_PATIENT, {"patient": patient_id})
    return Preferred(patient_id, Personal(Comfort()), 0, None) if row is None else _preferred(session, row)


def _preferred(session: Session, row: ComfortPreferences) -> Preferred:
    content = box(session, row.patient_id).open(row, "content").reveal()
    return Preferred(row.patient_id, Personal(Comfort.from_dict(content)), row.version, row.changed_at)
