"""Interacting medicines: names, classes and what each class says (DOMAIN 3.2)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from services.core.errors import InvalidConfiguration
from services.core.findings import Finding
from services.core.programme import Programme, programme
from services.eligibility.facts import Facts
from services.eligibility.medicine_names import by_class, class_of, read_names, unclear
from services.eligibility.medicines import UNLISTED, load_medicines
from services.eligibility.rules import RULES, evaluate


def medicine_findings(*names: str, under: Programme | None = None) -> list[Finding]:
    facts = Facts(on=date(2026, 11, 22), medicines=names)
    return [finding for finding in evaluate(facts, under or programme()) if finding.source == "DOMAIN 3.2"]


def test_every_class_of_the_table_has_a_rule() -> None:
    classes = {f"eligibility.medicine_{each.name}" for each in load_medicines()}
    rules = {rule.id for rule in RULES if rule.declared.source == "DOMAIN 3.2"}

    assert rules == classes | {
        "eligibility.medicine_unlisted",
        "eligibility.medicine_unclear",
        "eligibility.medicines_unknown",
    }


@pytest.mark.parametrize(
    "name",
    [
        "Sertraline",
        "  sertraline ",
        "SERTRALINE 50 mg",
        "sertraline 50mg tablets",
        "sertraline, 12.5 mg/5 ml solution",
        "Zoloft 100 mg daily",
        "sértraline",
    ],
)
def test_case_strength_and_form_do_not_matter(name: str) -> None:
    assert class_of(name) == "continued_medicines"


@pytest.mark.parametrize("name", ["St. John’s Wort", "st johns wort", "Saint John's Wort 300 mg capsules"])
def test_punctuation_does_not_matter(name: str) -> None:
    assert class_of(name) == "inducers"


@pytest.mark.parametrize(
    "name",
    [
        "sertraline hydrochloride 50 mg",
        "Xanax 0.5 mg tablets",
        "2 x Ativan 1mg at bedtime",
        "Xanax 0.5",
        "Wellbutrin XL 300mg once daily",
        "Klonopin 1 mg twice a day as needed",
        "Zoloft 50mg PO qd",
        "Vyvanse 30 mg in the morning",
        "lithium carbonate extended-release 450 mg",
        "levothyroxine sodium 75 mcg",
        "Norco 10-325",
        "½ Xanax",
    ],
)
def test_salt_count_and_how_often_it_is_taken_do_not_matter(name: str) -> None:
    assert class_of(name) != UNLISTED


def test_a_number_that_belongs_to_the_name_counts() -> None:
    assert class_of("Tylenol #3 tablets") == "opioids"
    assert class_of("Tylenol") == UNLISTED
    assert class_of("vitamin B-12 1000 mcg") == "continued_medicines"
    assert class_of("Sudafed PE 10 mg") == "decongestants"


@pytest.mark.parametrize(
    "name", ["venlafaxine", "my heart pill", "", "???", "50 mg", "lisinopril 10 mg", "Some", "x" * 120]
)
def test_whatever_is_not_exactly_one_listed_medicine_asks_for_review(name: str) -> None:
    (finding,) = medicine_findings(name)

    assert (finding.rule, finding.severity) == ("eligibility.medicine_unlisted", "review")
    assert finding.inputs == {"medicines": [name]}


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("sertraline with alprazolam", ["continued_medicines", "benzodiazepines"]),
        ("sertraline/lithium", ["continued_medicines"]),
        ("Xyrem and something", ["sodium_oxybate"]),
        ("my old Armour Thyroid from 2019", ["noted_medicines"]),
    ],
)
def test_a_text_that_holds_more_than_one_listed_medicine_gives_their_findings_and_asks_for_review(
    name: str, classes: list[str]
) -> None:
    found = {finding.rule: finding.inputs for finding in medicine_findings(name)}

    assert found == {f"eligibility.medicine_{each}": {"medicines": [name]} for each in ["unlisted", *classes]}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sertralin", ["sertraline"]),
        ("Xannax 0.5 mg", ["Xanax"]),
        ("Xnaax", ["Xanax"]),  # two letters exchanged
        ("clonazapem", ["clonazepam"]),
        ("lorazapan 1 mg", ["lorazepam"]),
        ("Xyram", ["Xyrem"]),
        ("Xannax when I fly", ["Xanax"]),
        ("Adderal XR", ["Adderall"]),
    ],
)
def test_a_misspelt_name_leads_to_a_question_and_is_never_resolved(name: str, meant: list[str]) -> None:
    (finding,) = medicine_findings(name)

    assert (finding.rule, finding.severity) == ("eligibility.medicine_unclear", "review")
    assert finding.inputs == {"medicines": [{"given": name, "did_you_mean": meant}]}
    assert name not in finding.sentence
    assert (finding.setting, finding.value) == ("eligibility.medicines.one_letter_off_from_letters", 5)
    assert unclear([name], programme()) == [(name, tuple(meant))]


@pytest.mark.parametrize(
    ("name", "is_question"),
    [
        ("Som", False),  # Soma has four letters
        ("Onfe", False),  # so has Onfi
        ("Xana", True),  # Xanax has five
        ("Xan", False),  # two letters off it
        ("diazpm", False),  # diazepam has eight letters, two are missing
        ("lorazpm", True),  # lorazepam has nine
        ("lorazp", False),  # three letters off
    ],
)
def test_only_a_near_name_of_enough_letters_is_asked_for(name: str, is_question: bool) -> None:
    rules = [finding.rule for finding in medicine_findings(name)]

    assert rules == ["eligibility.medicine_unclear" if is_question else "eligibility.medicine_unlisted"]


def test_how_near_a_name_must_be_is_a_setting() -> None:
    ours = programme()
    strict = {"eligibility.medicines.one_letter_off_from_letters": 99}

    (finding,) = medicine_findings("Xannax", under=Programme(ours.name, ours.version, {**ours.settings, **strict}))

    assert finding.rule == "eligibility.medicine_unlisted"


def test_no_more_than_three_names_are_suggested_the_nearest_first() -> None:
    ((_, meant),) = unclear(["hydrocodon"], programme())

    assert meant[0] == "hydrocodone"
    assert len(meant) <= 3
    assert unclear(["Zoloft", "venlafaxine"], programme()) == []


def test_no_medicines_is_an_answer_and_not_asked_is_not() -> None:
    assert medicine_findings() == []
    unknown = {finding.rule: finding.severity for finding in evaluate(Facts(on=date(2026, 11, 22)), programme())}
    assert unknown["eligibility.medicines_unknown"] == "review"


def test_medicines_of_one_class_come_as_one_finding_in_the_order_given() -> None:
    names = ("Valium", "unheard of", "lorazepam", "Zoloft", "unseen")

    assert by_class(read_names(names)) == {
        "benzodiazepines": ("Valium", "lorazepam"),
        UNLISTED: ("unheard of", "unseen"),
        "continued_medicines": ("Zoloft",),
    }
    assert [finding.inputs["medicines"] for finding in medicine_findings(*names)] == [
        ["unheard of", "unseen"],
        ["Valium", "lorazepam"],
        ["Zoloft"],
    ]


def test_sentences_name_the_hours_of_the_programme() -> None:
    ours = programme()
    hours = {
        "eligibility.medicines.benzodiazepine_hold_hours": 36,
        "eligibility.medicines.benzodiazepine_ideal_hours": 96,
    }
    theirs = Programme(ours.name, ours.version, {**ours.settings, **hours})

    (before,), (after,) = medicine_findings("Xanax"), medicine_findings("Xanax", under=theirs)

    assert "at least 24 hours, ideally 72," in before.sentence
    assert "at least 36 hours, ideally 96," in after.sentence
    assert (after.setting, after.value) == ("eligibility.medicines.benzodiazepine_hold_hours", 36)
    assert "48 hours" in medicine_findings("wine")[0].sentence


def test_no_sentence_shows_an_unfilled_place() -> None:
    names = [sorted(each.medicines)[0] for each in load_medicines()]

    assert not [finding for finding in medicine_findings(*names) if "{" in finding.sentence]


GOOD = """
[quiet]
row = "quiet ones"
severity = "review"
sentence = "Takes a quiet one."

[quiet.medicines]
alpha = ["Alpher"]

[loud]
row = "loud ones"
severity = "inform"
hold_hours = "eligibility.medicines.alcohol_thc_free_hours"
sentence = "Takes a loud one: none for {value} hours."

[loud.medicines]
beta = []
"""


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('row = "quiet ones"\n', "", "own.toml: quiet: needs the texts 'row'"),
        ("severity", "weight", "own.toml: quiet: needs the texts 'row'"),
        ('"review"', '"perhaps"', "own.toml: quiet: 'severity' must be one of stop, review, inform."),
        ("{value}", "some", "own.toml: loud: '{value}' or '{hold}' in the sentence and one hold belong together."),
        ("hold_hours", "may_continue = 1\nhold_hours", "own.toml: loud: 'may_continue' must be true or false."),
        ("hold_hours", "of_everybody = 1\nhold_hours", "own.toml: loud: 'of_everybody' must be true or false."),
        ("[quiet]", "[quiet]\nof_everybody = true", "own.toml: quiet: 'of_everybody' needs a hold."),
        ("[quiet.medicines]\nalpha", "[quiet.more]\nalpha", "own.toml: quiet: needs the texts 'row'"),
        ('["Alpher"]', '"Alpher"', "own.toml: quiet: the brand names of 'alpha' must be a list of texts."),
        ("beta = []", "", "own.toml: loud: 'medicines' must be a table of generic name"),
        ("beta = []", 'beta = ["ALPHER"]', "own.toml: 'alpher' is in two classes, 'quiet' and 'loud'."),
        ("[quiet]", "quiet = 1\n[other]", "own.toml: quiet: must be a table."),
        ("[quiet]", "[quiet", "The medicine file own.toml is not valid TOML"),
    ],
)
def test_a_wrong_medicine_file_is_refused_naming_what_is_wrong(
    tmp_path: Path, was: str, becomes: str, complaint: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(GOOD, encoding="utf-8")
    assert [each.name for each in load_medicines(file)] == ["quiet", "loud"]

    wrong = tmp_path / "wrong" / "own.toml"
    wrong.parent.mkdir()
    assert was in GOOD
    text = GOOD.replace(was, becomes, 1)
    wrong.write_text(text.replace('[quiet.medicines]\nalpha = ["Alpher"]', "") if was == "[quiet]" else text)
    with pytest.raises(InvalidConfiguration) as refusal:
        load_medicines(wrong)

    assert refusal.value.message.startswith(complaint)
