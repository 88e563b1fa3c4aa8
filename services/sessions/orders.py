"""What a dosing session goes by: the signed prescription in force, this patient's own limits among it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.people.models import Episode
from services.prescribing.limits import NO_LIMITS, PatientLimits
from services.prescribing.models import Prescription
from services.prescribing.routes import Route, is_shipped
from services.prescribing.signing import verify_signature
from services.prescribing.states import VALID
from services.prescribing.views import DosingOrder, dosing_order, is_over, list_prescriptions, read_prescription
from services.sessions.lookups import refuse
from services.sessions.models import TherapySession
from services.sessions.places import Place
from services.sessions.readiness_rules import PRESCRIPTION_MISSING
from services.vault.boxes import box


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planned session goes by: this patient's limits, the route, who supplies it, the most that may be taken."""

    limits: PatientLimits
    route: Route
    is_shipped: bool
    session_mg: int

    def __repr__(self) -> str:
        return "<plan of a session>"


def plan_in_force(session: Session, actor: Actor, episode: Episode, route: Route | None) -> Plan | None:
    """What a session by ``route`` (None: any) is planned by; None when no signed prescription is in force.

    What was handed out comes first; before the first parcel it is what was signed.
    """
    order = dosing_order(session, actor, episode, route)
    if order is not None:
        return Plan(order.limits, order.route, order.is_shipped, order.dose_mg + order.booster_mg)
    for row in list_prescriptions(session, actor, episode.id):
        counts = row.state in VALID and not is_over(session, episode, row) and verify_signature(session, row)
        content = _content(session, actor, row) if counts else None
        if content is not None and route in (None, content["route"]):
            session_mg = content["dose_mg"] + content["booster_mg"]
            return Plan(PatientLimits(**content["limits"]), Route(content["route"]), is_shipped(row), session_mg)
    return None


def limits_of_session(session: Session, actor: Actor, row: TherapySession, episode: Episode) -> PatientLimits:
    """The limits that the readings of a session are held against: those of the prescription that was taken from.

    They stay so even when it is cancelled meanwhile. Before the first dose they are those in force, and without any
    the programme's.
    """
    if row.prescription_id is not None:
        content = read_prescription(session, actor, row.prescription_id).content
        return NO_LIMITS if content is None else PatientLimits(**content.reveal()["limits"])
    order = dosing_order(session, actor, episode, route_of(session, row))
    return NO_LIMITS if order is None else order.limits


def _content(session: Session, actor: Actor, row: Prescription) -> Mapping[str, Any] | None:
    content = read_prescription(session, actor, row.id).content
    return None if content is None else content.reveal()


def route_of(session: Session, row: TherapySession) -> Route | None:
    """The route that a session was booked for, if one was named."""
    return Place.from_dict(box(session, row.patient_id).open(row, "place").reveal()).route


def order_in_force(session: Session, actor: Actor, row: TherapySession, episode: Episode) -> DosingOrder:
    """What may be taken in a session now. Raises ``RuleRefused`` when there is no signed prescription to go by."""
    order = dosing_order(session, actor, episode, route_of(session, row))
    if order is None:
        refuse(PRESCRIPTION_MISSING.finding(in_force=0))
    return order
