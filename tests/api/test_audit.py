"""The audit trail over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from services.people.models import Episode
from tests.api.conftest import Api, Caller
from tests.factories import World, make_episode, make_world
from tests.factories_refills import report

SUMMARY = "Canary-summary"


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    made = make_episode(session, world=world)
    report(session, made, summary=SUMMARY)
    session.commit()
    return made


@pytest.fixture
def desk(api: Api, world: World) -> Caller:
    return api.as_account(world.operator)


def test_the_desk_reads_what_happened_in_an_episode_and_no_content(
    desk: Caller, world: World, episode: Episode
) -> None:
    answer = desk.get(f"/audit?episode_id={episode.id}")
    assert answer.status_code == 200
    reported = next(item for item in answer.json["items"] if item["action"] == "outcome.report")
    assert (reported["actor_id"], reported["actor_role"]) == (str(world.therapist.id), "therapist")
    assert (reported["subject_kind"], reported["outcome"]) == ("outcome", "done")
    assert SUMMARY.encode() not in answer.data


def test_the_trail_is_filtered_by_actor_action_and_time(desk: Caller, world: World, episode: Episode) -> None:
    mine = f"/audit?actor_id={world.therapist.id}&action=outcome.report"
    found = desk.get(mine).json["items"]
    assert [item["action"] for item in found] == ["outcome.report"]
    assert desk.get(mine + f"&until={found[0]['at'].replace('+', '%2B')}").json["items"] == []
    assert len(desk.get(mine + f"&since={found[0]['at'].replace('+', '%2B')}").json["items"]) == 1


def test_the_trail_goes_on_behind_its_cursor(desk: Caller, world: World, episode: Episode) -> None:
    whole = desk.get(f"/audit?episode_id={episode.id}&action=outcome.report&limit=1").json
    assert whole["next"] is None
    path = f"/audit?actor_id={world.therapist.id}&limit=2"
    ids, cursor = [], ""
    for _ in range(10):
        page = desk.get(path + cursor).json
        ids += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(ids) == len(set(ids)) == len(desk.get(f"/audit?actor_id={world.therapist.id}&limit=100").json["items"])
    assert len(ids) > 2


def test_reading_the_trail_is_on_the_trail(desk: Caller, world: World, episode: Episode) -> None:
    desk.get(f"/audit?episode_id={episode.id}")
    found = desk.get(f"/audit?actor_id={world.operator.id}&action=audit.read").json["items"]
    assert found[0]["episode_id"] == str(episode.id)


def test_nobody_else_reads_it(api: Api, world: World, episode: Episode) -> None:
    accounts = (world.therapist, world.prescriber, world.medical_staff, world.pharmacist)
    for caller in (*map(api.as_account, accounts), api.as_patient(episode)):
        assert caller.get("/audit").status_code == 403
    assert api.anonymous().get("/audit").status_code == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [("action=x;y", "action"), ("since=yesterday", "since"), ("limit=0", "limit"), ("who=me", "who")],
)
def test_a_filter_that_is_none_is_named(desk: Caller, query: str, field: str) -> None:
    answer = desk.get(f"/audit?{query}")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
