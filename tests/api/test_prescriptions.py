"""Prescriptions over HTTP: the way from draft to signature, what is refused and how, who sees what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import event
from sqlalchemy.orm import Session

from services.people.models import Account
from services.prescribing.models import Prescription
from tests.api.conftest import Api, Caller
from tests.factories import PASSWORD, code_of, make_world
from tests.factories_prescribing import DIRECTIONS, Case, make_case, make_draft, make_ready

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def moment(session: Session) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def prescriber(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.prescriber)


def body_of(case: Case, **changes: Any) -> dict[str, Any]:
    return {
        "episode_id": str(case.episode.id),
        "drug": "ketamine",
        "strength_mg": 100,
        "form": "lozenge",
        "quantity_units": 4,
        "sessions_supply": 2,
        "dose_mg": 200,
        "first_session_dose_mg": 100,
        "directions": DIRECTIONS,
        "limits": {"systolic_below": 145},
        **changes,
    }


def factors(session: Session, account: Account, **changes: str) -> dict[str, str]:
    return {"password": PASSWORD, "code": code_of(session, account), **changes}


def test_from_draft_to_signature(session: Session, api: Api, case: Case, prescriber: Caller) -> None:
    staff = api.as_account(case.world.medical_staff)
    drafted = staff.post("/prescriptions", body_of(case))
    assert drafted.status_code == 201
    document = drafted.get_json()
    assert (document["state"], document["content"]["limits"]["systolic_below"]) == ("drafted", 145)
    path = f"/prescriptions/{document['id']}"

    changed = staff.patch(path, {"directions": "Other words."}, headers={"If-Match": drafted.headers["ETag"]})
    assert (changed.status_code, changed.get_json()["content"]["directions"]) == (200, "Other words.")

    ready = prescriber.post(f"{path}/ready")
    assert (ready.status_code, ready.get_json()["state"]) == (200, "ready")

    display = prescriber.get(f"{path}/signing-display").get_json()
    assert display["fields_shown"]["drug"] == "ketamine"
    assert display["statement"].startswith("By completing the two-factor")
    assert "not certified" in display["not_certified"]

    signed = prescriber.post(
        "/prescriptions/sign", {"prescription_ids": [document["id"]], **factors(session, case.world.prescriber)}
    )
    assert signed.status_code == 200
    (prescription,) = signed.get_json()["prescriptions"]
    assert (prescription["state"], prescription["issued_on"]) == ("signed", "2026-11-23")
    assert prescription["signature_valid"] is True

    paper = api.as_account(case.world.pharmacist).get(path).get_json()
    assert paper["paper"]["patient_name"].startswith("Pat Example")
    assert (paper["content"], paper["review"]) == (None, None)


def test_a_wrong_code_is_401_and_its_count_stays(session: Session, case: Case, prescriber: Caller) -> None:
    row = make_ready(session, case)
    session.commit()
    body = {"prescription_ids": [str(row.id)], **factors(session, case.world.prescriber, code="000000")}
    answers = [prescriber.post("/prescriptions/sign", body) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    session.expire_all()
    assert case.world.prescriber.failed_attempts == 6
    assert row.state == "ready"


def test_a_code_signs_once_and_the_same_request_again_gives_the_same_answer(
    session: Session, case: Case, prescriber: Caller
) -> None:
    first, second = make_ready(session, case), make_ready(session, case)
    session.commit()
    body = {"prescription_ids": [str(first.id)], **factors(session, case.world.prescriber)}
    key = {"Idempotency-Key": "sign-it-once-0001"}
    once, again = (prescriber.post("/prescriptions/sign", body, headers=key) for _ in range(2))
    assert (once.status_code, again.status_code, once.data) == (200, 200, again.data)
    other = prescriber.post("/prescriptions/sign", {**body, "prescription_ids": [str(second.id)]})
    assert other.status_code == 401


def test_a_rule_that_refuses_is_409_with_every_finding(session: Session, case: Case, prescriber: Caller) -> None:
    answer = prescriber.post("/prescriptions", body_of(case, refills=6, sessions_supply=3))
    document = answer.get_json()
    assert (answer.status_code, document["code"]) == (409, "rule_refused")
    assert {finding["rule"] for finding in document["findings"]} == {
        "prescribing.refills_over_five",
        "prescribing.first_supply_over_limit",
        "prescribing.quantity_not_dose_times_sessions",
    }
    assert session.query(Prescription).count() == 0


# One case serves many wrong bodies: none of them may leave anything behind.
UNFIT: list[tuple[str, object]] = [
    ("drug", ""),
    ("drug", "x" * 81),
    ("strength_mg", 0),
    ("strength_mg", "100"),
    ("strength_mg", 100.5),
    ("quantity_units", 1001),
    ("sessions_supply", True),
    ("dose_mg", -1),
    ("booster_mg", None),
    ("refills", 100),
    ("directions", "x" * 1001),
    ("directions", "\u0000"),
    ("weight_kg", 10),
    ("in_person_evaluated_on", "yesterday"),
    ("telemedicine_exception", "With Blanks"),
    ("episode_id", "not-an-id"),
    ("prescriber_id", 7),
    ("limits", {"systolic_below": 300}),
    ("limits", {"mood": 1}),
    ("surprise", 1),
]
REFUSED: list[tuple[str, object, str]] = [
    ("drug", "esketamine", "prescribing.drug_not_offered"),
    ("drug", " ", "prescribing.drug_not_offered"),
    ("form", "spray", "prescribing.form_not_offered"),
    ("strength_mg", 999, "prescribing.strength_not_offered"),
    ("directions", " \n ", "prescribing.directions_missing"),
    ("telemedicine_exception", "no_such", "prescribing.telemedicine_exception_unknown"),
    ("limits", {"interval_days": 1}, "prescribing.interval_too_short"),
    ("prescriber_id", "00000000-0000-4000-8000-000000000001", "prescribing.prescriber_not_on_team"),
    ("replaces_id", "00000000-0000-4000-8000-000000000001", "prescribing.replaces_other_episode"),
]


def test_what_does_not_fit_the_document_is_422_naming_the_field(
    session: Session, case: Case, prescriber: Caller
) -> None:
    for field, value in UNFIT:
        answer = prescriber.post("/prescriptions", body_of(case, **{field: value}))
        assert answer.status_code == 422, (field, value)
        assert any(error["field"].startswith(field) for error in answer.get_json()["errors"]), (field, value)
    assert session.query(Prescription).count() == 0


def test_what_fits_the_document_and_breaks_a_rule_is_409_naming_the_rule(
    session: Session, case: Case, prescriber: Caller
) -> None:
    for field, value, rule in REFUSED:
        answer = prescriber.post("/prescriptions", body_of(case, **{field: value}))
        document = answer.get_json()
        named = {document.get("rule"), *(finding["rule"] for finding in document.get("findings", ()))}
        assert (answer.status_code, rule in named) == (409, True), (field, value, named)
    assert session.query(Prescription).count() == 0


def test_what_is_left_out_is_422(case: Case, prescriber: Caller) -> None:
    for field in ("episode_id", "drug", "strength_mg", "form", "quantity_units", "directions"):
        body = body_of(case)
        del body[field]
        assert prescriber.post("/prescriptions", body).status_code == 422, field


def test_who_may_not_draft_is_told_so(api: Api, case: Case) -> None:
    for account in (case.world.therapist, case.world.pharmacist, case.world.operator):
        assert api.as_account(account).post("/prescriptions", body_of(case)).status_code == 403


def test_another_teams_id_is_404_everywhere(session: Session, api: Api, case: Case) -> None:
    row = make_ready(session, case)
    session.commit()
    world = make_world(session)
    stranger = api.as_account(world.prescriber)
    path = f"/prescriptions/{row.id}"
    answers = [
        stranger.post("/prescriptions", body_of(case)),
        stranger.get(path),
        stranger.patch(path, {"directions": "x"}, headers={"If-Match": '"1"'}),
        stranger.post(f"{path}/ready"),
        stranger.post(f"{path}/agreement"),
        stranger.post(f"{path}/cancel", {"reason": "Mine."}),
        stranger.get(f"{path}/signing-display"),
        stranger.post("/prescriptions/sign", {"prescription_ids": [str(row.id)], **factors(session, world.prescriber)}),
        stranger.get(f"/episodes/{case.episode.id}/prescriptions"),
        stranger.get(f"/episodes/{case.episode.id}/pdmp-checks"),
        stranger.post(f"/episodes/{case.episode.id}/pdmp-checks", {"states": ["CA"], "finding": "concern"}),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


def test_prescriptions_are_listed_page_by_page(session: Session, api: Api, case: Case, prescriber: Caller) -> None:
    rows = {str(make_draft(session, case).id) for _ in range(3)}
    session.commit()
    path = f"/episodes/{case.episode.id}/prescriptions"
    first = prescriber.get(f"{path}?limit=2").get_json()
    second = prescriber.get(f"{path}?limit=2&cursor={first['next']}").get_json()
    assert {item["id"] for item in first["items"] + second["items"]} == rows
    assert (len(first["items"]), second["next"]) == (2, None)
    assert "content" not in first["items"][0]
    assert api.as_account(case.world.pharmacist).get(path).get_json()["items"] == []


def test_a_pdmp_check_is_put_on_record_without_the_report(session: Session, case: Case, prescriber: Caller) -> None:
    path = f"/episodes/{case.episode.id}/pdmp-checks"
    made = prescriber.post(path, {"states": ["NV", "CA"], "finding": "expected_prescriptions"})
    assert made.status_code == 201
    assert made.get_json()["states"] == ["CA", "NV"]
    late = {"states": ["CA"], "finding": "concern", "checked_at": (NOON + timedelta(hours=1)).isoformat()}
    old = {**late, "checked_at": "1900-01-01T00:00:00+14:00"}
    assert [prescriber.post(path, body).status_code for body in (late, old)] == [409, 409]
    assert prescriber.post(path, {**late, "report": "raw"}).status_code == 422
    assert [check["finding"] for check in prescriber.get(path).get_json()["items"]][-1] in {
        "nothing_unexpected",
        "expected_prescriptions",
    }


def test_drafting_over_http_takes_few_queries(session: Session, case: Case, prescriber: Caller) -> None:
    prescriber.post("/prescriptions", body_of(case))
    session.commit()
    session.expunge_all()
    statements: list[str] = []

    def count(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", count)
    answer = prescriber.post("/prescriptions", body_of(case))
    event.remove(connection, "before_cursor_execute", count)
    assert answer.status_code == 201
    own = [statement for statement in statements if "SAVEPOINT" not in statement]
    # Besides the use case's seven: the token, and the idempotency key taken and its answer kept.
    assert len(own) <= 10, "\n".join(own)
