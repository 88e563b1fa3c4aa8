"""The instrument file: what it holds, and that a wrong one is refused by name (DOMAIN 2.1 and 2.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.programme import programme
from services.screening import instruments
from services.screening.instruments import Kind, RiskLevel, load_instruments

SHIPPED = ["phq9", "gad7", "cssrs", "cssrs_since_last_visit", "audit_c", "b_ipf", "pcl5", "session_ratings"]
SCORING_ONLY = ["cadss", "dast10", "mdq", "meq30", "pss10", "qids_sr16", "wsas"]


def test_texts_ship_only_where_the_authors_terms_allow_it() -> None:
    known = load_instruments()

    assert [name for name, each in known.items() if each.is_offered] == SHIPPED
    assert [name for name, each in known.items() if not each.is_offered] == SCORING_ONLY
    for name in SCORING_ONLY:
        assert all(item.text is None and item.examples is None for item in known[name].items)
        assert not known[name].prompt


@pytest.mark.parametrize(
    ("name", "kinds", "lows", "highs", "labels"),
    [
        ("pcl5", {Kind.SCALE}, {0}, {4}, {5}),
        ("qids_sr16", {Kind.SCALE}, {0}, {3}, {0}),
        ("audit_c", {Kind.SCALE}, {0}, {4}, {5}),
        ("dast10", {Kind.YES_NO}, {0}, {1}, {2}),
        ("wsas", {Kind.SCALE}, {0}, {8}, {0}),
        ("b_ipf", {Kind.SCALE}, {0}, {6}, {7}),
        ("meq30", {Kind.SCALE}, {0}, {5}, {0}),
        ("session_ratings", {Kind.SCALE}, {0}, {10}, {0}),
        ("pss10", {Kind.SCALE}, {0}, {4}, {0}),
        ("cadss", {Kind.SCALE}, {0}, {4}, {0}),
    ],
)
def test_every_item_has_the_range_of_its_instrument(
    name: str, kinds: set[Kind], lows: set[int], highs: set[int], labels: set[int]
) -> None:
    items = instruments.get(name).items

    assert {item.kind for item in items} == kinds
    assert ({item.low for item in items}, {item.high for item in items}) == (lows, highs)
    assert {len(item.labels) for item in items} == labels


@pytest.mark.parametrize(
    ("name", "items", "highest"),
    [
        ("pcl5", 20, 80),
        ("qids_sr16", 16, 27),
        ("audit_c", 3, 12),
        ("dast10", 10, 10),
        ("mdq", 13, 13),
        ("wsas", 5, 40),
        ("b_ipf", 7, 100),
        ("pss10", 10, 40),
        ("cadss", 23, 92),
    ],
)
def test_a_total_lies_between_nothing_and_all_that_the_items_can_give(name: str, items: int, highest: int) -> None:
    instrument = instruments.get(name)

    assert len(instrument.scored_items) == items
    assert (instrument.lowest, instrument.highest) == (0, highest)


def items_of(name: str) -> dict[str, tuple[int, ...]]:
    """The numbers of the items of each group."""
    groups = instruments.get(name).groups
    return {group.name: tuple(int(item_id.removeprefix("q")) for item_id in group.items) for group in groups}


def test_the_clusters_of_the_pcl5_are_those_of_the_dsm5() -> None:
    assert items_of("pcl5") == {
        "B": (1, 2, 3, 4, 5),
        "C": (6, 7),
        "D": (8, 9, 10, 11, 12, 13, 14),
        "E": (15, 16, 17, 18, 19, 20),
    }
    assert [group.symptoms_needed for group in instruments.get("pcl5").groups] == [1, 1, 2, 2]


def test_the_qids_has_nine_domains() -> None:
    assert list(items_of("qids_sr16").values()) == [
        (1, 2, 3, 4), (5,), (6, 7, 8, 9), (10,), (11,), (12,), (13,), (14,), (15, 16)
    ]  # fmt: skip


def test_the_factors_of_the_meq30_are_those_of_its_authors() -> None:
    assert items_of("meq30") == {
        "mystical": (4, 5, 6, 9, 14, 15, 16, 18, 20, 21, 23, 24, 25, 26, 28),
        "positive mood": (2, 8, 12, 17, 27, 30),
        "transcendence of time and space": (1, 7, 11, 13, 19, 22),
        "ineffability": (3, 10, 29),
    }


def test_only_question_three_of_the_dast10_is_turned_around() -> None:
    assert [item.id for item in instruments.get("dast10").items if item.reverse] == ["q3"]
    assert [item.id for item in instruments.get("pss10").items if item.reverse] == ["q4", "q5", "q7", "q8"]


def test_item_twelve_of_the_qids_is_the_one_that_triage_reads() -> None:
    qids = instruments.get("qids_sr16")

    assert (qids.suicide_risk_item, qids.never_imputed) == ("q12", {"q12"})


def test_any_area_of_the_bipf_may_not_apply_but_only_work_in_the_wsas() -> None:
    assert all(item.may_not_apply for item in instruments.get("b_ipf").items)
    assert [item.id for item in instruments.get("wsas").items if item.may_not_apply] == ["q1"]


@pytest.mark.parametrize(
    ("name", "items", "highest", "loinc", "window_days"),
    [("phq9", 9, 27, "44261-6", 14), ("gad7", 7, 21, "70274-6", 14)],
)
def test_a_scale_has_its_items_range_window_and_code(
    name: str, items: int, highest: int, loinc: str, window_days: int
) -> None:
    instrument = instruments.get(name)

    assert len(instrument.scored_items) == items
    assert (instrument.lowest, instrument.highest) == (0, highest)
    assert (instrument.loinc, instrument.window_days) == (loinc, window_days)
    assert all((item.low, item.high, len(item.labels)) == (0, 3, 4) for item in instrument.items)
    assert instrument.prorate_up_to == 2


def test_item_nine_of_the_phq9_is_the_one_that_triage_reads() -> None:
    phq9 = instruments.get("phq9")

    assert phq9.suicide_risk_item == "q9"
    assert phq9.never_imputed == {"q9"}
    item = phq9.item("q9")
    assert item is not None
    assert item.text == "Thoughts that you would be better off dead or of hurting yourself in some way"


def test_each_instrument_credits_its_authors_and_says_how_it_may_be_used() -> None:
    for instrument in load_instruments().values():
        assert instrument.credit
        assert instrument.licence
        assert instrument.version


def test_the_two_cssrs_forms_give_each_yes_its_level() -> None:
    levels = {
        name: {item.id: item.level_if_yes for item in instruments.get(name).items}
        for name in ("cssrs", "cssrs_since_last_visit")
    }
    ideation = {
        "q1": RiskLevel.LOW,
        "q2": RiskLevel.LOW,
        "q3": RiskLevel.MODERATE,
        "q4": RiskLevel.HIGH,
        "q5": RiskLevel.HIGH,
    }

    assert levels["cssrs"] == {**ideation, "q6_ever": RiskLevel.MODERATE, "q6_past_3_months": RiskLevel.HIGH}
    assert levels["cssrs_since_last_visit"] == {**ideation, "q6": RiskLevel.HIGH}
    assert all(item.kind is Kind.YES_NO for item in instruments.get("cssrs").items)


def test_the_programme_has_every_setting_that_an_instrument_names() -> None:
    classed = [each for each in load_instruments().values() if each.change_settings]

    assert {each.id for each in classed} == {"phq9", "gad7", "pcl5", "qids_sr16", "wsas", "b_ipf"}
    for instrument in classed:
        assert programme().number(f"{instrument.change_settings}.positive_from") > 0
        assert programme().number(f"{instrument.change_settings}.minimal_change") > 0
        assert programme().number(f"{instrument.change_settings}.remission_below") >= 0


def test_an_unknown_instrument_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as refusal:
        instruments.get("beck")

    assert refusal.value.field == "instrument"
    assert "phq9" in refusal.value.message
    assert "beck" not in refusal.value.message


GOOD = """
title = "Mood"
version = "1"
window = "-"
prompt = "-"
licence = "-"
credit = "-"
total = "sum"
range = [0, 2]
labels = ["a", "b", "c"]
bands = [["low", 0, 1], ["high", 2, 4]]
prorate_up_to = 1
never_imputed = ["q2"]

[[items]]
id = "q1"
text = "One"

[[items]]
id = "q2"
text = "Two"

[[items]]
id = "more"
text = "More?"
kind = "yes_no"
scored = false
"""


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "mood.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert list(load_instruments(written(tmp_path, GOOD))) == ["mood"]


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('title = "Mood"', "", "mood.toml: 'title' is missing."),
        ('title = "Mood"', "title = 3", "mood.toml: 'title' must be a text."),
        ('title = "Mood"', 'title = "Mood"\ntittle = "M"', "mood.toml: unknown key 'tittle'."),
        ('total = "sum"', 'total = "mean"', "mood.toml: 'total' must be one of sum, percent, none."),
        ('total = "sum"', 'total = "none"', "mood.toml: 'bands' need a total."),
        ("range = [0, 2]", "range = [2, 0]", "mood.toml: item 1: 'range' must be [lowest, highest]."),
        ("range = [0, 2]", "range = [2, 2]", "mood.toml: item 1: 'range' must be [lowest, highest]."),
        ("range = [0, 2]", "range = [0, 2.5]", "mood.toml: every entry of 'range' must be a whole number."),
        ('"a", "b", "c"', '"a", "b"', "mood.toml: item 1: 'labels' must hold 3 texts, one for each answer."),
        ('["low", 0, 1]', '["low", 0, 0]', "mood.toml: the band 'high' must start at 1."),
        ('["high", 2, 4]', '["high", 2, 5]', "mood.toml: the last band must end at 4."),
        ('["high", 2, 4]', '["high", 2]', "mood.toml: each of 'bands' must be [name, lowest, highest]."),
        (
            "prorate_up_to = 1",
            "prorate_up_to = 2",
            "mood.toml: 'prorate_up_to' must leave at least one answered item.",
        ),
        ("prorate_up_to = 1", "prorate_up_to = true", "mood.toml: 'prorate_up_to' must be a whole number."),
        ('never_imputed = ["q2"]', 'never_imputed = ["q9"]', "mood.toml: 'q9' is not one of the scored items."),
        (
            'never_imputed = ["q2"]',
            'suicide_risk_item = "more"',
            "mood.toml: 'more' is not one of the scored items.",
        ),
        ('never_imputed = ["q2"]', 'loinc = "44261"', "mood.toml: 'loinc' must look like 44261-6."),
        ('id = "q2"', 'id = "q1"', "mood.toml: the item 'q1' appears twice."),
        (
            'id = "q2"',
            'id = "Q 2"',
            "mood.toml: item 2: 'id' must be a small letter followed by small letters, digits or _.",
        ),
        (
            'text = "Two"',
            'text = "Two"\nlevel_if_yes = "low"',
            "mood.toml: item 2: 'level_if_yes' is for yes/no items.",
        ),
        (
            'text = "Two"',
            'text = "Two"\nasked_when = "more"',
            "mood.toml: 'asked_when' of the item 'q2' must name an earlier yes/no item.",
        ),
        (
            "prorate_up_to = 1",
            'prorate_up_to = 1\ngroups = [{ name = "g", items = ["q1", "q2"], combine = "max" }]',
            "mood.toml: a mean cannot replace an answer in a group that takes the highest.",
        ),
        (
            "scored = false",
            "",
            "mood.toml: a mean cannot replace an answer where the items have different ranges.",
        ),
        (
            "prorate_up_to = 1",
            'groups = [{name="g", items=["q1"], combine="sum"}, {name="h", items=["q1"], combine="sum"}]',
            "mood.toml: an item belongs to two groups.",
        ),
        ('text = "Two"', "", "mood.toml: either every item has a 'text' or none."),
        ('prompt = "-"', "", "mood.toml: 'prompt' is missing."),
        (
            "prorate_up_to = 1",
            'alternatives = [["q1", "more"]]',
            "mood.toml: 'more' is not one of the scored items.",
        ),
        ("prorate_up_to = 1", "symptom_from = 1", "mood.toml: 'symptom_from' goes with positive"),
        (
            "prorate_up_to = 1",
            'groups = [{name="g", items=["q1"], combine="sum", symptoms_needed=1}]',
            "mood.toml: 'symptoms_needed' goes with positive",
        ),
        ("prorate_up_to = 1", "confirmed_by = { more = 1 }", "mood.toml: 'confirmed_by' goes with positive"),
        (
            "prorate_up_to = 1",
            "confirmed_by = { less = 1 }",
            "mood.toml: 'confirmed_by' names 'less', which is not one of the items.",
        ),
        (
            "prorate_up_to = 1",
            "confirmed_by = { more = true }",
            "mood.toml: every entry of 'confirmed_by' must be a whole number.",
        ),
        ("prorate_up_to = 1", 'positive = "every_group"', 'mood.toml: positive = "every_group" needs groups.'),
        ("prorate_up_to = 1", 'positive = "some"', "mood.toml: 'positive' must be one of total,"),
        (
            'bands = [["low", 0, 1], ["high", 2, 4]]',
            "tells_reliable_change = true",
            "mood.toml: 'tells_reliable_change' needs 'forms_outcome_class'.",
        ),
        ("range = [0, 2]", "range = [0, 2", "mood.toml is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_what_is_wrong(tmp_path: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in GOOD
    with pytest.raises(InvalidConfiguration) as refusal:
        load_instruments(written(tmp_path, GOOD.replace(was, becomes, 1)))

    assert refusal.value.message.startswith(complaint)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="There are no instruments in nowhere"):
        load_instruments(tmp_path / "nowhere")


def test_a_name_that_could_not_stand_in_an_address_is_refused(tmp_path: Path) -> None:
    (tmp_path / "My Mood.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=r"My Mood\.toml: the name must be"):
        load_instruments(tmp_path)
