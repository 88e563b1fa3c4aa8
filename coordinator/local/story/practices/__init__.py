"""The five practices' own stories (DOMAIN 1), by the name of their programme: ``make demo PROGRAMME=life_works``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coordinator.local.story.practices import avesta, isha_health, journey_clinical, life_works, options_md
from coordinator.local.story.practices.practice import Practice

__all__ = ["PRACTICES", "Practice"]

_ALL: Final = (
    journey_clinical.PRACTICE,
    life_works.PRACTICE,
    isha_health.PRACTICE,
    options_md.PRACTICE,
    avesta.PRACTICE,
)
PRACTICES: Final[Mapping[str, Practice]] = {practice.programme: practice for practice in _ALL}
