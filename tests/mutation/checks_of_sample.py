"""The tests of ``sample.py``; they look at no edge of ``is_old``."""

from __future__ import annotations

from tests.mutation.sample import Grade, count, is_adult, is_grave, is_old


def test_adults() -> None:
    assert [is_adult(age) for age in (17, 18, 19)] == [False, True, True]


def test_old_people() -> None:
    assert is_old(90)
    assert not is_old(20)


def test_grave() -> None:
    assert is_grave(Grade.SEVERE)
    assert not is_grave(Grade.MILD)


def test_count() -> None:
    assert count([4, 5, 6]) == 0
