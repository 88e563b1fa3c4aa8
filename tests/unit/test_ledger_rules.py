"""The ledger of units: every movement, and that it balances whatever happens in whatever order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sessions.ledger_rules import Balance, Entry, Movement, balance, count_findings, part

START = datetime(2026, 11, 2, 18, 0, tzinfo=UTC)
M = Movement


def entries(*moves: tuple[Movement, float]) -> list[Entry]:
    """Movements an hour apart."""
    return [Entry(move, part(units), START + timedelta(hours=hour)) for hour, (move, units) in enumerate(moves)]


def after(*moves: tuple[Movement, float]) -> dict[str, float]:
    """The places that hold anything."""
    found = balance(entries(*moves))
    return {name: float(getattr(found, name)) for name in Balance.__dataclass_fields__ if getattr(found, name)}


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], {}),
        ([(M.DISPENSED, 4)], {"in_transit": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4)], {"at_home": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED_HELD, 3)], {"in_transit": 1, "held": 3}),
        ([(M.DISPENSED, 4), (M.RETURNED, 4)], {"returned": 4}),
        ([(M.DISPENSED, 4), (M.RETURNED, 4), (M.LOST_OF_RETURN, 1)], {"returned": 3, "lost": 1}),
        ([(M.DISPENSED, 4), (M.LOST_ON_THE_WAY, 4)], {"lost": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4), (M.TAKEN, 1.5)], {"at_home": 2.5, "taken": 1.5}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4), (M.WASTED, 0.5)], {"at_home": 3.5, "wasted": 0.5}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4), (M.LOST_AT_HOME, 1)], {"at_home": 3, "lost": 1}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4), (M.LOST_AT_HOME, 1), (M.FOUND, 1)], {"at_home": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4), (M.DISPOSED, 4)], {"wasted": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED_HELD, 4), (M.RETURNED, 4)], {"returned": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED_HELD, 4), (M.LOST_ON_THE_WAY, 4)], {"lost": 4}),
        ([(M.DISPENSED, 4), (M.RECEIVED, 4), (M.LOST_AT_HOME, 1), (M.FOUND_HELD, 1)], {"at_home": 3, "held": 1}),
        ([(M.DISPENSED, 4), (M.RETURNED, 4), (M.LOST_OF_RETURN, 1), (M.FOUND_OF_RETURN, 1)], {"returned": 4}),
    ],
)  # fmt: skip
def test_each_movement_takes_units_from_one_place_to_another(
    moves: list[tuple[Movement, float]], expected: dict[str, float]
) -> None:
    assert after(*moves) == ({"dispensed": 4, **expected} if moves else {})


def test_what_must_not_be_taken_is_taken_last_and_disposed_of_first() -> None:
    house = [(M.DISPENSED, 8), (M.RECEIVED, 4), (M.RECEIVED_HELD, 4)]
    assert after(*house, (M.TAKEN, 1)) == {"dispensed": 8, "at_home": 3, "held": 4, "taken": 1}
    assert after(*house, (M.WASTED, 5)) == {"dispensed": 8, "held": 3, "wasted": 5}
    assert after(*house, (M.DISPOSED, 5)) == {"dispensed": 8, "at_home": 3, "wasted": 5}


@pytest.mark.parametrize(
    ("move", "to", "first"),
    [
        (M.TAKEN, "taken", "at_home"),
        (M.WASTED, "wasted", "at_home"),
        (M.LOST_AT_HOME, "lost", "at_home"),
        (M.DISPOSED, "wasted", "held"),
    ],
)
def test_what_is_at_home_goes_before_what_is_said_to_be_still_on_its_way(move: Movement, to: str, first: str) -> None:
    house = [(M.DISPENSED, 12), (M.RECEIVED, 4), (M.RECEIVED_HELD, 4)]
    second = "held" if first == "at_home" else "at_home"
    assert after(*house, (move, 5)) == {"dispensed": 12, "in_transit": 4, second: 3, to: 5}
    assert after(*house, (move, 9)) == {"dispensed": 12, "in_transit": 3, to: 9}


def test_a_find_beyond_what_was_lost_was_dispensed_without_a_record() -> None:
    home = [(M.DISPENSED, 4), (M.RECEIVED, 4)]
    assert after(*home, (M.FOUND, 1)) == {"dispensed": 5, "at_home": 5}
    assert after(*home, (M.LOST_AT_HOME, 0.5), (M.FOUND, 1)) == {"dispensed": 4.5, "at_home": 4.5}
    assert after(*home, (M.FOUND_HELD, 1)) == {"dispensed": 5, "at_home": 4, "held": 1}
    assert after((M.DISPENSED, 4), (M.RETURNED, 4), (M.FOUND_OF_RETURN, 1)) == {"dispensed": 5, "returned": 5}


def test_what_was_used_and_never_dispensed_is_called_overdrawn() -> None:
    assert after((M.DISPENSED, 1), (M.RECEIVED, 1), (M.TAKEN, 1.5)) == {
        "dispensed": 1.5,
        "taken": 1.5,
        "overdrawn": 0.5,
    }
    assert after((M.DISPENSED, 1), (M.RECEIVED, 1), (M.TAKEN, 1)) == {"dispensed": 1, "taken": 1}


@pytest.mark.parametrize(
    ("later", "parcel", "expected"),
    [
        (M.TAKEN, M.RECEIVED, {"at_home": 3, "taken": 1}),
        (M.TAKEN, M.RECEIVED_HELD, {"held": 3, "taken": 1}),
        (M.LOST_OF_RETURN, M.RETURNED, {"returned": 3, "lost": 1}),
        (M.FOUND, M.LOST_ON_THE_WAY, {"lost": 3, "at_home": 1}),
    ],
)
def test_where_a_parcel_is_stands_before_what_was_taken_of_it(
    later: Movement, parcel: Movement, expected: dict[str, float]
) -> None:
    assert after((later, 1), (parcel, 4), (M.DISPENSED, 4)) == {"dispensed": 4, **expected}


def test_parts_of_a_unit_are_told_apart_to_a_hundredth() -> None:
    assert [part(units) for units in (0.01, 1 / 101, 0.5)] == [Fraction(1, 100), Fraction(1, 100), Fraction(1, 2)]


def test_thirds_add_up_and_nothing_is_shown_in_logs() -> None:
    thirds = [(M.TAKEN, 1 / 3)] * 3
    found = balance(entries((M.DISPENSED, 1), (M.RECEIVED, 1), *thirds))
    assert (found.taken, found.at_home, found.remaining) == (1, 0, 0)
    assert (repr(found), repr(entries((M.TAKEN, 1))[0])) == ("<balance>", "<taken>")


moves = st.lists(st.tuples(st.sampled_from(Movement), st.integers(1, 40).map(lambda halves: halves / 2)), max_size=12)


@given(moves)
def test_it_balances_by_construction(made: list[tuple[Movement, float]]) -> None:
    found = balance(entries(*made))
    accounted = found.in_transit + found.at_home + found.held + found.taken + found.wasted + found.returned + found.lost
    assert found.dispensed == accounted
    places = (found.in_transit, found.at_home, found.held, found.taken, found.wasted, found.returned, found.lost)
    assert all(units >= 0 for units in (*places, found.overdrawn))
    assert found.in_the_house == found.at_home + found.held
    assert found.remaining == found.in_the_house + found.in_transit


@given(moves, st.randoms())
def test_the_order_in_which_entries_are_given_does_not_matter(made: list[tuple[Movement, float]], dice: object) -> None:
    given_entries = entries(*made)
    shuffled = list(given_entries)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert balance(shuffled) == balance(given_entries)


@pytest.mark.parametrize(
    ("expected", "counted", "is_off"), [(4, 4, False), (4, 3.5, True), (4, 4.5, True), (0, 0, False)]
)
def test_a_count_is_what_the_ledger_says_or_reviewed(expected: float, counted: float, is_off: bool) -> None:
    found = count_findings(Fraction(expected), Fraction(counted))
    assert [finding.rule for finding in found] == (["sessions.count_off"] if is_off else [])
    if found:
        assert found[0].inputs == {"expected_units": expected, "counted_units": counted}
