"""Prescriptions signed in a certified system elsewhere: recorded here, confirmed by the prescriber, then filled as any.

Every rule holds as of the date of issue. What is recorded is marked as signed outside; it is not signed by us, and our
key only keeps the record from being altered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import RuleRefused
from services.core.personal import Secret
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from services.people.access import Action
from services.people.attempts import Refused
from services.people.programmes import programme_of
from services.people.sign_in import verify_second_factor
from services.prescribing.cases import Case, case_of
from services.prescribing.models import Prescription
from services.prescribing.prescriptions import check_is_named, locked_prescription
from services.prescribing.signing import prepare, put_in_force
from services.prescribing.signing_rules import outside_findings
from services.prescribing.states import PRESCRIPTION_TRANSITIONS, PrescriptionState, PrescriptionStep
from services.vault.boxes import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideSignature:
    """Where a prescription was signed: the system's name, its reference there, the date of issue."""

    system: str
    reference: str
    issued_on: date

    def __repr__(self) -> str:
        return "<outside signature>"


def report(
    session: Session, actor: Actor, prescription_id: UUID, signature: OutsideSignature, *, version: int | None = None
) -> Prescription:
    """Record that a prescription which was marked ready has been signed in another system.

    It counts once the named prescriber has confirmed it. Raises ``RuleRefused`` on ``issued_on`` for a coming day or
    one too long ago, ``IllegalTransition``, ``StaleVersion``.
    """
    row, episode = locked_prescription(session, actor, Action.REPORT_PRESCRIPTION, prescription_id, version)
    after = PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), PrescriptionStep.REPORT_SIGNED, actor.role)
    case = case_of(session, episode)
    _refuse_day(session, case, signature.issued_on)
    told = {
        "system": " ".join(signature.system.split()),
        "reference": signature.reference.strip(),
        "issued_on": signature.issued_on.isoformat(),
        "reported_by": str(actor.id),
        "reported_at": clock.now().isoformat(),
    }
    case.box.seal(row, "outside", told)
    row.state = after
    session.flush()
    record(session, actor, "prescription.report_signed", "prescription", row.id, episode_id=episode.id)
    emit(
        session,
        EventKind.PRESCRIPTION_REPORTED,
        subject=Subject("prescription", row.id),
        episode_id=episode.id,
        owner=str(row.prescriber_id),
    )
    return row


def confirm(
    session: Session,
    actor: Actor,
    prescription_id: UUID,
    code: Secret[str],
    *,
    password: Secret[str],
    version: int | None = None,
) -> Prescription | Refused:
    """The named prescriber confirms with both factors that they signed it elsewhere; from then on it is in force.

    The factors keep a stolen token from making prescriptions. Wrong ones are counted: let the transaction commit and
    call ``require()`` on ``Refused``. Raises as ``signing.sign`` does.
    """
    row, episode = locked_prescription(session, actor, Action.CONFIRM_PRESCRIPTION, prescription_id, version)
    check_is_named(actor, row)
    step = PrescriptionStep.CONFIRM_SIGNED
    PRESCRIPTION_TRANSITIONS.advance(PrescriptionState(row.state), step, actor.role)
    case = case_of(session, episode)
    issued_on = date.fromisoformat(_told(case.box, row)["issued_on"])
    _refuse_day(session, case, issued_on)
    row, case, content, paper = prepare(session, actor, row, episode, step, issued_on)
    proof = verify_second_factor(session, actor.id, code, password=password)
    if isinstance(proof, Refused):
        return proof
    put_in_force(session, actor, step, row, case, content, paper, proof.proven_at)
    return row


def _told(own: Box, row: Prescription) -> dict[str, Any]:
    told: dict[str, Any] = own.open(row, "outside").reveal()
    return told


def _refuse_day(session: Session, case: Case, issued_on: date) -> None:
    findings = outside_findings(issued_on, case.today, programme_of(session, case.episode))
    if findings:
        raise RuleRefused(findings[0].sentence, findings, field="issued_on")
