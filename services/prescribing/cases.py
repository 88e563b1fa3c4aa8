"""The case that a prescription belongs to: its episode, and of the patient what prescribing needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import bindparam, exists, or_, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused
from services.core.personal import Personal
from services.core.vocabulary import TaskKind
from services.eligibility.decisions import approved_until
from services.messaging.models import OPEN_TASK, Task
from services.people.access import Action, authorize
from services.people.models import Account, Episode, Patient
from services.people.postal import Address
from services.people.zones import default_zone, read_zone
from services.prescribing.models import DoseTaken, Fill, Prescription
from services.prescribing.signing_rules import PRESCRIBER_NOT_ON_TEAM
from services.prescribing.states import VALID, PrescriptionState
from services.screening.risk import has_flags
from services.vault.boxes import Box, box


@dataclass(frozen=True, slots=True)
class Case:
    """An episode with its patient. ``state`` is the patient's (USPS code), ``today`` the day it is where they live."""

    episode: Episode
    patient: Patient
    box: Box
    address: Personal[Address]
    zone: str

    @property
    def state(self) -> str:
        """The state the patient lives in: where the prescriber must be licensed and registered."""
        return self.address.reveal().state

    @property
    def today(self) -> date:
        """The calendar day at the patient's home; a prescription's dates are counted in it."""
        return clock.now().astimezone(read_zone(self.zone)).date()


_CASE = (
    select(Episode, Patient).join(Patient, Patient.id == Episode.patient_id).where(Episode.id == bindparam("episode"))
)


def visible_case(session: Session, actor: Actor, action: Action, episode_id: UUID) -> Case:
    """The case of an episode, in one query, if ``actor`` may do ``action`` on it; raises as ``authorize`` does."""
    row = session.execute(_CASE, {"episode": episode_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    episode, patient = row
    authorize(actor, action, episode)
    return case_of(session, episode, patient)


@dataclass(frozen=True, slots=True)
class Questions:
    """Whether there is anything at all to ask the owners of these records about; most first drafts need none of it."""

    has_risk: bool = True
    has_history: bool = True
    has_request: bool = True
    has_others: bool = True
    approved_until: date | None = None  # the last day on which an approval counts, where that was looked up as well


_MAY_SUPPLY = [state.value for state in sorted({*VALID, PrescriptionState.READY, PrescriptionState.REPORTED})]

# Drafting is asked for often, and each further round trip costs as much as the whole judgement of a draft: one query
# says whether suicide-risk flags, earlier fills or doses, requests to draft or other prescriptions exist, before their
# packages are asked, and until when the eligibility stands.
_OPENING = _CASE.add_columns(
    has_flags(Episode.id),
    or_(exists().where(Fill.episode_id == Episode.id), exists().where(DoseTaken.episode_id == Episode.id)),
    exists().where(Task.subject_id == Episode.id, Task.kind == TaskKind.DRAFT_PRESCRIPTION.value, OPEN_TASK),
    exists().where(Prescription.patient_id == Episode.patient_id, Prescription.state.in_(_MAY_SUPPLY)),
    approved_until(Episode.id),
)


def opened_case(session: Session, actor: Actor, action: Action, episode_id: UUID) -> tuple[Case, Questions]:
    """The case of an episode, if ``actor`` may do ``action`` on it, and what there is to ask; one query.

    Raises as ``authorize`` does.
    """
    row = session.execute(_OPENING, {"episode": episode_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such record, or it is not yours to see.")
    episode, patient, *found = row
    authorize(actor, action, episode)
    return case_of(session, episode, patient), Questions(*found)


def case_of(session: Session, episode: Episode, patient: Patient | None = None) -> Case:
    """The case of an episode that the caller has authorized."""
    patient = patient or session.get_one(Patient, episode.patient_id)
    own = box(session, patient.id)
    address = Address(**own.open(patient, "address").reveal())
    given: str | None = own.open(patient, "zone").reveal()
    return Case(episode, patient, own, Personal(address), given or default_zone(address.state))


def check_named_prescriber(session: Session, actor: Actor, episode: Episode, prescriber_id: UUID) -> None:
    """Refuse a named prescriber who is not an active prescriber of the episode's medical team (``RuleRefused``)."""
    if prescriber_id == actor.id and actor.role is Role.PRESCRIBER:
        return
    account = session.get(Account, prescriber_id)
    if (
        account is not None
        and account.role == Role.PRESCRIBER
        and account.disabled_at is None
        and account.organisation_id == episode.medical_team_id
    ):
        return
    finding = PRESCRIBER_NOT_ON_TEAM.finding(prescriber_id=str(prescriber_id))
    raise RuleRefused(finding.sentence, [finding], field="prescriber_id")
