"""Pages of lists: so many rows in a fixed order, from behind a position that the page before ended at."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from sqlalchemy import Select, SQLColumnExpression, tuple_

# A full page of 100, and one row that tells that there is more.
ROWS_AT_MOST: Final = 101

Query = TypeVar("Query", bound=Select[Any])


def page_of(
    query: Query, *columns: SQLColumnExpression[Any], after: Any = None, limit: int, newest_first: bool = True
) -> Query:
    """``query`` in the order of ``columns``, the last of which tells rows apart; at most ``ROWS_AT_MOST`` rows.

    ``after`` is the position to go on from: the value of the one column, or a tuple with one for each; None begins.
    """
    if after is not None:
        here, there = (columns[0], after) if len(columns) == 1 else (tuple_(*columns), tuple_(*after))
        query = query.where(here < there if newest_first else here > there)
    ordered = query.order_by(*(column.desc() if newest_first else column for column in columns))
    return ordered.limit(min(limit, ROWS_AT_MOST))
