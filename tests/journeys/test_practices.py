"""The five practices, each with its own story over HTTP (DOMAIN 1), all on one running service."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from coordinator.local.stack import Stack
from coordinator.local.story import PRACTICES, Narrator, Story, found
from coordinator.local.story.cast import Person
from coordinator.local.story.records import Record
from coordinator.local.story.times import following
from tests.journeys.evidence import clean_environment

# What only this practice does: rules that must have refused, and tasks that must have appeared.
OWN: dict[str, tuple[set[str], set[str]]] = {
    "journey_clinical": (
        {"sessions.preparation_missing", "refills.maintenance_too_soon"},
        {"review_response", "decide_refill"},
    ),
    "life_works": (
        {"sessions.screening_missing", "sessions.site_not_offered", "vitals.start_systolic_below"},
        {"ship_fill"},
    ),
    "isha_health": ({"sessions.physician_missing"}, {"answer_match", "attend_start"}),
    "options_md": (set(), {"answer_question"}),
    "avesta": ({"prescribing.fill_of_clinic_order", "sessions.location_missing"}, {"review_eligibility"}),
}


class Service:
    """The service on which all practices work, with one desk for all of them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.desk: tuple[str, Person] | None = None

    def tell(self, programme: str) -> Record:
        """Play a practice's story from here on; time goes on from where the one before left it."""
        practice = PRACTICES[programme]
        cast = practice.cast(practice.script())
        if self.desk is not None:
            cast.organisations["operations"], cast.operator = self.desk
        with following(self.stack.environment):
            found(cast, self.stack.environment, practice.organisations())
        self.desk = cast.organisations["operations"], cast.operator
        told = io.StringIO()
        # Each practice calls from an address of its own: the limit on coming in counts by address.
        source = f"127.0.0.{10 + sorted(PRACTICES).index(programme)}"
        story = Story(self.stack.environment, narrator=Narrator(told), cast=cast, practice=practice, source=source)
        return story.perform()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("practices")
    with Stack(directory, clean_environment(), port=0, durable=False) as stack:
        yield Service(stack)


def test_each_of_the_five_has_its_own_story() -> None:
    assert set(PRACTICES) == set(OWN)


@pytest.mark.parametrize("programme", OWN)
def test_a_practice_runs_on_the_service_as_it_works(service: Service, programme: str) -> None:
    record = service.tell(programme)
    refusals, tasks = OWN[programme]
    assert all(step.done for step in record.steps)
    assert {rule for step in record.steps for rule in step.refusals} >= refusals
    assert {task for step in record.steps for task in step.tasks} >= tasks
    assert service.stack.supervisor is not None
    assert set(service.stack.supervisor.restarts().values()) == {0}
