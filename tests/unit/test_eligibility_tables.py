"""The tables of DOMAIN 3, 3.1 and 3.2, copied here by hand row by row: each word of a row speaks as the row says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from services.core.findings import Severity
from services.core.programme import programme
from services.eligibility.facts import Condition, RiskLevel, Status
from services.eligibility.holds import holds
from services.eligibility.rules import RULES, evaluate, may_override
from tests.unit.test_eligibility_rules import TODAY, a_case, reading

C = Condition
STOP, REV, INFORM = Severity.STOP, Severity.REVIEW, Severity.INFORM


@dataclass(frozen=True)
class Word:
    """One word of a row: ``facts`` with it give ``rule``, facts ``without`` it (across an edge) do not."""

    severity: Severity
    rule: str
    facts: dict[str, Any]
    without: dict[str, Any]


def present(severity: Severity, rule: str, condition: C, status: Status = Status.PRESENT) -> Word:
    return Word(severity, rule, {"history": {condition: status}}, {"history": {condition: Status.ABSENT}})


def born(years: int, days_younger: int = 0) -> dict[str, Any]:
    return {"birth_date": date(TODAY.year - years, TODAY.month, TODAY.day + days_younger)}


def pressure(*readings: tuple[int, int]) -> dict[str, Any]:
    return {"blood_pressures": tuple(reading(high, low, days_ago=days) for days, (high, low) in enumerate(readings))}


def in_remission(months: int) -> dict[str, Any]:
    return {"history": {C.SUBSTANCE_USE_DISORDER: Status.CONTROLLED}, "remission_months": months}


HIGH_150 = pressure((150, 70), (150, 70))
TABLE_3_1: dict[str, list[Word]] = {
    "age < 18": [Word(STOP, "eligibility.age_under_minimum", born(18, 1), born(18))],
    "age ≥ 65": [Word(REV, "eligibility.age_from_review", born(65), born(65, 1))],
    "ketamine allergy": [present(STOP, "eligibility.ketamine_allergy", C.KETAMINE_ALLERGY)],
    "BP mean of two latest ≥ 160 or ≥ 100 (uncontrolled hypertension)": [
        Word(
            STOP, "eligibility.systolic_pressure_stop", pressure((160, 80), (160, 80)), pressure((160, 80), (159, 80))
        ),
        Word(
            STOP,
            "eligibility.diastolic_pressure_stop",
            pressure((130, 100), (130, 100)),
            pressure((130, 100), (130, 99)),
        ),
    ],
    "BP ≥ 140 or ≥ 90": [
        Word(
            REV, "eligibility.systolic_pressure_review", pressure((140, 80), (120, 80)), pressure((139, 80), (139, 80))
        ),
        Word(
            REV, "eligibility.diastolic_pressure_review", pressure((120, 90), (120, 80)), pressure((120, 89), (120, 89))
        ),
        # A stop of the row above says it already.
        Word(REV, "eligibility.systolic_pressure_review", HIGH_150, pressure((160, 80), (160, 80))),
        Word(
            REV,
            "eligibility.diastolic_pressure_review",
            pressure((120, 99), (120, 100)),
            pressure((120, 100), (120, 100)),
        ),
    ],
    "aneurysmal vascular disease, arteriovenous malformation, intracerebral haemorrhage": [
        present(STOP, "eligibility.aneurysmal_vascular_disease", C.ANEURYSMAL_VASCULAR_DISEASE),
        present(STOP, "eligibility.arteriovenous_malformation", C.ARTERIOVENOUS_MALFORMATION),
        present(STOP, "eligibility.intracerebral_haemorrhage", C.INTRACEREBRAL_HAEMORRHAGE),
    ],
    "stroke history; thyrotoxicosis; controlled hyperthyroidism": [
        present(STOP, "eligibility.stroke", C.STROKE),
        present(STOP, "eligibility.thyrotoxicosis", C.HYPERTHYROIDISM, Status.UNCONTROLLED),
        present(REV, "eligibility.controlled_hyperthyroidism", C.HYPERTHYROIDISM, Status.CONTROLLED),
    ],
    "unstable angina, recent myocardial infarction, decompensated heart failure, severe arrhythmia": [
        present(STOP, "eligibility.unstable_angina", C.UNSTABLE_ANGINA),
        present(STOP, "eligibility.recent_myocardial_infarction", C.RECENT_MYOCARDIAL_INFARCTION),
        present(STOP, "eligibility.decompensated_heart_failure", C.DECOMPENSATED_HEART_FAILURE),
        present(STOP, "eligibility.severe_arrhythmia", C.SEVERE_ARRHYTHMIA),
    ],
    "stable cardiac disease, pulmonary hypertension": [
        present(REV, "eligibility.stable_cardiac_disease", C.STABLE_CARDIAC_DISEASE),
        present(REV, "eligibility.pulmonary_hypertension", C.PULMONARY_HYPERTENSION),
    ],
    "raised intracranial pressure, intracranial mass, recent head injury": [
        present(STOP, "eligibility.raised_intracranial_pressure", C.RAISED_INTRACRANIAL_PRESSURE),
        present(STOP, "eligibility.intracranial_mass", C.INTRACRANIAL_MASS),
        present(STOP, "eligibility.recent_head_injury", C.RECENT_HEAD_INJURY),
    ],
    "uncontrolled glaucoma": [
        Word(
            STOP,
            "eligibility.uncontrolled_glaucoma",
            {"history": {C.GLAUCOMA: Status.UNCONTROLLED}},
            {"history": {C.GLAUCOMA: Status.CONTROLLED}},
        )
    ],
    "severe breathing problem; untreated sleep apnoea": [
        present(STOP, "eligibility.severe_breathing_problem", C.SEVERE_BREATHING_PROBLEM),
        Word(
            REV,
            "eligibility.untreated_sleep_apnoea",
            {"history": {C.SLEEP_APNOEA: Status.UNCONTROLLED}},
            {"history": {C.SLEEP_APNOEA: Status.CONTROLLED}},
        ),
    ],
    "primary psychotic disorder, ever": [
        present(STOP, "eligibility.primary_psychotic_disorder", C.PRIMARY_PSYCHOTIC_DISORDER)
    ],
    "first-degree relative with psychosis": [
        present(REV, "eligibility.psychosis_in_first_degree_relative", C.PSYCHOSIS_IN_FIRST_DEGREE_RELATIVE)
    ],
    "acute mania or mixed state": [present(STOP, "eligibility.acute_mania", C.ACUTE_MANIA)],
    "bipolar disorder or MDQ positive": [
        present(REV, "eligibility.bipolar_disorder", C.BIPOLAR_DISORDER),
        Word(REV, "eligibility.bipolar_disorder", {"diagnosis": "bipolar"}, {"diagnosis": "depression"}),
        Word(REV, "eligibility.mdq_positive", {"mdq_positive": True}, {"mdq_positive": False}),
    ],
    "C-SSRS high; moderate": [
        Word(STOP, "eligibility.cssrs_high", {"cssrs": RiskLevel.HIGH}, {"cssrs": RiskLevel.MODERATE}),
        Word(REV, "eligibility.cssrs_moderate", {"cssrs": RiskLevel.MODERATE}, {"cssrs": RiskLevel.LOW}),
        Word(REV, "eligibility.cssrs_moderate", {"cssrs": RiskLevel.MODERATE}, {"cssrs": RiskLevel.HIGH}),
    ],
    "uncontrolled substance use disorder, DAST-10 ≥ 6": [
        Word(
            STOP,
            "eligibility.uncontrolled_substance_use_disorder",
            {"history": {C.SUBSTANCE_USE_DISORDER: Status.UNCONTROLLED}},
            in_remission(24),
        ),
        Word(STOP, "eligibility.dast10_stop", {"dast10": 6}, {"dast10": 5}),
    ],
    "DAST-10 3–5, AUDIT-C positive, in remission < 12 months": [
        Word(REV, "eligibility.dast10_review", {"dast10": 3}, {"dast10": 2}),
        Word(REV, "eligibility.dast10_review", {"dast10": 5}, {"dast10": 6}),
        Word(REV, "eligibility.audit_c_positive", {"audit_c_positive": True}, {"audit_c_positive": False}),
        Word(REV, "eligibility.remission_recent", in_remission(11), in_remission(12)),
    ],
    "ketamine use disorder; past non-medical ketamine use": [
        present(STOP, "eligibility.ketamine_use_disorder", C.KETAMINE_USE_DISORDER),
        present(REV, "eligibility.non_medical_ketamine_use", C.NON_MEDICAL_KETAMINE_USE),
    ],
    "pregnant; breast-feeding; childbearing potential: contraception statement": [
        present(STOP, "eligibility.pregnancy", C.PREGNANCY),
        present(STOP, "eligibility.breast_feeding", C.BREAST_FEEDING),
        Word(
            REV,
            "eligibility.contraception_statement_missing",
            {"history": {C.CHILDBEARING_POTENTIAL: Status.PRESENT}, "contraception_stated": False},
            {"history": {C.CHILDBEARING_POTENTIAL: Status.PRESENT}, "contraception_stated": True},
        ),
    ],
    "severe hepatic impairment; moderate, or abnormal liver tests": [
        present(STOP, "eligibility.severe_hepatic_impairment", C.HEPATIC_IMPAIRMENT, Status.SEVERE),
        present(REV, "eligibility.moderate_hepatic_impairment", C.HEPATIC_IMPAIRMENT, Status.MODERATE),
        present(REV, "eligibility.abnormal_liver_tests", C.ABNORMAL_LIVER_TESTS),
    ],
    "active interstitial or ulcerative cystitis; history or urinary symptoms": [
        present(STOP, "eligibility.active_cystitis", C.CYSTITIS),
        present(REV, "eligibility.past_cystitis", C.CYSTITIS, Status.PAST),
        present(REV, "eligibility.urinary_symptoms", C.URINARY_SYMPTOMS),
    ],
    "seizure disorder, dementia or delirium, severe personality disorder": [
        present(REV, "eligibility.seizure_disorder", C.SEIZURE_DISORDER),
        present(REV, "eligibility.dementia", C.DEMENTIA),
        present(REV, "eligibility.delirium", C.DELIRIUM),
        present(REV, "eligibility.severe_personality_disorder", C.SEVERE_PERSONALITY_DISORDER),
    ],
    # Shipping and sessions refuse; here the reader is told.
    "no therapist of record: no shipment; no sober chaperone: no session": [
        Word(
            INFORM,
            "eligibility.no_therapist_of_record",
            {"has_therapist": False, "will_have_therapist": True},
            {"has_therapist": True},
        ),
        Word(INFORM, "eligibility.no_sober_chaperone", {"has_sober_chaperone": False}, {"has_sober_chaperone": True}),
    ],
}
WORDS = [
    pytest.param(word, id=f"{row}-{number}") for row, words in TABLE_3_1.items() for number, word in enumerate(words)
]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_table_3_1_speaks_and_only_with_its_facts(word: Word) -> None:
    spoken = {finding.rule: finding.severity for finding in evaluate(a_case(**word.facts), programme())}
    silent = {finding.rule for finding in evaluate(a_case(**word.without), programme())}

    assert spoken[word.rule] is word.severity
    assert word.rule not in silent


def test_every_row_of_table_3_1_is_carried_out_by_the_rules_of_that_row() -> None:
    rows = {rule.id: rule.row for rule in RULES}

    for row, words in TABLE_3_1.items():
        assert {rows[word.rule] for word in words} == {row}


def test_of_all_stops_only_breast_feeding_may_be_overridden() -> None:
    stops = [rule.id for rule in RULES if rule.severity is STOP]

    assert [rule for rule in stops if may_override(rule)] == ["eligibility.breast_feeding"]


# Row → what it says → rule → the medicines that the row names (a class by some of it), and how it is held: hours before
# (h), days before the day of the session (d).
TABLE_3_2: list[tuple[str, Severity, str, str | None, list[str]]] = [
    ("benzodiazepines", REV, "eligibility.medicine_benzodiazepines", "24 h", ["alprazolam", "Klonopin", "Valium 5 mg"]),
    ("ADHD stimulants", INFORM, "eligibility.medicine_adhd_stimulants", "1 d", ["Adderall XR", "methylphenidate"]),
    ("MAO inhibitors", REV, "eligibility.medicine_mao_inhibitors", None, ["phenelzine", "linezolid", "Emsam patch"]),
    ("lamotrigine", INFORM, "eligibility.medicine_lamotrigine", None, ["lamotrigine", "Lamictal"]),
    ("opioids", REV, "eligibility.medicine_opioids", "0 d", ["oxycodone", "Suboxone", "methadone"]),
    ("opioids; naltrexone", REV, "eligibility.medicine_naltrexone", None, ["naltrexone", "Vivitrol"]),
    (
        "muscle relaxants, sedating antihistamines, other controlled drugs",
        INFORM,
        "eligibility.medicine_day_of_holds",
        "0 d",
        ["cyclobenzaprine", "Benadryl", "modafinil"],
    ),
    ("alcohol, THC", INFORM, "eligibility.medicine_alcohol_and_thc", "48 h", ["alcohol", "THC", "medical marijuana"]),
    ("theophylline / aminophylline", REV, "eligibility.medicine_theophylline", None, ["theophylline", "aminophylline"]),
    (
        "strong CYP3A4 inhibitors, CYP2B6 inhibitors",
        REV,
        "eligibility.medicine_cyp3a4_inhibitors",
        None,
        ["ketoconazole", "itraconazole", "clarithromycin", "ritonavir", "grapefruit", "grapefruit juice"],
    ),
    (
        "strong CYP3A4 inhibitors, CYP2B6 inhibitors",
        REV,
        "eligibility.medicine_cyp2b6_inhibitors",
        None,
        ["ticlopidine", "clopidogrel"],
    ),
    (
        "inducers",
        REV,
        "eligibility.medicine_inducers",
        None,
        ["rifampin", "carbamazepine", "phenytoin", "St John's wort", "St. John’s Wort 300 mg"],
    ),
    (
        "Z-drugs, gabapentinoids, barbiturates; sodium oxybate",
        REV,
        "eligibility.medicine_z_drugs",
        None,
        ["zolpidem", "Lunesta", "zaleplon"],
    ),
    (
        "Z-drugs, gabapentinoids, barbiturates; sodium oxybate",
        REV,
        "eligibility.medicine_gabapentinoids",
        None,
        ["gabapentin", "Lyrica"],
    ),
    (
        "Z-drugs, gabapentinoids, barbiturates; sodium oxybate",
        REV,
        "eligibility.medicine_barbiturates",
        None,
        ["phenobarbital", "Fioricet"],
    ),
    (
        "Z-drugs, gabapentinoids, barbiturates; sodium oxybate",
        STOP,
        "eligibility.medicine_sodium_oxybate",
        None,
        ["sodium oxybate", "Xyrem", "Xywav"],
    ),
    (
        "thyroid hormone, clozapine, haloperidol, risperidone",
        INFORM,
        "eligibility.medicine_noted_medicines",
        None,
        ["thyroid hormone", "levothyroxine 50 mcg", "clozapine", "haloperidol", "risperidone"],
    ),
    (
        "decongestants",
        INFORM,
        "eligibility.medicine_decongestants",
        "0 d",
        ["pseudoephedrine", "Sudafed", "Claritin-D"],
    ),
    (
        "memantine, dextromethorphan, tramadol, meperidine",
        REV,
        "eligibility.medicine_nmda_antagonists",
        None,
        ["memantine", "dextromethorphan"],
    ),
    (
        "memantine, dextromethorphan, tramadol, meperidine",
        REV,
        "eligibility.medicine_seizure_risk_opioids",
        "0 d",
        ["tramadol", "meperidine"],
    ),
    (
        "SSRIs, bupropion, lithium, antibiotics, vitamins",
        INFORM,
        "eligibility.medicine_continued_medicines",
        None,
        ["sertraline", "Prozac", "bupropion", "lithium", "amoxicillin", "vitamin D", "multivitamin"],
    ),
    (
        "an unlisted drug is REV, never silently passed",
        REV,
        "eligibility.medicine_unlisted",
        None,
        ["venlafaxine", "lisinopril"],
    ),
]
MEDICINES = [
    pytest.param(severity, rule, held, name, id=f"{row}-{name}")
    for row, severity, rule, held, names in TABLE_3_2
    for name in names
]


@pytest.mark.parametrize(("severity", "rule", "held", "name"), MEDICINES)
def test_a_medicine_of_table_3_2_gives_the_finding_and_the_hold_of_its_row(
    severity: Severity, rule: str, held: str | None, name: str
) -> None:
    (finding,) = evaluate(a_case(medicines=(name,)), programme())
    found = [
        f"{hold.days_before} d" if hold.hours is None else f"{hold.hours:g} h" for hold in holds([name], programme())
    ]

    assert (finding.rule, finding.severity, finding.inputs) == (rule, severity, {"medicines": [name]})
    assert found == ([] if held is None else [held])


def test_every_row_of_table_3_2_is_carried_out_by_the_rules_of_that_row() -> None:
    expected = {(row, rule) for row, _, rule, _, _ in TABLE_3_2}
    expected |= {(row, rule) for row, *_ in TABLE_3_2[-1:] for rule in ASKED}

    assert {(rule.row, rule.id) for rule in RULES if rule.declared.source == "DOMAIN 3.2"} == expected


ASKED = ("eligibility.medicine_unclear", "eligibility.medicines_unknown")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Xanax", "at least 24 hours, ideally 72, before a session; continue it if there is a risk of withdrawal"),
        ("Adderall", "hold it the day before and the day of a session, and watch the blood pressure"),
        ("phenelzine", "blood pressure needs close watching"),
        ("Lamictal", "allowed; it may attenuate"),
        ("codeine", "hold it on the day of a session"),
        ("Benadryl", "hold it on the day of a session"),
        ("wine", "none for 48 hours before a session"),
        ("theophylline", "High risk of seizures"),
        ("Plavix", "exposure to ketamine goes up"),
        ("ketoconazole", "exposure to ketamine goes up"),
        ("rifampin", "exposure to ketamine goes down"),
        ("Xyrem", "must not be combined"),
        ("Sudafed", "avoid it on the day of a session"),
        ("Zoloft", "continued as it is"),
    ],
)
def test_the_sentence_says_what_the_row_says(name: str, words: str) -> None:
    (finding,) = evaluate(a_case(medicines=(name,)), programme())

    assert words in finding.sentence
