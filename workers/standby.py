"""One active relay and one active ticker among many: whoever holds the database lock is active, the rest stand by."""

from __future__ import annotations

import zlib
from contextlib import suppress
from threading import Event as Stop

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from services.core.database import engine

__all__ = ["Standby", "Stop"]


class Standby:
    """An advisory lock, held on a connection of its own; it goes when the process or the server dies."""

    def __init__(self, name: str) -> None:
        self._key = zlib.crc32(f"coordinator {name}".encode())
        self._connection: Connection | None = None

    def is_active(self) -> bool:
        """Whether this process is the active one, trying to become it. Raises ``DBAPIError`` without PostgreSQL."""
        if self._connection is not None:
            self._connection.execute(text("SELECT 1"))  # fails when the server dropped us, and the lock with us
            return True
        connection = engine().connect().execution_options(isolation_level="AUTOCOMMIT")
        is_active = False
        try:
            taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key})
            is_active = bool(taken.scalar_one())
        finally:
            if not is_active:
                connection.close()
        self._connection = connection if is_active else None
        return is_active

    def release(self) -> None:
        """Give the lock up, so that another may take over at once. Never raises."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(SQLAlchemyError):
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
        with suppress(SQLAlchemyError):
            # Closed for good, not put back into the pool: should the lock not have gone above, it goes now.
            connection.invalidate()
        with suppress(SQLAlchemyError):
            connection.close()
