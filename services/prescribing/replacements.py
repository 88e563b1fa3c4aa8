"""How much of a prescription was lost: no more than that is made up for without a follow-up (DOMAIN 4 and 8)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from services.prescribing.contents import Content, content_of
from services.prescribing.later_records import lost_fills
from services.prescribing.models import Fill, Prescription, StockEntry
from services.prescribing.states import PrescriptionState
from services.vault.boxes import Box

_LOST: Final = ("lost_at_home", "lost_on_the_way")
_FOUND: Final = ("found", "found_held")


def makes_up_for_losses(session: Session, own: Box, row: Prescription, content: Content) -> bool:
    """Whether a prescription replaces another one and is for no more than was lost of that, all refills included.

    What an earlier replacement of the same one made up for is not made up for again.
    """
    if row.replaces_id is None:
        return False
    made_up = or_(Prescription.state != PrescriptionState.CANCELLED, Prescription.id.in_(select(Fill.prescription_id)))
    others = select(Prescription).where(
        Prescription.replaces_id == row.replaces_id,
        Prescription.id != row.id,
        Prescription.signature.is_not(None),
        made_up,
    )
    given = [content_of(own, other) for other in session.scalars(others)]
    return sum(_total_mg(each) for each in [*given, content]) <= _lost_mg(session, own, row.replaces_id)


def _lost_mg(session: Session, own: Box, prescription_id: UUID) -> float:
    """What was filled and never came, and what the ledger says was lost, never more than was filled."""
    row = session.get_one(Prescription, prescription_id)
    gone = lost_fills(session, row.patient_id)
    filled = lost = 0.0
    for fill in session.scalars(select(Fill).where(Fill.prescription_id == row.id)):
        units = own.open(fill, "quantity").reveal()
        filled += units
        if fill.undelivered_at is not None or fill.id in gone:
            lost += units
    entries = select(StockEntry).where(StockEntry.prescription_id == row.id, StockEntry.kind.in_((*_LOST, *_FOUND)))
    for entry in session.scalars(entries):
        units = own.open(entry, "content").reveal()["units"]
        lost += -units if entry.kind in _FOUND else units
    return min(filled, lost) * content_of(own, row).strength_mg


def _total_mg(content: Content) -> int:
    return content.quantity_units * (content.refills + 1) * content.strength_mg
