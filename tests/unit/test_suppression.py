"""Small cells: left out, and nothing that is shown gives them away, whoever solves for them."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy
import pytest
from scipy.optimize import linprog

from services.outcomes.suppression import ALL_ROWS, Count, Table, rows_of, shown_counts


def table(*rows: tuple[int, ...], unions: dict[str, tuple[str, ...]] | None = None, **options: Any) -> Table:
    """Rows r0, r1 … of columns c0, c1 …"""
    names, columns = [f"r{index}" for index in range(len(rows))], [f"c{index}" for index in range(len(rows[0]))]
    numbers = product(range(len(names)), range(len(columns)))
    people = {(names[row], columns[column]): rows[row][column] for row, column in numbers}
    return Table(tuple(names), tuple(columns), people, unions or {}, **options)


def bounds(given: Table, shown: dict[tuple[str, str], int | None], wanted: Count) -> tuple[int, int]:
    """Between what and what a sum lies for an attacker who knows all that is shown, by linear programming."""
    cells = [(row, column) for row in given.rows for column in given.columns]

    def vector(count: Count) -> list[float]:
        return [float(cell in count.cells) for cell in cells]

    known = [count for count in given.counts() if shown[count.row, count.name] is not None] + given.known_counts()
    values = [given.of(count.cells) for count in known]
    options: dict[str, Any] = {"bounds": (0, 10**6), "method": "highs"}
    if known:
        options |= {"A_eq": numpy.array([vector(count) for count in known]), "b_eq": numpy.array(values)}
    low = linprog(numpy.array(vector(wanted)), **options).fun
    high = -linprog(-numpy.array(vector(wanted)), **options).fun
    return round(low), round(high)


def assert_safe(given: Table, small: int = 10) -> dict[tuple[str, str], int | None]:
    shown = shown_counts(given, small)
    known_elsewhere = {count.cells for count in given.known_counts()}
    for count in (*given.counts(), *given.unshown_counts()):
        if 1 <= given.of(count.cells) <= small and count.cells not in known_elsewhere:
            assert shown.get((count.row, count.name)) is None, count
            low, high = bounds(given, shown, count)
            assert low < high, f"{count.row} {count.name} is {low}: recovered from what is shown"
    for (row, name), number in shown.items():
        true = next(count for count in given.counts() if (count.row, count.name) == (row, name))
        assert number in (None, given.of(true.cells)), "what is shown is true"
    return shown


def test_a_table_of_large_cells_is_shown_whole() -> None:
    shown = assert_safe(table((40, 30), (20, 50)))
    assert None not in shown.values()
    assert shown[ALL_ROWS, "total"] == 140


@pytest.mark.parametrize(("cell", "left_out"), [(0, False), (1, True), (10, True), (11, False)])
def test_cells_of_one_to_ten_are_left_out(cell: int, left_out: bool) -> None:
    shown = assert_safe(table((cell, 30), (20, 50), (60, 40)))
    assert (shown["r0", "c0"] is None) is left_out


def test_one_small_cell_takes_three_others_with_it() -> None:
    """Its row, its column, and the corner: otherwise a subtraction gives it back."""
    given = table((4, 30, 80), (20, 50, 90), (60, 40, 70))
    shown = assert_safe(given)
    assert shown["r0", "c0"] is None
    assert sum(number is None for number in shown.values()) >= 4


def test_a_small_row_is_not_reckoned_from_the_overall_row() -> None:
    shown = assert_safe(table((2, 3), (20, 50), (60, 40)))
    assert shown["r0", "total"] is None
    assert any(shown[row, "total"] is None for row in ("r1", "r2", ALL_ROWS))


def test_what_is_left_of_a_union_is_protected_too() -> None:
    """18 of 20 improved tells that 2 did not."""
    given = table((12, 11, 2), (30, 40, 50), unions={"improved": ("c0", "c1")})
    shown = assert_safe(given)
    assert shown["r0", "c2"] is None
    assert None in (shown["r0", "improved"], shown["r0", "total"])


def test_nobody_is_told_apart_from_few_only_where_it_gives_nothing_away() -> None:
    shown = assert_safe(table((0, 30), (0, 50)))
    assert shown["r0", "c0"] == 0
    assert_safe(table((3, 0, 0), (0, 40, 0), (0, 0, 50)))


def test_totals_that_another_table_shows_count_as_known() -> None:
    """With a union: how many had none of it, out of all, is nobody's number here, and few must stay unknown."""
    given = table(
        (20, 15, 4), (30, 30, 60), unions={"any": ("c0", "c1")}, totals_elsewhere=True, unspoken=frozenset({"c2"})
    )
    shown = assert_safe(given)
    assert shown["r0", "any"] is None
    assert all(name not in ("total", "c2") for _, name in shown)


def test_a_table_of_few_people_shows_nothing() -> None:
    assert set(assert_safe(table((1, 2), (3, 1))).values()) == {None}


def test_columns_for_all_rows_together_stand_in_that_row_only() -> None:
    given = table((20, 30), (40, 50), overall_only=frozenset({"c0", "c1"}), unions={"both": ("c0", "c1")})
    assert rows_of(given, assert_safe(given)) == {
        "r0": {"both": 50, "total": 50},
        "r1": {"both": 90, "total": 90},
        ALL_ROWS: {"c0": 60, "c1": 80, "both": 140, "total": 140},
    }


@pytest.mark.parametrize("seed", range(25))
def test_nobody_solves_for_a_small_cell(seed: int) -> None:
    """Tables of all shapes with many small cells, attacked by linear programming over everything that is shown."""
    chance = random.Random(seed)
    rows, columns = chance.randint(1, 5), chance.randint(2, 5)
    sizes = [0, 0, 1, 2, 3, 5, 8, 10, 11, 12, 15, 25, 60]
    cells = [tuple(chance.choice(sizes) for _ in range(columns)) for _ in range(rows)]
    names = [f"c{index}" for index in range(columns)]
    unions = {"some": tuple(names[: columns - 1]), "few": tuple(names[:1] + names[2:])} if columns > 2 else {}
    assert_safe(table(*cells, unions=unions, totals_elsewhere=chance.random() < 0.3))


def test_a_clinic_may_leave_out_more() -> None:
    shown = shown_counts(table((15, 30), (20, 50), (60, 40)), 19)
    assert shown["r0", "c0"] is None
