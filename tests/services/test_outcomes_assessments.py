"""Assessments: what the patient is asked, answers in parts, and hands in; what is urgent is acted on at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.actors import Role
from services.core.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    RuleRefused,
    StaleVersion,
)
from services.core.personal import Personal
from services.core.programme import programme
from services.core.vocabulary import EventKind, NoticeKind, Party, TaskKind
from services.eligibility.facts import Diagnosis
from services.messaging.models import Event, Notice, Task, Timer
from services.messaging.notices import text_patient
from services.messaging.outbox import Subject
from services.messaging.tasks import open_task
from services.outcomes import assessments, reports
from services.outcomes.baselines import baseline
from services.outcomes.models import Assessment
from services.outcomes.schedules import TEXTS, plan_assessments, remind_of_assessment
from services.people.models import Episode
from services.people.states import EpisodeState
from services.screening import risk
from tests.factories import (
    World,
    audit_detail,
    audited,
    make_account,
    make_actor,
    make_patient_actor,
    make_world,
    therapist_of,
)
from tests.factories_outcomes import CLEAR, answer, answers, ask, complete, hold
from tests.factories_programmes import run_under
from tests.factories_refills import gad7, held_dosing_session, phq9
from tests.factories_screening import make_eligible
from tests.factories_sessions import timers

# 10:00 in California, long after the intake
MORNING = datetime(2027, 6, 10, 17, 0, tzinfo=UTC)


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    """An approved patient: PHQ-9 of 16, GAD-7 of 7 at intake."""
    return make_eligible(session, world=world)


def events(session: Session, *kinds: EventKind) -> list[str]:
    query = select(Event.kind, Event.party).where(Event.kind.in_(kinds)).order_by(Event.created_at, Event.party)
    return [f"{kind} {party}" for kind, party in session.execute(query)]


def rules(refusal: pytest.ExceptionInfo[RuleRefused]) -> list[str]:
    return [finding.rule for finding in refusal.value.findings]


def newest(session: Session, episode: Episode) -> Assessment:
    query = select(Assessment).where(Assessment.episode_id == episode.id)
    row = session.scalar(query.order_by(Assessment.requested_at.desc(), Assessment.id.desc()).limit(1))
    assert row is not None
    return row


# ---- Answering ----------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_what_the_programme_says(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    assert (row.state, row.occasion) == ("requested", "on_request")
    assert assessments.asked_in(session, row) == ("phq9", "gad7", "cssrs_since_last_visit")
    assert events(session, EventKind.ASSESSMENT_REQUESTED) == ["assessment.requested patient"]


@pytest.mark.parametrize("state", [EpisodeState.REFERRED, EpisodeState.IN_REVIEW, EpisodeState.CLOSED])
def test_nobody_is_asked_outside_of_care(session: Session, episode: Episode, state: EpisodeState) -> None:
    episode.state = state
    session.flush()
    with pytest.raises(RuleRefused) as refusal:
        ask(session, episode)
    assert rules(refusal) == ["outcomes.not_in_care"]


def test_what_was_asked_for_on_request_is_looked_at_again_when_it_lapses(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    of_episode = Timer.subject_id == episode.id, Timer.kind == EventKind.ASSESSMENT_DUE, Timer.ended_at.is_(None)
    (at,) = session.scalars(select(Timer.due_at).where(*of_episode))
    assert at <= row.requested_at + timedelta(days=15)
    with time_machine.travel(row.requested_at + timedelta(days=15), tick=False):
        plan_assessments(session, episode.id)
    assert row.state == "lapsed"


def test_a_diagnosis_adds_what_it_is_judged_by(session: Session, world: World) -> None:
    veteran = make_eligible(session, world=world, diagnosis=Diagnosis.TRAUMA)
    asked = assessments.asked_in(session, ask(session, veteran))
    assert sorted(asked) == ["cssrs_since_last_visit", "gad7", "pcl5", "phq9"]


def test_a_completed_assessment_counts_like_a_report(session: Session, world: World, episode: Episode) -> None:
    held_dosing_session(session, episode)
    row = ask(session, episode)
    complete(session, episode, row)
    (read,) = reports.list_reports(session, world.actor("prescriber"), episode.id)
    assert (read.report.assessment_id, read.report.reported_by) == (row.id, None)
    results = read.results.reveal()
    assert results is not None
    assert results["classes"]["phq9"] == "response"
    assert results["changes"]["phq9"]["drop"] == 8
    taken = reports.scales_taken_on(session, episode, "UTC")
    assert set(taken.values()) == {clock.now().date()}
    assert events(session, EventKind.OUTCOME_REPORTED, EventKind.ASSESSMENT_COMPLETED) == [
        "outcome.reported medical_team",
        "assessment.completed therapist",
    ]


def test_answers_from_before_the_first_dose_are_a_baseline(session: Session, episode: Episode) -> None:
    complete(session, episode, ask(session, episode), phq9=phq9(20))
    held_dosing_session(session, episode, dosed_at=clock.now() + timedelta(minutes=1))
    assert baseline(session, episode.id)["phq9"].total == 20


def test_answers_are_given_in_parts_and_taken_back(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    answer(session, episode, row, phq9={"q1": 1, "q2": 2})
    read = answer(session, episode, row, phq9={"q2": None, "q3": 3}, gad7=gad7(4))
    assert read.answers is not None
    assert read.answers.reveal()["phq9"] == {"q1": 1, "q3": 3}
    assert [gap.inputs["instrument"] for gap in read.gaps] == ["phq9", "cssrs_since_last_visit"]


def test_nothing_of_the_answers_is_stored_in_clear(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    answer(session, episode, row, phq9=phq9(9))
    assert row.answers is not None
    assert b"phq9" not in row.answers
    assert audit_detail(session, "assessment.answer") == {"parts": 1}


def test_an_assessment_with_something_missing_is_not_taken(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    answer(session, episode, row, **answers(gad7=None, phq9={"q1": 1}))
    with pytest.raises(RuleRefused) as refusal:
        assessments.complete_assessment(session, make_patient_actor(episode), row.id)
    assert rules(refusal) == ["outcomes.scale_unanswered", "outcomes.scale_unanswered"]
    assert [finding.inputs["instrument"] for finding in refusal.value.findings] == ["phq9", "gad7"]


def test_what_an_instrument_may_prorate_does_not_hold_it_up(session: Session, episode: Episode) -> None:
    kept = {name: value for name, value in phq9(8).items() if name not in ("q7", "q8")}
    assert complete(session, episode, ask(session, episode), phq9=kept).assessment.state == "completed"


@pytest.mark.parametrize(("days", "refused"), [(3, False), (3.01, True)])
def test_answers_must_be_of_these_days(session: Session, episode: Episode, days: float, refused: bool) -> None:
    with time_machine.travel(MORNING, tick=False) as moment:
        row = ask(session, episode)
        answer(session, episode, row, phq9=phq9(8))
        moment.shift(timedelta(days=days))
        answer(session, episode, row, **answers(phq9=None))
        if not refused:
            assessments.complete_assessment(session, make_patient_actor(episode), row.id)
            (read,) = reports.list_reports(session, therapist_of(session, episode), episode.id)
            assert read.report.answered_at == MORNING  # nothing looks fresher than it is
            return
        with pytest.raises(RuleRefused) as refusal:
            assessments.complete_assessment(session, make_patient_actor(episode), row.id)
    assert rules(refusal) == ["outcomes.answers_outdated"]
    assert refusal.value.findings[0].setting == "outcomes.cadence.answers_valid_days"


def test_only_what_was_asked_for_is_answered_and_the_screener(session: Session, episode: Episode) -> None:
    row = ask(session, episode, "phq9")
    with pytest.raises(RuleRefused) as refusal:
        answer(session, episode, row, gad7=gad7(4))
    assert (refusal.value.rule, refusal.value.field) == ("outcomes.instrument_not_asked", "answers.gad7")
    answer(session, episode, row, cssrs_since_last_visit=CLEAR)


def test_an_instrument_that_the_programme_does_not_use_is_not_asked_for(session: Session, episode: Episode) -> None:
    with pytest.raises(RuleRefused) as refusal:
        ask(session, episode, "cssrs")
    assert (refusal.value.rule, refusal.value.field) == ("outcomes.instrument_not_offered", "instruments")


def test_an_instrument_whose_texts_nobody_gave_is_not_asked_for(session: Session, episode: Episode) -> None:
    run_under(session, episode, {"outcomes.instruments": ["phq9", "wsas"]})
    with pytest.raises(RuleRefused) as refusal:
        ask(session, episode, "phq9", "wsas")
    (finding,) = refusal.value.findings
    assert (finding.rule, finding.inputs) == ("outcomes.instrument_without_texts", {"untold": ["wsas"]})
    assert "The texts of wsas are not there" in refusal.value.message


def test_an_answer_that_does_not_fit_is_named(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    with pytest.raises(InvalidInput) as refusal:
        answer(session, episode, row, phq9={"q1": 4})
    assert refusal.value.field == "phq9.q1"


def test_one_assessment_is_open_at_a_time(session: Session, episode: Episode) -> None:
    ask(session, episode)
    with pytest.raises(Conflict) as refusal:
        ask(session, episode)
    assert refusal.value.rule == "outcomes.assessment_open"


def test_what_was_handed_in_does_not_change(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    complete(session, episode, row)
    with pytest.raises(IllegalTransition):
        answer(session, episode, row, phq9=phq9(27))
    with pytest.raises(IllegalTransition):
        assessments.complete_assessment(session, make_patient_actor(episode), row.id)


def test_a_version_that_is_not_the_present_one_is_refused(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    with pytest.raises(StaleVersion):
        assessments.answer_assessment(session, make_patient_actor(episode), row.id, {"phq9": phq9(1)}, version=99)


# ---- Suicide risk -------------------------------------------------------------------------------------------------


def test_a_positive_item_9_shows_help_alerts_and_asks_for_a_screener_at_once(
    session: Session, episode: Episode
) -> None:
    row = ask(session, episode, "phq9")
    read = answer(session, episode, row, phq9={"q9": 1})
    assert [each.number for each in read.crisis_resources] == ["988", "741741", "911"]
    assert (read.cssrs_due_today, read.asked) == (True, ("phq9", "cssrs_since_last_visit"))
    assert events(session, EventKind.RISK_FLAGGED) == ["risk.flagged medical_team", "risk.flagged therapist"]
    answer(session, episode, row, phq9=phq9(8) | {"q9": 1})
    with pytest.raises(RuleRefused) as refusal:
        assessments.complete_assessment(session, make_patient_actor(episode), row.id)
    assert rules(refusal) == ["outcomes.cssrs_same_day"]
    answer(session, episode, row, cssrs_since_last_visit=CLEAR)
    assert assessments.complete_assessment(session, make_patient_actor(episode), row.id).assessment.state == "completed"


@pytest.mark.parametrize(("hours", "counts"), [(2, True), (24, False)])
def test_a_screener_of_the_day_before_does_not_stand_for_today(
    session: Session, episode: Episode, hours: int, counts: bool
) -> None:
    with time_machine.travel(MORNING, tick=False) as moment:
        row = ask(session, episode)
        answer(session, episode, row, cssrs_since_last_visit=CLEAR)
        moment.shift(timedelta(hours=hours))
        read = answer(session, episode, row, phq9=phq9(8) | {"q9": 1})
    assert read.cssrs_due_today is not counts


def test_a_high_risk_pages_before_anything_is_handed_in(session: Session, episode: Episode) -> None:
    answer(session, episode, ask(session, episode), cssrs_since_last_visit={"q2": True, "q4": True})
    assert events(session, EventKind.RISK_PAGED) == ["risk.paged medical_team", "risk.paged therapist"]
    assert risk.blocking(session, episode.id).blocks_treatment


def test_a_cleared_risk_is_not_raised_again_by_handing_in(session: Session, world: World, episode: Episode) -> None:
    row = ask(session, episode)
    answer(session, episode, row, **answers(phq9=phq9(8) | {"q9": 1}))
    (flag,) = risk.blocking(session, episode.id).flags
    risk.clear(session, world.actor("prescriber"), flag, Personal("Spoke with the patient."))
    assessments.complete_assessment(session, make_patient_actor(episode), row.id)
    assert risk.blocking(session, episode.id).flags == ()


# ---- Who may ------------------------------------------------------------------------------------------------------


def test_the_patient_sees_the_answers_and_the_care_team_what_they_gave(
    session: Session, world: World, episode: Episode
) -> None:
    row = ask(session, episode)
    answer(session, episode, row, phq9=phq9(8))
    team = assessments.read_assessment(session, world.actor("prescriber"), row.id)
    assert (team.answers, team.report, team.gaps) == (None, None, ())
    complete(session, episode, row)
    for who in ("therapist", "prescriber", "medical_staff"):
        read = assessments.read_assessment(session, world.actor(who), row.id)
        assert read.report is not None
    own = assessments.read_assessment(session, make_patient_actor(episode), row.id)
    assert (own.report, own.answers is not None) == (None, True)
    assert audited(session).count("assessment.read") == 5


@pytest.mark.parametrize("who", ["therapist", "prescriber", "medical_staff"])
def test_nobody_answers_for_the_patient(session: Session, world: World, episode: Episode, who: str) -> None:
    row = ask(session, episode)
    with pytest.raises(NotAllowed):
        assessments.answer_assessment(session, world.actor(who), row.id, {"phq9": phq9(1)})


def test_the_pharmacy_and_strangers_see_none_of_it(session: Session, world: World, episode: Episode) -> None:
    row = ask(session, episode)
    with pytest.raises(NotAllowed):
        assessments.read_assessment(session, world.actor("pharmacist"), row.id)
    with pytest.raises(NotFound):
        assessments.list_assessments(session, make_actor(make_account(session, Role.THERAPIST)), episode.id)
    with pytest.raises(NotAllowed):
        assessments.request_assessment(session, make_patient_actor(episode), episode.id)


def test_a_list_is_read_page_by_page_newest_first(session: Session, episode: Episode) -> None:
    made = []
    for _ in range(3):
        row = ask(session, episode)
        complete(session, episode, row)
        made.append(row)
    expected = [row.id for row in sorted(made, key=lambda row: (row.requested_at, row.id), reverse=True)]
    patient = make_patient_actor(episode)
    first = assessments.list_assessments(session, patient, episode.id, limit=2)
    last, _ = first[-1]
    rest = assessments.list_assessments(session, patient, episode.id, after=(last.requested_at, last.id))
    assert [row.id for row, _ in (*first, *rest)] == expected
    assert {asked for _, asked in (*first, *rest)} == {("phq9", "gad7", "cssrs_since_last_visit")}


# ---- As time passes -----------------------------------------------------------------------------------------------


def test_the_patient_is_asked_two_days_after_the_second_session(session: Session, episode: Episode) -> None:
    with time_machine.travel(MORNING - timedelta(hours=2), tick=False) as moment:
        hold(session, episode, 2, last_at=MORNING - timedelta(hours=44))
        plan_assessments(session, episode.id)
        assert timers(session, episode.id) == {"assessment.due": timedelta(hours=2)}
        assert session.scalars(select(Assessment)).all() == []
        moment.move_to(MORNING)
        plan_assessments(session, episode.id)
        row = newest(session, episode)
        assert (row.occasion, row.number, row.requested_at) == ("after_session", 2, MORNING)
        assert timers(session, row.id) == {
            "assessment.reminder_due": timedelta(days=2),  # and one before it
            "assessment.unanswered": timedelta(days=3),
        }
        plan_assessments(session, episode.id)  # any number of times
        assert len(session.scalars(select(Assessment)).all()) == 1


def test_completion_ends_the_reminders_the_task_and_what_waits_to_be_sent(session: Session, episode: Episode) -> None:
    night = datetime(2027, 6, 11, 5, 0, tzinfo=UTC)  # 22:00 in California: texts wait for the morning
    with time_machine.travel(night, tick=False):
        row = ask(session, episode)
        subject = Subject("assessment", row.id)
        data = {"link": "/l/made-up"}
        text_patient(session, NoticeKind.ASSESSMENT_LINK, subject, episode, None, data, programme())
        task = open_task(
            session,
            TaskKind.CONTACT_PATIENT,
            party=Party.THERAPIST,
            owner_id=therapist_of(session, episode).id,
            subject=subject,
            due_at=night,
        )
        complete(session, episode, row)
        assert timers(session, row.id) == {}
        assert session.get_one(Task, task.id).state == "completed"
        waiting = select(Notice.state, Notice.reason).where(Notice.subject_id == row.id)
        assert session.execute(waiting).all() == [("replaced", "not_due")]
        remind_of_assessment(session, row.id, programme())
        assert len(session.execute(waiting).all()) == 1


def test_a_reminder_holds_a_fresh_link_and_replaces_the_one_that_waits(session: Session, episode: Episode) -> None:
    with time_machine.travel(MORNING, tick=False):
        row = ask(session, episode)
        remind_of_assessment(session, row.id, programme())
        remind_of_assessment(session, row.id, programme())
        query = select(Notice.kind, Notice.state).where(Notice.subject_id == row.id, Notice.kind.in_(sorted(TEXTS)))
        assert sorted(state for _, state in session.execute(query)) == ["pending", "replaced"]


def test_an_assessment_that_nobody_answers_lapses_and_says_no_more(session: Session, episode: Episode) -> None:
    with time_machine.travel(MORNING, tick=False) as moment:
        hold(session, episode, 2, last_at=MORNING - timedelta(days=2))
        plan_assessments(session, episode.id)
        row = newest(session, episode)
        moment.shift(timedelta(days=14) - timedelta(seconds=1))
        plan_assessments(session, episode.id)
        assert row.state == "requested"
        moment.shift(timedelta(seconds=1))
        plan_assessments(session, episode.id)
        assert (row.state, row.ended_at) == ("lapsed", clock.now())
        assert timers(session, row.id) == {}
        with pytest.raises(IllegalTransition):
            answer(session, episode, row, phq9=phq9(8))
        # A month after it was asked for the next one comes.
        assert timers(session, episode.id) == {"assessment.due": timedelta(days=16)}


def test_a_later_session_asks_anew(session: Session, episode: Episode) -> None:
    with time_machine.travel(MORNING, tick=False) as moment:
        hold(session, episode, 2, last_at=MORNING - timedelta(days=2))
        plan_assessments(session, episode.id)
        first = newest(session, episode)
        hold(session, episode, 2, last_at=MORNING + timedelta(days=8))
        moment.shift(timedelta(days=10))
        plan_assessments(session, episode.id)
        second = newest(session, episode)
        assert (first.state, second.state, second.number) == ("lapsed", "requested", 4)


def test_a_patient_who_may_not_be_texted_is_the_therapists_to_ask(session: Session, world: World) -> None:
    unreachable = make_eligible(session, world=world, sms_agreement=None)
    row = ask(session, unreachable)
    assert events(session, EventKind.ASSESSMENT_REQUESTED, EventKind.ASSESSMENT_UNANSWERED) == [
        "assessment.unanswered therapist"
    ]
    assert timers(session, row.id) == {}


def test_before_the_first_prescription_fresh_answers_are_asked_for_only_when_those_of_the_intake_are_old(
    session: Session, episode: Episode
) -> None:
    plan_assessments(session, episode.id)
    assert session.scalars(select(Assessment)).all() == []
    with time_machine.travel(clock.now() + timedelta(days=9)):
        plan_assessments(session, episode.id)
        assert newest(session, episode).occasion == "before_decision"


def test_a_closed_episode_asks_for_nothing_and_ends_what_was_asked(session: Session, episode: Episode) -> None:
    row = ask(session, episode)
    episode.state = "closed"
    session.flush()
    plan_assessments(session, episode.id)
    assert row.state == "lapsed"
    assert timers(session, episode.id) == {}


def test_an_episode_that_is_not_there_is_no_error(session: Session, episode: Episode) -> None:
    plan_assessments(session, ask(session, episode).id)
    remind_of_assessment(session, episode.id, programme())
