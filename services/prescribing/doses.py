"""What has been handed out and taken so far: the ledger that drafts and refills are judged by (DOMAIN 4).

Sessions come after prescribing in the order of the house, so whoever holds a session notes here what was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import Session

from services.core.ids import new_id
from services.prescribing.contents import Content, content_of
from services.prescribing.fill_rules import ONE_PRESCRIPTION
from services.prescribing.models import DoseTaken, Fill, Prescription, StockEntry
from services.prescribing.routes import Route
from services.vault.boxes import Box, box


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What one session used up: milligrams swallowed or absorbed as prescribed, and units that are gone."""

    dose_mg: int
    booster_mg: int = 0
    used_units: int
    wasted_units: int = 0

    def __repr__(self) -> str:
        return "<amounts>"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a new draft is judged against. ``home_mg`` is what should still be at the patient's home.

    ``first_signed_at`` is when the first supply was signed, ``taken_at`` when each dosing session was; aware.
    """

    is_first: bool
    last_dose_mg: int | None = None
    home_mg: int = 0
    first_signed_at: datetime | None = None
    taken_at: tuple[datetime, ...] = ()


def note_dose(
    session: Session, *, prescription_id: UUID, session_id: UUID, amounts: Amounts, taken_at: datetime
) -> DoseTaken:
    """Note what a dosing session took of a prescription; noting the same session again replaces it (a booster, waste).

    The caller has authorized and audits the act. Raises ``Conflict`` when the session took from another prescription.
    """
    prescription = session.get_one(Prescription, prescription_id)
    row = session.scalar(select(DoseTaken).where(DoseTaken.session_id == session_id).with_for_update())
    if row is None:
        row = DoseTaken(
            id=new_id(),
            patient_id=prescription.patient_id,
            episode_id=prescription.episode_id,
            session_id=session_id,
            prescription_id=prescription.id,
        )
    elif row.prescription_id != prescription.id:
        raise ONE_PRESCRIPTION.conflict(prescription_id=str(row.prescription_id))
    row.taken_at = taken_at
    box(session, row.patient_id).seal(row, "amounts", asdict(amounts))
    session.add(row)
    session.flush()
    return row


def doses_taken(session: Session, episode_id: UUID) -> list[Amounts]:
    """What the sessions of an episode took, oldest first."""
    query = select(DoseTaken).where(DoseTaken.episode_id == episode_id).order_by(DoseTaken.taken_at, DoseTaken.id)
    return [_amounts(box(session, row.patient_id), row) for row in session.scalars(query)]


@dataclass(frozen=True, slots=True)
class Course:
    """When the first supply by a route was signed, and when each of its dosing sessions was; aware, in order."""

    first_signed_at: datetime | None
    taken_at: tuple[datetime, ...]


def course_of(session: Session, episode_id: UUID, own: Box, route: Route) -> Course:
    """The times in ``history_of``, without what was handed out and taken: years of it are not opened for them."""
    rows = session.execute(_TIMES, {"episode": episode_id})
    found = [(by.signed_at, taken or []) for by, taken in rows if content_of(own, by).route is route]
    return Course(
        min((signed_at for signed_at, _ in found if signed_at is not None), default=None),
        tuple(sorted(at for _, taken in found for at in taken)),
    )


def history_of(session: Session, episode_id: UUID, own: Box, route: Route = Route.SUBLINGUAL) -> History:
    """What was prescribed, handed out and taken by a route in an episode so far.

    A dose that is usual under the tongue says nothing about one into a vein, so each route begins with a first session.
    A fill whose parcel was lost or went back never reached the patient and does not count. Nobody having taken anything
    yet, the dose last prescribed stands in for the last dose taken.
    """
    handed_out = session.execute(_HANDED_OUT, {"episode": episode_id}).all()
    taken = session.execute(_TAKEN, {"episode": episode_id}).all()
    prescriptions = {by.id: by for _, by in (*handed_out, *taken)}
    contents = {id_: content_of(own, by) for id_, by in prescriptions.items()}
    fills = [(fill, contents[by.id]) for fill, by in handed_out if contents[by.id].route is route]
    doses = [(dose, _amounts(own, dose), contents[by.id]) for dose, by in taken if contents[by.id].route is route]
    if not fills and not doses:
        return History(is_first=True)
    handed_mg = sum(own.open(fill, "quantity").reveal() * content.strength_mg for fill, content in fills)
    gone_mg = sum((amounts.used_units + amounts.wasted_units) * content.strength_mg for _, amounts, content in doses)
    if route is Route.SUBLINGUAL:
        gone_mg += _entered_mg(session, own, episode_id, contents)
    signed = (by.signed_at for id_, by in prescriptions.items() if contents[id_].route is route and by.signed_at)
    return History(
        is_first=False,
        last_dose_mg=doses[-1][1].dose_mg if doses else fills[-1][1].dose_mg,
        home_mg=max(handed_mg - gone_mg, 0),
        first_signed_at=min(signed, default=None),
        taken_at=tuple(dose.taken_at for dose, _, _ in doses),
    )


def _entered_mg(session: Session, own: Box, episode_id: UUID, contents: Mapping[UUID, Content]) -> int:
    """What was lost, wasted or disposed of by an entry of the ledger, less what turned up; whole milligrams."""
    rows = session.scalars(select(StockEntry).where(StockEntry.episode_id == episode_id))
    gone = 0.0
    for row in rows:
        content = None if row.prescription_id is None else contents.get(row.prescription_id)
        if content is not None and row.kind not in _NOT_AT_HOME:
            units = own.open(row, "content").reveal()["units"] * content.strength_mg
            gone += -units if row.kind.startswith("found") else units
    return round(gone)


# What was missing of, or too many in, a parcel that came back never was at home; such a parcel does not count anyway.
_NOT_AT_HOME = frozenset({"lost_of_return", "found_of_return"})


# Prepared once: every draft asks.
_HANDED_OUT = (
    select(Fill, Prescription)
    .join(Prescription, Prescription.id == Fill.prescription_id)
    .where(Fill.episode_id == bindparam("episode"), Fill.undelivered_at.is_(None))
    .order_by(Prescription.signed_at, Fill.fill_number)
)
_TAKEN = (
    select(DoseTaken, Prescription)
    .join(Prescription, Prescription.id == DoseTaken.prescription_id)
    .where(DoseTaken.episode_id == bindparam("episode"))
    .order_by(DoseTaken.taken_at, DoseTaken.id)
)
# The prescriptions of which something reached the patient or was taken, and when it was.
_TIMES = select(
    Prescription,
    select(func.array_agg(DoseTaken.taken_at)).where(DoseTaken.prescription_id == Prescription.id).scalar_subquery(),
).where(
    Prescription.episode_id == bindparam("episode"),
    exists().where(DoseTaken.prescription_id == Prescription.id)
    | exists().where(Fill.prescription_id == Prescription.id, Fill.undelivered_at.is_(None)),
)


def _amounts(own: Box, row: DoseTaken) -> Amounts:
    return Amounts(**own.open(row, "amounts").reveal())
