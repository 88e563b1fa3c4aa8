"""One running service for all faults of a test process, and the table of counts at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest

from services.core.database import transaction
from tests.factories import make_episode, make_world
from tests.faults.counts import COUNTED, Count
from tests.faults.stacks import Service, damage_to_the_audit_trail, letters, prepare
from tests.own_services import service_with


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with everybody it serves, started once."""
    with prepare(tmp_path_factory.mktemp("faults")) as stack:
        with service_with(**stack.environment), transaction() as session:
            world = make_world(session)
            episode = make_episode(session, world=world)
        yield Service(stack, world, episode.id)


@pytest.fixture
def service(running: Service) -> Iterator[Service]:
    """The service, up and with nothing to do; afterwards its audit trail is whole."""
    assert running.is_sound, "an earlier fault left work undone"
    with service_with(**running.stack.environment):
        running.is_sound = False
        running.wait_until_ready()
        running.wait_until_idle()
        running.is_sound = True
        yield running
        assert damage_to_the_audit_trail() == []


@pytest.fixture
def counted(service: Service, record_property: Callable[[str, object], None]) -> Callable[[Count], None]:
    """Take the count of a fault: shown at the end of the run, and nothing in it may be double or lost."""
    before = letters()

    def count(counted: Count) -> None:
        record_property(COUNTED, asdict(counted))
        assert (counted.doubles, counted.lost) == (0, 0), counted
        assert counted.went_out == counted.came_in, counted
        assert letters() == before

    return count
