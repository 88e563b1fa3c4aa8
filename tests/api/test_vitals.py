"""Vital signs over HTTP: what the document refuses, what the gate answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.sessions.models import TherapySession
from services.sessions.states import SessionState
from tests.api.conftest import Api, Caller
from tests.factories_prescribing import Case
from tests.factories_programmes import run_under
from tests.factories_sessions import drive, make_supplied, stopped_clock


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    return make_supplied(session)


@pytest.fixture
def row(session: Session, case: Case, moment: time_machine.Traveller) -> TherapySession:
    row = drive(session, case, SessionState.READY, moment)
    session.commit()
    return row


@pytest.fixture
def therapist(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.therapist)


def reading(**changes: Any) -> dict[str, Any]:
    return {"phase": "before", "systolic": 122, "diastolic": 78, "heart_rate": 70, "red_flags": [], **changes}


def test_what_no_cuff_shows_is_422_by_field(therapist: Caller, row: TherapySession) -> None:
    for field, value in (
        ("systolic", 59),
        ("systolic", 261),
        ("systolic", "122"),
        ("systolic", 122.5),
        ("diastolic", 29),
        ("diastolic", 161),
        ("heart_rate", 24),
        ("heart_rate", 221),
        ("oxygen_percent", 0),
        ("oxygen_percent", 101),
        ("phase", "yesterday"),
        ("red_flags", ["Hic cups"]),
        ("red_flags", "seizure"),
        ("taken_at", "now"),
    ):
        answer = therapist.post(f"/sessions/{row.id}/vitals", reading(**{field: value}))
        assert answer.status_code == 422
        assert answer.json["errors"][0]["field"].split(".")[0] == field


def test_a_clinic_may_have_red_flags_of_its_own(
    session: Session, case: Case, therapist: Caller, row: TherapySession
) -> None:
    own = {"vitals.emergency.symptoms": ["chest_pain", "hiccups"]}
    run_under(session, case.episode, own)
    session.commit()
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(red_flags=["seizure"]))
    assert (answer.status_code, answer.json["code"]) == (409, "rule_refused")
    for wrong in ("Hiccups", "hic cups", "h" * 51):
        answer = therapist.post(f"/sessions/{row.id}/vitals", reading(red_flags=[wrong]))
        assert answer.status_code == 422
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(red_flags=["hiccups"]))
    assert (answer.status_code, answer.json["outcome"]) == (201, "emergency")


def test_red_flags_must_be_asked_for(therapist: Caller, row: TherapySession) -> None:
    body = reading()
    del body["red_flags"]
    assert therapist.post(f"/sessions/{row.id}/vitals", body).json["errors"][0]["field"] == "red_flags"


def test_a_diastolic_not_below_the_systolic_is_409_naming_field_and_rule(
    therapist: Caller, row: TherapySession
) -> None:
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(systolic=110, diastolic=110))
    assert (answer.status_code, answer.json["field"]) == (409, "diastolic")
    assert answer.json["rule"] == "vitals.diastolic_not_below_systolic"
    assert therapist.get(f"/sessions/{row.id}/vitals").json["items"] == []


def test_out_of_range_says_when_to_repeat_and_why(
    api: Api, case: Case, therapist: Caller, row: TherapySession, moment: time_machine.Traveller
) -> None:
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(systolic=150, oxygen_percent=97))
    shown = answer.json
    assert (answer.status_code, shown["outcome"], shown["readings_left"]) == (201, "rest_and_repeat", 2)
    assert (shown["session_state"], shown["emergency"]) == ("ready", None)
    (finding,) = shown["findings"]
    assert (finding["rule"], finding["setting"], finding["value"]) == (
        "vitals.start_systolic_below",
        "vitals.start.systolic_below",
        140,
    )
    assert set(finding) == {"rule", "severity", "source", "sentence", "setting", "value", "inputs"}
    moment.shift(timedelta(minutes=10))
    therapist.post(f"/sessions/{row.id}/vitals", reading())
    listed = api.as_account(case.world.prescriber).get(f"/sessions/{row.id}/vitals?limit=1").json
    assert [item["systolic"] for item in listed["items"]] == [150]
    rest = api.as_account(case.world.prescriber).get(f"/sessions/{row.id}/vitals?cursor={listed['next']}").json
    assert [(item["systolic"], item["outcome"]) for item in rest["items"]] == [(122, "pass")]


def test_a_cancelled_session_is_a_result_and_is_kept(therapist: Caller, row: TherapySession) -> None:
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(systolic=165))
    assert (answer.status_code, answer.json["outcome"], answer.json["session_state"]) == (201, "cancel", "cancelled")
    assert therapist.get(f"/sessions/{row.id}").json["state"] == "cancelled"
    assert therapist.post(f"/sessions/{row.id}/vitals", reading()).json["code"] == "illegal_transition"


def test_an_emergency_shows_whom_to_call_first(therapist: Caller, row: TherapySession) -> None:
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(red_flags=["chest_pain"]))
    assert (answer.json["outcome"], answer.json["emergency"]["call"]) == ("emergency", "911")
    assert "911" in answer.json["emergency"]["sentence"]
    assert therapist.get(f"/sessions/{row.id}").json["emergency"]["call"] == "911"


def test_a_time_ahead_is_409(therapist: Caller, row: TherapySession) -> None:
    taken_at = (clock.now() + timedelta(minutes=1)).isoformat()
    answer = therapist.post(f"/sessions/{row.id}/vitals", reading(taken_at=taken_at))
    assert (answer.status_code, answer.json["field"], answer.json["rule"]) == (
        409,
        "taken_at",
        "sessions.in_the_future",
    )


def test_only_the_therapist_records(api: Api, case: Case, row: TherapySession) -> None:
    for account in (case.world.prescriber, case.world.medical_staff, case.world.pharmacist):
        assert api.as_account(account).post(f"/sessions/{row.id}/vitals", reading()).status_code == 403
    assert api.as_patient(case.episode).get(f"/sessions/{row.id}/vitals").status_code == 403
