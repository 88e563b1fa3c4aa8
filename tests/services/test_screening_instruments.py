"""An intake asks for the instruments that its programme names, and what they say reaches triage and eligibility."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from services.core.errors import RuleRefused
from services.eligibility import reviews
from services.people.models import Episode
from services.screening import risk, screenings
from services.screening.answer_sheets import INSTRUMENTS, Part, asked_instruments
from services.vault.boxes import box
from tests.factories import World, make_patient_actor, make_world
from tests.factories_content import make_content_pack
from tests.factories_programmes import changed, run_under
from tests.factories_screening import NO_TO_ALL, agree_to_treatment, answers, make_referral, open_round

ASKED = "screening.instruments"
NOTHING_TOLD: Mapping[str, Any] = {
    "pcl5": {f"q{number}": 0 for number in range(1, 21)},
    "qids_sr16": {f"q{number}": 0 for number in range(1, 17)},
    "audit_c": {"q1": 1, "q2": 1, "q3": 1},
    "dast10": {f"q{number}": number == 3 for number in range(1, 11)},
    "mdq": {f"q{number}": False for number in range(1, 14)} | {"problem": 0},
    "wsas": {"q1": "not_applicable", "q2": 4, "q3": 4, "q4": 4, "q5": 4},
    "b_ipf": {f"q{number}": "not_applicable" for number in range(1, 7)} | {"q7": 3},
    "pss10": {f"q{number}": 0 for number in range(1, 11)},
}


@pytest.fixture(autouse=True)
def content_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORDINATOR_CONTENT_PACK", str(make_content_pack(tmp_path)))


@pytest.fixture
def world(session: Session) -> World:
    return make_world(session)


@pytest.fixture
def episode(session: Session, world: World) -> Episode:
    """An episode whose programme asks for every instrument."""
    episode = make_referral(session, world=world).episode
    run_under(session, episode, {ASKED: [part.value for part in INSTRUMENTS]})
    agree_to_treatment(session, episode)
    return episode


def save(session: Session, episode: Episode, **parts: Any) -> screenings.ReadScreening:
    given = {Part(name): value for name, value in parts.items()}
    return screenings.save_answers(session, make_patient_actor(episode), open_round(session, episode).id, given)


def complete(session: Session, episode: Episode, **parts: Any) -> dict[str, Any]:
    """The results of a whole screening with some parts answered otherwise."""
    patient, screening = make_patient_actor(episode), open_round(session, episode)
    screenings.save_answers(session, patient, screening.id, answers(**NOTHING_TOLD) | as_parts(parts))
    reviews.submit_screening(session, patient, screening.id)
    found: dict[str, Any] = box(session, episode.patient_id).open(screening, "results").reveal()
    return found


def as_parts(parts: Mapping[str, Any]) -> dict[Part, Any]:
    return {Part(name): value for name, value in parts.items()}


def test_every_instrument_that_the_programme_names_must_be_answered(session: Session, episode: Episode) -> None:
    saved = screenings.save_answers(session, make_patient_actor(episode), open_round(session, episode).id, answers())

    assert [(gap.rule, gap.inputs["part"]) for gap in saved.gaps] == [
        ("screening.part_missing", part) for part in INSTRUMENTS if part.value in NOTHING_TOLD
    ]
    assert [part for part in saved.asked if part in INSTRUMENTS] == list(INSTRUMENTS)


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("pcl5", {"q20": None}, "q20"),
        ("qids_sr16", {"q6": None, "q7": None}, "q6, q7"),
        ("mdq", {"q1": True, "q2": True}, "co_occurrence"),
        ("wsas", {"q1": None}, "q1"),
    ],
)
def test_an_unfinished_instrument_is_named_with_its_items(
    session: Session, episode: Episode, part: str, change: dict[str, Any], named: str
) -> None:
    screenings.save_answers(
        session, make_patient_actor(episode), open_round(session, episode).id, answers(**NOTHING_TOLD)
    )
    saved = save(session, episode, **{part: change})

    assert [gap.sentence for gap in saved.gaps] == [f"Not answered in '{part}': {named}."]


def test_results_hold_each_score_with_its_answers_its_trace_and_its_meaning(session: Session, episode: Episode) -> None:
    scores = complete(session, episode)["scores"]

    assert list(scores) == [part.value for part in INSTRUMENTS]
    assert (scores["wsas"]["total"], scores["wsas"]["band"], scores["wsas"]["positive"]) == (20, "significant", True)
    assert scores["wsas"]["trace"]["answers"] == NOTHING_TOLD["wsas"]
    assert (scores["b_ipf"]["total"], scores["pcl5"]["parts"]) == (50, {"B": 0, "C": 0, "D": 0, "E": 0})
    assert scores["dast10"]["total"] == 0
    assert scores["dast10"]["trace"]["texts"] == "Made up 1"
    assert [each["rule"] for each in scores["audit_c"]["findings"]] == ["screening.alcohol_positive"]


@pytest.mark.parametrize(("sex", "positive"), [("male", False), ("female", True), ("unspecified", True), (None, True)])
def test_the_patients_sex_sets_the_cut_off_for_alcohol(
    session: Session, episode: Episode, sex: str | None, positive: bool
) -> None:
    scores = complete(session, episode, statements={} if sex is None else {"sex": sex})["scores"]

    assert scores["audit_c"]["positive"] is positive


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ({"dast10": {f"q{number}": number < 7 for number in range(1, 11)}}, "dast10"),
        ({"audit_c": {"q1": 4, "q2": 0, "q3": 0}}, "audit_c"),
        (
            {"mdq": {f"q{number}": True for number in range(1, 14)} | {"co_occurrence": True, "problem": 3}},
            "mdq",
        ),
    ],
)
def test_what_the_instruments_say_reaches_the_eligibility_rules(
    session: Session, world: World, episode: Episode, parts: dict[str, Any], rule: str
) -> None:
    complete(session, episode, **parts)
    findings = reviews.read_review(session, world.actor("prescriber"), episode.id).findings or ()

    assert any(rule in each.rule for each in findings)


def test_an_instrument_that_the_programme_does_not_ask_for_is_refused(session: Session, world: World) -> None:
    episode = make_referral(session, world=world).episode

    with pytest.raises(RuleRefused) as refusal:
        save(session, episode, audit_c={"q1": 0})

    (finding,) = refusal.value.findings
    assert (finding.rule, finding.setting) == ("screening.part_not_asked", ASKED)
    assert (refusal.value.field, finding.value) == ("audit_c", ["phq9", "gad7", "cssrs"])


def test_a_cssrs_is_taken_even_where_it_is_not_asked_for(session: Session, episode: Episode) -> None:
    run_under(session, episode, {ASKED: ["qids_sr16"]})
    saved = save(session, episode, cssrs=NO_TO_ALL)

    assert Part.CSSRS not in {gap.inputs["part"] for gap in saved.gaps}
    assert Part.CSSRS not in saved.asked


def test_the_order_of_the_form_is_ours() -> None:
    programme = changed({ASKED: ["dast10", "cssrs", "phq9"]})

    assert asked_instruments(programme) == (Part.PHQ9, Part.CSSRS, Part.DAST10)


@pytest.mark.parametrize(("answer", "blocks"), [(1, False), (2, True)])
def test_item_twelve_of_the_qids_asks_for_a_cssrs_like_item_nine_of_the_phq9(
    session: Session, episode: Episode, answer: int, blocks: bool
) -> None:
    run_under(session, episode, {ASKED: ["qids_sr16"]})
    screening, patient = open_round(session, episode), make_patient_actor(episode)
    qids = {**NOTHING_TOLD["qids_sr16"], "q12": answer}
    given = {"phq9": None, "gad7": None, "cssrs": None, "qids_sr16": qids}
    saved = screenings.save_answers(session, patient, screening.id, answers(**given))

    assert [each.number for each in saved.crisis_resources] == ["988", "741741", "911"]
    assert saved.triage is not None
    assert saved.triage.requires_cssrs_today
    assert [(gap.rule, gap.inputs["part"]) for gap in saved.gaps] == [("screening.cssrs_same_day", "cssrs")]
    block = risk.blocking(session, episode.id)
    assert (block.is_open, block.blocks_shipping, block.blocks_treatment) == (True, blocks, False)
    assert save(session, episode, cssrs=NO_TO_ALL).gaps == ()
