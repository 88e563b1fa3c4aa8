"""Adverse events over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from tests.api.conftest import Api, Caller
from tests.factories_prescribing import Case, make_case


@pytest.fixture
def case(session: Session) -> Case:
    case = make_case(session, pdmp=False)
    session.commit()
    return case


@pytest.fixture
def therapist(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.therapist)


def body(**changes: Any) -> dict[str, Any]:
    return {"effect": "fall_or_injury", "grade": "severe", "description": "Fainted on the stairs.", **changes}


def test_an_event_is_recorded_read_listed_and_closed(api: Api, case: Case, therapist: Caller) -> None:
    path = f"/episodes/{case.episode.id}/adverse-events"
    made = therapist.post(path, body())
    assert (made.status_code, made.json["state"], made.json["grade"]) == (201, "open", "severe")
    assert (made.json["description"], made.headers["ETag"]) == ("Fainted on the stairs.", '"1"')
    assert (made.json["effect"], made.json["expected"]) == ("fall_or_injury", False)
    prescriber = api.as_account(case.world.prescriber)
    assert prescriber.get(f"/adverse-events/{made.json['id']}").json == made.json
    assert prescriber.get(path).json == {"items": [made.json], "next": None}
    close = f"/adverse-events/{made.json['id']}/close"
    assert therapist.post(close, {"reason": "Fine."}).status_code == 403
    closed = prescriber.post(close, {"reason": "Low pressure; drank water."}, headers={"If-Match": '"1"'})
    assert (closed.json["state"], closed.json["resolution"]) == ("closed", "Low pressure; drank water.")
    assert closed.json["closed_by"] == str(case.world.prescriber.id)
    assert prescriber.post(close, {"reason": "Again."}).json["code"] == "illegal_transition"


def test_pages_lead_on(case: Case, therapist: Caller) -> None:
    path = f"/episodes/{case.episode.id}/adverse-events"
    made = {therapist.post(path, body(grade="mild")).json["id"] for _ in range(3)}
    first = therapist.get(f"{path}?limit=2").json
    second = therapist.get(f"{path}?limit=2&cursor={first['next']}").json
    assert {item["id"] for item in [*first["items"], *second["items"]]} == made
    assert (len(first["items"]), second["next"]) == (2, None)


def test_what_does_not_fit_is_422_by_field(case: Case, therapist: Caller) -> None:
    for field, value in (
        ("grade", "terrible"),
        ("effect", "hiccups"),
        ("description", ""),
        ("description", "x" * 4001),
        ("occurred_at", "2026-11-20"),
        ("session_id", "none"),
        ("blame", "me"),
    ):
        answer = therapist.post(f"/episodes/{case.episode.id}/adverse-events", body(**{field: value}))
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


def test_a_time_or_session_that_cannot_be_is_409_by_field(case: Case, therapist: Caller) -> None:
    path = f"/episodes/{case.episode.id}/adverse-events"
    ahead = (clock.now() + timedelta(hours=1)).isoformat()
    for changes, field in (({"occurred_at": ahead}, "occurred_at"), ({"session_id": str(new_id())}, "session_id")):
        answer = therapist.post(path, body(**changes))
        assert (answer.status_code, answer.json["field"]) == (409, field)


def test_the_pharmacy_and_the_patient_have_no_part_in_it(api: Api, case: Case, therapist: Caller) -> None:
    path = f"/episodes/{case.episode.id}/adverse-events"
    made = therapist.post(path, body()).json
    for caller in (api.as_account(case.world.pharmacist), api.as_patient(case.episode)):
        assert caller.post(path, body()).status_code == 403
        assert caller.get(path).status_code == 403
        assert caller.get(f"/adverse-events/{made['id']}").status_code == 403
