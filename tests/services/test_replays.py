"""Stored decisions judged again under a changed programme: exactly who changes, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from coordinator.cli import main
from services import replays, tables
from services.core import clock
from services.core.database import only_reading
from services.core.findings import Finding
from services.core.personal import Personal
from services.core.programme import Programme, load_programme
from services.eligibility.decisions import Decision, Verdict, decide
from services.eligibility.models import EligibilityDecision
from services.people.models import Episode, Patient
from services.replays import Change, Kind
from tests.factories import World, make_world
from tests.factories_refills import approve as approve_refill
from tests.factories_refills import ask, make_supplied
from tests.factories_screening import approve, history, make_referral, make_screening

HEAD = '[programme]\nname = "default"\nversion = "tried"\nextends = "default"\n'


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


def changed(directory: Path, settings: str) -> Path:
    file = directory / "tried.toml"
    file.write_text(HEAD + settings, encoding="utf-8")
    return file


def stricter(directory: Path, section: str, setting: str, value: object) -> Programme:
    return load_programme(changed(directory, f"[{section}]\n{setting} = {value}\n"))


def pressures(systolic: int) -> list[dict[str, Any]]:
    taken_at = clock.now() - timedelta(hours=5)
    return [{"systolic": systolic, "diastolic": 80, "taken_at": taken_at + timedelta(hours=each)} for each in (0, 1)]


def decided(session: Session, world: World, decision: Decision = Decision.APPROVE, **parts: Any) -> Episode:
    """A patient screened with ``parts`` and decided on by the world's prescriber."""
    episode = make_referral(session, world=world).episode
    make_screening(session, episode, **parts)
    if decision is Decision.APPROVE:
        approve(session, world.actor("prescriber"), episode.id)
    else:
        verdict = Verdict(decision=decision, reason=Personal("Not now."))
        decide(session, world.actor("prescriber"), episode.id, verdict)
    session.flush()
    return episode


def changes(session: Session, programme: Programme, made_under: Sequence[str] = ()) -> list[Change]:
    return [change for page in replays.replay(session, programme, made_under) for change in page.changes]


def rules(findings: Sequence[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


def fingerprint(session: Session) -> dict[str, tuple[int, str]]:
    """How many rows each table has, and a hash over all that stands in them."""
    found = {}
    for table in tables.metadata.sorted_tables:
        body = func.md5(func.coalesce(func.string_agg(text("whole::text"), text("'|' ORDER BY whole::text")), ""))
        whole = select(func.count(), body).select_from(table.alias("whole"))
        found[table.name] = tuple(session.execute(whole).one())
    return found


def test_the_command_names_exactly_the_episodes_that_change_and_writes_nothing(
    session: Session, world: World, tmp_path: Path
) -> None:
    raised, healthy = decided(session, world, blood_pressures=pressures(152)), decided(session, world)
    declined = decided(session, world, Decision.DECLINE, blood_pressures=pressures(165))
    file = changed(tmp_path, "[eligibility.blood_pressure]\nsystolic_stop_from = 150\n")
    before = fingerprint(session)

    shown = CliRunner().invoke(main, ["replay", "--programme", str(file)])

    assert shown.exit_code == 0, shown.output
    named = re.findall(r"^episode (\S+)  (.+?)  (.+)$", shown.stdout, re.MULTILINE)
    assert named == [(str(raised.id), "eligibility decision", "approve → stop")]
    setting = "eligibility.blood_pressure.systolic_stop_from: 160 → 150"
    assert f"    + eligibility.systolic_pressure_stop (stop)  {setting}\n" in shown.stdout
    assert "    - eligibility.systolic_pressure_review (review)  " in shown.stdout
    assert "3 decision(s) of 3 episode(s) judged again under default-tried-" in shown.stdout
    assert "1 decision(s) of 1 episode(s) would be judged differently." in shown.stdout
    assert "      1  eligibility decision: approve → stop\n" in shown.stdout
    assert "judging again" in shown.stderr
    assert not {str(healthy.id), str(declined.id)} & set(shown.stdout.split())
    assert fingerprint(session) == before


def test_a_change_of_what_the_facts_hold_the_result_of_is_warned_of(
    session: Session, world: World, tmp_path: Path
) -> None:
    decided(session, world)
    file = changed(tmp_path, "[instruments.mdq]\npositive_from = 6\n[matching]\noffered = true\n")
    shown = CliRunner().invoke(main, ["replay", "--programme", str(file)])
    warned = re.findall(r"^WARNING: a change of (\S+) is not judged again", shown.stderr, re.MULTILINE)
    assert (shown.exit_code, warned) == (0, ["instruments.mdq.positive_from", "matching.offered"])
    same = CliRunner().invoke(main, ["replay", "--programme", str(changed(tmp_path, ""))])
    assert "WARNING" not in same.output


def test_nobody_is_named_and_nothing_clinical_but_rules_is_shown(
    session: Session, world: World, tmp_path: Path
) -> None:
    episode = decided(session, world, medicines=["Canarymycin"], blood_pressures=pressures(152))
    file = changed(tmp_path, "[eligibility.blood_pressure]\nsystolic_stop_from = 150\n")

    shown = CliRunner().invoke(main, ["replay", "--programme", str(file)])

    assert str(episode.id) in shown.stdout
    assert str(session.get_one(Patient, episode.patient_id).id) not in shown.output
    assert "Canary" not in shown.output
    assert "152" not in shown.output


def test_under_the_same_settings_nobody_is_judged_differently(session: Session, world: World, tmp_path: Path) -> None:
    decided(session, world, blood_pressures=pressures(152))
    decided(
        session, world, Decision.DECLINE, history=history(stroke="present", glaucoma="unknown"), medicines=["Xannax"]
    )
    file = changed(tmp_path, "")

    assert changes(session, load_programme(file)) == []
    shown = CliRunner().invoke(main, ["replay", "--programme", str(file)])
    assert (shown.exit_code, "0 decision(s) of 0 episode(s) would be" in shown.stdout) == (0, True)


def test_an_approval_without_a_reason_for_a_new_review_would_need_one(
    session: Session, world: World, tmp_path: Path
) -> None:
    episode = decided(session, world)
    programme = stricter(tmp_path, "eligibility", "age_review_from", 20)

    (change,) = changes(session, programme)

    assert (change.episode_id, change.kind, change.before, change.after) == (
        episode.id,
        Kind.DECISION,
        "approve",
        "review",
    )
    assert (rules(change.gained), rules(change.lost)) == (["eligibility.age_from_review"], [])


def test_an_approval_with_a_reason_stands_when_a_finding_goes(session: Session, world: World, tmp_path: Path) -> None:
    decided(session, world, blood_pressures=pressures(145))
    programme = stricter(tmp_path, "eligibility.blood_pressure", "systolic_review_from", 150)

    (change,) = changes(session, programme)

    assert (change.before, change.after, rules(change.lost)) == (
        "approve",
        "approve",
        ["eligibility.systolic_pressure_review"],
    )


def test_a_stop_that_was_overridden_with_a_reason_does_not_stand_in_the_way(
    session: Session, world: World, tmp_path: Path
) -> None:
    episode = make_referral(session, world=world).episode
    make_screening(session, episode, history=history(breast_feeding="present"), blood_pressures=pressures(145))
    because = {
        rule: Personal("Discussed.") for rule in ("eligibility.breast_feeding", "eligibility.systolic_pressure_review")
    }
    decide(session, world.actor("prescriber"), episode.id, Verdict(decision=Decision.APPROVE, reasons=because))
    programme = stricter(tmp_path, "eligibility.blood_pressure", "systolic_review_from", 150)

    (change,) = changes(session, programme)

    assert (change.before, change.after) == ("approve", "approve")


def test_a_decline_says_what_would_still_stand_in_the_way(session: Session, world: World, tmp_path: Path) -> None:
    episode = decided(session, world, Decision.DECLINE, blood_pressures=pressures(165))
    programme = stricter(tmp_path, "eligibility.blood_pressure", "systolic_stop_from", 170)

    (change,) = changes(session, programme)

    assert (change.episode_id, change.before, change.after) == (episode.id, "stop", "review")
    assert (rules(change.gained), rules(change.lost)) == (
        ["eligibility.systolic_pressure_review"],
        ["eligibility.systolic_pressure_stop"],
    )


def test_a_review_that_waits_is_judged_too(session: Session, world: World, tmp_path: Path) -> None:
    episode = make_referral(session, world=world).episode
    make_screening(session, episode, blood_pressures=pressures(152))
    programme = stricter(tmp_path, "eligibility.blood_pressure", "systolic_stop_from", 150)

    (change,) = changes(session, programme)

    assert (change.episode_id, change.kind, change.before, change.after) == (episode.id, Kind.REVIEW, "review", "stop")


def test_refill_requests_and_their_approvals_are_judged_by_the_facts_they_were_made_on(
    session: Session, tmp_path: Path
) -> None:
    programme = stricter(tmp_path, "refills", "prescriber_contact_days", 1)
    with make_supplied(session) as supplied:
        made = ask(session, supplied)
        approve_refill(session, supplied, made.request.id)
        episode_id = made.request.episode_id

    found = {change.kind: change for change in changes(session, programme)}

    assert {(kind, each.episode_id, each.before, each.after) for kind, each in found.items()} == {
        (Kind.REQUEST, episode_id, "pass", "stop"),
        (Kind.APPROVAL, episode_id, "approve", "stop"),
    }
    for change in found.values():
        assert rules(change.gained) == ["refills.prescriber_contact_too_old"]


def test_only_what_was_decided_under_a_programme_of_that_name(session: Session, world: World, tmp_path: Path) -> None:
    decided(session, world, blood_pressures=pressures(152))
    other = decided(session, world, blood_pressures=pressures(152))
    decision = session.scalars(select(EligibilityDecision).where(EligibilityDecision.episode_id == other.id)).one()
    decision.programme_version = "life_works-1-abc"
    session.flush()
    programme = stricter(tmp_path, "eligibility.blood_pressure", "systolic_stop_from", 150)

    assert replays.count(session) == 2
    assert [change.episode_id for change in changes(session, programme, ["life_works"])] == [other.id]
    assert replays.count(session, ["life_works"]) == 1
    assert replays.count(session, ["life"]) == 0
    assert "life_works-1-abc" in replays.versions(session)


def test_what_does_not_open_is_counted_and_the_rest_is_judged(session: Session, world: World, tmp_path: Path) -> None:
    spoilt, whole = (decided(session, world, blood_pressures=pressures(152)) for _ in range(2))
    row = session.scalars(select(EligibilityDecision).where(EligibilityDecision.episode_id == spoilt.id)).one()
    assert row.inputs is not None
    row.inputs = row.inputs[:-1] + bytes([row.inputs[-1] ^ 1])
    session.flush()
    file = changed(tmp_path, "[eligibility.blood_pressure]\nsystolic_stop_from = 150\n")

    shown = CliRunner().invoke(main, ["replay", "--programme", str(file)])

    assert shown.exit_code == 0
    assert f"the facts of {row.id} do not open" in shown.stderr
    assert "1 could not be judged again." in shown.stdout
    assert re.findall(r"^episode (\S+)", shown.stdout, re.MULTILINE) == [str(whole.id)]


def test_pages_miss_nothing_and_repeat_nothing(session: Session, world: World, tmp_path: Path) -> None:
    expected: list[UUID] = [decided(session, world, blood_pressures=pressures(152)).id for _ in range(3)]
    programme = stricter(tmp_path, "eligibility.blood_pressure", "systolic_stop_from", 150)

    for size in (1, 2, 3, 4):
        found = [change.episode_id for page in replays.replay(session, programme, page=size) for change in page.changes]
        assert found == expected


def test_the_database_itself_refuses_to_write_meanwhile(session: Session, world: World) -> None:
    statement = text("UPDATE episodes SET version = version + 1")

    with pytest.raises(DBAPIError, match="read-only"), only_reading(session):
        session.execute(statement)
    with only_reading(session):
        assert session.scalar(select(func.count()).select_from(Episode)) is not None
    session.execute(statement)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[programme]\n", "lacks 'name'"),
        (HEAD + "[eligibility]\nage_minimum_of_all = 3\n", "there is no setting 'eligibility.age_minimum_of_all'"),
    ],
)
def test_a_wrong_programme_is_refused_in_a_sentence(
    session: Session, tmp_path: Path, content: str, complaint: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content, encoding="utf-8")

    shown = CliRunner().invoke(main, ["replay", "--programme", str(file)])

    assert shown.exit_code == 1
    assert complaint in shown.stderr
