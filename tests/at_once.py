"""Several at the same instant: acts of threads of their own that wait for each other before they begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from services.core.errors import CoordinationError
from services.people.attempts import Refused

T = TypeVar("T")


def side_by_side(acts: Sequence[Callable[[], T]]) -> list[T]:
    """What each act gives."""
    barrier = Barrier(len(acts), timeout=30)

    def one(act: Callable[[], T]) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


def at_once(sessions: sessionmaker[Session], acts: Sequence[Callable[[Session], object]]) -> list[bool]:
    """Which of several transactions that begin together went through, and was not refused."""
    barrier = Barrier(len(acts), timeout=30)

    def one(act: Callable[[Session], object]) -> bool:
        try:
            with sessions.begin() as session:
                session.connection()
                barrier.wait()
                return not isinstance(act(session), Refused)
        except (CoordinationError, IntegrityError):
            return False

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))
