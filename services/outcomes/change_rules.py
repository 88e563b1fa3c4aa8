"""How far a score moved since before the first dose: response, remission, reliable, significant (DOMAIN 2.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from services.core.programme import Programme
from services.screening.instruments import Instrument, get
from services.screening.scoring import OutcomeClass, compare


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """What became of a baseline that reached the positive cut-off. Clinical data: ``repr`` shows nothing.

    ``drop`` is in points and ``percent`` of the baseline, above 0 for better. What an instrument has no rule for is
    None.
    """

    outcome: OutcomeClass
    drop: int
    percent: float
    response: bool
    remission: bool | None
    reliable: bool | None
    clinically_significant: bool | None

    def as_dict(self) -> dict[str, Any]:
        """The change as plain JSON types."""
        return {**asdict(self), "outcome": self.outcome.value}


def change(instrument: Instrument, *, baseline: int, current: int | None, programme: Programme) -> Change | None:
    """How ``current`` compares with ``baseline``, two totals of the same instrument.

    None where no outcome class is formed: without a total, or for a baseline under the positive cut-off.
    """
    if current is None:
        return None
    found = compare(instrument, baseline=baseline, current=current, programme=programme)
    if found is None:
        return None
    return Change(
        outcome=found.outcome,
        drop=found.drop,
        percent=improvement_percent(baseline, current),
        response=100 * found.drop >= baseline * programme.number("instruments.outcome_classes.response_drop_percent"),
        remission=found.outcome is OutcomeClass.REMISSION if remits(instrument.id, programme) else None,
        reliable=found.reliable,
        clinically_significant=found.clinically_significant,
    )


def remits(name: str, programme: Programme) -> bool:
    """Whether an instrument knows of remission at all: a total under its threshold is possible."""
    instrument = get(name)
    section = instrument.change_settings
    return section is not None and programme.number(f"{section}.remission_below") > instrument.lowest


def improvement_percent(baseline: int, current: int) -> float:
    """By how much of the baseline a score fell, in percent; below 0 when it rose, 0 for a baseline of 0."""
    return 0.0 if baseline <= 0 else 100 * (baseline - current) / baseline
