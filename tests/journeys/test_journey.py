"""The journey of the demo, step by step, over HTTP, on real processes."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from coordinator.local.story.records import StepRecord
from coordinator.local.story.scripts import ZONE
from tests.journeys.evidence import Evidence


def step(journey: Evidence, number: int) -> StepRecord:
    return journey.steps[number - 1]


def test_all_fourteen_steps_are_done_in_order(journey: Evidence) -> None:
    assert [each.number for each in journey.steps] == list(range(1, 15))
    assert all(each.done for each in journey.steps)


TASKS: dict[int, set[str]] = {
    2: {"review_eligibility", "triage_risk", "check_on_patient"},
    4: {"draft_prescription"},
    5: {"sign_prescription", "fill_prescription"},
    6: {"ship_fill"},
    7: {"contact_patient", "check_on_patient"},
    8: {"read_message"},
    9: {"reschedule_session"},
    11: {"check_in", "record_integration", "check_on_patient", "chase_overdue_task"},
    13: {"decide_refill", "answer_refill", "review_diversion"},
    14: {"decide_refill", "chase_overdue_task", "fill_prescription", "ship_fill", "trace_shipment"},
}


@pytest.mark.parametrize("number", TASKS)
def test_each_hand_over_puts_its_task_into_the_right_inbox(journey: Evidence, number: int) -> None:
    assert set(step(journey, number).tasks) == TASKS[number]


TEXTS: dict[int, list[str]] = {
    1: ["your forms are ready", "your forms are ready"],
    2: ["You have an urgent task"],
    5: ["there is news for you", "we need more information"],
    7: ["is on its way", "forms are still waiting", "opted out", "get our texts", "988", "urgent task"],
    8: ["out for delivery", "package delivered", "we got your text", "noted your answer"],
    9: ["your visit is set for", "reminder, your visit is"],
    10: ["after-visit instructions"],
    11: ["follow-up is due", "your visit is set for"],
    14: ["You have an urgent task", "your request has an update"],
}


@pytest.mark.parametrize("number", TEXTS)
def test_people_are_texted_what_they_must_hear(journey: Evidence, number: int) -> None:
    texts = step(journey, number).texts
    assert len(texts) == len(TEXTS[number])
    assert all(words in text for words, text in zip(TEXTS[number], texts, strict=True))


REFUSALS: dict[int, set[str]] = {
    1: {"422"},
    2: {"401", "screening.part_missing"},
    3: {"access.eligibility.read"},
    4: {"people.licence_not_in_patient_state", "eligibility.suicide_risk_open", "eligibility.reason_needed"},
    5: {"prescribing.refills_over_five", "access.prescription.ready", "401"},
    6: {
        "prescribing.fill_over_quantity",
        "prescribing.refill_not_authorized",
        "shipping.ship_to_practice",
        "shipping.confirmation_refused",
    },
    8: {"sessions.receipt_missing"},
    9: {"sessions.interval_too_short"},
    10: {
        "sessions.chaperone_missing",
        "sessions.fasting_food",
        "sessions.dose_over_cap",
        "vitals.discharge_too_soon",
    },
    12: {"access.outcome.read", "access.psychotherapy_note.read"},
    13: {
        "refills.count_off",
        "refills.pdmp_not_current",
        "refills.earliest_date",
        "prescribing.refill_not_authorized",
        "refills.licence_not_valid",
    },
    14: {"prescribing.refill_not_authorized"},
}


@pytest.mark.parametrize("number", REFUSALS)
def test_what_must_not_happen_is_refused_with_its_rule(journey: Evidence, number: int) -> None:
    assert set(step(journey, number).refusals) >= REFUSALS[number]


def test_texts_are_kept_back_by_limits_quiet_hours_and_missing_agreement(journey: Evidence) -> None:
    kept_back = [kind for each in journey.steps for kind in each.kept_back]
    assert {"decision_made", "package_preparing", "package_in_transit", "package_delivered"} <= set(kept_back)
    assert journey.texts["lee"] == []


def sent_at(journey: Evidence, who: str) -> list[datetime]:
    """When the texts about care went to a patient, who lives in Arizona."""
    found = [each["sent_at"] for each in journey.notices[who] if each["purpose"] == "care" and each["sent_at"]]
    return [datetime.fromisoformat(at).astimezone(ZoneInfo(ZONE)) for at in found]


@pytest.mark.parametrize("who", ["dana", "robin"])
def test_no_patient_gets_more_than_one_text_a_day_and_three_a_week(journey: Evidence, who: str) -> None:
    sent = sent_at(journey, who)
    assert len(sent) >= 3
    for at in sent:
        assert sum(at - timedelta(hours=24) < other <= at for other in sent) == 1
        assert sum(at - timedelta(days=7) < other <= at for other in sent) <= 3


@pytest.mark.parametrize("who", ["dana", "robin"])
def test_no_text_about_care_reaches_a_patient_at_night(journey: Evidence, who: str) -> None:
    assert all(8 <= at.hour < 21 for at in sent_at(journey, who))


def test_every_text_to_a_patient_fits_one_segment_and_says_how_to_opt_out(journey: Evidence) -> None:
    bodies = journey.texts["dana"] + journey.texts["robin"]
    assert len(bodies) > 15
    for body in bodies:
        assert len(body) <= 160
        assert "Reply STOP to opt out" in body or "Reply START to opt in again" in body


def test_no_process_ended_on_the_way(journey: Evidence) -> None:
    assert len(journey.restarts) == 9
    assert set(journey.restarts.values()) == {0}


def test_the_audit_trail_of_the_whole_journey_is_whole(journey: Evidence) -> None:
    assert journey.audit == "The audit trail is whole.\n"


def test_what_is_told_has_headings_and_no_colors_off_a_terminal(journey: Evidence) -> None:
    for number in range(1, 15):
        assert f"── Step {number}: " in journey.told
    assert "\x1b" not in journey.told
