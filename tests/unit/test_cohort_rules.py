"""How a cohort is counted, by hand: a few made-up patients of whom each figure can be told by looking."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
from scipy.stats import beta

from services.core.errors import InvalidConfiguration
from services.core.programme import programme, shipped
from services.outcomes.cohort_cases import Scope
from services.outcomes.cohort_documents import document, format_of
from services.outcomes.cohort_reports import EMPTY, published_figures, report_of
from services.outcomes.cohort_rules import CohortCase, FollowUp, Tally, age_band, dissociation_band, helps_of
from services.outcomes.intervals import Confidence
from services.screening import instruments

PROGRAMME = programme()
SCOPE = Scope("default", 2026, 2026)


def case(before: int = 20, after: int | None = 8, *, sessions: int = 4, **changes: Any) -> CohortCase:
    """A patient with depression; ``before`` and ``after`` of the PHQ-9."""
    given = {
        "indication": "depression",
        "age": 40,
        "waited_days": 20,
        "baselines": {"phq9": before},
        "follow_ups": {} if after is None else {"phq9": FollowUp(after, sessions, None)},
    }
    return CohortCase(**{**given, **changes})


def counted(*cases: CohortCase) -> Tally:
    tally = Tally(PROGRAMME)
    for each in cases:
        tally.add(each)
    return tally


def report(*cases: CohortCase) -> dict[str, Any]:
    return report_of(counted(*cases), SCOPE, PROGRAMME)


def figure(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in found["figures"] if each["id"] == name)


# By hand, of 100 patients with depression, PHQ-9 of 20 before: 40 in remission (4 and less), 25 with half or less (10),
# 14 a quarter better or 5 points (15), 12 unchanged (18), 9 worse by 5 (25).
HUNDRED = [
    *[case(after=4) for _ in range(40)],
    *[case(after=10) for _ in range(25)],
    *[case(after=15) for _ in range(14)],
    *[case(after=18) for _ in range(12)],
    *[case(after=25) for _ in range(9)],
]


def test_a_hundred_patients_counted_by_hand() -> None:
    tally = counted(*HUNDRED)
    people = tally.tables()["outcome.phq9"].people
    assert {column: number for (_, column), number in people.items()} == {
        "remission": 40,
        "response": 25,
        "partial": 14,
        "no_change": 12,
        "deteriorated": 9,
    }
    found = report_of(tally, SCOPE, PROGRAMME)
    improved = figure(found, "depression_improved")
    assert (improved["count"], improved["of"], improved["percent"]) == (79, 100, 79.0)
    # Wilson's score interval by its formula: p = 0.79, n = 100, z = 1.959964.
    p, n, z = 0.79, 100, 1.959963985
    middle, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n),
    )
    assert (improved["low"], improved["high"]) == (round(100 * (middle - half), 1), round(100 * (middle + half), 1))
    assert (improved["published_low"], improved["published_high"]) == (79, 79)
    relief = figure(found, "depression_relief")
    assert (relief["count"], relief["percent"], relief["published_low"], relief["published_high"]) == (65, 65.0, 60, 70)


CLASSES = ("remission", "response", "partial", "no_change", "deteriorated")


def test_every_table_has_its_columns_and_its_sums_and_stands_in_its_place() -> None:
    veteran = case(
        indication="trauma",
        age=18,
        baselines={"pcl5": 50, "phq9": 20},
        follow_ups={"pcl5": FollowUp(20, 4, False), "phq9": FollowUp(4, 4, None)},
    )
    tally = counted(case(effects={"nausea": "severe"}, dissociation=2.0), case(indication=None, age=90), veteran)
    tables = tally.tables()
    assert tally.people == 3
    assert list(tables) == ["people", "outcome.pcl5", "outcome.phq9", "response", "adverse.nausea"]

    everybody = tables["people"]
    assert everybody.rows == ("depression", "not_recorded", "trauma")
    assert everybody.columns == ("18-29", "30-44", "45-64", "65-89", "90+")
    assert everybody.people == {("depression", "30-44"): 1, ("not_recorded", "90+"): 1, ("trauma", "18-29"): 1}
    assert (everybody.unions, everybody.unspoken, everybody.overall_only) == ({}, frozenset(), frozenset())

    outcome = tables["outcome.phq9"]
    assert outcome.columns == CLASSES
    assert outcome.unions == {"improved": CLASSES[:3], "responded": CLASSES[:2]}

    response = tables["response"]
    bands = ("up to 3", "over 3 to 6", "over 6 to 10", "unrated")
    assert response.unions == {
        word: tuple(f"{word} {band}" for band in bands) for word in ("responded", "not_responded")
    }
    assert response.columns == (*response.unions["responded"], *response.unions["not_responded"])
    assert response.overall_only == set(response.columns)
    assert response.people == {
        ("depression", "responded up to 3"): 1,
        ("not_recorded", "responded unrated"): 1,
        ("trauma", "responded unrated"): 1,
    }

    nausea = tables["adverse.nausea"]
    assert nausea.columns == ("mild", "moderate", "severe", "serious", "none")
    assert nausea.unions == {"any": ("mild", "moderate", "severe", "serious")}
    assert (nausea.totals_elsewhere, nausea.unspoken) == (True, frozenset({"none"}))
    assert {cell: number for cell, number in nausea.people.items() if number} == {
        ("depression", "severe"): 1,
        ("not_recorded", "none"): 1,
        ("trauma", "none"): 1,
    }


def test_the_table_of_the_pcl5_tells_classes_and_who_screens_negative_now() -> None:
    veteran = case(indication="trauma", baselines={"pcl5": 50}, follow_ups={"pcl5": FollowUp(20, 4, False)})
    found = counted(veteran).tables()["outcome.pcl5"]
    assert found.columns == tuple(f"{name} {word}" for name in CLASSES for word in ("negative", "positive"))
    assert found.unspoken == set(found.columns)
    assert found.people == {("trauma", "response negative"): 1}
    assert found.unions == {
        **{name: (f"{name} negative", f"{name} positive") for name in CLASSES},
        "improved": found.columns[:6],
        "responded": found.columns[:4],
        "negative": found.columns[::2],
        "positive": found.columns[1::2],
    }


def test_the_scale_of_the_indication_tells_whether_it_helped() -> None:
    both: dict[str, Any] = {
        "baselines": {"phq9": 20, "gad7": 20},
        "follow_ups": {"phq9": FollowUp(4, 4, None), "gad7": FollowUp(20, 4, None)},
    }
    helped = {name: helps_of(case(indication=name, **both), PROGRAMME) for name in ("depression", "anxiety", None)}
    assert helped == {"depression": True, "anxiety": False, None: True}


def test_few_who_got_worse_are_left_out_and_not_reckoned_back() -> None:
    found = report(*HUNDRED)
    row = found["tables"]["outcome.phq9"]["depression"]
    assert row["deteriorated"] is None
    assert row["no_change"] is None  # else: all but those who improved and those unchanged
    assert row["improved"] == 79
    worse = next(rate for rate in found["rates"] if rate["name"] == "deteriorated" and rate["row"] == "depression")
    assert (worse["count"], worse["percent"], worse["low"]) == (None, None, None)


def test_the_exact_interval_is_that_of_clopper_and_pearson() -> None:
    found = Confidence("exact", 95).interval(79, 100)
    assert found.low == pytest.approx(100 * beta.ppf(0.025, 79, 22))
    assert found.high == pytest.approx(100 * beta.ppf(0.975, 80, 21))
    assert found.percent == 79


def test_a_method_that_nobody_knows_is_refused() -> None:
    from dataclasses import replace

    changed = replace(PROGRAMME, settings={**PROGRAMME.settings, "outcomes.cohort.interval_method": "guess"})
    with pytest.raises(InvalidConfiguration, match="interval_method"):
        Confidence.of(changed)


def test_a_baseline_under_the_cut_off_counts_among_people_and_in_no_outcome() -> None:
    tally = counted(*[case(before=9, after=2) for _ in range(20)])
    assert set(tally.tables()) == {"people"}


def test_who_was_not_asked_again_counts_among_people_alone() -> None:
    assert set(counted(case(after=None)).tables()) == {"people"}


def test_patients_with_ptsd_who_screen_negative_now() -> None:
    def veteran(after: int, positive: bool) -> CohortCase:
        return case(indication="trauma", baselines={"pcl5": 50}, follow_ups={"pcl5": FollowUp(after, 4, positive)})

    found = report(*[veteran(20, False) for _ in range(43)], *[veteran(45, True) for _ in range(17)])
    negative = figure(found, "ptsd_negative")
    assert (negative["count"], negative["of"], negative["percent"]) == (43, 60, 71.7)
    # A low total with every cluster still there is positive all the same.
    clusters = report(*[veteran(20, True) for _ in range(43)], *[veteran(45, True) for _ in range(17)])
    assert figure(clusters, "ptsd_negative")["count"] == 0


def test_those_who_function_better() -> None:
    better = case(baselines={"wsas": 25}, follow_ups={"wsas": FollowUp(15, 4, None)})
    same = case(baselines={"wsas": 25}, follow_ups={"wsas": FollowUp(24, 4, None)})
    found = report(*[better] * 30, *[same] * 20)
    functioning = figure(found, "functioning_improved_wsas")
    assert (functioning["count"], functioning["of"], functioning["published_low"]) == (30, 50, 92)
    assert figure(found, "functioning_improved_b_ipf")["assessed"] is False


def test_isha_health_asks_how_patients_function_and_fills_the_figure_that_it_publishes() -> None:
    isha = programme(shipped()["isha_health"])
    for setting in ("screening.instruments", "outcomes.cadence.instruments"):
        asked = instruments.asked_by(isha, setting)
        assert "b_ipf" in {each.id for each in asked}
        assert all(each.is_offered for each in asked)
    better = case(baselines={"b_ipf": 50}, follow_ups={"b_ipf": FollowUp(40, 4, None)})
    same = case(baselines={"b_ipf": 50}, follow_ups={"b_ipf": FollowUp(41, 4, None)})
    functioning = figure(report(*[better] * 30, *[same] * 20), "functioning_improved_b_ipf")
    assert (functioning["count"], functioning["of"], functioning["percent"]) == (30, 50, 60)
    assert functioning["published_low"] == 92


def test_non_response_needs_three_sessions_and_less_than_a_quarter() -> None:
    cases = [
        *[case(after=15) for _ in range(35)],
        *[case(after=16) for _ in range(15)],
        *[case(after=20, sessions=2)] * 9,
    ]
    found = report(*cases)
    missing = figure(found, "not_responded")
    assert (missing["count"], missing["of"], missing["percent"]) == (15, 50, 30.0)
    assert (missing["published_low"], missing["source"]) == (30, "DOMAIN 1: Journey Clinical model")


def test_dissociation_stands_against_response() -> None:
    cases = [
        *[case(after=8, dissociation=7.5) for _ in range(30)],
        *[case(after=19, dissociation=7.5) for _ in range(12)],
        *[case(after=8, dissociation=2.0) for _ in range(15)],
        *[case(after=19, dissociation=2.0) for _ in range(25)],
    ]
    row = report(*cases)["tables"]["response"]["all"]
    assert (row["responded over 6 to 10"], row["not_responded over 6 to 10"]) == (30, 12)
    assert (row["responded up to 3"], row["not_responded up to 3"]) == (15, 25)
    assert "responded up to 3" not in report(*cases)["tables"]["response"]["depression"]


def test_adverse_events_are_counted_once_for_each_patient_by_their_worst_grade() -> None:
    cases = [
        *[case(effects={"nausea": "mild"}) for _ in range(30)],
        *[case(effects={"nausea": "moderate", "headache": "mild"}) for _ in range(12)],
        *[case() for _ in range(40)],
    ]
    tables = report(*cases)["tables"]
    assert tables["adverse.nausea"]["all"] == {"mild": 30, "moderate": 12, "severe": 0, "serious": 0, "any": 42}
    assert tables["adverse.headache"]["all"]["any"] == 12


def test_the_days_from_referral_to_first_dose_are_told_of_many() -> None:
    cases = [case(waited_days=days) for days in range(1, 22)] + [case(indication="anxiety", waited_days=500)] * 10
    found = report(*cases)["first_dose_days"]
    assert found["anxiety"]["median"] is None
    many = report(*[case(waited_days=days) for days in range(1, 22)])["first_dose_days"]
    assert many["depression"] == {"lower_quartile": 6.0, "median": 11.0, "upper_quartile": 16.0}


@pytest.mark.parametrize(
    ("age", "band"),
    [(17, "18-29"), (18, "18-29"), (29, "18-29"), (30, "30-44"), (89, "65-89"), (90, "90+"), (101, "90+")],
)
def test_ages_fall_into_bands_and_the_oldest_stay_together(age: int, band: str) -> None:
    assert age_band(age, [18, 30, 45, 65, 90]) == band


@pytest.mark.parametrize(
    ("rating", "band"),
    [
        (0, "up to 3"),
        (3, "up to 3"),
        (3.1, "over 3 to 6"),
        (10, "over 6 to 10"),
        (11, "over 6 to 10"),
        (None, "unrated"),
    ],
)
def test_ratings_fall_into_bands(rating: float | None, band: str) -> None:
    assert dissociation_band(rating, [3, 6, 10]) == band


def test_an_empty_cohort_says_so() -> None:
    found = report()
    assert (found["message"], found["tables"], found["rates"], found["first_dose_days"]) == (EMPTY, {}, [], {})
    assert all(each["count"] is None and each["assessed"] is False for each in found["figures"])
    assert b"nobody assessed" in document(found, "csv")
    assert EMPTY.encode() in document(found, "csv")


def test_the_published_figures_are_those_of_the_domain_reference() -> None:
    told = {(each.id, each.low, each.high) for each in published_figures()}
    assert told == {
        ("anxiety_improved", 91, 91),
        ("depression_improved", 79, 79),
        ("ptsd_negative", 86, 86),
        ("functioning_improved_wsas", 92, 92),
        ("functioning_improved_b_ipf", 92, 92),
        ("depression_relief", 60, 70),
        ("not_responded", 30, 30),
    }
    assert all(each.source.startswith("DOMAIN 1") for each in published_figures())


def test_a_report_is_written_as_json_csv_and_picture() -> None:
    found = report(*HUNDRED)
    assert document(found, "json").startswith(b"{")
    lines = document(found, "csv").decode().splitlines()
    assert lines[0].startswith("section,table,row,name,count,of,percent,low,high,published_low")
    assert any("left out" in line for line in lines)
    assert document(found, "png").startswith(b"\x89PNG")
    picture = document(found, "svg")
    assert b"<svg" in picture
    assert document(found, "svg") == picture


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.json.exe"])
def test_an_ending_that_nobody_knows_is_refused(name: str) -> None:
    from pathlib import Path

    from services.core.errors import InvalidInput

    with pytest.raises(InvalidInput, match="ending"):
        format_of(Path(name))
