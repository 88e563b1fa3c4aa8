"""Who is acting. Every use case takes an actor right after the session."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a person is in a programme. Fixed on purpose: rights follow from the role, not from free permissions."""

    THERAPIST = "therapist"
    PRESCRIBER = "prescriber"
    MEDICAL_STAFF = "medical_staff"
    PHARMACIST = "pharmacist"
    PATIENT = "patient"
    OPERATIONS = "operations"
    SYSTEM = "system"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Actor:
    """One person or process, as proven at the edge.

    ``id`` is an account id, a patient id or the nil-free id of the system itself; ``organisation_id`` is the practice,
    medical team, pharmacy or operations desk it belongs to. ``episode_id`` limits a patient's link to one episode.
    """

    id: UUID
    role: Role
    organisation_id: UUID | None = None
    episode_id: UUID | None = None


SYSTEM = Actor(id=UUID("00000000-0000-7000-8000-000000000001"), role=Role.SYSTEM)

# Whoever has not proven who it is: no row of the access table names this role.
NOBODY = Actor(id=UUID("00000000-0000-7000-8000-000000000000"), role=Role.NOBODY)
