"""Fills, parts and refills: the arithmetic of 21 CFR 1306.22 and 1306.23 over any history."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import InvalidInput
from services.core.programme import Programme, programme
from services.prescribing.calendar import calendar_months_after, six_calendar_months_after
from services.prescribing.fill_rules import FillFacts, PrescriptionFacts, Remaining, last_fill_day, may_fill, remaining

ISSUED = date(2026, 11, 20)
LAST_DAY = date(2027, 5, 20)


@pytest.mark.parametrize(
    ("issued_on", "last_day"),
    [
        (date(2026, 11, 20), date(2027, 5, 20)),
        (date(2026, 8, 31), date(2027, 2, 28)),
        (date(2027, 8, 31), date(2028, 2, 29)),
        (date(2027, 8, 29), date(2028, 2, 29)),
        (date(2027, 8, 28), date(2028, 2, 28)),
        (date(2026, 3, 31), date(2026, 9, 30)),
        (date(2026, 6, 30), date(2026, 12, 30)),
        (date(2026, 7, 31), date(2027, 1, 31)),
        (date(2028, 2, 29), date(2028, 8, 29)),
        (date(2026, 12, 31), date(2027, 6, 30)),
    ],
)
def test_six_calendar_months_end_on_the_same_day_or_the_months_last(issued_on: date, last_day: date) -> None:
    assert six_calendar_months_after(issued_on) == last_day


@given(st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1)), st.integers(min_value=0, max_value=36))
def test_calendar_months_never_skip_a_month_and_never_go_back(day: date, months: int) -> None:
    after = calendar_months_after(day, months)
    assert (after.year * 12 + after.month) - (day.year * 12 + day.month) == months
    assert after.day <= day.day
    assert after >= calendar_months_after(day - timedelta(days=1), months)


def prescription(quantity: int = 8, refills: int = 2) -> PrescriptionFacts:
    return PrescriptionFacts(quantity_units=quantity, refills=refills, issued_on=ISSUED)


def fill(quantity: int = 8, is_refill: bool = False) -> FillFacts:
    return FillFacts(quantity_units=quantity, filled_on=ISSUED, is_refill=is_refill)


def rules(
    fills: list[FillFacts], quantity: int, on: date = ISSUED, is_refill: bool = False, refills: int = 2
) -> list[str]:
    return [
        finding.rule for finding in may_fill(prescription(refills=refills), fills, quantity, on, is_refill, programme())
    ]


@pytest.mark.parametrize(
    ("fills", "units_left", "refills_left"),
    [
        ([], 8, 2),
        ([fill(3)], 5, 2),
        ([fill(3), fill(5)], 0, 2),
        ([fill(8), fill(8, True)], 0, 1),
        ([fill(8), fill(2, True)], 6, 1),
        ([fill(8), fill(2, True), fill(6)], 0, 1),
        ([fill(8), fill(8, True), fill(8, True)], 0, 0),
        ([fill(9)], 0, 2),  # more than prescribed, as a record of elsewhere may say
        ([fill(8), fill(8, True), fill(8, True), fill(8, True)], 0, 0),
    ],
)
def test_a_part_is_no_refill(fills: list[FillFacts], units_left: int, refills_left: int) -> None:
    assert remaining(prescription(), fills, programme()) == Remaining(units_left, refills_left, LAST_DAY)


def test_more_refills_than_the_law_allows_are_never_counted() -> None:
    assert remaining(prescription(refills=9), [], programme()).refills_left == 5


@pytest.mark.parametrize(
    ("fills", "quantity", "is_refill", "expected"),
    [
        ([], 8, False, []),
        ([], 9, False, ["prescribing.fill_over_quantity"]),
        ([fill(3)], 5, False, []),
        ([fill(3)], 6, False, ["prescribing.fill_over_quantity"]),
        ([fill(8)], 1, False, ["prescribing.fill_over_quantity"]),
        ([fill(8)], 8, True, []),
        ([fill(8)], 3, True, []),
        ([fill(8)], 9, True, ["prescribing.refill_over_quantity"]),
        ([fill(8), fill(8, True)], 8, True, []),
        ([], 8, True, ["prescribing.refill_before_fill"]),
        ([fill(7)], 8, True, ["prescribing.fill_not_complete"]),
        ([fill(8), fill(8, True), fill(8, True)], 8, True, ["prescribing.no_refill_left"]),
        ([fill(8), fill(8, True), fill(7, True)], 1, False, []),
    ],
)
def test_what_a_pharmacist_may_hand_out(
    fills: list[FillFacts], quantity: int, is_refill: bool, expected: list[str]
) -> None:
    assert rules(fills, quantity, is_refill=is_refill) == expected


def test_what_the_clinic_gives_is_never_filled() -> None:
    order = PrescriptionFacts(quantity_units=8, refills=0, issued_on=ISSUED, is_shipped=False)
    (finding,) = may_fill(order, [], 1, ISSUED, is_refill=False, programme=programme())
    assert finding.rule == "prescribing.fill_of_clinic_order"


def test_a_prescription_without_refills_is_filled_once() -> None:
    assert rules([fill(8)], 8, is_refill=True, refills=0) == ["prescribing.no_refill_left"]


@pytest.mark.parametrize("is_refill", [False, True])
@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (ISSUED - timedelta(days=1), ["prescribing.fill_before_issue"]),
        (ISSUED, []),
        (LAST_DAY, []),
        (LAST_DAY + timedelta(days=1), ["prescribing.fill_after_six_months"]),
    ],
)
def test_fills_parts_and_refills_all_end_after_six_months(on: date, expected: list[str], is_refill: bool) -> None:
    fills = [fill(8)] if is_refill else [fill(3)]
    assert rules(fills, 5, on=on, is_refill=is_refill) == expected


def test_a_clinic_may_shorten_the_months_and_not_stretch_them() -> None:
    default = programme()
    for months, last_day in ((3, date(2027, 2, 20)), (12, LAST_DAY)):
        changed = Programme(default.name, default.version, {**default.settings, "prescribing.months_to_fill": months})
        assert last_fill_day(ISSUED, changed) == last_day


@pytest.mark.parametrize("quantity", [0, -1])
def test_nothing_is_not_a_fill(quantity: int) -> None:
    with pytest.raises(InvalidInput) as refusal:
        rules([], quantity)
    assert refusal.value.field == "quantity"


@pytest.mark.parametrize(
    ("left", "on", "anything"),
    [
        (Remaining(1, 0, LAST_DAY), LAST_DAY, True),
        (Remaining(0, 1, LAST_DAY), LAST_DAY, True),
        (Remaining(0, 0, LAST_DAY), LAST_DAY, False),
        (Remaining(1, 1, LAST_DAY), LAST_DAY + timedelta(days=1), False),
    ],
)
def test_anything_left_is_units_or_refills_in_time(left: Remaining, on: date, anything: bool) -> None:
    assert left.anything_on(on) is anything


@given(
    quantity=st.integers(min_value=1, max_value=12),
    refills=st.integers(min_value=0, max_value=5),
    attempts=st.lists(
        st.tuples(st.integers(min_value=1, max_value=13), st.booleans(), st.integers(min_value=-2, max_value=200)),
        max_size=40,
    ),
)
def test_whatever_is_tried_no_more_than_prescribed_is_handed_out(
    quantity: int, refills: int, attempts: list[tuple[int, bool, int]]
) -> None:
    facts = PrescriptionFacts(quantity_units=quantity, refills=refills, issued_on=ISSUED)
    fills: list[FillFacts] = []
    for units, is_refill, days in attempts:
        on = ISSUED + timedelta(days=days)
        if not may_fill(facts, fills, units, on, is_refill, programme()):
            fills.append(FillFacts(quantity_units=units, filled_on=on, is_refill=is_refill))
    handed_out = sum(part.quantity_units for part in fills)
    left = remaining(facts, fills, programme())
    assert sum(part.is_refill for part in fills) == refills - left.refills_left
    assert handed_out + left.units_left_in_current_fill + left.refills_left * quantity == quantity * (refills + 1)
    assert all(ISSUED <= part.filled_on <= LAST_DAY for part in fills)
