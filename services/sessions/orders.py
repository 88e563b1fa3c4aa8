"""What a dosing session goes by: the signed prescription in force, this patient's own limits among it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.core.errors import RuleRefused
from services.core.findings import Finding
from services.people.models import Episode
from services.prescribing.limits import PatientLimits
from services.prescribing.models import Prescription
from services.prescribing.signing import verify_signature
from services.prescribing.states import VALID
from services.prescribing.views import DosingOrder, dosing_order, list_prescriptions, read_prescription
from services.sessions.lookups import stop


def limits_in_force(session: Session, actor: Actor, episode: Episode) -> PatientLimits | None:
    """This patient's limits by the prescription in force; None when no signed one is.

    What was handed out comes first; before the first parcel it is what was signed.
    """
    order = dosing_order(session, actor, episode)
    if order is not None:
        return order.limits
    signed = _newest_valid(session, actor, episode)
    if signed is None:
        return None
    content = read_prescription(session, actor, signed.id).content
    return PatientLimits(**content.reveal()["limits"]) if content is not None else None


def _newest_valid(session: Session, actor: Actor, episode: Episode) -> Prescription | None:
    for row in list_prescriptions(session, actor, episode.id):
        if row.state in VALID and verify_signature(session, row):
            return row
    return None


def order_in_force(session: Session, actor: Actor, episode: Episode) -> DosingOrder:
    """What may be taken now. Raises ``RuleRefused`` when no signed prescription was handed out."""
    order = dosing_order(session, actor, episode)
    if order is None:
        finding = no_prescription()
        raise RuleRefused(finding.sentence, [finding])
    return order


def no_prescription() -> Finding:
    """The finding that there is nothing to go by."""
    sentence = "There is no signed prescription in force for this patient."
    return stop("sessions.prescription_missing", "DOMAIN 4", sentence)
