"""The outcomes of a cohort: read in bulk, counted as one would one by one, shown to those who may, of nobody alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from click.testing import CliRunner, Result
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from coordinator.cli import main
from coordinator.local.migrations import ROOT
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.errors import NotAllowed, NotFound, RuleRefused
from services.core.programme import programme, shipped
from services.outcomes.assessments import asked_in
from services.outcomes.cohort_cases import Scope, count_treated, read_cases
from services.outcomes.cohort_cases import treated as episodes_of
from services.outcomes.cohort_reports import EMPTY, check_size, cohort_report, scope_of_team
from services.outcomes.cohort_rules import IMPROVED, CohortCase, outcomes_of
from services.outcomes.reports import list_reports
from services.people.models import Episode
from services.people.states import EpisodeState
from services.sessions.models import TherapySession
from services.vault.boxes import boxes_of
from services.vault.models import DataKey
from tests.factories import World, audited, make_account, make_actor, make_world
from tests.factories_outcomes import ask, complete, hold, treated
from tests.factories_screening import approve, make_referral, make_screening

SPRING = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
PROGRAMME = programme()


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def scope(world: World, **changes: Any) -> Scope:
    given = {
        "programme": PROGRAMME.name,
        "first_year": 2026,
        "last_year": 2026,
        "medical_team_id": world.medical_team.id,
    }
    return Scope(**{**given, **changes})


def cases(session: Session, world: World, **changes: Any) -> list[CohortCase]:
    found = episodes_of(session, scope(world, **changes))
    return [case for page in read_cases(session, found, PROGRAMME) for case in page]


@contextmanager
def counted_queries(session: Session) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(connection, "before_cursor_execute", note)


def test_a_patient_is_read_as_counted(session: Session, world: World) -> None:
    treated(
        session, world, before=20, after=8, at=SPRING, nausea="moderate", dissociation=7, birth_date=date(1935, 3, 2)
    )
    (case,) = cases(session, world)
    assert (case.indication, case.age, case.waited_days) == ("depression", 91, 20)
    assert (case.baselines, case.effects, case.dissociation) == ({"phq9": 20}, {"nausea": "moderate"}, 7.0)
    follow_up = case.follow_ups["phq9"]
    assert (follow_up.total, follow_up.sessions, follow_up.positive) == (8, 4, False)
    assert not {"phq9", "moderate"} & set(repr(case).replace("'", " ").split())


def functioning(each: int) -> dict[str, int]:
    return {f"q{number}": each for number in range(1, 8)}


def test_under_isha_health_functioning_is_asked_before_and_after_and_counted(session: Session) -> None:
    world, isha = make_world(session, programme="isha_health"), programme(shipped()["isha_health"])
    with time_machine.travel(SPRING - timedelta(days=5), tick=False):
        episode = make_referral(session, world=world).episode
        make_screening(session, episode, b_ipf=functioning(4))
        approve(session, world.actor("prescriber"), episode.id)
    with time_machine.travel(SPRING + timedelta(days=14), tick=False):
        hold(session, episode, 2, last_at=SPRING + timedelta(days=7))
        row = ask(session, episode)
        assert "b_ipf" in asked_in(session, row)
        complete(session, episode, row, b_ipf=functioning(1))
    found = episodes_of(session, scope(world, programme="isha_health"))
    ((case,),) = read_cases(session, found, isha)
    assert (case.baselines["b_ipf"], case.follow_ups["b_ipf"].total) == (67, 17)
    assert outcomes_of(case, isha)["b_ipf"] in IMPROVED
    told = cohort_report(session, world.actor("prescriber"), scope(world, programme="isha_health"))["figures"]
    assert [each["assessed"] for each in told if each["id"] == "functioning_improved_b_ipf"] == [True]


def test_the_follow_up_ends_after_twelve_weeks(session: Session, world: World) -> None:
    treated(session, world, at=SPRING)
    short = replace(PROGRAMME, settings={**PROGRAMME.settings, "outcomes.cohort.follow_up_days": 28})
    found = episodes_of(session, scope(world))
    (page,) = read_cases(session, found, short)
    assert page[0].follow_ups == {}


def test_only_first_doses_of_these_years_under_this_programme_and_team_count(session: Session, world: World) -> None:
    treated(session, world, at=SPRING)
    old = treated(session, world, at=datetime(2025, 12, 31, 20, 0, tzinfo=UTC))
    other = treated(session, world, at=SPRING)
    other.programme_version = "default_two-2026-abc"
    treated(session, make_world(session), at=SPRING)
    session.flush()
    assert count_treated(session, scope(world)) == 1
    assert count_treated(session, scope(world, first_year=2025)) == 2
    assert old.id in {each.episode_id for each in episodes_of(session, scope(world, first_year=2025, last_year=2025))}
    assert count_treated(session, scope(world, medical_team_id=None)) == 2


def test_pages_need_few_queries_and_leave_nothing_behind(session: Session, world: World) -> None:
    for _ in range(5):
        treated(session, world, at=SPRING, nausea="mild", dissociation=4)
    session.commit()
    session.expunge_all()
    found = episodes_of(session, scope(world))
    with counted_queries(session) as statements:
        pages = list(read_cases(session, found, PROGRAMME, 2))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len(statements) <= 3 * 9
    assert {type(row) for row in session.identity_map.values()} <= {DataKey}


def test_the_boxes_of_many_open_what_each_ones_box_sealed(session: Session, world: World) -> None:
    patients = [treated(session, world, at=SPRING).patient_id for _ in range(3)]
    opened = boxes_of(session, patients)
    assert set(opened) == set(patients)


def test_the_report_counts_what_the_records_say_one_by_one(session: Session, world: World) -> None:
    made: list[Episode] = [
        *[treated(session, world, after=4, at=SPRING, nausea="mild") for _ in range(12)],
        *[treated(session, world, after=19, at=SPRING) for _ in range(3)],
        *[treated(session, world, after=9, at=SPRING, diagnosis="anxiety") for _ in range(2)],
    ]
    found = cohort_report(session, world.actor("prescriber"), scope(world))
    by_record: Counter[str] = Counter()
    for episode in made:
        latest = list_reports(session, world.actor("prescriber"), episode.id)[0].results.reveal()
        assert latest is not None
        by_record[latest["classes"]["phq9"]] += 1
    assert by_record == {"remission": 12, "no_change": 3, "response": 2}
    everybody = found["tables"]["outcome.phq9"]["all"]
    assert (everybody["remission"], everybody["total"]) == (12, 17) or None in everybody.values()
    # Two with anxiety are few, whatever is subtracted from whatever.
    assert found["tables"]["people"].get("anxiety", {"total": None})["total"] is None
    assert found["tables"]["people"]["depression"]["total"] is None or found["tables"]["people"]["all"]["total"] is None
    relief = next(each for each in found["figures"] if each["id"] == "depression_relief")
    assert relief["assessed"] is True


def test_what_is_not_named_is_the_teams_own_programme_and_last_year(session: Session, world: World) -> None:
    team, last = world.medical_team.id, clock.now().year - 1
    assert scope_of_team(session, team) == Scope(PROGRAMME.name, last, last, team)
    world.medical_team.programme = "life_works"
    assert scope_of_team(session, team, year=2020) == Scope("life_works", 2020, 2020, team)
    assert scope_of_team(session, team, "avesta", last) == Scope("avesta", last, last, team)


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_year_that_is_not_over_could_be_subtracted_later(session: Session, world: World, ahead: int) -> None:
    with pytest.raises(RuleRefused) as refusal:
        scope_of_team(session, world.medical_team.id, year=clock.now().year + ahead)
    assert [finding.rule for finding in refusal.value.findings] == ["outcomes.cohort_year_not_over"]


def test_a_patient_of_two_episodes_counts_once_by_the_first(session: Session, world: World) -> None:
    first = treated(session, world, at=datetime(2025, 3, 2, 18, 0, tzinfo=UTC))
    first.state = EpisodeState.CLOSED
    second = treated(session, world, at=SPRING)
    for row in session.scalars(select(TherapySession).where(TherapySession.episode_id == second.id)):
        row.patient_id = first.patient_id
    second.patient_id = first.patient_id
    session.flush()
    assert [each.episode_id for each in episodes_of(session, scope(world, first_year=2025))] == [first.id]
    assert count_treated(session, scope(world, first_year=2025)) == 1
    assert count_treated(session, scope(world)) == 0  # counted in the year before


def test_nobody_in_these_years_says_so(session: Session, world: World) -> None:
    found = cohort_report(session, world.actor("prescriber"), scope(world, first_year=2031, last_year=2032))
    assert (found["message"], found["tables"]) == (EMPTY, {})


def test_progress_is_told(session: Session, world: World) -> None:
    treated(session, world, at=SPRING)
    told: list[tuple[int, int]] = []
    cohort_report(session, SYSTEM, scope(world), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


def test_a_report_is_audited_and_names_nobody(session: Session, world: World) -> None:
    episode = treated(session, world, at=SPRING)
    found = cohort_report(session, world.actor("prescriber"), scope(world))
    assert str(episode.id) not in str(found)
    assert str(episode.patient_id) not in str(found)
    assert "2026-03" not in str(found["tables"]) + str(found["figures"])
    assert audited(session).count("cohort.read") == 1


@pytest.mark.parametrize("who", ["therapist", "medical_staff", "pharmacist"])
def test_only_prescribers_and_operations_read_it(session: Session, world: World, who: str) -> None:
    with pytest.raises(NotAllowed):
        cohort_report(session, world.actor(who), scope(world))


def test_a_prescriber_reads_of_the_own_team_and_operations_of_any(session: Session, world: World) -> None:
    stranger = make_actor(make_account(session, Role.PRESCRIBER))
    for mine in (scope(world), scope(world, medical_team_id=None)):
        with pytest.raises(NotFound):
            cohort_report(session, stranger, mine)
    assert cohort_report(session, world.actor("operator"), scope(world))["message"] == EMPTY


@pytest.mark.parametrize(
    ("changes", "rule", "field"),
    [
        ({"programme": "nothing"}, "outcomes.cohort_programme", "programme"),
        ({"first_year": 2027, "last_year": 2026}, "outcomes.cohort_years", "to"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    session: Session, world: World, changes: dict[str, Any], rule: str, field: str
) -> None:
    with pytest.raises(RuleRefused) as refusal:
        cohort_report(session, world.actor("operator"), scope(world, **changes))
    assert ([finding.rule for finding in refusal.value.findings], refusal.value.field) == ([rule], field)


@pytest.mark.parametrize(("number", "refused"), [(2000, False), (2001, True)])
def test_a_large_cohort_is_left_to_the_command(number: int, refused: bool) -> None:
    if not refused:
        check_size(number, PROGRAMME)
        return
    with pytest.raises(RuleRefused) as refusal:
        check_size(number, PROGRAMME)
    (finding,) = refusal.value.findings
    assert (finding.rule, finding.setting) == ("outcomes.cohort_too_large", "outcomes.cohort.asked_at_once")


# ---- The command --------------------------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["cohort-report", *map(str, arguments)])


def asked(path: Path, *more: object) -> Result:
    return run("--programme", PROGRAMME.name, "--from", 2026, "--to", 2026, "--to-file", path, *more)


@pytest.mark.parametrize("ending", ["json", "csv", "svg"])
def test_the_command_writes_a_new_file_that_only_its_owner_reads(
    session: Session, world: World, tmp_path: Path, ending: str
) -> None:
    treated(session, world, at=SPRING)
    session.commit()
    path = tmp_path / f"report.{ending}"
    done = asked(path)
    assert done.exit_code == 0, done.output
    assert "reported to" in done.output
    assert path.stat().st_mode & 0o077 == 0
    assert path.stat().st_size > 1000
    again = asked(path)
    assert (again.exit_code, "File exists" in again.output) == (1, True)


def test_the_command_says_when_there_is_nobody(world: World, tmp_path: Path) -> None:
    done = asked(tmp_path / "report.csv", "--medical-team", world.medical_team.id)
    assert (done.exit_code, EMPTY in done.output) == (0, True)


def test_what_the_command_refuses_leaves_no_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    assert "--to-file: The ending of the file says what to write" in asked(path).output
    path = tmp_path / "report.csv"
    refused = run("--programme", "nothing", "--from", 2026, "--to", 2026, "--to-file", path)
    assert (refused.exit_code, "no such programme" in refused.output) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_web_and_workers_do_not_load_what_a_report_needs() -> None:
    """Some 60 MB that every process would pay."""
    program = (
        "import sys, coordinator.app, coordinator.cli, workers.handlers, workers.ticker\n"
        "print(sorted({'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
