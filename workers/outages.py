"""Telling "PostgreSQL does not answer" from "this cannot be done": only the second is the fault of an event."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# Classes of SQLSTATE: a connection that broke, and a server that stops, starts or was told to end the session.
_AWAY = ("08", "57P")


def is_outage(error: BaseException) -> bool:
    """Whether ``error`` means that PostgreSQL was not there, so that nothing was decided about what was under way.

    SQLAlchemy marks a connection that broke, but not one that was refused: such an error carries no SQLSTATE.
    """
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state: str | None = getattr(error.orig, "sqlstate", None)
    return isinstance(error, OperationalError | InterfaceError) and (state is None or state.startswith(_AWAY))
