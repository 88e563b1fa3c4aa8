"""The course of an episode over HTTP."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tests.api.conftest import Api
from tests.factories_refills import make_supplied


def test_a_treatment_is_discontinued_and_not_closed_before_its_follow_up(session: Session, api: Api) -> None:
    with make_supplied(session) as supplied:
        session.commit()
        path, prescriber = f"/episodes/{supplied.episode.id}", api.as_account(supplied.case.world.prescriber)
        early = prescriber.post(f"{path}/maintenance-plans", {"interval_days": 30, "plan": "Once a month."})
        assert (early.status_code, early.get_json()["rule"]) == (409, "refills.maintenance_too_soon")
        ended = prescriber.post(f"{path}/discontinue", {"cause": "no_response", "reason": "No better."})
        assert (ended.status_code, ended.get_json()["kind"]) == (200, "discontinuation")
        refused = prescriber.post(f"{path}/close", {"summary": "Stopped."}).get_json()
        assert [finding["rule"] for finding in refused["findings"]] == [
            "refills.close_follow_up_missing",
            "refills.close_stock_left",
        ]
        patient = api.as_patient(supplied.episode)
        assert patient.get(f"{path}/course").get_json()["items"][0]["content"]["cause"] == "no_response"
        assert api.as_account(supplied.case.world.therapist).post(f"{path}/close", {"summary": "x"}).status_code == 403
