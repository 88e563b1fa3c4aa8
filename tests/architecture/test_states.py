"""Every transition table over the full product of its states, steps and roles."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from coordinator.local.documents import transition_tables
from services.core.actors import Role
from services.core.errors import IllegalTransition, NotAllowed
from services.core.states import Transitions


@pytest.mark.parametrize("table", transition_tables(), ids=lambda table: table.subject.replace(" ", "_"))
def test_only_what_the_table_names_can_happen(table: Transitions[Any, Any]) -> None:
    a_state, a_step = next(iter(table.table))
    for state, step, role in product(type(a_state), type(a_step), Role):
        move = table.table.get((state, step))
        if move is None:
            with pytest.raises(IllegalTransition):
                table.advance(state, step, role)
        elif role in move[1]:
            assert table.advance(state, step, role) is move[0]
        else:
            with pytest.raises(NotAllowed):
                table.advance(state, step, role)


@pytest.mark.parametrize("table", transition_tables(), ids=lambda table: table.subject.replace(" ", "_"))
def test_no_state_is_left_out_of_its_table(table: Transitions[Any, Any]) -> None:
    named = {before for before, _ in table.table} | {after for after, _ in table.table.values()}
    assert named == set(type(next(iter(table.table))[0]))
