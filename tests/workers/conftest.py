"""What the tests of the workers may ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import time_machine
from sqlalchemy.orm import Session, sessionmaker

from services.core import database
from tests.factories import World, make_world
from tests.factories_messaging import DAYTIME
from tests.own_services import service_with


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Time that stands still in the middle of a working day until the test moves it."""
    with time_machine.travel(DAYTIME, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(session: Session, clock: time_machine.Traveller) -> World:
    """A practice and everybody it works with."""
    return make_world(session)


@pytest.fixture
def own_database(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[sessionmaker[Session]]:
    """This whole process works on a database of its own: commits stay, and threads may take part."""
    with service_with(DATABASE_URL=own_postgres_url):
        yield database.Sessions
