"""What a dosing session goes by: the signed prescription in force, this patient's own limits among it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.people.models import Episode
from services.prescribing.limits import NO_LIMITS, PatientLimits
from services.prescribing.models import Prescription
from services.prescribing.signing import verify_signature
from services.prescribing.states import VALID
from services.prescribing.views import DosingOrder, dosing_order, list_prescriptions, read_prescription
from services.sessions.lookups import refuse
from services.sessions.models import TherapySession
from services.sessions.readiness_rules import PRESCRIPTION_MISSING


def limits_in_force(session: Session, actor: Actor, episode: Episode) -> PatientLimits | None:
    """This patient's limits by the prescription in force; None when no signed one is.

    What was handed out comes first; before the first parcel it is what was signed.
    """
    order = dosing_order(session, actor, episode)
    if order is not None:
        return order.limits
    signed = _newest_valid(session, actor, episode)
    return None if signed is None else _limits_in(session, actor, signed.id)


def limits_of_session(session: Session, actor: Actor, row: TherapySession, episode: Episode) -> PatientLimits:
    """The limits that the readings of a session are held against: those of the prescription that was taken from.

    They stay so even when it is cancelled meanwhile. Before the first dose they are those in force, and without any
    the programme's.
    """
    if row.prescription_id is not None:
        return _limits_in(session, actor, row.prescription_id)
    order = dosing_order(session, actor, episode)
    return NO_LIMITS if order is None else order.limits


def _limits_in(session: Session, actor: Actor, prescription_id: UUID) -> PatientLimits:
    content = read_prescription(session, actor, prescription_id).content
    return NO_LIMITS if content is None else PatientLimits(**content.reveal()["limits"])


def _newest_valid(session: Session, actor: Actor, episode: Episode) -> Prescription | None:
    for row in list_prescriptions(session, actor, episode.id):
        if row.state in VALID and verify_signature(session, row):
            return row
    return None


def order_in_force(session: Session, actor: Actor, episode: Episode) -> DosingOrder:
    """What may be taken now. Raises ``RuleRefused`` when no signed prescription was handed out."""
    order = dosing_order(session, actor, episode)
    if order is None:
        refuse(PRESCRIPTION_MISSING.finding())
    return order
