"""The instrument file: what it holds, and that a wrong one is refused by name (DOMAIN 2.1 and 2.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.programme import programme
from services.screening import instruments
from services.screening.instruments import Kind, RiskLevel, load_instruments


def test_the_shipped_instruments_are_the_ones_whose_texts_may_ship() -> None:
    assert list(load_instruments()) == ["phq9", "gad7", "cssrs", "cssrs_since_last_visit"]


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
    for instrument in load_instruments().values():
        if instrument.change_settings:
            for setting in ("positive_from", "remission_below", "minimal_change"):
                assert programme().number(f"{instrument.change_settings}.{setting}") > 0


def test_an_unknown_instrument_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as refusal:
        instruments.get("beck")

    assert refusal.value.field == "instrument"
    assert "phq9" in refusal.value.message
    assert "beck" not in refusal.value.message


GOOD = """
[mood]
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

[[mood.items]]
id = "q1"
text = "One"

[[mood.items]]
id = "q2"
text = "Two"

[[mood.items]]
id = "more"
text = "More?"
kind = "yes_no"
scored = false
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "own.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert list(load_instruments(written(tmp_path, GOOD))) == ["mood"]


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('title = "Mood"', "", "own.toml: mood: 'title' is missing."),
        ('title = "Mood"', "title = 3", "own.toml: mood: 'title' must be a text."),
        ('title = "Mood"', 'title = "Mood"\ntittle = "M"', "own.toml: mood: unknown key 'tittle'."),
        ('total = "sum"', 'total = "mean"', "own.toml: mood: 'total' must be one of sum, none."),
        ('total = "sum"', 'total = "none"', "own.toml: mood: 'bands' need a total."),
        ("range = [0, 2]", "range = [2, 0]", "own.toml: mood: item 1: 'range' must be [lowest, highest]."),
        ("range = [0, 2]", "range = [2, 2]", "own.toml: mood: item 1: 'range' must be [lowest, highest]."),
        ("range = [0, 2]", "range = [0, 2.5]", "own.toml: mood: every entry of 'range' must be a whole number."),
        ('"a", "b", "c"', '"a", "b"', "own.toml: mood: item 1: 'labels' must hold 3 texts, one for each answer."),
        ('["low", 0, 1]', '["low", 0, 0]', "own.toml: mood: the band 'high' must start at 1."),
        ('["high", 2, 4]', '["high", 2, 5]', "own.toml: mood: the last band must end at 4."),
        ('["high", 2, 4]', '["high", 2]', "own.toml: mood: each of 'bands' must be [name, lowest, highest]."),
        (
            "prorate_up_to = 1",
            "prorate_up_to = 2",
            "own.toml: mood: 'prorate_up_to' must leave at least one answered item.",
        ),
        ("prorate_up_to = 1", "prorate_up_to = true", "own.toml: mood: 'prorate_up_to' must be a whole number."),
        ('never_imputed = ["q2"]', 'never_imputed = ["q9"]', "own.toml: mood: 'q9' is not one of the scored items."),
        (
            'never_imputed = ["q2"]',
            'suicide_risk_item = "more"',
            "own.toml: mood: 'more' is not one of the scored items.",
        ),
        ('never_imputed = ["q2"]', 'loinc = "44261"', "own.toml: mood: 'loinc' must look like 44261-6."),
        ('id = "q2"', 'id = "q1"', "own.toml: mood: the item 'q1' appears twice."),
        (
            'id = "q2"',
            'id = "Q 2"',
            "own.toml: mood: item 2: 'id' must be a small letter followed by small letters, digits or _.",
        ),
        (
            'text = "Two"',
            'text = "Two"\nlevel_if_yes = "low"',
            "own.toml: mood: item 2: 'level_if_yes' is for yes/no items.",
        ),
        (
            'text = "Two"',
            'text = "Two"\nasked_when = "more"',
            "own.toml: mood: 'asked_when' of the item 'q2' must name an earlier yes/no item.",
        ),
        (
            "prorate_up_to = 1",
            'prorate_up_to = 1\ngroups = [{ name = "g", items = ["q1", "q2"], combine = "max" }]',
            "own.toml: mood: a mean cannot replace an answer in a group that takes the highest.",
        ),
        (
            "scored = false",
            "",
            "own.toml: mood: a mean cannot replace an answer where the items have different ranges.",
        ),
        (
            "prorate_up_to = 1",
            'groups = [{name="g", items=["q1"], combine="sum"}, {name="h", items=["q1"], combine="sum"}]',
            "own.toml: mood: an item belongs to two groups.",
        ),
        ("[mood]", "[mood", "The instrument file own.toml is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_what_is_wrong(tmp_path: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in GOOD
    with pytest.raises(InvalidConfiguration) as refusal:
        load_instruments(written(tmp_path, GOOD.replace(was, becomes, 1)))

    assert refusal.value.message.startswith(complaint)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"nowhere\.toml cannot be read"):
        load_instruments(tmp_path / "nowhere.toml")
