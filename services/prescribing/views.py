"""Who sees what of a prescription (45 CFR 164.502(b), minimum necessary), and the order that a dosing session follows.

The medical team sees all of it. The pharmacy sees what a prescription must carry (21 CFR 1306.05) and what may still be
handed out; therapist and patient see what concerns a session. Nobody else sees findings, reasons or weight.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core.actors import Actor, Role
from services.core.errors import NotFound
from services.core.pages import page_of
from services.core.personal import Personal
from services.people.access import Action, authorize, visible_episode
from services.people.models import Episode
from services.prescribing.cases import case_of
from services.prescribing.contents import Content, content_of
from services.prescribing.limits import PatientLimits
from services.prescribing.models import Fill, Prescription
from services.prescribing.papers import signed_document
from services.prescribing.prescriptions import NOT_VISIBLE, check_sees
from services.prescribing.reviews import Review, review_of
from services.prescribing.routes import Route, Supplied, is_shipped
from services.prescribing.signing import verify_signature
from services.prescribing.states import PrescriptionState
from services.prescribing.supplies import Supply, supply_of
from services.vault.boxes import Box, box

MEDICAL: Final = frozenset({Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.SYSTEM})
FOR_SESSIONS: Final = (
    "drug",
    "route",
    "strength_mg",
    "form",
    "quantity_units",
    "sessions_supply",
    "dose_mg",
    "booster_mg",
    "first_session_dose_mg",
    "directions",
)


@dataclass(frozen=True, slots=True)
class PrescriptionView:
    """A prescription as one role sees it. What the role may not see is ``None``."""

    prescription: Prescription
    content: Personal[Mapping[str, Any]] | None = None
    paper: Personal[Mapping[str, Any]] | None = None
    supply: Supply | None = None
    review: Personal[Review] | None = None
    end_reason: Personal[str] | None = None
    outside: Personal[Mapping[str, Any] | None] | None = None
    signature_valid: bool | None = None


@dataclass(frozen=True, slots=True)
class DosingOrder:
    """What a dosing session goes by: a signed prescription of which something was handed out, or a clinic's order.

    Milligrams are per session; ``first_session_dose_mg`` bounds the patient's very first one by this route.
    ``is_shipped`` False: the clinic gives it, so there is neither receipt nor stock to ask about.
    """

    prescription_id: UUID
    prescriber_id: UUID
    signed_at: datetime
    strength_mg: int
    dose_mg: int
    booster_mg: int
    first_session_dose_mg: int | None
    sessions_supply: int
    limits: PatientLimits
    route: Route = Route.SUBLINGUAL
    is_shipped: bool = True

    def __repr__(self) -> str:
        return f"<dosing order of {self.prescription_id}>"


def read_prescription(session: Session, actor: Actor, prescription_id: UUID) -> PrescriptionView:
    """One prescription as the actor's role sees it; an audited read.

    A draft exists for the medical team only, and no order of the clinic for the pharmacy.
    """
    row = session.get(Prescription, prescription_id)
    if row is None:
        raise NotFound(NOT_VISIBLE)
    episode = visible_episode(session, actor, Action.READ_PRESCRIPTION, row.episode_id)
    check_sees(actor, row)
    if actor.role is Role.PHARMACIST and not is_shipped(row):
        raise NotFound(NOT_VISIBLE)
    record(session, actor, "prescription.read", "prescription", row.id, episode_id=episode.id)
    return view_of(session, actor, row)


def view_of(session: Session, actor: Actor, row: Prescription) -> PrescriptionView:
    """A prescription as the actor's role sees it. The caller has authorized and audits.

    Of one that was altered after it was signed nobody sees any content: it does not count.
    """
    own = box(session, row.patient_id)
    valid = None if row.signature is None else verify_signature(session, row)
    if valid is False:
        return PrescriptionView(row, signature_valid=False)
    if actor.role in MEDICAL:
        return _medical_view(session, own, row, valid)
    if actor.role is Role.PHARMACIST:
        paper = signed_document(own, row).reveal()["paper"]
        return PrescriptionView(
            row,
            paper=Personal(paper),
            supply=supply_of(session, own, row),
            outside=own.open(row, "outside"),
            signature_valid=valid,
        )
    fields = FOR_SESSIONS if actor.role is Role.PATIENT else (*FOR_SESSIONS, "limits")
    return PrescriptionView(row, content=_content(content_of(own, row), fields), signature_valid=valid)


def _medical_view(session: Session, own: Box, row: Prescription, valid: bool | None) -> PrescriptionView:
    reason: str | None = own.open(row, "end_reason").reveal()
    return PrescriptionView(
        row,
        content=Personal(content_of(own, row).as_dict()),
        supply=supply_of(session, own, row) if valid else None,
        review=Personal(review_of(own, row)),
        end_reason=None if reason is None else Personal(reason),
        outside=own.open(row, "outside"),
        signature_valid=valid,
    )


def _content(content: Content, fields: Collection[str]) -> Personal[Mapping[str, Any]]:
    return Personal({name: value for name, value in content.as_dict().items() if name in fields})


def list_prescriptions(
    session: Session, actor: Actor, episode_id: UUID, *, after: UUID | None = None, limit: int = 20
) -> Sequence[Prescription]:
    """The prescriptions of an episode, newest first, from behind the id ``after``: states and dates, nothing sealed."""
    episode = visible_episode(session, actor, Action.READ_PRESCRIPTION, episode_id)
    query = select(Prescription).where(Prescription.episode_id == episode.id)
    if actor.role not in MEDICAL:
        query = query.where(Prescription.signature.is_not(None))
    if actor.role is Role.PHARMACIST:
        query = query.where(Prescription.supplied == Supplied.SHIPPED)
    record(session, actor, "prescription.list", "episode", episode.id, episode_id=episode.id)
    return session.scalars(page_of(query, Prescription.id, after=after, limit=limit)).all()


def dosing_order(session: Session, actor: Actor, episode: Episode, route: Route | None = None) -> DosingOrder | None:
    """What sessions of this episode go by now: the prescription signed last, of ``route`` if one is named.

    None when there is none, or its signature does not hold. What a pharmacy ships counts once something was handed out,
    and still after it expired, for what the patient has of it; what the clinic gives counts from its signature to its
    last day. One that was cancelled or superseded is no order any more.
    """
    authorize(actor, Action.READ_PRESCRIPTION, episode)
    for row in session.scalars(_ORDERS, {"episode": episode.id}):
        if row.signed_at is None or not verify_signature(session, row):
            return None
        if is_over(session, episode, row):
            continue
        content = content_of(box(session, row.patient_id), row)
        if route is not None and content.route is not route:
            continue
        record(session, actor, "prescription.read", "prescription", row.id, episode_id=episode.id)
        return DosingOrder(
            prescription_id=row.id,
            prescriber_id=row.prescriber_id,
            signed_at=row.signed_at,
            strength_mg=content.strength_mg,
            dose_mg=content.dose_mg,
            booster_mg=content.booster_mg,
            first_session_dose_mg=content.first_session_dose_mg,
            sessions_supply=content.sessions_supply,
            limits=content.limits,
            route=content.route,
            is_shipped=is_shipped(row),
        )
    return None


def is_over(session: Session, episode: Episode, row: Prescription) -> bool:
    """Whether the last day of a clinic's order is past where the patient is, whoever noted that it is."""
    return not is_shipped(row) and row.expires_on is not None and row.expires_on < case_of(session, episode).today


_FILLED = select(Fill.prescription_id).where(Fill.episode_id == bindparam("episode"), Fill.undelivered_at.is_(None))
_ORDERS = (
    select(Prescription)
    .where(
        Prescription.episode_id == bindparam("episode"),
        or_(
            and_(Prescription.id.in_(_FILLED), Prescription.state.in_(("filling", "dispensed", "expired"))),
            and_(Prescription.supplied == Supplied.CLINIC, Prescription.state == PrescriptionState.SIGNED),
        ),
    )
    .order_by(Prescription.signed_at.desc(), Prescription.id.desc())
)
