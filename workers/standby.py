"""One active relay and one active ticker among many: whoever holds the database lock is active, the rest stand by."""

from __future__ import annotations

import zlib
from contextlib import suppress
from threading import Event as Stop

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

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
        if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar_one():
            self._connection = connection
            return True
        connection.close()
        return False

    def release(self) -> None:
        """Give the lock up, so that another may take over at once."""
        if self._connection is not None:
            with suppress(DBAPIError):
                self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
            with suppress(DBAPIError):
                self._connection.close()
            self._connection = None
