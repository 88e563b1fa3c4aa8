"""Every gate says which facts it looked at: the inputs of each finding, exactly (issue: explain and replay)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.core.errors import InvalidInput
from services.core.findings import Finding
from services.core.programme import programme
from services.eligibility.holds import holds
from services.people.grant_rules import Papers, approval_findings
from services.people.paper_rules import DeaFacts, LicenceFacts, dea_number_check, licence_findings
from services.prescribing.field_rules import required_field_findings
from services.prescribing.fill_rules import FillFacts, PrescriptionFacts, may_fill
from services.prescribing.limits import NO_LIMITS
from services.prescribing.rules import Draft, draft_findings
from services.prescribing.signing_rules import SigningFacts, exception_findings, outside_findings, signing_findings
from services.refills.course_rules import ClosingFacts, closing_findings, plan_findings
from services.refills.rules import decide_supply
from services.sessions.booking_rules import length_findings, paperwork_findings, start_findings
from services.sessions.discharge_rules import DischargeFacts, discharge_gate
from services.sessions.dose_rules import DosePlan, DoseTaken, dose_findings
from services.sessions.medicine_rules import Intake, Reconciled, hold_findings, reconciliation_findings
from services.sessions.places import Site
from services.sessions.readiness_rules import (
    ChaperoneFacts,
    ReadinessFacts,
    RemoteFacts,
    readiness_findings,
    recorded_findings,
    window_findings,
)
from services.sessions.rules import cadence_findings, integration_booking_findings
from services.sessions.transport_rules import Arrived, Carried, transport_findings
from services.sessions.vitals_rules import Reading, age_findings, check_reading, first_dose_findings, start_gate
from services.sessions.watch_rules import Infusion, WatchFacts, watch_findings
from services.shipping.release_rules import ReleaseFacts, day_findings, receipt_findings, release_findings
from services.shipping.rules import ParcelFacts, silence
from services.shipping.statuses import Stage
from tests.factories_programmes import changed

ZONE = ZoneInfo("America/Los_Angeles")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOON.date()
MINUTE = timedelta(minutes=1)
OURS = programme()


def told(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """The inputs by rule, without the name of the package."""
    return {each.rule.partition(".")[2]: dict(each.inputs) for each in findings}


def test_readiness_tells_what_the_therapist_found() -> None:
    chaperone = ChaperoneFacts(
        named=False,
        age_years=17,
        phone_exchanged=False,
        present=True,
        sober_attested=False,
        arrived_at=NOON - 5 * MINUTE,
    )
    remote = RemoteFacts(
        therapist_on_video=False,
        blood_pressure_cuff=False,
        emergency_address_confirmed=False,
        emergency_phone_confirmed=False,
    )
    facts = ReadinessFacts(
        at=NOON,
        site=Site.HOME,
        receipt_confirmed=False,
        treatment_consent=False,
        chaperone=chaperone,
        last_food_at=NOON - 90 * MINUTE,
        last_water_at=None,
        remote=remote,
        risk_blocked=True,
        therapist_trained=False,
    )
    assert told(readiness_findings(facts, OURS)) == {
        "receipt_missing": {"receipt_confirmed": False},
        "consent_missing": {"treatment_consent": False},
        "training_missing": {"therapist_trained": False},
        "suicide_risk_open": {"risk_blocked": True},
        "chaperone_unnamed": {"named": False},
        "chaperone_phone_missing": {"phone_exchanged": False},
        "chaperone_not_sober": {"sober_attested": False},
        "chaperone_too_young": {"age_years": 17},
        "chaperone_late": {"here_for_minutes": 5.0},
        "fasting_food": {"hours_since": 1.5},
        "fasting_water": {"hours_since": None},
        "remote_video_missing": {"therapist_on_video": False},
        "remote_cuff_missing": {"blood_pressure_cuff": False},
        "remote_address_missing": {"emergency_address_confirmed": False},
        "remote_phone_missing": {"emergency_phone_confirmed": False},
    }
    nobody = told(readiness_findings(replace(facts, chaperone=None), OURS))
    assert nobody["chaperone_missing"] == {"site": "home", "chaperone": None}
    unseen = replace(chaperone, arrived_at=None)
    assert told(readiness_findings(replace(facts, chaperone=unseen), OURS))["chaperone_late"] == {
        "here_for_minutes": None
    }
    away = told(readiness_findings(replace(facts, chaperone=replace(chaperone, present=False)), OURS))
    assert away["chaperone_absent"] == {"present": False}
    clinic = replace(facts, site=Site.CLINIC, chaperone=None, given_by_clinic=True)
    alone = told(readiness_findings(clinic, changed({"sessions.chaperone_sites": ["home"]})))
    assert alone["staff_missing"] == {"site": "clinic", "staff_stays": False}


def test_the_start_tells_the_times_it_compared() -> None:
    assert told(window_findings(NOON + 13 * 60 * MINUTE, NOON, OURS)) == {"not_its_time": {"hours_apart": 13.0}}
    assert told(window_findings(NOON - 13 * 60 * MINUTE, NOON, OURS)) == {"not_its_time": {"hours_apart": 13.0}}
    assert told(recorded_findings(NOON - 270 * MINUTE, NOON, OURS)) == {"readiness_old": {"hours_ago": 4.5}}
    assert told(recorded_findings(None, NOON, OURS)) == {"readiness_old": {"hours_ago": None}}
    assert told(age_findings(NOON - 31 * MINUTE, NOON, OURS)) == {"reading_old": {"minutes_ago": 31.0}}
    late = first_dose_findings(NOON - 40 * MINUTE, NOON, OURS)
    assert told(late) == {"vitals_not_current": {"minutes_after": 40.0}}
    assert told(first_dose_findings(None, NOON, OURS)) == {"vitals_not_current": {"minutes_after": None}}
    cadence = cadence_findings(TODAY, [TODAY - timedelta(days=1), TODAY - timedelta(days=2)], NO_LIMITS, 9, None, OURS)
    assert told(cadence) == {
        "interval_too_short": {"days": 1, "interval": 7},
        "week_full": {"in_seven_days": 3},
        "round_full": {"round_number": 9},
    }


def reading(minutes_ago: float = 0, **changes: Any) -> Reading:
    given: dict[str, Any] = {"systolic": 120, "diastolic": 80, "heart_rate": 70, **changes}
    return Reading(**given, taken_at=NOON - minutes_ago * MINUTE)


def test_the_vitals_gates_tell_what_was_measured_and_when() -> None:
    hasty = start_gate([reading(5, systolic=145), reading(0, systolic=144)], NO_LIMITS, OURS)
    assert told(hasty.findings) == {
        "start_systolic_below": {"measured": 145, "limit": 140},
        "rest_too_short": {"rested_minutes": 5.0},
    }
    facts = DischargeFacts(
        at=NOON,
        last_dose_at=NOON - 90 * MINUTE,
        reading=reading(31),
        oriented=False,
        walks_unaided=False,
        vomiting=True,
        escort_present=False,
    )
    assert told(discharge_gate(facts, NO_LIMITS, OURS)) == {
        "discharge_too_soon": {"minutes_since": 90.0},
        "discharge_reading_old": {"minutes_ago": 31.0},
        "discharge_not_oriented": {"oriented": False},
        "discharge_not_walking": {"walks_unaided": False},
        "discharge_vomiting": {"vomiting": True},
        "discharge_no_escort": {"escort_present": False},
    }
    before = replace(facts, reading=reading(91))
    found = told(discharge_gate(before, NO_LIMITS, OURS))["discharge_no_reading"]
    assert found == {"last_reading_at": (NOON - 91 * MINUTE).isoformat()}
    unmeasured = told(discharge_gate(replace(facts, reading=None), NO_LIMITS, OURS))
    assert unmeasured["discharge_no_reading"] == {"last_reading_at": None}


@pytest.mark.parametrize(
    ("changes", "end", "value", "sentence"),
    [
        ({"systolic": 59, "diastolic": 40}, "systolic_least", 60, "This must be from 60 to 260; measure again."),
        ({"systolic": 261}, "systolic_most", 260, "This must be from 60 to 260; measure again."),
        ({"diastolic": 29}, "diastolic_least", 30, "This must be from 30 to 160; measure again."),
        ({"heart_rate": 24}, "heart_rate_least", 25, "This must be from 25 to 220; measure again."),
        ({"heart_rate": 221}, "heart_rate_most", 220, "This must be from 25 to 220; measure again."),
    ],
)
def test_an_impossible_reading_tells_the_bound_that_it_breaks(
    changes: dict[str, int], end: str, value: int, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_reading(reading(**changes), OURS)
    (finding,) = refusal.value.findings
    assert (refusal.value.message, finding.setting, finding.value) == (sentence, f"vitals.plausible.{end}", value)
    assert finding.inputs == {"measured": changes[refusal.value.field or ""]}


@pytest.mark.parametrize(
    ("changes", "inputs"),
    [
        ({"systolic": 90, "diastolic": 91}, {"systolic": 90, "diastolic": 91}),
        ({"oxygen_percent": 101}, {"measured": 101}),
    ],
)
def test_a_reading_that_no_cuff_shows_tells_what_was_measured(changes: dict[str, int], inputs: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_reading(reading(**changes), OURS)
    assert [finding.inputs for finding in refusal.value.findings] == [inputs]


def test_watching_tells_the_longest_gap() -> None:
    facts = WatchFacts(
        at=NOON,
        first_dose_at=NOON - 60 * MINUTE,
        looks=[NOON - 50 * MINUTE],
        readings=[NOON - 25 * MINUTE],
        infusions=[
            Infusion(started_at=NOON - 60 * MINUTE, ended_at=NOON - 55 * MINUTE),
            Infusion(started_at=NOON - 50 * MINUTE, ended_at=None),
        ],
    )
    assert told(watch_findings(facts, OURS)) == {
        "infusion_running": {"started_at": (NOON - 50 * MINUTE).isoformat()},
        "checks_missed": {"longest_minutes": 25.0},
        "series_missed": {"longest_minutes": 25.0},
    }
    late = replace(facts, at=NOON + 60 * MINUTE, readings=[NOON + 20 * MINUTE, NOON - 5 * MINUTE], infusions=[])
    assert told(watch_findings(late, OURS))["peak_reading_missed"] == {"measured_after_minutes": [55.0, 80.0]}


def test_dosing_tells_what_was_taken_before() -> None:
    plan = DosePlan(dose_mg=100, booster_mg=0)
    taken = [DoseTaken(mg=50, at=NOON - 10 * MINUTE), DoseTaken(mg=25, at=NOON - 5 * MINUTE, is_booster=True)]
    booster = DoseTaken(mg=25, at=NOON, is_booster=True)
    assert told(dose_findings(plan, taken, booster, OURS)) == {
        "booster_not_prescribed": {"mg": 25, "booster_mg": 0},
        "booster_taken_already": {"boosters": 1},
        "booster_too_soon": {"minutes_after": 10.0},
    }
    assert told(dose_findings(plan, [], booster, OURS))["booster_before_dose"] == {"doses": 0}
    more = DoseTaken(mg=25, at=NOON)
    assert told(dose_findings(plan, taken, more, OURS)) == {"dose_after_booster": {"boosters": 1}}


def test_booking_tells_the_times_it_compared() -> None:
    ahead = told(start_findings(NOON + timedelta(days=366), NOON, OURS))
    assert ahead == {"too_far_ahead": {"days_ahead": 366}}
    past = told(start_findings(NOON - MINUTE, NOON, OURS))
    assert past == {"in_the_past": {"starts_at": (NOON - MINUTE).isoformat(), "now": NOON.isoformat()}}
    assert told(length_findings(119 * MINUTE, OURS)) == {"too_short": {"minutes": 119.0}}
    unscreened = paperwork_findings(False, changed({"sessions.screening_before_booking": True}))
    assert told(unscreened) == {"screening_missing": {"screening_completed": False}}
    late = integration_booking_findings(NOON + timedelta(hours=49), NOON, OURS)
    assert told(late) == {"integration_outside_window": {"hours_after": 49.0}}


def test_medicines_and_transport_tell_what_was_answered_and_counted() -> None:
    taken_at = NOON - timedelta(hours=23)
    rule = "eligibility.medicine_benzodiazepines"
    held = holds(["lorazepam"], OURS)
    intake = {rule: Intake(last_taken_at=taken_at)}
    assert told(hold_findings(held, intake, (), NOON, ZONE, OURS)) == {
        "medicine_not_held": {
            "rule_of_class": rule,
            "last_taken_at": taken_at.isoformat(),
            "held_from": (NOON - timedelta(hours=24)).isoformat(),
        }
    }
    asking = changed({"sessions.reconcile_medicines": True})
    waiting = Reconciled(today=False, must_decide=True, allowed=None)
    assert told(reconciliation_findings(waiting, asking)) == {
        "medicines_not_reconciled": {"gone_through_today": False},
        "medicines_undecided": {"allowed": None},
    }
    refused = reconciliation_findings(replace(waiting, allowed=False), OURS)
    assert told(refused) == {"medicines_refused": {"allowed": False}}
    carried, arrived = Carried(sealed=False, units=Fraction(2), left_at_home=Fraction(1)), Fraction(1)
    assert told(transport_findings(carried, Arrived(units=arrived, expected_in_all=Fraction(3)), OURS)) == {
        "transport_unsealed": {"sealed": False},
        "arrival_count_differs": {"carried": 2.0, "arrived": 1.0, "left_at_home": 1.0, "expected_in_all": 3.0},
    }
    assert told(transport_findings(None, None, OURS)) == {"transport_missing": {"carried": None}}
    assert told(transport_findings(carried, None, OURS))["arrival_uncounted"] == {"arrived": None}


DRAFT = Draft(
    drug="esketamine",
    form="powder",
    strength_mg=100,
    quantity_units=4,
    sessions_supply=2,
    dose_mg=120,
    booster_mg=90,
    directions=" ",
    issued_on=TODAY,
    patient_state="CA",
    is_first=True,
)


def test_a_draft_is_told_what_does_not_fit() -> None:
    found = told(draft_findings(DRAFT, OURS))
    assert found["drug_not_offered"] == {"drug": "esketamine"}
    assert found["form_not_offered"] == {"form": "powder"}
    assert found["directions_missing"] == {"directions": ""}
    assert found["first_session_dose_missing"] == {"is_first": True, "first_session_dose_mg": None}
    assert found["weight_unknown"] == {"weight_kg": None}
    assert found["dose_not_in_halves"] == {"strength_mg": 100, "doses_mg": [120, 90]}


def test_signing_tells_what_is_on_record() -> None:
    facts = SigningFacts(
        signed_on=date(2027, 1, 2),
        issued_on=date(2027, 1, 1),
        patient_state="CA",
        session_mg=700,
        risk_blocked=True,
        telemedicine_exception="none",
    )
    assert told(signing_findings(facts, OURS)) == {
        "no_signing_access": {"may_sign": False},
        "issue_date_not_signing_date": {"issued_on": "2027-01-01", "signed_on": "2027-01-02"},
        "pdmp_missing": {"checked_on": None},
        "no_in_person_evaluation": {
            "signed_on": "2027-01-02",
            "in_person_evaluated_on": None,
            "telemedicine_exception": "none",
        },
        "second_prescriber_missing": {"session_mg": 700},
        "suicide_risk_open": {"risk_blocked": True},
    }
    elsewhere = replace(
        facts,
        pdmp_checked_on=date(2027, 1, 2),
        pdmp_states=frozenset({"OR", "NV"}),
        in_person_evaluated_on=date(2027, 1, 3),
    )
    found = told(signing_findings(elsewhere, OURS))
    assert found["pdmp_other_states"] == {"patient_state": "CA", "asked_in": ["NV", "OR"]}
    assert found["no_in_person_evaluation"]["in_person_evaluated_on"] == "2027-01-03"
    assert told(exception_findings("holiday", OURS)) == {
        "telemedicine_exception_unknown": {"telemedicine_exception": "holiday"}
    }
    (missing, *_) = required_field_findings({})
    assert missing.inputs == {"missing": "issued_on"}


def test_what_was_issued_elsewhere_is_told_by_its_days() -> None:
    issued = date(2026, 3, 1)
    assert told(outside_findings(issued, date(2026, 2, 28), OURS)) == {
        "outside_issue_in_future": {"issued_on": "2026-03-01", "on": "2026-02-28"}
    }
    assert told(outside_findings(issued, date(2026, 9, 2), OURS)) == {
        "outside_issue_over": {"issued_on": "2026-03-01", "on": "2026-09-02", "last_day": "2026-09-01"}
    }


def test_filling_tells_quantities_and_days() -> None:
    signed = PrescriptionFacts(quantity_units=4, refills=0, issued_on=date(2026, 3, 1))
    early = may_fill(signed, [], 1, date(2026, 2, 28), False, OURS)
    assert told(early) == {"fill_before_issue": {"issued_on": "2026-03-01", "on": "2026-02-28"}}
    late = may_fill(signed, [], 5, date(2026, 9, 2), True, OURS)
    assert told(late) == {
        "fill_after_six_months": {"last_day": "2026-09-01", "on": "2026-09-02"},
        "refill_before_fill": {"fills": 0},
        "no_refill_left": {"refills": 0},
        "refill_over_quantity": {"quantity": 5, "prescribed": 4},
    }
    partly = may_fill(signed, [FillFacts(quantity_units=3, filled_on=date(2026, 3, 2))], 1, TODAY, True, OURS)
    assert told(partly)["fill_not_complete"] == {"units_left": 1}
    of_clinic = may_fill(replace(signed, is_shipped=False), [], 1, TODAY, False, OURS)
    assert told(of_clinic) == {"fill_of_clinic_order": {"is_shipped": False}}


def test_papers_tell_state_and_day_and_never_a_number() -> None:
    yesterday = TODAY - timedelta(days=1)
    licence = LicenceFacts(state="CA", expires_on=yesterday)
    assert told(licence_findings("CA", TODAY, [licence], [], OURS)) == {
        "licence_not_valid_on_day": {"patient_state": "CA", "on": "2026-11-20"},
        "dea_not_in_patient_state": {"patient_state": "CA"},
    }
    assert told(dea_number_check("AB1234560", "Brown")) == {"dea_number_not_valid": {"valid": False}}
    assert told(dea_number_check("XB1234563", "Adams")) == {
        "dea_number_not_a_practitioner": {"is_a_practitioners": False},
        "dea_number_other_initial": {"is_the_initial": False},
    }
    nobody = Papers((), (DeaFacts(state="CA", expires_on=yesterday),))
    unfit = approval_findings(is_nominee=True, may_approve=False, nominee=nobody, approver=nobody, on=TODAY)
    assert told(unfit) == {
        "grant_by_nominee": {"is_nominee": True},
        "grant_by_unnamed_approver": {"may_approve": False},
        "approver_without_dea": {"on": "2026-11-20", "is_registrant": False},
        "nominee_without_papers": {"on": "2026-11-20", "papers_valid": False},
    }


def test_shipping_tells_what_holds_a_parcel_back() -> None:
    facts = ReleaseFacts(
        prescription_signed=False,
        fill_recorded=False,
        eligible=False,
        has_therapist=False,
        risk_signed_off=False,
        refill_undecided=True,
        given_in_clinic=True,
        diversion_open=True,
    )
    assert told(release_findings(facts)) == {
        "not_signed": {"prescription_signed": False},
        "not_filled": {"fill_recorded": False},
        "not_eligible": {"eligible": False},
        "no_therapist": {"has_therapist": False},
        "risk_open": {"risk_signed_off": False},
        "refill_undecided": {"refill_undecided": True},
        "given_in_clinic": {"given_in_clinic": True},
        "diversion_review_open": {"diversion_open": True},
    }
    assert told(day_findings(date(2026, 9, 2), date(2026, 9, 1))) == {
        "prescription_over": {"today": "2026-09-02", "last_day": "2026-09-01"}
    }
    unreceived = receipt_findings(received=False, seal_intact=True, counted_units=0, shipped_units=4)
    assert told(unreceived) == {"not_received": {"received": False}}
    opened = receipt_findings(received=True, seal_intact=False, counted_units=4, shipped_units=4)
    assert told(opened) == {"seal_broken": {"seal_intact": False}}


@pytest.mark.parametrize(
    ("days", "stage", "inputs"), [(7, Stage.LOST, {"days": 7}), (5, Stage.DELAYED, {"working_days": 3})]
)
def test_silence_tells_for_how_long(days: int, stage: Stage, inputs: dict[str, int]) -> None:
    scanned = ParcelFacts(stage=Stage.IN_TRANSIT, last_scan_at=NOON)  # a Friday
    change = silence(scanned, NOON, NOON + timedelta(days=days), ZONE, OURS)
    assert change is not None
    assert change.after.stage is stage
    found = told(change.findings)
    assert found["no_scan"] == inputs
    assert found[f"stage_{stage.value}"] == {"stage": stage.value}


def test_the_end_of_a_course_tells_what_is_missing() -> None:
    facts = ClosingFacts(
        is_treated=True,
        is_discontinued=False,
        is_followed_up=False,
        units_left=1.5,
        review_open=True,
        adverse_event_open=True,
    )
    assert told(closing_findings(facts)) == {
        "close_discontinue_first": {"is_treated": True, "is_discontinued": False},
        "close_review_open": {"review_open": True},
        "close_adverse_event_open": {"adverse_event_open": True},
        "close_stock_left": {"units_left": 1.5},
    }
    stopped = told(closing_findings(replace(facts, is_discontinued=True)))
    assert stopped["close_follow_up_missing"] == {"is_discontinued": True, "is_followed_up": False}
    plan = plan_findings(30, 6, True, OURS, first=False, unplanned=True)
    assert told(plan) == {"maintenance_unplanned": {"plan_agreed": False}, "maintenance_undecided": {"undecided": True}}


def test_the_way_of_supply_tells_why_there_is_no_next_fill() -> None:
    signed = PrescriptionFacts(quantity_units=4, refills=1, issued_on=TODAY)
    assert told(decide_supply(None, [], TODAY, OURS).reasons) == {"no_prescription": {"prescription": None}}
    assert told(decide_supply(signed, [], TODAY, OURS, changed=True).reasons) == {
        "prescription_changed": {"changed": True}
    }
