"""Sessions over HTTP: booking, answering, a whole dosing day, and integration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from services.core import clock
from services.core.ids import new_id
from services.sessions.states import SessionState
from tests.api.conftest import Api, Caller
from tests.factories import make_world
from tests.factories_prescribing import Case
from tests.factories_sessions import ALCOHOL_AND_THC, book, drive, make_prescribed, make_supplied, stopped_clock

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WELL = {"oriented": True, "walks_unaided": True, "vomiting": False, "escort_present": True}
READING = {"systolic": 122, "diastolic": 78, "heart_rate": 70, "red_flags": []}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with stopped_clock() as traveller:
        yield traveller


@pytest.fixture
def case(session: Session, moment: time_machine.Traveller) -> Case:
    case = make_supplied(session)
    session.commit()
    return case


@pytest.fixture
def therapist(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.therapist)


def in_hours(hours: float) -> str:
    return (clock.now() + timedelta(hours=hours)).isoformat()


def booking(case: Case, **changes: Any) -> dict[str, Any]:
    given = {
        "episode_id": str(case.episode.id),
        "kind": "dosing",
        "starts_at": in_hours(1),
        "site": "office",
        "remote": False,
    }
    return {**given, **changes}


def found(**changes: Any) -> dict[str, Any]:
    chaperone = {
        "name": "Charlie Chaperone",
        "age_years": 44,
        "phone": "(415) 555-2671",
        "present": True,
        "sober_attested": True,
        "arrived_at": in_hours(-0.5),
    }
    return {
        "chaperone": chaperone,
        "last_food_at": in_hours(-5),
        "last_water_at": in_hours(-2),
        "intakes": [{"rule": ALCOHOL_AND_THC, "last_taken_at": in_hours(-72)}],
        **changes,
    }


def rules(answer: Any) -> list[str]:
    """The rules that refuse; each says where it comes from, what it was set to and which facts it looked at."""
    assert answer.status_code == 409, answer.json
    for finding in answer.json["findings"]:
        assert set(finding) == {"rule", "severity", "source", "sentence", "setting", "value", "inputs"}
        assert finding["inputs"], finding
        assert (finding["setting"] is None) == (finding["value"] is None), finding
    return [finding["rule"] for finding in answer.json["findings"]]


def test_a_session_is_booked_read_and_listed(api: Api, case: Case, therapist: Caller) -> None:
    made = therapist.post("/sessions", booking(case, address="Suite 4", kind="preparation"))
    assert made.status_code == 201, made.json
    shown = made.json
    assert (shown["kind"], shown["state"], shown["site"], shown["address"]) == (
        "preparation",
        "scheduled",
        "office",
        "Suite 4",
    )
    assert datetime.fromisoformat(shown["ends_at"]) - datetime.fromisoformat(shown["starts_at"]) == HOUR
    assert made.headers["ETag"] == '"1"'
    assert therapist.get(f"/sessions/{shown['id']}").json == shown
    team = api.as_account(case.world.medical_staff)
    assert team.get(f"/sessions/{shown['id']}").json == {**shown, "comfort": None}  # the patient's and the therapist's
    listed = api.as_patient(case.episode).get(f"/episodes/{case.episode.id}/sessions").json
    assert [item["id"] for item in listed["items"]] == [shown["id"]]
    assert "address" not in listed["items"][0]


def test_a_page_leads_to_the_next(session: Session, case: Case, therapist: Caller) -> None:
    for week in range(3):
        book(session, case, starts_at=clock.now() + timedelta(days=7 * week + 1))
    session.commit()
    path = f"/episodes/{case.episode.id}/sessions?kind=dosing&state=scheduled&limit=2"
    first = therapist.get(path).json
    second = therapist.get(f"{path}&cursor={first['next']}").json
    times = [item["starts_at"] for item in [*first["items"], *second["items"]]]
    assert (len(times), times, second["next"]) == (3, sorted(times), None)


def test_what_stands_in_the_way_of_a_booking_is_named(
    session: Session, api: Api, moment: time_machine.Traveller, case: Case, therapist: Caller
) -> None:
    therapist.post("/sessions", booking(case))
    answer = therapist.post("/sessions", booking(case, starts_at=in_hours(2)))
    assert rules(answer) == ["sessions.therapist_overlap", "sessions.interval_too_short"]
    assert (answer.json["field"], answer.json["rule"]) == ("starts_at", "sessions.therapist_overlap")
    interval = answer.json["findings"][1]
    assert (interval["setting"], interval["value"], interval["source"]) == ("sessions.interval_days", 7, "DOMAIN 4")
    past = therapist.post("/sessions", booking(case, starts_at=in_hours(-1)))
    assert (past.status_code, past.json["field"], past.json["rule"]) == (409, "starts_at", "sessions.in_the_past")


def test_what_does_not_fit_the_document_is_422_by_field(case: Case, therapist: Caller) -> None:
    for field, value in (
        ("kind", "party"),
        ("starts_at", "tomorrow"),
        ("starts_at", "2026-11-23T10:00:00"),
        ("site", "beach"),
        ("remote", "no"),
        ("minutes", 14),
        ("minutes", 481),
        ("address", ""),
        ("integrates_id", "one"),
        ("couch", True),
    ):
        answer = therapist.post("/sessions", booking(case, **{field: value}))
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


def test_a_session_moves_only_from_the_version_that_was_read(case: Case, therapist: Caller) -> None:
    made = therapist.post("/sessions", booking(case)).json
    path = f"/sessions/{made['id']}"
    moved = therapist.patch(path, {"starts_at": in_hours(30)}, headers={"If-Match": '"1"'})
    assert (moved.status_code, moved.json["version"] > 1) == (200, True)
    assert moved.headers["ETag"] == f'"{moved.json["version"]}"'
    assert therapist.patch(path, {"minutes": 200}, headers={"If-Match": '"1"'}).status_code == 412
    assert therapist.patch(path, {"starts_at": in_hours(-1)}).json["rule"] == "sessions.in_the_past"


def test_the_patient_confirms_or_asks_for_another_time(api: Api, case: Case, therapist: Caller) -> None:
    made = therapist.post("/sessions", booking(case)).json
    patient = api.as_patient(case.episode)
    confirmed = patient.post(f"/sessions/{made['id']}/confirm").json
    assert (confirmed["confirmed_at"] is None, confirmed["reschedule_asked_at"]) == (False, None)
    asked = patient.post(f"/sessions/{made['id']}/ask-to-reschedule").json
    assert (asked["confirmed_at"], asked["reschedule_asked_at"] is None) == (None, False)
    assert therapist.post(f"/sessions/{made['id']}/confirm").status_code == 403
    assert patient.post(f"/sessions/{made['id']}/cancel", {"reason": "No."}).status_code == 403


def test_a_cancelled_session_says_why_to_the_team_and_not_to_the_patient(
    api: Api, case: Case, therapist: Caller
) -> None:
    made = therapist.post("/sessions", booking(case)).json
    cancelled = therapist.post(f"/sessions/{made['id']}/cancel", {"reason": "Flooded room."})
    assert (cancelled.json["state"], cancelled.json["reason"]["texts"]) == ("cancelled", ["Flooded room."])
    assert api.as_patient(case.episode).get(f"/sessions/{made['id']}").json["reason"] is None
    again = therapist.post(f"/sessions/{made['id']}/cancel", {"reason": "Flooded room."})
    assert (again.status_code, again.json["code"], again.json["rule"]) == (
        409,
        "illegal_transition",
        "dosing session.states",
    )


def test_a_dosing_day_from_the_door_to_the_way_home(
    api: Api, case: Case, therapist: Caller, moment: time_machine.Traveller
) -> None:
    made = therapist.post("/sessions", booking(case)).json
    path = f"/sessions/{made['id']}"
    moment.shift(HOUR)
    missing = therapist.post(f"{path}/readiness", found(chaperone=None, last_food_at=None, intakes=[]))
    assert rules(missing) == ["sessions.chaperone_missing", "sessions.fasting_food", "sessions.hold_unanswered"]
    assert therapist.post(f"{path}/dose", {"mg": 50, "is_booster": False}).json["code"] == "illegal_transition"
    ready = therapist.post(f"{path}/readiness", found()).json
    assert (ready["state"], ready["readiness"]["chaperone"]["phone"]) == ("ready", "+14155552671")
    passed = therapist.post(f"{path}/vitals", {"phase": "before", **READING})
    assert (passed.status_code, passed.json["outcome"], passed.json["session_state"]) == (
        201,
        "pass",
        "vitals_passed",
    )
    too_much = therapist.post(f"{path}/dose", {"mg": 400, "is_booster": False})
    assert rules(too_much) == ["sessions.dose_over_prescription", "sessions.dose_over_cap"]
    dosed = therapist.post(f"{path}/dose", {"mg": 100, "is_booster": False}).json
    assert datetime.fromisoformat(dosed["watch"]["onset_from"]) == clock.now() + 10 * MINUTE
    assert (dosed["state"], [dose["mg"] for dose in dosed["doses"]]) == ("dosed", [100])
    assert datetime.fromisoformat(dosed["watch"]["next_check_at"]) == clock.now() + 15 * MINUTE
    moment.shift(15 * MINUTE)
    ratings = {"dissociation": 5, "distress": 0, "nausea": 1, "sedation": 4}
    seen = therapist.post(f"{path}/checks", {"concern": False, "ratings": ratings}).json
    assert (seen["state"], seen["checks"][0]["content"]["ratings"]) == ("monitoring", ratings)
    early = therapist.post(f"{path}/discharge-gate", {**WELL, "escort_present": False})
    assert rules(early) == [
        "vitals.discharge_too_soon",
        "vitals.discharge_no_reading",
        "vitals.discharge_no_escort",
    ]
    moment.shift(105 * MINUTE)
    assert therapist.post(f"{path}/vitals", {"phase": "after", **READING}).json["outcome"] == "noted"
    assert therapist.post(f"{path}/discharge").json["code"] == "illegal_transition"
    missed = therapist.post(f"{path}/discharge-gate", WELL)
    assert rules(missed) == ["vitals.checks_missed", "vitals.peak_reading_missed"]
    said = {**WELL, "missed_because": "The cuff was flat; watched all the time."}
    gone = therapist.post(f"{path}/discharge-gate", said).json
    assert (gone["state"], gone["checks"][-1]["content"]["because"]) == ("discharge_ready", said["missed_because"])
    home = therapist.post(f"{path}/discharge").json
    assert (home["state"], home["may_drive_at"]) == ("integration_due", "2026-11-24T00:00:00-08:00")
    own = api.as_patient(case.episode).get(path).json
    assert (own["may_drive_at"], own["doses"], own["readiness"]) == ("2026-11-24T00:00:00-08:00", None, None)
    assert therapist.post(f"{path}/check-in", {"concern": False}).json["state"] == "integration_due"


def test_integration_closes_the_dosing_session(
    session: Session, api: Api, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    session.commit()
    moment.shift(25 * HOUR)
    therapist = api.as_account(case.world.therapist)
    early = booking(case, kind="integration", integrates_id=str(row.id))
    talk = therapist.post("/sessions", early).json
    moment.shift(HOUR)
    assert therapist.post(f"/sessions/{talk['id']}/hold").json["state"] == "closed"
    assert therapist.get(f"/sessions/{row.id}").json["state"] == "closed"


def test_an_integration_outside_its_window_is_booked_with_a_note(
    session: Session, case: Case, therapist: Caller, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.INTEGRATION_DUE, moment)
    session.commit()
    talk = therapist.post("/sessions", booking(case, kind="integration", integrates_id=str(row.id)))
    assert [finding["rule"] for finding in talk.json["findings"]] == ["sessions.integration_outside_window"]
    nothing = therapist.post("/sessions", booking(case, kind="integration", starts_at=in_hours(30)))
    assert (nothing.status_code, nothing.json["field"]) == (409, "integrates_id")


def test_an_emergency_says_whom_to_call_until_the_prescriber_closes_it(
    session: Session, api: Api, case: Case, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.DOSED, moment)
    session.commit()
    therapist, prescriber = api.as_account(case.world.therapist), api.as_account(case.world.prescriber)
    said = {"red_flags": ["seizure"], "description": "A seizure."}
    declared = therapist.post(f"/sessions/{row.id}/emergency", said).json
    assert (declared["state"], declared["emergency"]["call"]) == ("emergency", "911")
    assert prescriber.get(f"/sessions/{row.id}").json["reason"] == {"red_flags": ["seizure"], "texts": ["A seizure."]}
    unknown = therapist.post(f"/sessions/{row.id}/emergency", {**said, "red_flags": ["hiccups"]})
    assert (unknown.status_code, unknown.json["code"]) == (409, "rule_refused")  # no red flag of this programme
    assert therapist.post(f"/sessions/{row.id}/close-emergency", {"reason": "Over."}).status_code == 403
    closed = prescriber.post(f"/sessions/{row.id}/close-emergency", {"reason": "Seen in hospital."}).json
    assert (closed["state"], closed["emergency"]) == ("integration_due", None)


def test_a_session_can_be_aborted_after_a_dose(
    session: Session, case: Case, therapist: Caller, moment: time_machine.Traveller
) -> None:
    row = drive(session, case, SessionState.DOSED, moment)
    session.commit()
    assert therapist.post(f"/sessions/{row.id}/cancel", {"reason": "Left."}).status_code == 409
    aborted = therapist.post(f"/sessions/{row.id}/abort", {"reason": "Left."}).json
    assert (aborted["state"], aborted["may_drive_at"] is None) == ("aborted", False)


def test_the_prescriber_extends_a_round(api: Api, case: Case, therapist: Caller) -> None:
    path, body = f"/episodes/{case.episode.id}/round-extensions", {"sessions": 12, "reason": "Still improving."}
    prescriber = api.as_account(case.world.prescriber)
    made = prescriber.post(path, body)
    assert (made.status_code, made.json["extended_by"]) == (201, str(case.world.prescriber.id))
    assert "reason" not in made.json
    assert prescriber.post(path, {**body, "sessions": 8}).json["field"] == "sessions"
    assert therapist.post(path, body).status_code == 403


def test_stock_is_counted_and_wasted(api: Api, case: Case, therapist: Caller) -> None:
    path, patient = f"/episodes/{case.episode.id}/stock", api.as_patient(case.episode)
    wasted = patient.post(f"{path}/wastes", {"units": 0.5, "reason": "It broke."})
    assert (wasted.status_code, wasted.json["wasted"], wasted.json["remaining_expected"]) == (201, 0.5, 3.5)
    assert therapist.post(f"{path}/counts", {"units": 3.5}).json["remaining_reported"] == 3.5
    ledger = api.as_account(case.world.medical_staff).get(path).json
    assert (ledger["dispensed"], ledger["taken"], ledger["remaining_reported"]) == (4, 0, 3.5)
    over = patient.post(f"{path}/wastes", {"units": 3.6, "reason": "All gone."})
    assert (over.status_code, over.json["field"]) == (409, "units")
    assert patient.post(f"{path}/wastes", {"units": 0, "reason": "None."}).status_code == 422
    assert api.as_account(case.world.pharmacist).get(path).status_code == 403


def test_who_may_not_is_403_and_who_may_not_see_is_404(
    session: Session, api: Api, case: Case, therapist: Caller
) -> None:
    made = therapist.post("/sessions", booking(case)).json
    stranger = make_world(session)
    session.commit()
    reads = [f"/sessions/{made['id']}", f"/episodes/{case.episode.id}/sessions", f"/sessions/{made['id']}/vitals"]
    for path in reads:
        assert api.as_account(case.world.pharmacist).get(path).status_code == 403
        assert api.as_account(stranger.therapist).get(path).status_code == 404
        assert api.anonymous().get(path).status_code == 401
    steps = {"readiness": found(), "dose": {"mg": 50, "is_booster": False}, "discharge": {}, "hold": {}}
    for step, body in steps.items():
        assert api.as_account(case.world.prescriber).post(f"/sessions/{made['id']}/{step}", body).status_code == 403
        assert api.as_account(stranger.therapist).post(f"/sessions/{made['id']}/{step}", body).status_code == 404
        assert therapist.post(f"/sessions/{new_id()}/{step}", body).status_code == 404


def test_a_patient_of_another_episode_answers_nothing(
    session: Session, api: Api, case: Case, therapist: Caller
) -> None:
    made = therapist.post("/sessions", booking(case)).json
    other, _ = make_prescribed(session)
    session.commit()
    assert api.as_patient(other.episode).post(f"/sessions/{made['id']}/confirm").status_code == 404
