"""Interacting medicines: names, classes and what each class says (DOMAIN 3.2)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from services.core.errors import InvalidConfiguration
from services.core.findings import Finding
from services.core.programme import Programme, programme
from services.eligibility.facts import Facts
from services.eligibility.medicines import UNLISTED, by_class, class_of, load_medicines
from services.eligibility.rules import RULES, evaluate


def medicine_findings(*names: str, under: Programme | None = None) -> list[Finding]:
    facts = Facts(on=date(2026, 11, 22), medicines=names)
    return [finding for finding in evaluate(facts, under or programme()) if finding.source == "DOMAIN 3.2"]


@pytest.mark.parametrize(
    ("name", "medicine_class", "severity"),
    [
        ("alprazolam", "benzodiazepines", "review"),
        ("Klonopin", "benzodiazepines", "review"),
        ("Adderall XR", "adhd_stimulants", "inform"),
        ("methylphenidate", "adhd_stimulants", "inform"),
        ("phenelzine", "mao_inhibitors", "review"),
        ("linezolid", "mao_inhibitors", "review"),
        ("lamotrigine", "lamotrigine", "inform"),
        ("oxycodone", "opioids", "review"),
        ("Suboxone", "opioids", "review"),
        ("naltrexone", "naltrexone", "review"),
        ("cyclobenzaprine", "day_of_holds", "inform"),
        ("Benadryl", "day_of_holds", "inform"),
        ("modafinil", "day_of_holds", "inform"),
        ("alcohol", "alcohol_and_thc", "inform"),
        ("THC", "alcohol_and_thc", "inform"),
        ("theophylline", "theophylline", "review"),
        ("aminophylline", "theophylline", "review"),
        ("ketoconazole", "cyp3a4_inhibitors", "review"),
        ("itraconazole", "cyp3a4_inhibitors", "review"),
        ("clarithromycin", "cyp3a4_inhibitors", "review"),
        ("ritonavir", "cyp3a4_inhibitors", "review"),
        ("grapefruit juice", "cyp3a4_inhibitors", "review"),
        ("ticlopidine", "cyp2b6_inhibitors", "review"),
        ("Plavix", "cyp2b6_inhibitors", "review"),
        ("rifampin", "inducers", "review"),
        ("carbamazepine", "inducers", "review"),
        ("phenytoin", "inducers", "review"),
        ("St John's wort", "inducers", "review"),
        ("zolpidem", "z_drugs", "review"),
        ("gabapentin", "gabapentinoids", "review"),
        ("phenobarbital", "barbiturates", "review"),
        ("Xyrem", "sodium_oxybate", "stop"),
        ("levothyroxine", "noted_medicines", "inform"),
        ("clozapine", "noted_medicines", "inform"),
        ("haloperidol", "noted_medicines", "inform"),
        ("risperidone", "noted_medicines", "inform"),
        ("pseudoephedrine", "decongestants", "inform"),
        ("memantine", "nmda_and_seizure_risk", "review"),
        ("dextromethorphan", "nmda_and_seizure_risk", "review"),
        ("tramadol", "nmda_and_seizure_risk", "review"),
        ("meperidine", "nmda_and_seizure_risk", "review"),
        ("sertraline", "continued_medicines", "inform"),
        ("bupropion", "continued_medicines", "inform"),
        ("lithium", "continued_medicines", "inform"),
        ("amoxicillin", "continued_medicines", "inform"),
        ("vitamin D", "continued_medicines", "inform"),
    ],
)
def test_a_medicine_gives_the_finding_of_its_class(name: str, medicine_class: str, severity: str) -> None:
    (finding,) = medicine_findings(name)

    assert (finding.rule, finding.severity) == (f"eligibility.medicine_{medicine_class}", severity)
    assert finding.inputs == {"medicines": [name]}


def test_every_class_of_the_table_has_a_rule() -> None:
    classes = {f"eligibility.medicine_{each.name}" for each in load_medicines()}
    rules = {rule.id for rule in RULES if rule.declared.source == "DOMAIN 3.2"}

    assert rules == classes | {"eligibility.medicine_unlisted", "eligibility.medicines_unknown"}


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
        "venlafaxine",
        "sertralin",
        "sertraline with alprazolam",
        "sertraline/lithium",
        "my heart pill",
        "",
        "???",
        "50 mg",
    ],
)
def test_whatever_is_not_exactly_one_listed_medicine_asks_for_review(name: str) -> None:
    (finding,) = medicine_findings(name)

    assert (finding.rule, finding.severity) == ("eligibility.medicine_unlisted", "review")
    assert finding.inputs == {"medicines": [name]}


def test_no_medicines_is_an_answer_and_not_asked_is_not() -> None:
    assert medicine_findings() == []
    unknown = [finding.rule for finding in evaluate(Facts(on=date(2026, 11, 22)), programme())]
    assert "eligibility.medicines_unknown" in unknown


def test_medicines_of_one_class_come_as_one_finding_in_the_order_given() -> None:
    names = ("Valium", "unheard of", "lorazepam", "Zoloft", "unseen")

    assert by_class(names) == {
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
setting = "eligibility.medicines.alcohol_thc_free_hours"
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
        ("{value}", "some", "own.toml: loud: '{value}' in the sentence and 'setting' belong together."),
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
