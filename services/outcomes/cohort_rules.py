"""How a cohort is counted: each patient once in each table, by indication and outcome (DOMAIN 1, 2.1, 6)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from services.core.programme import Programme
from services.outcomes.change_rules import change
from services.outcomes.response_rules import ResponseFacts, Scores, is_helping
from services.outcomes.suppression import Cell, Table
from services.screening import instruments
from services.screening.scoring import OutcomeClass, is_positive

NO_INDICATION: Final = "not_recorded"
IMPROVED: Final = ("remission", "response", "partial")
UNIONS: Final[Mapping[str, tuple[str, ...]]] = {"improved": IMPROVED, "responded": ("remission", "response")}
GRADES: Final = ("mild", "moderate", "severe", "serious")
RESPONSE: Final = ("responded", "not_responded")
UNRATED: Final = "unrated"
PTSD: Final = "pcl5"
SCREENED: Final = ("negative", "positive")


@dataclass(frozen=True, slots=True, repr=False)
class FollowUp:
    """The last total of an instrument in the follow-up, and the dosing sessions held before it.

    ``positive`` as the instrument's own rule has it, clusters included; None where it has none.
    """

    total: int
    sessions: int
    positive: bool | None


@dataclass(frozen=True, slots=True, repr=False)
class CohortCase:
    """What counts of one patient who had a first dose. Clinical data: ``repr`` shows nothing.

    ``baselines`` are the last totals before the first dose, ``follow_ups`` the last ones in the follow-up, both by
    instrument; ``effects`` the worst grade of each adverse event; ``dissociation`` the mean over the sessions of the
    strongest rating, from 0 to 10; ``waited_days`` from the referral to the first dose.
    """

    indication: str | None
    age: int
    waited_days: int | None
    baselines: Mapping[str, int] = field(default_factory=dict)
    follow_ups: Mapping[str, FollowUp] = field(default_factory=dict)
    effects: Mapping[str, str] = field(default_factory=dict)
    dissociation: float | None = None

    @property
    def row(self) -> str:
        """Where the patient stands in a table."""
        return self.indication or NO_INDICATION


@dataclass(slots=True)
class Tally:
    """The cohort as it is counted, a patient at a time; ``programme`` is whose cut-offs count."""

    programme: Programme
    people: int = 0
    _cells: defaultdict[str, Counter[Cell]] = field(default_factory=lambda: defaultdict(Counter))
    _waits: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: CohortCase) -> None:
        """Count a patient."""
        self.people += 1
        self._cells["people"][case.row, age_band(case.age, self._age_bands())] += 1
        if case.waited_days is not None:
            self._waits[case.row].append(case.waited_days)
        for name, outcome in outcomes_of(case, self.programme).items():
            column = f"{outcome} {SCREENED[bool(case.follow_ups[name].positive)]}" if name == PTSD else outcome.value
            self._cells[f"outcome.{name}"][case.row, column] += 1
        for effect, grade in case.effects.items():
            self._cells[f"adverse.{effect}"][case.row, grade] += 1
        helps = helps_of(case, self.programme)
        if helps is not None:
            band = dissociation_band(case.dissociation, self._dissociation_ends())
            self._cells["response"][case.row, f"{RESPONSE[not helps]} {band}"] += 1

    def waits(self) -> Mapping[str, Sequence[int]]:
        """The days from referral to first dose of each patient, by indication."""
        return self._waits

    def tables(self) -> dict[str, Table]:
        """Every table that has anybody in it, in order."""
        tables = {}
        for name in sorted(self._cells, key=_place):
            cells = self._cells[name]
            if name == "people":
                bands = [age_band(low, self._age_bands()) for low in self._age_bands()]
                tables[name] = _table(cells, bands, {})
            elif name == "response":
                tables[name] = self._response(cells)
            elif name.startswith("adverse."):
                tables[name] = self._adverse(cells)
            elif name == f"outcome.{PTSD}":
                tables[name] = _ptsd(cells)
            else:
                tables[name] = _table(cells, [each.value for each in OutcomeClass], UNIONS)
        return tables

    def _response(self, cells: Counter[Cell]) -> Table:
        """Who responded and who did not; in all, also by how strong the dissociation was in the sessions."""
        ends = self._dissociation_ends()
        bands = [*(dissociation_band(end, ends) for end in ends), UNRATED]
        unions = {word: tuple(f"{word} {band}" for band in bands) for word in RESPONSE}
        columns = [column for each in unions.values() for column in each]
        table = _table(cells, columns, unions)
        return replace(table, overall_only=frozenset(columns))

    def _adverse(self, cells: Counter[Cell]) -> Table:
        """Patients by the worst grade of one effect; how many had none follows from the table of all people."""
        everybody: Counter[str] = Counter()
        for (row, _), number in self._cells["people"].items():
            everybody[row] += number
        full = Counter(cells)
        for row, number in everybody.items():
            full[row, "none"] = number - sum(cells[row, grade] for grade in GRADES)
        table = _table(full, (*GRADES, "none"), {"any": GRADES})
        return replace(table, totals_elsewhere=True, unspoken=frozenset({"none"}))

    def _age_bands(self) -> list[int]:
        return sorted(self.programme.value("outcomes.cohort.age_bands_from"))

    def _dissociation_ends(self) -> list[int]:
        return sorted(self.programme.value("outcomes.cohort.dissociation_bands_to"))


def _place(name: str) -> tuple[int, str]:
    order = ("people", "outcome", "response", "adverse")
    return order.index(name.partition(".")[0]), name


def _ptsd(cells: Counter[Cell]) -> Table:
    """The classes of the PCL-5, and who screens negative now. One table, for both count the same patients."""
    classes = {each.value: tuple(f"{each} {screened}" for screened in SCREENED) for each in OutcomeClass}
    columns = [column for each in classes.values() for column in each]
    groups = {name: tuple(column for part in parts for column in classes[part]) for name, parts in UNIONS.items()}
    screened = {word: tuple(column for column in columns if column.endswith(word)) for word in SCREENED}
    table = _table(cells, columns, {**classes, **groups, **screened})
    return replace(table, unspoken=frozenset(columns))


def _table(cells: Counter[Cell], columns: Sequence[str], unions: Mapping[str, tuple[str, ...]]) -> Table:
    rows = tuple(sorted({row for row, _ in cells}))
    return Table(rows, tuple(columns), dict(cells), unions)


def outcomes_of(case: CohortCase, programme: Programme) -> dict[str, OutcomeClass]:
    """The outcome class of each instrument that was positive before the first dose and answered in the follow-up."""
    found = {}
    for name, follow_up in case.follow_ups.items():
        if name in case.baselines:
            instrument = instruments.get(name)
            moved = change(instrument, baseline=case.baselines[name], current=follow_up.total, programme=programme)
            if moved is not None:
                found[name] = moved.outcome
    return found


def helps_of(case: CohortCase, programme: Programme) -> bool | None:
    """Whether the treatment helped, by the rule of non-response; None before it can be told."""
    scores = {
        name: Scores(
            case.baselines[name],
            follow_up.total,
            bool(is_positive(instruments.get(name), case.baselines[name], programme)),
            follow_up.sessions,
        )
        for name, follow_up in case.follow_ups.items()
        if name in case.baselines
    }
    judged_by = programme.text(f"outcomes.response.judged_by.{case.indication or 'depression'}")
    return is_helping(ResponseFacts(scores, judged_by), programme)


def age_band(age: int, lowest: Sequence[int]) -> str:
    """The band of an age by the lowest age of each band; the last has no end, so that the oldest stay together."""
    starts = [low for low in lowest if low <= age] or [lowest[0]]
    later = [low for low in lowest if low > starts[-1]]
    return f"{starts[-1]}-{later[0] - 1}" if later else f"{starts[-1]}+"


def dissociation_band(rating: float | None, ends: Sequence[int]) -> str:
    """The band of a mean rating by the highest rating of each band, such as ``over 3 to 6``."""
    if rating is None:
        return UNRATED
    index = next((index for index, end in enumerate(ends) if rating <= end), len(ends) - 1)
    return f"over {ends[index - 1]} to {ends[index]}" if index else f"up to {ends[0]}"
