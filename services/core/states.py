"""Transition tables: ``(state, step) → (next state, who may)``. One table per thing that moves; no state library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from services.core.actors import Role
from services.core.errors import IllegalTransition, NotAllowed

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)


@dataclass(frozen=True)
class Transitions(Generic[S, T]):
    """All the moves that a ``subject`` can make.

    The diagrams in ``docs/states.md`` are generated from these tables and a test walks every state × step.
    """

    subject: str
    table: Mapping[tuple[S, T], tuple[S, frozenset[Role]]]

    def advance(self, state: S, step: T, role: Role) -> S:
        """The state after ``step``.

        Raises ``IllegalTransition`` when there is no such step from here, ``NotAllowed`` when not for ``role``.
        """
        move = self.table.get((state, step))
        if move is None:
            possible = [known_step.value for known_state, known_step in self.table if known_state == state]
            raise IllegalTransition(self.subject, state.value, step.value, possible)
        after, allowed = move
        if role not in allowed:
            raise NotAllowed(f"A {role.value} may not take the step '{step.value}' on a {self.subject}.")
        return after


def by(*roles: Role) -> frozenset[Role]:
    """The roles that may take a step, as a transition table writes them."""
    return frozenset(roles)
