"""Small cells of aggregates: what would tell of few people is left out, and whatever would give it away (DOMAIN 6).

A table counts people by row (an indication) and column (an outcome); each person is counted once. Published are sums of
its cells: the cells themselves, totals, and unions of columns. A *sensitive* sum is one of 1 to 10 people. Leaving out
the sensitive ones is not enough: another number may follow from those that are shown. So numbers are left out until
no sensitive sum follows from the rest, whoever adds and subtracts, also across rows.

numpy is imported only here and only when a report is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Cell = tuple[str, str]
"""Row and column."""

ALL_ROWS: Final = "all"
_NEARLY: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Count:
    """A number that may be shown: the people in ``cells``. ``row`` and ``name`` say where it stands in the table."""

    row: str
    name: str
    cells: frozenset[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """People by row and column. ``unions`` names groups of columns that are shown as well, by their name.

    Every row has a total, and so has every column and union, in the row ``all``. Columns in ``unspoken`` are shown
    nowhere, those in ``overall_only`` in the row ``all``. Where ``totals_elsewhere``, another table counts the same
    people: the totals are not shown here, but taken as known.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    people: Mapping[Cell, int]
    unions: Mapping[str, tuple[str, ...]]
    totals_elsewhere: bool = False
    unspoken: frozenset[str] = frozenset()
    overall_only: frozenset[str] = frozenset()

    def of(self, cells: Iterable[Cell]) -> int:
        """How many people are in some cells."""
        return sum(self.people.get(cell, 0) for cell in cells)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """The columns of each number in a row: one for each column and union, and the total."""
        return {**{column: (column,) for column in self.columns}, **self.unions, "total": self.columns}

    def names(self, row: str) -> list[str]:
        """What a row shows."""
        hidden = {*self.unspoken, *(("total",) if self.totals_elsewhere else ())}
        if row != ALL_ROWS:
            hidden |= self.overall_only
        return [name for name in self.groups() if name not in hidden]

    def counts(self) -> list[Count]:
        """Every number that the table would show, those of all rows last."""
        return [self._count(row, name) for row in (*self.rows, ALL_ROWS) for name in self.names(row)]

    def known_counts(self) -> list[Count]:
        """The totals that everybody knows from another table."""
        return [self._count(row, "total") for row in (*self.rows, ALL_ROWS)] if self.totals_elsewhere else []

    def unshown_counts(self) -> list[Count]:
        """What nobody shows and somebody might reckon: each column, and what each group leaves of its row."""
        groups = self.groups()
        left = {name: tuple(column for column in self.columns if column not in groups[name]) for name in groups}
        wanted = {column: (column,) for column in self.columns} | {f"not {name}": rest for name, rest in left.items()}
        return [
            self._count(row, name, columns)
            for row in (*self.rows, ALL_ROWS)
            for name, columns in wanted.items()
            if columns
        ]

    def _count(self, row: str, name: str, columns: tuple[str, ...] | None = None) -> Count:
        rows = self.rows if row == ALL_ROWS else (row,)
        wanted = self.groups()[name] if columns is None else columns
        return Count(row, name, frozenset((each, column) for each in rows for column in wanted))


def shown_counts(table: Table, largest_small: int) -> dict[tuple[str, str], int | None]:
    """What may be shown of a table, by row and name; None for what is left out.

    ``largest_small`` is the most people of a small cell; nought is not small: it tells of nobody.
    """
    counts = table.counts()
    people = {count: table.of(count.cells) for count in (*counts, *table.unshown_counts(), *table.known_counts())}
    given = {count.cells for count in table.known_counts()}
    sensitive = [each for each, number in people.items() if 1 <= number <= largest_small and each.cells not in given]
    unsafe = {count.cells for count in sensitive}
    shown = [count for count in counts if count.cells not in unsafe]
    hidden = _Hidden(table, sensitive)
    while (given_away := hidden.first_given_away(shown)) is not None:
        if not given_away:
            return {(count.row, count.name): None for count in counts}
        shown.remove(min(given_away, key=lambda count: (people[count], len(count.cells), count.row, count.name)))
    if hidden.is_pinned(shown, people):
        shown = []
    kept = set(shown)
    return {(count.row, count.name): people[count] if count in kept else None for count in counts}


class _Hidden:
    """The sensitive sums of a table, and whether others give them away."""

    def __init__(self, table: Table, sensitive: Sequence[Count]) -> None:
        self._order = {cell: index for index, cell in enumerate(_cells(table))}
        self._table = table
        self._sensitive = sensitive

    def first_given_away(self, shown: Sequence[Count]) -> list[Count] | None:
        """The numbers among ``shown`` from which a sensitive sum follows; None when none does.

        Empty when it follows without any of them. Cells of nobody are known as soon as a sum of nought over them is.
        """
        import numpy

        known = [*shown, *self._table.known_counts()]
        if not self._sensitive or not known:
            return None
        empty = {cell for count in known if self._table.of(count.cells) == 0 for cell in count.cells}
        wanted = numpy.array([self._vector(count, empty) for count in self._sensitive]).T
        basis = numpy.array([self._vector(count, empty) for count in known]).T
        # A sum follows from others exactly when it is a mixture of theirs.
        mixtures, *_ = numpy.linalg.lstsq(basis, wanted, rcond=None)
        off = numpy.abs(basis @ mixtures - wanted).max(axis=0)
        for index, distance in enumerate(off):
            if distance < _NEARLY:
                parts = numpy.abs(mixtures[: len(shown), index]) > _NEARLY
                return [count for count, part in zip(shown, parts, strict=True) if part]
        return None

    def is_pinned(self, shown: Sequence[Count], people: Mapping[Count, int]) -> bool:
        """Whether a sensitive sum can have one value only, now that no cell holds fewer than nobody."""
        return any(high - low < 1 - _NEARLY for low, high in self.bounds(shown, people))

    def bounds(self, shown: Sequence[Count], people: Mapping[Count, int]) -> list[tuple[float, float]]:
        """Between what and what each sensitive sum lies, for somebody who knows what is shown and nothing else."""
        import numpy
        from scipy.optimize import linprog

        known = [*shown, *self._table.known_counts()]
        if not known:
            return [(0.0, math.inf) for _ in self._sensitive]
        basis = numpy.array([self._vector(count, set()) for count in known])
        values = numpy.array([people[count] for count in known])
        most = sum(self._table.people.values()) + 1_000
        found = []
        for count in self._sensitive:
            vector = numpy.array(self._vector(count, set()))
            low, high = (
                sign * linprog(sign * vector, A_eq=basis, b_eq=values, bounds=(0, most), method="highs").fun
                for sign in (1, -1)
            )
            found.append((float(low), float(high)))
        return found

    def _vector(self, count: Count, empty: set[Cell]) -> list[float]:
        vector = [0.0] * len(self._order)
        for cell in count.cells - empty:
            vector[self._order[cell]] = 1.0
        return vector


def _cells(table: Table) -> list[Cell]:
    return [(row, column) for row in table.rows for column in table.columns]


def rows_of(table: Table, shown: Mapping[tuple[str, str], int | None]) -> dict[str, dict[str, Any]]:
    """What is shown, as nested plain JSON types."""
    return {row: {name: shown[row, name] for name in table.names(row)} for row in (*table.rows, ALL_ROWS)}
