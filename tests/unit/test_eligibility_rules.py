"""Every eligibility rule on both sides of its boundary (DOMAIN 3 and 3.1)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.actors import Role
from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme, programme, shipped
from services.eligibility.facts import BloodPressure, Condition, Diagnosis, Facts, RiskLevel, Status
from services.eligibility.rows import Rule
from services.eligibility.rules import RULES, evaluate, may_override, medicine_findings, rule_files, rule_set_version
from services.screening import instruments
from services.screening.history import load_questions
from tests.mutation.modules import ROOT, imported_by

TODAY = date(2026, 11, 22)
BY_ID: Mapping[str, Rule] = {rule.id: rule for rule in RULES}
HEALTHY: Mapping[Condition, Status] = dict.fromkeys(Condition, Status.ABSENT)


def reading(systolic: int, diastolic: int, *, days_ago: int = 0) -> BloodPressure:
    return BloodPressure(systolic, diastolic, datetime(2026, 11, 22, 9, 0, tzinfo=UTC) - timedelta(days=days_ago))


def a_case(**changes: Any) -> Facts:
    """A case that no rule objects to; ``history`` changes single conditions."""
    history = {**HEALTHY, **changes.pop("history", {})}
    facts: dict[str, Any] = {
        "on": TODAY,
        "birth_date": date(1986, 5, 4),
        "state": "CA",
        "states_of_operation": frozenset({"CA", "NY"}),
        "diagnosis": "depression",
        "has_therapist": True,
        "has_sober_chaperone": True,
        "blood_pressures": (reading(120, 80, days_ago=1), reading(118, 76)),
        "medicines": (),
        "phq9": 17,
        "gad7": 12,
        "cssrs": RiskLevel.NONE,
        "dast10": 0,
        "audit_c_positive": False,
        "mdq_positive": False,
    }
    return Facts(**{**facts, "history": history, **changes})


def findings(**changes: Any) -> list[Finding]:
    return evaluate(a_case(**changes), programme())


def said(**changes: Any) -> list[tuple[str, str]]:
    """Severity and id of what the rules say."""
    return [(finding.severity.value, finding.rule) for finding in findings(**changes)]


def test_a_case_without_anything_against_it_has_no_findings() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("state", "listed", "is_served"),
    [("NY", [], True), ("NY", ["CA", "NY"], True), ("NY", ["CA"], False), ("TX", ["TX"], False)],
)
def test_a_programme_may_leave_some_of_the_teams_states_out_and_never_adds_any(
    state: str, listed: list[str], is_served: bool
) -> None:
    ours = programme()
    narrowed = Programme(ours.name, ours.version, {**ours.settings, "eligibility.states": listed})
    found = [each for each in evaluate(a_case(state=state), narrowed) if each.rule == "eligibility.state_not_served"]
    assert bool(found) is not is_served
    assert all(each.value == listed for each in found)


# --- Inclusion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"birth_date": None}, [("review", "eligibility.age_unknown")]),
        ({"state": "NY"}, []),
        ({"state": "TX"}, [("stop", "eligibility.state_not_served")]),
        ({"states_of_operation": frozenset()}, [("stop", "eligibility.state_not_served")]),
        ({"state": None}, [("review", "eligibility.state_unknown")]),
        ({"diagnosis": "suicidal_ideation"}, [("stop", "eligibility.diagnosis_not_treated")]),
        ({"has_therapist": True, "will_have_therapist": False}, []),
        ({"has_therapist": False, "will_have_therapist": True}, [("inform", "eligibility.no_therapist_of_record")]),
        ({"has_therapist": None, "will_have_therapist": True}, [("inform", "eligibility.no_therapist_of_record")]),
        (
            {"has_therapist": False, "will_have_therapist": False},
            [("stop", "eligibility.no_therapist_expected"), ("inform", "eligibility.no_therapist_of_record")],
        ),
        (
            {"has_therapist": None},
            [("review", "eligibility.therapist_unknown"), ("inform", "eligibility.no_therapist_of_record")],
        ),
        (
            {"has_therapist": False},
            [("review", "eligibility.therapist_unknown"), ("inform", "eligibility.no_therapist_of_record")],
        ),
        (
            {"has_therapist": None, "will_have_therapist": False},
            [("review", "eligibility.therapist_unknown"), ("inform", "eligibility.no_therapist_of_record")],
        ),
        ({"diagnosis": "chronic_pain"}, [("stop", "eligibility.diagnosis_not_treated")]),
        ({"diagnosis": None}, [("review", "eligibility.diagnosis_unknown")]),
        ({"has_sober_chaperone": False}, [("inform", "eligibility.no_sober_chaperone")]),
        ({"has_sober_chaperone": None}, [("inform", "eligibility.no_sober_chaperone")]),
    ],
)
def test_inclusion(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert said(**changes) == expected


def test_the_programme_treats_the_nine_diagnoses_of_the_seed() -> None:
    further = {Diagnosis.CHRONIC_PAIN, Diagnosis.SUICIDAL_IDEATION}
    assert programme().choices("eligibility.diagnoses") == set(Diagnosis) - further
    assert programme(shipped()["avesta"]).choices("eligibility.diagnoses") >= further
    assert programme(shipped()["options_md"]).choices("eligibility.diagnoses") == {Diagnosis.DEPRESSION}
    for diagnosis in set(Diagnosis) - further:
        assert said(diagnosis=diagnosis.value) == (
            [("review", "eligibility.bipolar_disorder")] if diagnosis == "bipolar" else []
        )


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_diagnosis_that_a_programme_treats_can_be_referred_and_followed(name: str) -> None:
    ours = programme(shipped()[name])
    assert ours.choices("eligibility.diagnoses") <= set(Diagnosis)
    for diagnosis in Diagnosis:
        assert instruments.get(ours.text(f"outcomes.response.judged_by.{diagnosis}"))
        assert isinstance(ours.value(f"outcomes.cadence.by_diagnosis.{diagnosis}"), list)


# --- Numbers: both sides of each boundary ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("birth_date", "on", "expected"),
    [
        (date(2008, 11, 22), TODAY, []),
        (date(2008, 11, 23), TODAY, [("stop", "eligibility.age_under_minimum")]),
        (date(1961, 11, 23), TODAY, []),
        (date(1961, 11, 22), TODAY, [("review", "eligibility.age_from_review")]),
        (date(2030, 1, 1), TODAY, [("stop", "eligibility.age_under_minimum")]),
        (date(2008, 2, 29), date(2026, 2, 28), [("stop", "eligibility.age_under_minimum")]),
        (date(2008, 2, 29), date(2026, 3, 1), []),
    ],
)
def test_age(birth_date: date, on: date, expected: list[tuple[str, str]]) -> None:
    assert said(birth_date=birth_date, on=on) == expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([(139, 89), (139, 89)], []),
        ([(140, 80), (139, 80)], [("review", "eligibility.systolic_pressure_review")]),  # one raised reading is enough
        ([(140, 80), (140, 80)], [("review", "eligibility.systolic_pressure_review")]),
        ([(159, 80), (160, 80)], [("review", "eligibility.systolic_pressure_review")]),  # mean 159.5
        ([(160, 80), (160, 80)], [("stop", "eligibility.systolic_pressure_stop")]),
        ([(120, 90), (120, 89)], [("review", "eligibility.diastolic_pressure_review")]),
        ([(120, 90), (120, 90)], [("review", "eligibility.diastolic_pressure_review")]),
        ([(120, 99), (120, 100)], [("review", "eligibility.diastolic_pressure_review")]),  # mean 99.5
        ([(120, 100), (120, 100)], [("stop", "eligibility.diastolic_pressure_stop")]),
        (
            [(170, 95), (170, 95)],
            [("stop", "eligibility.systolic_pressure_stop"), ("review", "eligibility.diastolic_pressure_review")],
        ),
        ([(120, 80)], [("review", "eligibility.pressure_readings_missing")]),
        (
            [(165, 80)],
            [("stop", "eligibility.systolic_pressure_stop"), ("review", "eligibility.pressure_readings_missing")],
        ),
        ([], [("review", "eligibility.pressure_readings_missing")]),
    ],
)
def test_blood_pressure(readings: list[tuple[int, int]], expected: list[tuple[str, str]]) -> None:
    taken = tuple(reading(high, low, days_ago=days) for days, (high, low) in enumerate(readings))

    assert said(blood_pressures=taken) == expected


def test_only_the_two_latest_readings_count_in_whatever_order_they_come() -> None:
    latest, before, oldest = reading(150, 80), reading(140, 80, days_ago=1), reading(250, 80, days_ago=9)

    for order in ((oldest, before, latest), (latest, oldest, before)):
        (finding,) = findings(blood_pressures=order)
        assert (finding.rule, finding.inputs) == ("eligibility.systolic_pressure_review", {"systolic_highest": 150})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dast10": 2}, []),
        ({"dast10": 3}, [("review", "eligibility.dast10_review")]),
        ({"dast10": 5}, [("review", "eligibility.dast10_review")]),
        ({"dast10": 6}, [("stop", "eligibility.dast10_stop")]),
        ({"dast10": 10}, [("stop", "eligibility.dast10_stop")]),
        ({"dast10": None}, [("inform", "eligibility.dast10_not_asked")]),
        ({"audit_c_positive": True}, [("review", "eligibility.audit_c_positive")]),
        ({"audit_c_positive": None}, [("inform", "eligibility.audit_c_positive_not_asked")]),
        ({"mdq_positive": True}, [("review", "eligibility.mdq_positive")]),
        ({"mdq_positive": None}, [("inform", "eligibility.mdq_positive_not_asked")]),
        ({"cssrs": RiskLevel.LOW}, []),
        ({"cssrs": RiskLevel.MODERATE}, [("review", "eligibility.cssrs_moderate")]),
        ({"cssrs": RiskLevel.HIGH}, [("stop", "eligibility.cssrs_high")]),
        ({"cssrs": None}, [("review", "eligibility.cssrs_missing")]),
        ({"phq9": None}, [("review", "eligibility.phq9_missing")]),
        ({"gad7": None}, [("review", "eligibility.gad7_missing")]),
        ({"phq9": 0, "gad7": 0}, []),
    ],
)
def test_results(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert said(**changes) == expected


@pytest.mark.parametrize(
    ("status", "months", "expected"),
    [
        (Status.ABSENT, None, []),
        (Status.ABSENT, 1, []),
        (Status.CONTROLLED, 12, []),
        (Status.CONTROLLED, 11, [("review", "eligibility.remission_recent")]),
        (Status.CONTROLLED, 0, [("review", "eligibility.remission_recent")]),
        (Status.CONTROLLED, None, [("review", "eligibility.remission_unknown")]),
        (Status.UNCONTROLLED, 24, [("stop", "eligibility.uncontrolled_substance_use_disorder")]),
    ],
)
def test_substance_use_disorder(status: Status, months: int | None, expected: list[tuple[str, str]]) -> None:
    assert said(history={Condition.SUBSTANCE_USE_DISORDER: status}, remission_months=months) == expected


@pytest.mark.parametrize(
    ("potential", "stated", "expected"),
    [
        (Status.ABSENT, None, []),
        (Status.PRESENT, True, []),
        (Status.PRESENT, False, [("review", "eligibility.contraception_statement_missing")]),
        (Status.PRESENT, None, [("review", "eligibility.contraception_statement_missing")]),
    ],
)
def test_contraception_statement(potential: Status, stated: bool | None, expected: list[tuple[str, str]]) -> None:
    changes = {Condition.CHILDBEARING_POTENTIAL: potential}

    assert said(history=changes, contraception_stated=stated) == expected


# --- Conditions ------------------------------------------------------------------------------------------------------

PRESENT, PAST, CONTROLLED, UNCONTROLLED = Status.PRESENT, Status.PAST, Status.CONTROLLED, Status.UNCONTROLLED

CONDITIONS: list[tuple[Condition, Status, str | None, str]] = [
    (Condition.KETAMINE_ALLERGY, PRESENT, "stop", "eligibility.ketamine_allergy"),
    (Condition.ANEURYSMAL_VASCULAR_DISEASE, PRESENT, "stop", "eligibility.aneurysmal_vascular_disease"),
    (Condition.ARTERIOVENOUS_MALFORMATION, PRESENT, "stop", "eligibility.arteriovenous_malformation"),
    (Condition.INTRACEREBRAL_HAEMORRHAGE, PRESENT, "stop", "eligibility.intracerebral_haemorrhage"),
    (Condition.STROKE, PRESENT, "stop", "eligibility.stroke"),
    (Condition.HYPERTHYROIDISM, UNCONTROLLED, "stop", "eligibility.thyrotoxicosis"),
    (Condition.HYPERTHYROIDISM, CONTROLLED, "review", "eligibility.controlled_hyperthyroidism"),
    (Condition.UNSTABLE_ANGINA, PRESENT, "stop", "eligibility.unstable_angina"),
    (Condition.RECENT_MYOCARDIAL_INFARCTION, PRESENT, "stop", "eligibility.recent_myocardial_infarction"),
    (Condition.DECOMPENSATED_HEART_FAILURE, PRESENT, "stop", "eligibility.decompensated_heart_failure"),
    (Condition.SEVERE_ARRHYTHMIA, PRESENT, "stop", "eligibility.severe_arrhythmia"),
    (Condition.STABLE_CARDIAC_DISEASE, PRESENT, "review", "eligibility.stable_cardiac_disease"),
    (Condition.PULMONARY_HYPERTENSION, PRESENT, "review", "eligibility.pulmonary_hypertension"),
    (Condition.RAISED_INTRACRANIAL_PRESSURE, PRESENT, "stop", "eligibility.raised_intracranial_pressure"),
    (Condition.INTRACRANIAL_MASS, PRESENT, "stop", "eligibility.intracranial_mass"),
    (Condition.RECENT_HEAD_INJURY, PRESENT, "stop", "eligibility.recent_head_injury"),
    (Condition.GLAUCOMA, UNCONTROLLED, "stop", "eligibility.uncontrolled_glaucoma"),
    (Condition.GLAUCOMA, CONTROLLED, None, ""),
    (Condition.SEVERE_BREATHING_PROBLEM, PRESENT, "stop", "eligibility.severe_breathing_problem"),
    (Condition.SLEEP_APNOEA, UNCONTROLLED, "review", "eligibility.untreated_sleep_apnoea"),
    (Condition.SLEEP_APNOEA, CONTROLLED, None, ""),
    (Condition.PRIMARY_PSYCHOTIC_DISORDER, PRESENT, "stop", "eligibility.primary_psychotic_disorder"),
    (Condition.PSYCHOSIS_IN_FIRST_DEGREE_RELATIVE, PRESENT, "review", "eligibility.psychosis_in_first_degree_relative"),
    (Condition.ACUTE_MANIA, PRESENT, "stop", "eligibility.acute_mania"),
    (Condition.BIPOLAR_DISORDER, PRESENT, "review", "eligibility.bipolar_disorder"),
    (Condition.SUBSTANCE_USE_DISORDER, UNCONTROLLED, "stop", "eligibility.uncontrolled_substance_use_disorder"),
    (Condition.SUBSTANCE_USE_DISORDER, CONTROLLED, "review", "eligibility.remission_unknown"),
    (Condition.KETAMINE_USE_DISORDER, PRESENT, "stop", "eligibility.ketamine_use_disorder"),
    (Condition.NON_MEDICAL_KETAMINE_USE, PRESENT, "review", "eligibility.non_medical_ketamine_use"),
    (Condition.PREGNANCY, PRESENT, "stop", "eligibility.pregnancy"),
    (Condition.BREAST_FEEDING, PRESENT, "stop", "eligibility.breast_feeding"),
    (Condition.CHILDBEARING_POTENTIAL, PRESENT, "review", "eligibility.contraception_statement_missing"),
    (Condition.HEPATIC_IMPAIRMENT, Status.SEVERE, "stop", "eligibility.severe_hepatic_impairment"),
    (Condition.HEPATIC_IMPAIRMENT, Status.MODERATE, "review", "eligibility.moderate_hepatic_impairment"),
    (Condition.ABNORMAL_LIVER_TESTS, PRESENT, "review", "eligibility.abnormal_liver_tests"),
    (Condition.CYSTITIS, PRESENT, "stop", "eligibility.active_cystitis"),
    (Condition.CYSTITIS, PAST, "review", "eligibility.past_cystitis"),
    (Condition.URINARY_SYMPTOMS, PRESENT, "review", "eligibility.urinary_symptoms"),
    (Condition.SEIZURE_DISORDER, PRESENT, "review", "eligibility.seizure_disorder"),
    (Condition.DEMENTIA, PRESENT, "review", "eligibility.dementia"),
    (Condition.DELIRIUM, PRESENT, "review", "eligibility.delirium"),
    (Condition.SEVERE_PERSONALITY_DISORDER, PRESENT, "review", "eligibility.severe_personality_disorder"),
]


@pytest.mark.parametrize(("condition", "status", "severity", "rule"), CONDITIONS)
def test_a_condition_gives_its_finding(condition: Condition, status: Status, severity: str | None, rule: str) -> None:
    found = findings(history={condition: status})

    assert [(each.severity.value, each.rule) for each in found] == ([(severity, rule)] if severity else [])
    assert all(each.inputs[condition.value] == status.value for each in found)


def test_the_table_above_covers_every_status_of_every_condition() -> None:
    possible = {
        (condition, status)
        for condition, question in load_questions().items()
        for status in question.answers
        if status not in (Status.ABSENT, Status.UNKNOWN)
    }

    assert {(condition, status) for condition, status, _, _ in CONDITIONS} == possible


UNANSWERED: dict[Condition, str] = {
    Condition.KETAMINE_ALLERGY: "eligibility.ketamine_allergy_unanswered",
    Condition.ANEURYSMAL_VASCULAR_DISEASE: "eligibility.aneurysmal_vascular_disease_unanswered",
    Condition.ARTERIOVENOUS_MALFORMATION: "eligibility.arteriovenous_malformation_unanswered",
    Condition.INTRACEREBRAL_HAEMORRHAGE: "eligibility.intracerebral_haemorrhage_unanswered",
    Condition.STROKE: "eligibility.stroke_unanswered",
    Condition.HYPERTHYROIDISM: "eligibility.hyperthyroidism_unanswered",
    Condition.UNSTABLE_ANGINA: "eligibility.unstable_angina_unanswered",
    Condition.RECENT_MYOCARDIAL_INFARCTION: "eligibility.recent_myocardial_infarction_unanswered",
    Condition.DECOMPENSATED_HEART_FAILURE: "eligibility.decompensated_heart_failure_unanswered",
    Condition.SEVERE_ARRHYTHMIA: "eligibility.severe_arrhythmia_unanswered",
    Condition.STABLE_CARDIAC_DISEASE: "eligibility.stable_cardiac_disease_unanswered",
    Condition.PULMONARY_HYPERTENSION: "eligibility.pulmonary_hypertension_unanswered",
    Condition.RAISED_INTRACRANIAL_PRESSURE: "eligibility.raised_intracranial_pressure_unanswered",
    Condition.INTRACRANIAL_MASS: "eligibility.intracranial_mass_unanswered",
    Condition.RECENT_HEAD_INJURY: "eligibility.recent_head_injury_unanswered",
    Condition.GLAUCOMA: "eligibility.glaucoma_unanswered",
    Condition.SEVERE_BREATHING_PROBLEM: "eligibility.severe_breathing_problem_unanswered",
    Condition.SLEEP_APNOEA: "eligibility.sleep_apnoea_unanswered",
    Condition.PRIMARY_PSYCHOTIC_DISORDER: "eligibility.primary_psychotic_disorder_unanswered",
    Condition.PSYCHOSIS_IN_FIRST_DEGREE_RELATIVE: "eligibility.psychosis_in_first_degree_relative_unanswered",
    Condition.ACUTE_MANIA: "eligibility.acute_mania_unanswered",
    Condition.BIPOLAR_DISORDER: "eligibility.bipolar_disorder_unanswered",
    Condition.SUBSTANCE_USE_DISORDER: "eligibility.substance_use_disorder_unanswered",
    Condition.KETAMINE_USE_DISORDER: "eligibility.ketamine_use_disorder_unanswered",
    Condition.NON_MEDICAL_KETAMINE_USE: "eligibility.non_medical_ketamine_use_unanswered",
    Condition.PREGNANCY: "eligibility.pregnancy_unanswered",
    Condition.BREAST_FEEDING: "eligibility.breast_feeding_unanswered",
    Condition.CHILDBEARING_POTENTIAL: "eligibility.childbearing_potential_unanswered",
    Condition.HEPATIC_IMPAIRMENT: "eligibility.hepatic_impairment_unanswered",
    Condition.ABNORMAL_LIVER_TESTS: "eligibility.abnormal_liver_tests_unanswered",
    Condition.CYSTITIS: "eligibility.cystitis_unanswered",
    Condition.URINARY_SYMPTOMS: "eligibility.urinary_symptoms_unanswered",
    Condition.SEIZURE_DISORDER: "eligibility.seizure_disorder_unanswered",
    Condition.DEMENTIA: "eligibility.dementia_unanswered",
    Condition.DELIRIUM: "eligibility.delirium_unanswered",
    Condition.SEVERE_PERSONALITY_DISORDER: "eligibility.severe_personality_disorder_unanswered",
}


@pytest.mark.parametrize("condition", list(Condition))
def test_an_unanswered_condition_asks_for_review(condition: Condition) -> None:
    left_out = a_case()
    history = {each: status for each, status in left_out.history.items() if each is not condition}

    for facts in (a_case(history={condition: Status.UNKNOWN}), Facts(**{**arguments(left_out), "history": history})):
        (finding,) = evaluate(facts, programme())
        assert (finding.severity, finding.rule) == (Severity.REVIEW, UNANSWERED[condition])
        assert finding.inputs == {condition.value: None}


def arguments(facts: Facts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.as_dict()}


def test_bipolar_disorder_as_history_and_as_diagnosis_is_one_finding() -> None:
    (finding,) = findings(history={Condition.BIPOLAR_DISORDER: Status.PRESENT}, diagnosis="bipolar")

    assert finding.inputs == {"bipolar_disorder": "present", "diagnosis": "bipolar"}


def test_a_status_that_a_condition_cannot_have_is_refused() -> None:
    with pytest.raises(InvalidInput) as refusal:
        a_case(history={Condition.GLAUCOMA: Status.SEVERE})

    assert refusal.value.field == "history.glaucoma"


# --- The table as a whole --------------------------------------------------------------------------------------------

# Each row of DOMAIN 3 and 3.1 with the rules that carry it out, a stop (S) or a review (R) or information (I).
TABLE: dict[str, set[str]] = {
    "18 or older": {"R eligibility.age_unknown"},
    "lives in a state the medical team operates in": {"S eligibility.state_not_served", "R eligibility.state_unknown"},
    "has or will have a therapist": {"S eligibility.no_therapist_expected", "R eligibility.therapist_unknown"},
    "an eligible diagnosis": {"S eligibility.diagnosis_not_treated", "R eligibility.diagnosis_unknown"},
    "age < 18": {"S eligibility.age_under_minimum"},
    "age ≥ 65": {"R eligibility.age_from_review"},
    "ketamine allergy": {"S eligibility.ketamine_allergy"},
    "BP mean of two latest ≥ 160 or ≥ 100 (uncontrolled hypertension)": {
        "S eligibility.systolic_pressure_stop",
        "S eligibility.diastolic_pressure_stop",
        "R eligibility.pressure_readings_missing",
    },
    "BP ≥ 140 or ≥ 90": {"R eligibility.systolic_pressure_review", "R eligibility.diastolic_pressure_review"},
    "aneurysmal vascular disease, arteriovenous malformation, intracerebral haemorrhage": {
        "S eligibility.aneurysmal_vascular_disease",
        "S eligibility.arteriovenous_malformation",
        "S eligibility.intracerebral_haemorrhage",
    },
    "stroke history; thyrotoxicosis; controlled hyperthyroidism": {
        "S eligibility.stroke",
        "S eligibility.thyrotoxicosis",
        "R eligibility.controlled_hyperthyroidism",
    },
    "unstable angina, recent myocardial infarction, decompensated heart failure, severe arrhythmia": {
        "S eligibility.unstable_angina",
        "S eligibility.recent_myocardial_infarction",
        "S eligibility.decompensated_heart_failure",
        "S eligibility.severe_arrhythmia",
    },
    "stable cardiac disease, pulmonary hypertension": {
        "R eligibility.stable_cardiac_disease",
        "R eligibility.pulmonary_hypertension",
    },
    "raised intracranial pressure, intracranial mass, recent head injury": {
        "S eligibility.raised_intracranial_pressure",
        "S eligibility.intracranial_mass",
        "S eligibility.recent_head_injury",
    },
    "uncontrolled glaucoma": {"S eligibility.uncontrolled_glaucoma"},
    "severe breathing problem; untreated sleep apnoea": {
        "S eligibility.severe_breathing_problem",
        "R eligibility.untreated_sleep_apnoea",
    },
    "primary psychotic disorder, ever": {"S eligibility.primary_psychotic_disorder"},
    "first-degree relative with psychosis": {"R eligibility.psychosis_in_first_degree_relative"},
    "acute mania or mixed state": {"S eligibility.acute_mania"},
    "bipolar disorder or MDQ positive": {"R eligibility.bipolar_disorder", "R eligibility.mdq_positive"},
    "C-SSRS high; moderate": {"S eligibility.cssrs_high", "R eligibility.cssrs_moderate"},
    "uncontrolled substance use disorder, DAST-10 ≥ 6": {
        "S eligibility.uncontrolled_substance_use_disorder",
        "S eligibility.dast10_stop",
    },
    "DAST-10 3–5, AUDIT-C positive, in remission < 12 months": {
        "R eligibility.dast10_review",
        "R eligibility.audit_c_positive",
        "R eligibility.remission_recent",
        "R eligibility.remission_unknown",
    },
    "ketamine use disorder; past non-medical ketamine use": {
        "S eligibility.ketamine_use_disorder",
        "R eligibility.non_medical_ketamine_use",
    },
    "pregnant; breast-feeding; childbearing potential: contraception statement": {
        "S eligibility.pregnancy",
        "S eligibility.breast_feeding",
        "R eligibility.contraception_statement_missing",
    },
    "severe hepatic impairment; moderate, or abnormal liver tests": {
        "S eligibility.severe_hepatic_impairment",
        "R eligibility.moderate_hepatic_impairment",
        "R eligibility.abnormal_liver_tests",
    },
    "active interstitial or ulcerative cystitis; history or urinary symptoms": {
        "S eligibility.active_cystitis",
        "R eligibility.past_cystitis",
        "R eligibility.urinary_symptoms",
    },
    "seizure disorder, dementia or delirium, severe personality disorder": {
        "R eligibility.seizure_disorder",
        "R eligibility.dementia",
        "R eligibility.delirium",
        "R eligibility.severe_personality_disorder",
    },
    "no therapist of record: no shipment; no sober chaperone: no session": {
        "I eligibility.no_therapist_of_record",
        "I eligibility.no_sober_chaperone",
    },
    "a condition that is not answered": {f"R eligibility.{condition.value}_unanswered" for condition in Condition},
}


def test_every_row_of_the_table_has_its_rules_and_no_rule_lacks_a_row() -> None:
    rows: dict[str, set[str]] = {}
    for name, rule in BY_ID.items():
        if rule.declared.source in ("DOMAIN 3", "DOMAIN 3.1"):
            rows.setdefault(rule.row, set()).add(f"{rule.severity.value[0].upper()} {name}")

    assert rows == TABLE


def test_rule_ids_are_unique_and_each_setting_exists() -> None:
    assert len(BY_ID) == len(RULES)
    for rule in RULES:
        assert rule.id.startswith("eligibility.")
        assert rule.declared.setting is None or programme().value(rule.declared.setting) is not None
        assert ("{value}" not in rule.declared.sentence) or rule.declared.setting


def test_a_finding_says_rule_source_setting_value_and_only_the_facts_it_used() -> None:
    (finding,) = findings(birth_date=date(2010, 1, 1))

    assert finding == Finding(
        rule="eligibility.age_under_minimum",
        severity=Severity.STOP,
        source="DOMAIN 3.1",
        sentence="The patient is younger than 18.",
        setting="eligibility.age_minimum",
        value=18,
        inputs={"age": 16},
    )


@pytest.mark.parametrize(
    ("changes", "rule", "inputs"),
    [
        ({"birth_date": None}, "age_unknown", {"birth_date": None}),
        ({"state": "TX"}, "state_not_served", {"state": "TX"}),
        ({"diagnosis": "chronic_pain"}, "diagnosis_not_treated", {"diagnosis": "chronic_pain"}),
        ({"blood_pressures": (reading(120, 80),)}, "pressure_readings_missing", {"readings": 1}),
        ({"blood_pressures": (reading(160, 80),) * 2}, "systolic_pressure_stop", {"systolic_mean": 160}),
        ({"gad7": None}, "gad7_missing", {"gad7": None}),
        ({"dast10": None}, "dast10_not_asked", {"dast10": None}),
        ({"has_sober_chaperone": None}, "no_sober_chaperone", {"has_sober_chaperone": None}),
        (
            {"has_therapist": False, "will_have_therapist": False},
            "no_therapist_expected",
            {"has_therapist": False, "will_have_therapist": False},
        ),
        (
            {"has_therapist": None, "will_have_therapist": False},
            "therapist_unknown",
            {"has_therapist": None, "will_have_therapist": False},
        ),
        (
            {"has_therapist": False, "will_have_therapist": None},
            "therapist_unknown",
            {"has_therapist": False, "will_have_therapist": None},
        ),
    ],
)
def test_a_finding_names_each_fact_it_used(changes: dict[str, Any], rule: str, inputs: dict[str, Any]) -> None:
    assert {each.rule: each.inputs for each in findings(**changes)}[f"eligibility.{rule}"] == inputs


def test_a_missing_result_names_the_setting_that_requires_it() -> None:
    (finding,) = findings(phq9=None)

    assert (finding.rule, finding.setting) == ("eligibility.phq9_missing", "eligibility.results_required")
    assert finding.value == programme().value("eligibility.results_required")


def test_findings_come_as_stops_then_reviews_then_information() -> None:
    spoken = said(
        history={Condition.SEIZURE_DISORDER: PRESENT, Condition.STROKE: PRESENT},
        birth_date=date(1950, 1, 1),
        has_sober_chaperone=None,
        cssrs=RiskLevel.HIGH,
    )

    assert spoken == [
        ("stop", "eligibility.stroke"),
        ("stop", "eligibility.cssrs_high"),
        ("review", "eligibility.age_from_review"),
        ("review", "eligibility.seizure_disorder"),
        ("inform", "eligibility.no_sober_chaperone"),
    ]


@pytest.mark.parametrize(
    ("setting", "value", "changes", "before", "after"),
    [
        ("eligibility.age_minimum", 21, {"birth_date": date(2006, 1, 1)}, [], ["eligibility.age_under_minimum"]),
        ("eligibility.age_review_from", 60, {"birth_date": date(1966, 1, 1)}, [], ["eligibility.age_from_review"]),
        ("eligibility.diagnoses", ["ocd"], {}, [], ["eligibility.diagnosis_not_treated"]),
        ("eligibility.results_required", [], {"phq9": None}, ["eligibility.phq9_missing"], []),
        (
            "eligibility.results_required",
            ["dast10"],
            {"dast10": None},
            ["eligibility.dast10_not_asked"],
            ["eligibility.dast10_missing"],
        ),
        (
            "eligibility.results_required",
            ["audit_c_positive", "mdq_positive"],
            {"audit_c_positive": None, "mdq_positive": None},
            ["eligibility.audit_c_positive_not_asked", "eligibility.mdq_positive_not_asked"],
            ["eligibility.audit_c_positive_missing", "eligibility.mdq_positive_missing"],
        ),
        ("eligibility.blood_pressure.readings_averaged", 3, {}, [], ["eligibility.pressure_readings_missing"]),
        ("eligibility.blood_pressure.systolic_stop_from", 119, {}, [], ["eligibility.systolic_pressure_stop"]),
        ("eligibility.blood_pressure.systolic_review_from", 120, {}, [], ["eligibility.systolic_pressure_review"]),
        ("eligibility.blood_pressure.diastolic_stop_from", 78, {}, [], ["eligibility.diastolic_pressure_stop"]),
        ("eligibility.blood_pressure.diastolic_review_from", 80, {}, [], ["eligibility.diastolic_pressure_review"]),
        (
            "eligibility.substance_use.dast10_stop_from",
            4,
            {"dast10": 4},
            ["eligibility.dast10_review"],
            ["eligibility.dast10_stop"],
        ),
        ("eligibility.substance_use.dast10_review_from", 2, {"dast10": 2}, [], ["eligibility.dast10_review"]),
        (
            "eligibility.substance_use.remission_months_least",
            6,
            {"history": {Condition.SUBSTANCE_USE_DISORDER: CONTROLLED}, "remission_months": 6},
            ["eligibility.remission_recent"],
            [],
        ),
    ],
)
def test_every_number_is_a_setting_of_the_programme(
    setting: str, value: object, changes: dict[str, Any], before: list[str], after: list[str]
) -> None:
    ours = programme()
    theirs = Programme(ours.name, ours.version, {**ours.settings, setting: value})
    facts = a_case(**changes)

    for each, expected in ((ours, before), (theirs, after)):
        assert [finding.rule for finding in evaluate(facts, each)] == expected


def test_only_the_stop_for_breast_feeding_may_be_overridden_and_only_by_the_prescriber() -> None:
    may = {(rule.id, role) for rule in RULES for role in Role if may_override(rule.id, role)}

    assert may == {("eligibility.breast_feeding", Role.PRESCRIBER)}
    with pytest.raises(InvalidInput) as refusal:
        may_override("eligibility.nothing")
    assert refusal.value.field == "rule"


@pytest.mark.parametrize(
    ("medicines", "rules"),
    [
        ((), []),
        (None, ["medicines_unknown"]),
        (("Xanax", "Zoloft"), ["medicine_benzodiazepines", "medicine_continued_medicines"]),
    ],
)
def test_medicines_are_judged_alone_when_their_list_changes(
    medicines: tuple[str, ...] | None, rules: list[str]
) -> None:
    assert [each.rule.removeprefix("eligibility.") for each in medicine_findings(medicines, programme())] == rules


def test_the_facts_can_be_stored_and_judged_again() -> None:
    facts = a_case(
        history={Condition.CYSTITIS: PAST}, medicines=("Xanax", "unheard of"), remission_months=3, cssrs=RiskLevel.LOW
    )
    again = Facts.from_dict(json.loads(json.dumps(facts.as_dict())))

    assert again == facts
    assert again.digest() == facts.digest()
    assert evaluate(again, programme()) == evaluate(facts, programme())
    assert a_case(phq9=16).digest() != a_case().digest()
    assert Facts.from_dict(Facts(on=TODAY).as_dict()) == Facts(on=TODAY)


def test_findings_are_plain_json() -> None:
    nothing_known = evaluate(Facts(on=TODAY), programme())

    assert json.loads(json.dumps([finding.as_dict() for finding in nothing_known]))
    assert all(finding.severity is not Severity.STOP for finding in nothing_known)


def test_facts_do_not_show_themselves() -> None:
    assert "depression" not in f"{a_case()!r} {a_case()} {a_case().blood_pressures}"


def test_the_rule_set_names_its_version() -> None:
    assert rule_set_version() == rule_set_version()
    assert re.fullmatch("eligibility-[0-9a-f]{12}", rule_set_version())


def test_the_version_of_the_rule_set_covers_every_file_that_the_rules_are_built_on() -> None:
    folder = ROOT / "services" / "eligibility"
    needed, waiting = {folder / "rules.py"}, [folder / "rules.py"]
    while waiting:
        names = (name.removeprefix("services.eligibility.") for name in imported_by(waiting.pop()))
        found = {folder / f"{name}.py" for name in names if (folder / f"{name}.py").exists()} - needed
        needed |= found
        waiting += found

    assert len(needed) > 5
    assert needed | set(folder.glob("*.toml")) <= set(rule_files())


def test_one_evaluation_takes_at_most_two_milliseconds() -> None:
    facts = a_case(history=dict.fromkeys(Condition, Status.UNKNOWN), medicines=("Xanax",) * 20)
    best = min(_processor_seconds(facts) for _ in range(20))

    assert best <= 0.002


def _processor_seconds(facts: Facts) -> float:
    # Processor time, best of several: what else the machine does must not decide.
    started = time.process_time()
    evaluate(facts, programme())
    return time.process_time() - started


# --- Properties ------------------------------------------------------------------------------------------------------

stops = st.sampled_from([(condition, status) for condition, status, severity, _ in CONDITIONS if severity == "stop"])
others = st.dictionaries(
    st.sampled_from([condition for condition, *_ in CONDITIONS]), st.sampled_from([Status.ABSENT, Status.UNKNOWN])
)
cases = st.fixed_dictionaries(
    {},
    optional={
        "birth_date": st.dates(date(1930, 1, 1), date(2020, 1, 1)) | st.none(),
        "diagnosis": st.sampled_from(["bipolar", "ocd", "other", None]),
        "has_therapist": st.booleans() | st.none(),
        "cssrs": st.sampled_from(RiskLevel) | st.none(),
        "dast10": st.integers(0, 10) | st.none(),
        "medicines": st.lists(st.sampled_from(["Xanax", "Zoloft", "Xyrem", "unheard of"])).map(tuple) | st.none(),
        "history": others,
    },
)


@settings(deadline=None)
@given(cases, stops)
def test_adding_a_stop_never_removes_a_finding(changes: dict[str, Any], stop: tuple[Condition, Status]) -> None:
    condition, status = stop
    history = {**changes.get("history", {}), condition: Status.ABSENT}
    before = findings(**{**changes, "history": history})
    after = findings(**{**changes, "history": {**history, condition: status}})

    assert {finding.rule for finding in before} < {finding.rule for finding in after}
    assert any(each.severity is Severity.STOP and each not in before for each in after)


@settings(deadline=None)
@given(cases, st.randoms())
def test_the_order_in_which_facts_are_given_changes_nothing(changes: dict[str, Any], chance: Any) -> None:
    facts = a_case(**changes)
    shuffled = list(facts.history.items())
    chance.shuffle(shuffled)
    again = Facts(**{**arguments(facts), "history": dict(shuffled)})
    weights = [list(Severity).index(finding.severity) for finding in evaluate(facts, programme())]

    assert evaluate(facts, programme()) == evaluate(again, programme())
    assert again.digest() == facts.digest()
    assert weights == sorted(weights)
