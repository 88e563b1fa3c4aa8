"""Outcome reports: scored, compared with the time before the first dose, acted on, seen by those who may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotAllowed, NotFound, RuleRefused
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import programme
from services.core.vocabulary import EventKind
from services.messaging.models import Event
from services.outcomes import reports
from services.outcomes.baselines import baseline, first_dose_at
from services.outcomes.measures import in_use
from services.outcomes.models import OutcomeReport
from services.outcomes.reports import ReadReport, Report
from services.people.models import Episode
from services.screening import risk
from tests.factories import World, audit_detail, audited, make_account, make_actor, make_patient_actor, make_world
from tests.factories_refills import gad7, held_dosing_session, phq9, report
from tests.factories_screening import make_eligible

SUMMARY = "Sleeps through the night again."
CLEAR = {"q1": False, "q2": False, "q6": False}
TODAY = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    """An approved patient: PHQ-9 of 16, GAD-7 of 7 at intake."""
    return make_eligible(session, world=world)


def results(read: ReadReport) -> dict[str, Any]:
    found = read.results.reveal()
    assert found is not None
    return found


def events(session: Session, *kinds: EventKind) -> list[str]:
    query = select(Event.kind, Event.party).where(Event.kind.in_(kinds)).order_by(Event.kind, Event.party)
    return [f"{kind} {party}" for kind, party in session.execute(query)]


def test_a_report_keeps_scores_with_trace_and_instrument_version(session: Session, episode: Episode) -> None:
    read = report(session, episode, phq9=phq9(9), gad7=gad7(4), cssrs_since_last_visit=CLEAR, summary=SUMMARY)
    scores = results(read)["scores"]
    assert (scores["phq9"]["total"], scores["phq9"]["band"], scores["phq9"]["version"]) == (9, "mild", "1")
    assert scores["phq9"]["trace"]["added"] == phq9(9)
    assert scores["phq9"]["answers"] == phq9(9)
    assert scores["gad7"]["total"] == 4
    assert results(read)["cssrs_level"] == "none"
    assert read.summary.reveal() == SUMMARY
    assert read.report.programme_version == programme().version
    assert read.scales == ("phq9", "gad7", "cssrs_since_last_visit")


def test_nothing_of_a_report_is_stored_in_clear(session: Session, episode: Episode) -> None:
    row = report(session, episode, phq9=phq9(9), summary=SUMMARY).report
    assert row.results is not None
    assert row.summary is not None
    assert SUMMARY.encode() not in row.summary
    assert b"phq9" not in row.results


def test_the_prescriber_is_informed_and_nobody_else(session: Session, episode: Episode) -> None:
    report(session, episode, summary=SUMMARY)
    assert events(session, EventKind.OUTCOME_REPORTED, EventKind.OUTCOME_DETERIORATED) == [
        "outcome.reported medical_team"
    ]


def test_before_the_first_dose_there_is_nothing_to_compare_with(session: Session, episode: Episode) -> None:
    assert results(report(session, episode, phq9=phq9(4)))["classes"] == {}


@pytest.mark.parametrize(
    ("total", "expected"),
    [(4, "remission"), (8, "response"), (12, "partial"), (13, "no_change"), (20, "no_change"), (21, "deteriorated")],
)
def test_a_score_is_classed_against_the_last_one_before_the_first_dose(
    session: Session, episode: Episode, total: int, expected: str
) -> None:
    held_dosing_session(session, episode)
    found = results(report(session, episode, phq9=phq9(total)))
    assert found["classes"] == {"phq9": expected}
    assert found["baseline"]["phq9"]["total"] == 16


def test_a_baseline_under_the_cut_off_gives_no_class(session: Session, episode: Episode) -> None:
    held_dosing_session(session, episode)
    assert results(report(session, episode, gad7=gad7(1)))["classes"] == {"gad7": None}


def test_a_report_from_before_the_first_dose_replaces_the_intake_as_baseline(
    session: Session, episode: Episode
) -> None:
    report(session, episode, phq9=phq9(22))
    report(session, episode, phq9={"q1": 3})  # gives no total, so it is no baseline
    held_dosing_session(session, episode, dosed_at=clock.now() + timedelta(minutes=1))
    with time_machine.travel(clock.now() + timedelta(days=7)):
        assert baseline(session, episode.id)["phq9"].total == 22
        found = results(report(session, episode, phq9=phq9(11)))
    assert found["classes"] == {"phq9": "response"}


def test_what_was_reported_after_the_first_dose_is_never_a_baseline(session: Session, episode: Episode) -> None:
    held_dosing_session(session, episode)
    report(session, episode, phq9=phq9(2))
    assert baseline(session, episode.id)["phq9"].total == 16


def test_the_answers_time_decides_not_the_time_of_reporting(session: Session, episode: Episode) -> None:
    dosed_at = clock.now()
    held_dosing_session(session, episode, dosed_at=dosed_at)
    with time_machine.travel(dosed_at + timedelta(days=2)):
        late = report(session, episode, phq9=phq9(20), answered_at=dosed_at - timedelta(microseconds=1))
        assert results(late)["classes"] == {}
        assert baseline(session, episode.id)["phq9"].total == 20


def test_the_first_of_several_doses_counts(session: Session, episode: Episode) -> None:
    assert first_dose_at(session, episode.id) is None
    held_dosing_session(session, episode, dosed_at=TODAY)
    held_dosing_session(session, episode, dosed_at=TODAY - timedelta(days=7))
    held_dosing_session(session, episode, dosed_at=None)
    assert first_dose_at(session, episode.id) == TODAY - timedelta(days=7)


def test_a_deterioration_asks_the_prescriber_to_look(session: Session, episode: Episode) -> None:
    held_dosing_session(session, episode)
    report(session, episode, phq9=phq9(21))
    assert events(session, EventKind.OUTCOME_DETERIORATED) == ["outcome.deteriorated medical_team"]


@pytest.mark.parametrize(
    ("answers", "shipping", "treatment"),
    [
        ({"phq9": phq9(4)}, False, False),
        ({"phq9": {**phq9(4), "q9": 2}}, True, False),
        ({"cssrs_since_last_visit": {**CLEAR, "q2": True, "q3": True, "q4": False, "q5": False}}, True, False),
        ({"cssrs_since_last_visit": {**CLEAR, "q6": True}}, True, True),
    ],
)
def test_a_suicide_risk_in_the_answers_blocks_at_once(
    session: Session, episode: Episode, answers: dict[str, Any], shipping: bool, treatment: bool
) -> None:
    report(session, episode, **answers)
    block = risk.blocking(session, episode.id)
    assert (block.blocks_shipping, block.blocks_treatment) == (shipping, treatment)


def test_a_positive_item_9_alerts_and_asks_for_a_cssrs_today(session: Session, episode: Episode) -> None:
    triage = results(report(session, episode, phq9={**phq9(4), "q9": 1}))["triage"]
    assert (triage["show_crisis_resources"], triage["requires_cssrs_today"]) == (True, True)
    assert events(session, EventKind.RISK_FLAGGED) == ["risk.flagged medical_team", "risk.flagged therapist"]


def test_a_high_risk_pages(session: Session, episode: Episode) -> None:
    report(session, episode, cssrs_since_last_visit={"q2": True, "q4": True})
    assert events(session, EventKind.RISK_PAGED) == ["risk.paged medical_team", "risk.paged therapist"]


@pytest.mark.parametrize(
    "answers",
    [{"phq9": {"q9": 3}}, {"cssrs_since_last_visit": {"q2": True, "q3": True}}],
    ids=["an unscorable PHQ-9", "a C-SSRS left halfway"],
)
def test_a_form_left_halfway_does_not_escape_triage(
    session: Session, episode: Episode, answers: dict[str, Any]
) -> None:
    assert report(session, episode, **answers).scales == ()
    assert risk.blocking(session, episode.id).blocks_shipping


def test_a_half_answered_screener_without_a_risk_gives_no_level(session: Session, episode: Episode) -> None:
    read = report(session, episode, cssrs_since_last_visit={"q1": True})
    assert (results(read)["cssrs_level"], read.scales) == (None, ())


def test_an_empty_report_is_refused(session: Session, episode: Episode) -> None:
    with pytest.raises(RuleRefused) as refusal:
        report(session, episode, phq9={}, summary="  ")
    assert refusal.value.rule == "outcomes.report_not_empty"


def test_answers_of_tomorrow_are_refused(session: Session, episode: Episode) -> None:
    with pytest.raises(RuleRefused) as refusal:
        report(session, episode, phq9=phq9(4), answered_at=clock.now() + timedelta(minutes=1))
    assert refusal.value.field == "answered_at"


def test_a_report_names_only_a_session_of_the_same_episode(session: Session, world: World, episode: Episode) -> None:
    own = held_dosing_session(session, episode)
    assert report(session, episode, summary=SUMMARY, session_id=own.id).report.session_id == own.id
    other = held_dosing_session(session, make_eligible(session, world=world))
    for session_id in (other.id, new_id()):
        with pytest.raises(RuleRefused) as refusal:
            report(session, episode, summary=SUMMARY, session_id=session_id)
        assert refusal.value.field == "session_id"


def test_therapist_and_medical_team_read_and_every_reading_is_audited(
    session: Session, world: World, episode: Episode
) -> None:
    row = report(session, episode, phq9=phq9(9), summary=SUMMARY).report
    for who in ("therapist", "prescriber", "medical_staff"):
        assert reports.read_report(session, world.actor(who), row.id).summary.reveal() == SUMMARY
        assert [read.report.id for read in reports.list_reports(session, world.actor(who), episode.id)] == [row.id]
    trail = audited(session)
    assert audit_detail(session, "outcome.report") == {"scales": 1}
    assert (trail.count("outcome.report"), trail.count("outcome.read"), trail.count("outcome.list")) == (1, 3, 3)


def test_the_pharmacy_and_the_patient_do_not_read(session: Session, world: World, episode: Episode) -> None:
    row = report(session, episode, summary=SUMMARY).report
    for actor in (world.actor("pharmacist"), make_patient_actor(episode)):
        with pytest.raises(NotAllowed):
            reports.read_report(session, actor, row.id)
        with pytest.raises(NotAllowed):
            reports.list_reports(session, actor, episode.id)


@pytest.mark.parametrize("role", [Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST])
def test_to_strangers_a_report_does_not_exist(session: Session, episode: Episode, role: Role) -> None:
    row = report(session, episode, summary=SUMMARY).report
    stranger = make_actor(make_account(session, role))
    with pytest.raises(NotFound):
        reports.read_report(session, stranger, row.id)


@pytest.mark.parametrize("who", ["prescriber", "medical_staff", "pharmacist"])
def test_only_the_therapist_of_record_reports(session: Session, world: World, episode: Episode, who: str) -> None:
    with pytest.raises(NotAllowed):
        reports.report_outcome(session, world.actor(who), episode.id, Report(summary=Personal(SUMMARY)))


def test_a_list_is_read_page_by_page_newest_first(session: Session, world: World, episode: Episode) -> None:
    made = [report(session, episode, summary=f"Report {number}").report for number in range(5)]
    expected = [row.id for row in sorted(made, key=lambda row: (row.reported_at, row.id), reverse=True)]
    therapist: Actor = world.actor("therapist")
    first = reports.list_reports(session, therapist, episode.id, limit=3)
    last = first[-1].report
    rest = reports.list_reports(session, therapist, episode.id, after=(last.reported_at, last.id), limit=3)
    assert [read.report.id for read in (*first, *rest)] == expected


def test_a_scale_counts_as_taken_on_the_patients_own_day_and_only_with_a_result(
    session: Session, episode: Episode
) -> None:
    with time_machine.travel(TODAY):
        evening = datetime(2026, 11, 18, 6, 30, tzinfo=UTC)  # the 17th in California
        report(session, episode, phq9=phq9(8), answered_at=evening)
        report(session, episode, phq9=phq9(8), answered_at=evening - timedelta(days=3))
        report(session, episode, phq9={"q1": 3}, gad7={"q1": 3})
        taken = reports.scales_taken_on(session, episode, "America/Los_Angeles")
    assert taken == {"phq9": evening.date() - timedelta(days=1), "gad7": None, "cssrs_since_last_visit": None}


def test_every_scale_that_a_refill_asks_for_can_be_reported() -> None:
    assert programme().choices("outcomes.scales_for_refill") <= set(in_use(programme()))


def test_reports_of_an_episode_carry_no_others(session: Session, world: World, episode: Episode) -> None:
    other = make_eligible(session, world=world)
    report(session, other, phq9=phq9(27), summary="Somebody else")
    assert reports.list_reports(session, world.actor("therapist"), episode.id) == []
    assert baseline(session, episode.id)["phq9"].total == 16
    assert session.scalars(select(OutcomeReport).where(OutcomeReport.episode_id == episode.id)).all() == []
