"""What a signed prescription still allows: its quantity, its refills, its six months, and who authorized what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.people.models import Episode
from services.people.programmes import programme_of
from services.prescribing.contents import content_of
from services.prescribing.fill_rules import NOT_SIGNED, FillFacts, PrescriptionFacts, Remaining, remaining
from services.prescribing.models import Fill, FillAuthorization, Prescription
from services.prescribing.routes import is_shipped
from services.vault.boxes import Box


@dataclass(frozen=True, slots=True)
class Supply:
    """What a prescription says, what was handed out on it, what it still allows, and how many of its fills (the first
    included) are authorized.
    """

    prescribed: PrescriptionFacts
    handed_out: Sequence[FillFacts]
    left: Remaining
    fills_started: int
    fills_authorized: int

    @property
    def next_is_authorized(self) -> bool:
        """Whether the pharmacy may start another fill once the one at hand is complete."""
        return self.fills_started < self.fills_authorized


def supply_of(session: Session, own: Box, row: Prescription) -> Supply:
    """What a signed prescription still allows."""
    facts, handed_out = _prescribed_and_filled(session, own, row)
    authorized = session.scalar(select(func.count()).where(FillAuthorization.prescription_id == row.id)) or 0
    started = sum(fill.is_refill for fill in handed_out) + bool(handed_out)
    programme = programme_of(session, session.get_one(Episode, row.episode_id))
    return Supply(facts, handed_out, remaining(facts, handed_out, programme), started, 1 + authorized)


def _prescribed_and_filled(session: Session, own: Box, row: Prescription) -> tuple[PrescriptionFacts, list[FillFacts]]:
    """What a signed prescription says and what was handed out on it, in order, as the rules of filling read them.

    Raises ``RuleRefused`` for one that was never signed.
    """
    if row.issued_on is None:
        raise NOT_SIGNED.refused(state=row.state)
    content = content_of(own, row)
    facts = PrescriptionFacts(
        quantity_units=content.quantity_units,
        refills=content.refills,
        issued_on=row.issued_on,
        is_shipped=is_shipped(row),
    )
    in_order = (Fill.fill_number, Fill.is_refill.desc(), Fill.id)
    fills = session.scalars(select(Fill).where(Fill.prescription_id == row.id).order_by(*in_order))
    return facts, [
        FillFacts(
            quantity_units=own.open(fill, "quantity").reveal(), filled_on=fill.filled_on, is_refill=fill.is_refill
        )
        for fill in fills
    ]
