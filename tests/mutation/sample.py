"""A module of rules in small, for the test of the tool itself."""

from __future__ import annotations

from enum import Enum


class Grade(Enum):
    MILD = "mild"
    SEVERE = "severe"


LIMITS = {"adult": 18, "old": 65}
GRAVE = frozenset({Grade.SEVERE})


def is_adult(age: int) -> bool:
    return age >= LIMITS["adult"]


def is_old(age: int) -> bool:
    return age >= LIMITS["old"]


def is_grave(grade: Grade) -> bool:
    return grade in GRAVE


def count(ages: list[int]) -> int:
    while ages and ages.pop():
        pass
    return len(ages)
