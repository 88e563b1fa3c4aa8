"""The outcomes of a cohort over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.core.programme import programme
from tests.api.conftest import Api
from tests.factories import World, make_world
from tests.factories_outcomes import treated

SPRING = datetime(2025, 3, 2, 18, 0, tzinfo=UTC)


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def address(world: World, *, year: int = 2025, name: str = programme().name) -> str:
    return f"/medical-teams/{world.medical_team.id}/cohort-report?programme={name}&year={year}"


def test_a_prescriber_reads_the_outcomes_of_the_own_team(api: Api, session: Session, world: World) -> None:
    treated(session, world, at=SPRING)
    answer = api.as_account(world.prescriber).get(address(world))
    assert answer.status_code == 200, answer.json
    assert answer.json["method"]["interval"] == "Wilson score"
    assert answer.json["tables"]["people"]["all"]["total"] is None  # one patient is few
    assert {each["id"] for each in answer.json["figures"]} >= {"anxiety_improved", "not_responded"}


def test_operations_read_an_empty_cohort_that_says_so(api: Api, world: World) -> None:
    answer = api.as_account(world.operator).get(address(world, year=2003))
    assert (answer.status_code, answer.json["tables"]) == (200, {})
    assert answer.json["message"].startswith("Nobody had a first dose")


def test_another_team_is_not_there_and_others_may_not(api: Api, world: World) -> None:
    elsewhere = address(world).replace(str(world.medical_team.id), str(new_id()))
    assert api.as_account(world.prescriber).get(elsewhere).status_code == 404
    assert api.as_account(world.therapist).get(address(world)).status_code == 403


def test_what_cannot_be_reported_names_the_rule(api: Api, world: World) -> None:
    caller = api.as_account(world.prescriber)
    early = caller.get(address(world, year=clock.now().year))
    assert (early.status_code, early.json["findings"][0]["rule"]) == (409, "outcomes.cohort_year_not_over")
    assert caller.get(f"{address(world)}&from=2025&to=2025").status_code == 422
    unknown = caller.get(address(world, name="nothing"))
    assert (unknown.status_code, unknown.json["findings"][0]["rule"]) == (409, "outcomes.cohort_programme")
    assert caller.get(address(world, year=1999)).status_code == 422
