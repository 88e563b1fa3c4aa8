"""Inboxes: what a person and their organisation have to do, soonest due first, a page at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, RowMapping, Select, Uuid, bindparam, func, select, true, tuple_
from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.core.pages import ROWS_AT_MOST
from services.core.vocabulary import TaskKind
from services.messaging.models import OPEN_TASK, Task
from services.messaging.states import OPEN_STATES, TaskState
from services.people.access import Action, authorize


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """What to show of an inbox; empty means the open tasks of every kind."""

    states: Collection[TaskState] = OPEN_STATES
    kinds: Collection[TaskKind] = ()
    due_before: datetime | None = None
    due_after: datetime | None = None


def owners_of(actor: Actor) -> list[UUID]:
    """Whose tasks are the actor's to do: its own and its organisation's."""
    return [actor.id] if actor.organisation_id is None else [actor.id, actor.organisation_id]


def inbox(
    session: Session,
    actor: Actor,
    filters: InboxFilter = InboxFilter(),
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> Sequence[RowMapping]:
    """The actor's tasks and those of its organisation, from behind the position ``after``; columns of ``Task``.

    Listing shows ids and kinds, nothing personal.
    """
    authorize(actor, Action.READ_INBOX)
    values: dict[str, Any] = {"owners": owners_of(actor), "limit": min(limit, ROWS_AT_MOST)}
    if filters.states != OPEN_STATES:
        values["states"] = [state.value for state in filters.states]
    if filters.kinds:
        values["kinds"] = [kind.value for kind in filters.kinds]
    if filters.due_before is not None:
        values["due_before"] = filters.due_before
    if filters.due_after is not None:
        values["due_after"] = filters.due_after
    if after is not None:
        values["after_due_at"], values["after_id"] = after
    return session.connection().execute(_page(frozenset(values)), values).mappings().all()


@lru_cache
def _page(given: frozenset[str]) -> Select[Any]:
    """The query of a page with the filters that are ``given``, made once for each set of them.

    Each owner's page is read from its own index range and the pages are merged, so that the cost does not grow with the
    number of tasks stored.
    """
    owner = func.unnest(bindparam("owners", type_=ARRAY(Uuid()))).table_valued("id", name="owner").render_derived()
    # For the open states the text of the partial index's own condition, so that every plan may use that index.
    states = Task.state.in_(bindparam("states", expanding=True)) if "states" in given else OPEN_TASK
    of_one = select(*(column for column in Task.__table__.columns if column.key != "reason"))
    of_one = of_one.where(Task.owner_id == owner.c.id, states)
    if "kinds" in given:
        of_one = of_one.where(Task.kind.in_(bindparam("kinds", expanding=True)))
    if "due_before" in given:
        of_one = of_one.where(Task.due_at < bindparam("due_before"))
    if "due_after" in given:
        of_one = of_one.where(Task.due_at >= bindparam("due_after"))
    if "after_id" in given:
        behind = tuple_(bindparam("after_due_at", type_=Task.due_at.type), bindparam("after_id", type_=Task.id.type))
        of_one = of_one.where(tuple_(Task.due_at, Task.id) > behind)
    page = of_one.order_by(Task.due_at, Task.id).limit(bindparam("limit")).lateral("page")
    merged = select(page).select_from(owner.join(page, true()))
    return merged.order_by(page.c.due_at, page.c.id).limit(bindparam("limit"))
