"""Inboxes over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM, Role
from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import Party, TaskKind
from services.messaging.models import Task
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.people import tokens
from tests.api.conftest import Api, Caller
from tests.at_once import side_by_side
from tests.factories import World, make_account, make_world
from tests.own_services import service_with

DUE = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def prescriber(api: Api, world: World) -> Caller:
    return api.as_account(world.prescriber)


def make_task(
    session: Session, owner_id: UUID, *, due_at: datetime = DUE, kind: TaskKind = TaskKind.DECIDE_REFILL
) -> Task:
    subject = Subject("refill_request", new_id())
    task = open_task(session, kind, party=Party.MEDICAL_TEAM, owner_id=owner_id, subject=subject, due_at=due_at)
    session.commit()
    return task


def pages(caller: Caller, query: str, limit: int) -> list[list[str]]:
    """The ids of every page, by following the cursors to the end."""
    found: list[list[str]] = []
    path = f"/tasks?limit={limit}{query}"
    cursor = ""
    while True:
        answer = caller.get(path + cursor)
        assert answer.status_code == 200, answer.json
        found.append([item["id"] for item in answer.json["items"]])
        if answer.json["next"] is None:
            return found
        cursor = f"&cursor={answer.json['next']}"


def test_an_inbox_shows_ids_kinds_and_times_and_nothing_personal(
    session: Session, world: World, prescriber: Caller
) -> None:
    task = make_task(session, world.medical_team.id)
    answer = prescriber.get("/tasks").json
    assert answer["next"] is None
    (shown,) = answer["items"]
    assert (shown["id"], shown["kind"], shown["state"]) == (str(task.id), "decide_refill", "requested")
    assert (shown["due_at"], shown["version"]) == ("2027-01-04T12:00:00+00:00", 1)
    assert "reason" not in shown


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 100])
def test_the_cursors_lead_to_every_task_once_even_where_many_are_due_at_once(
    session: Session, world: World, prescriber: Caller, limit: int
) -> None:
    owners = [world.prescriber.id, world.medical_team.id] * 4
    made = [make_task(session, owner, due_at=DUE + timedelta(hours=n // 5)) for n, owner in enumerate(owners)]
    found = pages(prescriber, "", limit)
    expected = [str(task.id) for task in sorted(made, key=lambda task: (task.due_at, task.id))]
    assert [task for page in found for task in page] == expected
    assert all(len(page) == limit for page in found[:-1])


def test_the_largest_pages_lead_to_the_end_too(session: Session, world: World, prescriber: Caller) -> None:
    subject = Subject("refill_request", new_id())
    for _ in range(201):
        open_task(
            session,
            TaskKind.DECIDE_REFILL,
            party=Party.MEDICAL_TEAM,
            owner_id=world.prescriber.id,
            subject=subject,
            due_at=DUE,
        )
    session.commit()
    assert [len(page) for page in pages(prescriber, "", 100)] == [100, 100, 1]


def test_a_cursor_is_good_to_the_microsecond(session: Session, world: World, prescriber: Caller) -> None:
    moments = [DUE + timedelta(microseconds=step) for step in (0, 1, 2, 999_998, 999_999)]
    made = [str(make_task(session, world.prescriber.id, due_at=moment).id) for moment in moments]
    assert [task for page in pages(prescriber, "", 1) for task in page] == made


def test_the_filters_narrow_an_inbox_and_go_on_over_pages(session: Session, world: World, prescriber: Caller) -> None:
    made = [
        make_task(session, world.prescriber.id, due_at=DUE + timedelta(hours=n), kind=kind)
        for n, kind in enumerate([TaskKind.REVIEW_VITALS, TaskKind.DECIDE_REFILL] * 3)
    ]
    ids = [str(task.id) for task in made]
    assert prescriber.post(f"/tasks/{ids[5]}/complete").status_code == 200

    def shown(query: str) -> list[str]:
        return [task for page in pages(prescriber, query, 2) for task in page]

    assert shown("") == ids[:5]
    assert shown("&kind=review_vitals") == ids[0:5:2]
    assert shown("&kind=review_vitals&kind=decide_refill") == ids[:5]
    assert shown("&state=completed") == ids[5:]
    assert shown("&state=requested&state=completed") == ids
    assert shown("&due_after=2027-01-04T13:00:00Z&due_before=2027-01-04T15:00:00Z") == ids[1:3]
    assert shown("&due_before=2027-01-04T07:00:00-06:00") == ids[:1]


@pytest.mark.parametrize(
    "query", ["state=nothing", "kind=sleep", "due_before=tomorrow", "due_after=2027-01-04", "limit=0", "cursor=x"]
)
def test_a_filter_that_cannot_be_is_422_and_named(prescriber: Caller, query: str) -> None:
    answer = prescriber.get(f"/tasks?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("moment", [b"\x7f" + b"\xff" * 7, b"\x80" + b"\x00" * 7])
def test_a_made_up_cursor_is_refused_or_leads_to_nothing(prescriber: Caller, moment: bytes) -> None:
    cursor = base64.urlsafe_b64encode(moment + new_id().bytes).decode()
    assert prescriber.get(f"/tasks?cursor={cursor}").status_code in (200, 422)


def test_a_task_is_accepted_started_and_completed(session: Session, world: World, prescriber: Caller) -> None:
    task = make_task(session, world.medical_team.id)
    path = f"/tasks/{task.id}"
    accepted = prescriber.post(f"{path}/accept")
    assert (accepted.json["state"], accepted.json["accepted_by"]) == ("accepted", str(world.prescriber.id))
    assert prescriber.post(f"{path}/start").json["state"] == "in_progress"
    done = prescriber.post(f"{path}/complete")
    assert (done.json["state"], done.json["ended_at"] is not None) == ("completed", True)
    assert done.headers["ETag"] == f'"{done.json["version"]}"' == '"4"'
    assert prescriber.get("/tasks").json["items"] == []
    assert prescriber.get(path).json["state"] == "completed"


def test_a_second_accept_is_refused_with_conflict(api: Api, session: Session, world: World, prescriber: Caller) -> None:
    task = make_task(session, world.medical_team.id)
    assert prescriber.post(f"/tasks/{task.id}/accept").status_code == 200
    second = api.as_account(world.medical_staff).post(f"/tasks/{task.id}/accept")
    assert (second.status_code, second.json["code"], second.json["rule"]) == (409, "illegal_transition", "task.states")
    assert prescriber.get(f"/tasks/{task.id}").json["accepted_by"] == str(world.prescriber.id)


@pytest.mark.parametrize("step", ["accept", "start", "complete"])
def test_what_has_ended_stays_ended(session: Session, world: World, prescriber: Caller, step: str) -> None:
    task = make_task(session, world.prescriber.id)
    prescriber.post(f"/tasks/{task.id}/complete")
    assert prescriber.post(f"/tasks/{task.id}/{step}").status_code == 409


def test_a_stale_version_is_refused_and_the_present_one_taken(
    session: Session, world: World, prescriber: Caller
) -> None:
    task = make_task(session, world.prescriber.id)
    path = f"/tasks/{task.id}"
    read = prescriber.get(path).headers["ETag"]
    assert prescriber.post(f"{path}/accept", headers={"If-Match": read}).status_code == 200
    stale = prescriber.post(f"{path}/start", headers={"If-Match": read})
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    assert prescriber.get(path).json["state"] == "accepted"
    assert prescriber.post(f"{path}/start", headers={"If-Match": '"2"'}).status_code == 200


def test_a_task_is_forwarded_with_a_reason_that_the_colleague_reads(
    api: Api, session: Session, world: World, prescriber: Caller
) -> None:
    colleague = make_account(session, Role.PRESCRIBER, organisation=world.medical_team)
    task = make_task(session, world.prescriber.id)
    body = {"to": str(colleague.id), "reason": "You know Rosa."}
    forwarded = prescriber.post(f"/tasks/{task.id}/forward", body)
    assert (forwarded.status_code, forwarded.json["owner_id"]) == (200, str(colleague.id))
    assert "Rosa" not in forwarded.text
    assert prescriber.get(f"/tasks/{task.id}").status_code == 404
    assert api.as_account(colleague).get(f"/tasks/{task.id}").json["reason"] == "You know Rosa."


def test_a_task_is_rejected_with_a_reason(session: Session, world: World, prescriber: Caller) -> None:
    task = make_task(session, world.prescriber.id)
    assert prescriber.get(f"/tasks/{task.id}").json["reason"] is None
    assert prescriber.post(f"/tasks/{task.id}/reject", {"reason": "Asked twice."}).json["state"] == "rejected"
    assert prescriber.get(f"/tasks/{task.id}").json["reason"] == "Asked twice."


@pytest.mark.parametrize(
    ("step", "body", "status", "field"),
    [
        ("reject", {}, 422, "reason"),
        ("reject", {"reason": ""}, 422, "reason"),
        ("reject", {"reason": "  "}, 409, "reason"),
        ("forward", {"reason": "x"}, 422, "to"),
        ("forward", {"reason": "x", "to": "00000000-0000-7000-8000-00000000dead"}, 409, "to"),
        ("accept", {"reason": "x"}, 422, "reason"),
    ],
)
def test_a_step_that_does_not_fit_is_refused_and_says_why(
    session: Session, world: World, prescriber: Caller, step: str, body: dict[str, str], status: int, field: str
) -> None:
    task = make_task(session, world.prescriber.id)
    answer = prescriber.post(f"/tasks/{task.id}/{step}", body)
    named = answer.json["errors"][0]["field"] if status == 422 else answer.json["field"]
    assert (answer.status_code, named) == (status, field)
    assert prescriber.get(f"/tasks/{task.id}").json["state"] == "requested"


def test_a_task_of_others_is_not_found(api: Api, session: Session, world: World, prescriber: Caller) -> None:
    task = make_task(session, world.pharmacy.id)
    for answer in (
        prescriber.get(f"/tasks/{task.id}"),
        prescriber.post(f"/tasks/{task.id}/accept"),
        prescriber.post(f"/tasks/{task.id}/reject", {"reason": "Not mine."}),
        prescriber.get(f"/tasks/{new_id()}"),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert api.as_account(world.pharmacist).get(f"/tasks/{task.id}").json["state"] == "requested"


@pytest.fixture
def service(environment: Mapping[str, str], own_postgres_url: str) -> Iterator[None]:
    """A database of this test's own: what several threads commit there stays."""
    with service_with(DATABASE_URL=own_postgres_url):
        yield


def test_of_several_who_accept_at_the_same_instant_one_succeeds(service: None, app: Flask) -> None:
    with transaction() as session:
        world = make_world(session)
        accounts = [
            make_account(session, Role.MEDICAL_STAFF, organisation=world.medical_team, papers=False) for _ in range(4)
        ]
        given = [tokens.issue_token(session, SYSTEM, account).token.reveal() for account in accounts]
        task_id = open_task(
            session,
            TaskKind.DECIDE_REFILL,
            party=Party.MEDICAL_TEAM,
            owner_id=world.medical_team.id,
            subject=Subject("refill_request", new_id()),
            due_at=DUE,
        ).id

    def accept(token: str) -> dict[str, Any]:
        answer = Caller(app.test_client(), token).post(f"/tasks/{task_id}/accept")
        return {"status": answer.status_code, "code": answer.json.get("code")}

    answers = side_by_side([partial(accept, token) for token in given])
    assert sorted(answer["status"] for answer in answers) == [200, 409, 409, 409]
    assert {answer["code"] for answer in answers} <= {None, "stale_version", "illegal_transition"}
    winner = accounts[[answer["status"] for answer in answers].index(200)]
    with transaction() as session:
        task = session.get_one(Task, task_id)
        assert (task.accepted_by, task.version) == (winner.id, 2)
