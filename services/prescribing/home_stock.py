"""What a home may hold, asked again whenever more is let out: signed long ago, a fill may come on top of others."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core.findings import Finding
from services.people.programmes import programme_of
from services.prescribing.cases import Case
from services.prescribing.contents import Content, content_of
from services.prescribing.doses import history_of
from services.prescribing.models import Prescription
from services.prescribing.routes import Supplied, is_shipped
from services.prescribing.rules import home_stock_finding, substance_of
from services.prescribing.states import VALID
from services.prescribing.supplies import supply_of


def home_stock(session: Session, case: Case, row: Prescription, units: int) -> list[Finding]:
    """The stop that is due when ``units`` more of a prescription are too many for a home.

    Counted are what is at home by the same route, and what other signed prescriptions of the same substance may still
    be filled with at once.
    """
    if not is_shipped(row):
        return []
    content = content_of(case.box, row)
    history = history_of(session, case.episode.id, case.box, content.route)
    session_mg = max(content.session_mg, 1)
    home_mg = history.home_mg + _unfilled_mg(session, case, row, content)
    more_mg = units * content.strength_mg
    programme = programme_of(session, case.episode)
    finding = home_stock_finding(home_mg / session_mg, more_mg / session_mg, programme)
    return [] if finding is None else [finding]


def _unfilled_mg(session: Session, case: Case, row: Prescription, content: Content) -> int:
    others = select(Prescription).where(
        Prescription.patient_id == row.patient_id,
        Prescription.id != row.id,
        Prescription.supplied == Supplied.SHIPPED,
        Prescription.state.in_(sorted(VALID)),
    )
    total = 0
    for other in session.scalars(others):
        its = content_of(case.box, other)
        if substance_of(its.drug) == substance_of(content.drug):
            left = supply_of(session, case.box, other).left
            total += left.units_left_in_current_fill * its.strength_mg if case.today <= left.expires_on else 0
    return total
