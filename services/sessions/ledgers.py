"""The ledger of units: dispensed = taken + wasted + what is left. Whoever asks for a refill must be able to show it.

Units are whole lozenges or tablets and their parts, so they are reckoned as fractions and given as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import floor
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor
from services.core.errors import RuleRefused
from services.core.ids import new_id
from services.core.personal import Personal
from services.messaging.outbox import Subject
from services.people.access import Action, visible_episode
from services.people.models import Episode
from services.prescribing.doses import Amounts, note_dose
from services.prescribing.fills import dispensed_units
from services.screening.written_texts import heed
from services.sessions.models import Dose, StockCount, TherapySession, Waste
from services.vault.boxes import Box, box

# Nobody tells parts of a unit apart more finely than this.
SMALLEST_PART = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Something taken in a session: milligrams, and the units that it used up."""

    session_id: UUID
    prescription_id: UUID
    mg: int
    units: float
    is_booster: bool
    at: datetime

    def __repr__(self) -> str:
        return f"<taken in {self.session_id}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All units of an episode. ``dispensed`` leaves out what was lost on the way.

    ``remaining_reported`` is what was last counted at home, None when nobody counted since the last dose or waste.
    """

    dispensed: float
    taken: float
    wasted: float
    remaining_reported: float | None
    counted_at: datetime | None

    @property
    def remaining_expected(self) -> float:
        """What must be left by the records, in transit or at home."""
        return self.dispensed - self.taken - self.wasted

    def __repr__(self) -> str:
        return "<ledger>"


def doses_taken(session: Session, episode_id: UUID) -> list[Taken]:
    """Everything taken in an episode, oldest first. The caller has settled who may know."""
    query = select(Dose).where(Dose.episode_id == episode_id).order_by(Dose.taken_at, Dose.id)
    return [taken_in(box(session, dose.patient_id), dose) for dose in session.scalars(query)]


def taken_in(own: Box, dose: Dose) -> Taken:
    """One dose, opened."""
    content = own.open(dose, "content").reveal()
    return Taken(
        session_id=dose.session_id,
        prescription_id=dose.prescription_id,
        mg=content["mg"],
        # What the clinic gives is never at home.
        units=float(Fraction(content["mg"], content["strength_mg"])) if content.get("is_shipped", True) else 0.0,
        is_booster=content["is_booster"],
        at=dose.taken_at,
    )


def _part(units: float) -> Fraction:
    return Fraction(units).limit_denominator(SMALLEST_PART)


def taken_units(session: Session, episode_id: UUID) -> Fraction:
    """The units taken in an episode."""
    return sum((_part(dose.units) for dose in doses_taken(session, episode_id)), Fraction())


def wasted_units(session: Session, episode_id: UUID) -> Fraction:
    """The units wasted in an episode."""
    return sum((units for _, units in _wastes(session, episode_id)), Fraction())


def _wastes(session: Session, episode_id: UUID) -> list[tuple[Waste, Fraction]]:
    rows = session.scalars(select(Waste).where(Waste.episode_id == episode_id).order_by(Waste.id))
    return [(row, _part(box(session, row.patient_id).open(row, "content").reveal()["units"])) for row in rows]


def ledger(session: Session, episode_id: UUID) -> Ledger:
    """The ledger of an episode, for rules. The caller has settled who may know."""
    count = session.scalar(
        select(StockCount).where(StockCount.episode_id == episode_id).order_by(StockCount.id.desc()).limit(1)
    )
    if count is not None and _changed_since(session, episode_id, count.counted_at):
        count = None
    return Ledger(
        dispensed=dispensed_units(session, episode_id),
        taken=float(taken_units(session, episode_id)),
        wasted=float(wasted_units(session, episode_id)),
        remaining_reported=None if count is None else box(session, count.patient_id).open(count, "units").reveal(),
        counted_at=None if count is None else count.counted_at,
    )


def _changed_since(session: Session, episode_id: UUID, moment: datetime) -> bool:
    queries = (
        select(Dose.id).where(Dose.episode_id == episode_id, Dose.recorded_at > moment),
        select(Waste.id).where(Waste.episode_id == episode_id, Waste.recorded_at > moment),
    )
    return any(session.scalar(query.limit(1)) is not None for query in queries)


def read_ledger(session: Session, actor: Actor, episode_id: UUID) -> Ledger:
    """The ledger of an episode, for therapist, medical team and patient; an audited read."""
    episode = visible_episode(session, actor, Action.READ_STOCK, episode_id)
    record(session, actor, "stock.read", "episode", episode.id, episode_id=episode.id)
    return ledger(session, episode.id)


def record_waste(session: Session, actor: Actor, episode_id: UUID, units: float, reason: Personal[str]) -> Ledger:
    """Put units on record that nobody will take: spat out, broken, disposed of. Gives the ledger after it.

    Raises ``RuleRefused`` on ``units`` when no so many are left.
    """
    episode = _held_episode(session, actor, episode_id)
    before = ledger(session, episode.id)
    if _part(units) > _part(before.remaining_expected):
        raise RuleRefused("So many units are not left.", field="units", rule="sessions.waste_over_stock")
    row = Waste(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        session_id=_latest_dosed(session, episode.id),
        recorded_by=actor.id,
        recorded_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "content", {"units": units, "reason": reason.reveal().strip()})
    session.add(row)
    session.flush()
    note_used(session, episode.id)
    record(session, actor, "stock.waste", "waste", row.id, episode_id=episode.id)
    heed(session, actor, episode, reason, subject=Subject("waste", row.id))
    return ledger(session, episode.id)


def record_count(session: Session, actor: Actor, episode_id: UUID, units: float) -> Ledger:
    """Put on record how many units were counted at home. A wrong number is kept too: it is what a refill asks about."""
    episode = _held_episode(session, actor, episode_id)
    row = StockCount(
        id=new_id(),
        episode_id=episode.id,
        patient_id=episode.patient_id,
        counted_by=actor.id,
        counted_at=clock.now(),
    )
    box(session, row.patient_id).seal(row, "units", units)
    session.add(row)
    session.flush()
    record(session, actor, "stock.count", "stock_count", row.id, episode_id=episode.id)
    return ledger(session, episode.id)


def _held_episode(session: Session, actor: Actor, episode_id: UUID) -> Episode:
    """The episode, its row held: two people who record at once must see each other's numbers."""
    episode = visible_episode(session, actor, Action.RECORD_STOCK, episode_id)
    hold_stock(session, episode)
    return episode


def hold_stock(session: Session, episode: Episode) -> None:
    """Hold an episode's stock until the commit, letting rows that merely point at the episode be written meanwhile."""
    session.execute(select(Episode.id).where(Episode.id == episode.id).with_for_update(key_share=True))


def _latest_dosed(session: Session, episode_id: UUID) -> UUID | None:
    query = select(TherapySession.id).where(
        TherapySession.episode_id == episode_id, TherapySession.dosed_at.is_not(None)
    )
    return session.scalar(query.order_by(TherapySession.dosed_at.desc()).limit(1))


def note_used(session: Session, episode_id: UUID) -> None:
    """Let prescribing know what each session used up, so that drafts are judged by what is left at home.

    Prescribing counts whole units. Each session is given the whole units that were completed in it, so that the sums
    are right although single numbers are not. What was wasted before the first dose counts with the first session.
    """
    query = select(TherapySession).where(TherapySession.episode_id == episode_id, TherapySession.dosed_at.is_not(None))
    rows = session.scalars(query.order_by(TherapySession.dosed_at, TherapySession.id)).all()
    doses, wastes = doses_taken(session, episode_id), _wastes(session, episode_id)
    used_before = wasted_before = Fraction()
    for number, row in enumerate(rows):
        own_doses = [dose for dose in doses if dose.session_id == row.id]
        counted_with = {row.id, None} if number == 0 else {row.id}
        used = used_before + sum(_part(dose.units) for dose in own_doses)
        wasted = wasted_before + sum(units for waste, units in wastes if waste.session_id in counted_with)
        if own_doses:
            _note(session, row, own_doses, floor(used) - floor(used_before), floor(wasted) - floor(wasted_before))
        used_before, wasted_before = used, wasted


def _note(session: Session, row: TherapySession, doses: Sequence[Taken], used: int, wasted: int) -> None:
    amounts = Amounts(
        dose_mg=sum(dose.mg for dose in doses if not dose.is_booster),
        booster_mg=sum(dose.mg for dose in doses if dose.is_booster),
        used_units=used,
        wasted_units=wasted,
    )
    note_dose(
        session,
        prescription_id=doses[0].prescription_id,
        session_id=row.id,
        amounts=amounts,
        taken_at=doses[0].at,
    )
