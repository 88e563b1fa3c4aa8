"""Fills over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core.ids import new_id
from services.prescribing import fills
from services.prescribing.models import Fill, Prescription
from tests.api.conftest import Api, Caller
from tests.factories import make_world
from tests.factories_prescribing import Case, follow_up, make_case, make_draft, make_fill, make_signed


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def row(session: Session, case: Case) -> Prescription:
    signed = make_signed(session, case, refills=1)
    session.commit()
    return signed


@pytest.fixture
def pharmacist(api: Api, case: Case) -> Caller:
    return api.as_account(case.world.pharmacist)


def hand_out(caller: Caller, row: Prescription, quantity: object = 4, *, is_refill: object = False) -> tuple[int, str]:
    answer = caller.post(f"/prescriptions/{row.id}/fills", {"quantity": quantity, "is_refill": is_refill})
    document = answer.get_json()
    rules = [finding["rule"] for finding in document.get("findings", ())]
    return answer.status_code, rules[0] if rules else document.get("id", document.get("code"))


def test_parts_are_recorded_listed_and_read(row: Prescription, pharmacist: Caller) -> None:
    status, first = hand_out(pharmacist, row, 1)
    assert status == 201
    assert pharmacist.get(f"/fills/{first}").get_json()["quantity"] == 1
    seen = pharmacist.get(f"/prescriptions/{row.id}").get_json()
    assert (seen["state"], seen["supply"]["units_left_in_current_fill"]) == ("filling", 3)
    hand_out(pharmacist, row, 3)
    page = pharmacist.get(f"/prescriptions/{row.id}/fills?limit=1").get_json()
    rest = pharmacist.get(f"/prescriptions/{row.id}/fills?cursor={page['next']}").get_json()
    assert sorted(each["quantity"] for each in page["items"] + rest["items"]) == [1, 3]
    assert rest["next"] is None


def test_too_much_and_an_unapproved_refill_are_409_with_the_rule(
    session: Session, case: Case, row: Prescription, pharmacist: Caller
) -> None:
    assert hand_out(pharmacist, row, 5) == (409, "prescribing.fill_over_quantity")
    hand_out(pharmacist, row)
    assert hand_out(pharmacist, row, is_refill=True) == (409, "prescribing.refill_not_authorized")
    assert hand_out(pharmacist, row) == (409, "illegal_transition")
    session.expire_all()
    follow_up(session, case)
    fills.authorize_next_fill(session, case.prescriber, row.id, new_id())
    session.commit()
    seen = pharmacist.get(f"/prescriptions/{row.id}").get_json()
    assert seen["supply"]["next_refill_authorized"] is True
    assert hand_out(pharmacist, row, is_refill=True)[0] == 201


UNFIT: list[dict[str, object]] = [
    {},
    {"quantity": 1},
    {"is_refill": False},
    {"quantity": 0, "is_refill": False},
    {"quantity": 1001, "is_refill": False},
    {"quantity": "4", "is_refill": False},
    {"quantity": 4, "is_refill": "no"},
    {"quantity": 4, "is_refill": 0},
    {"quantity": 4, "is_refill": False, "extra": 1},
]


def test_what_does_not_fit_the_document_is_422(session: Session, row: Prescription, pharmacist: Caller) -> None:
    for body in UNFIT:
        assert pharmacist.post(f"/prescriptions/{row.id}/fills", body).status_code == 422, body
    assert session.query(Fill).count() == 0


def test_an_altered_prescription_is_refused_and_stays_cancelled(
    session: Session, row: Prescription, pharmacist: Caller
) -> None:
    session.execute(text("UPDATE prescriptions SET issued_on = issued_on - 1"))
    session.commit()
    session.expire_all()
    assert hand_out(pharmacist, row) == (409, "prescribing.signature_not_valid")
    session.expire_all()
    assert row.state == "cancelled"
    assert session.query(Fill).count() == 0
    seen = pharmacist.get(f"/prescriptions/{row.id}").get_json()
    assert (seen["signature_valid"], seen["paper"]) == (False, None)


def test_who_may_not_is_403_and_who_may_not_see_is_404(
    session: Session, api: Api, case: Case, row: Prescription
) -> None:
    draft = make_draft(session, case)
    fill = make_fill(session, case, row)
    session.commit()
    assert hand_out(api.as_account(case.world.prescriber), row)[0] == 403
    assert api.as_account(case.world.therapist).get(f"/fills/{fill.id}").status_code == 403
    assert hand_out(api.as_account(case.world.pharmacist), draft)[0] == 404
    stranger = api.as_account(make_world(session).pharmacist)
    assert hand_out(stranger, row)[0] == 404
    for path in (f"/fills/{fill.id}", f"/fills/{new_id()}", f"/prescriptions/{row.id}/fills"):
        assert stranger.get(path).status_code == 404
