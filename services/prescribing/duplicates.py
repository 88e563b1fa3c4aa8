"""Whether a patient has the same medicine by the same route prescribed already, in whichever episode."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.findings import Finding
from services.prescribing.cases import Case
from services.prescribing.contents import Content, content_of
from services.prescribing.models import DoseTaken, Prescription
from services.prescribing.routes import is_shipped
from services.prescribing.rules import duplicate_findings, substance_of
from services.prescribing.states import VALID, PrescriptionState
from services.prescribing.supplies import supply_of

_WAITING = frozenset({PrescriptionState.READY, PrescriptionState.REPORTED})


def duplicates(
    session: Session,
    case: Case,
    content: Content,
    *,
    of: UUID | None = None,
    replaces: UUID | None = None,
    ready_at: datetime | None = None,
) -> list[Finding]:
    """The review that is due when another prescription of the patient may supply the same.

    ``of`` is the prescription that is judged, ``replaces`` the one it takes the place of. One that was marked ready
    before ``ready_at`` (None: it is only being marked now) counts like a signed one, so that of two which are signed
    together the second was given a reason.
    """
    row = Prescription
    query = select(row).where(row.patient_id == case.patient.id, row.state.in_((*VALID, *_WAITING)))
    if of is not None:
        query = query.where(row.id != of)
    if ready_at is not None:
        query = query.where(row.state.not_in(_WAITING) | (row.ready_at < ready_at))
    others = [each for each in session.scalars(query) if each.id != replaces and _same(case, each, content)]
    return duplicate_findings(sum(_may_supply(session, case, each) for each in others))


def _same(case: Case, other: Prescription, content: Content) -> bool:
    its = content_of(case.box, other)
    return its.route is content.route and substance_of(its.drug) == substance_of(content.drug)


def _may_supply(session: Session, case: Case, other: Prescription) -> bool:
    if other.state in _WAITING:
        return True
    if is_shipped(other):
        return supply_of(session, case.box, other).left.anything_on(case.today)
    content = content_of(case.box, other)
    given = session.scalars(select(DoseTaken.id).where(DoseTaken.prescription_id == other.id)).all()
    return other.expires_on is not None and case.today <= other.expires_on and len(given) < content.sessions_supply
