"""The rules over conditions, instruments and what was not answered (DOMAIN 3.1), in the order of the table."""

from __future__ import annotations

from typing import Final

from services.eligibility import predicates as when
from services.eligibility.facts import Condition, Diagnosis, RiskLevel, Status
from services.eligibility.rows import (
    ANSWER,
    CONDITION,
    INFORM,
    LEVEL,
    PRESCRIBER,
    REVIEW,
    STOP,
    Rule,
    condition,
    rule,
    status,
)
from services.screening.history import load_questions

# The rows of the table, worded as there; a stop and a review of one row share it.
ALLERGY: Final = "ketamine allergy"
VESSELS: Final = "aneurysmal vascular disease, arteriovenous malformation, intracerebral haemorrhage"
STROKE_THYROID: Final = "stroke history; thyrotoxicosis; controlled hyperthyroidism"
HEART_STOP: Final = "unstable angina, recent myocardial infarction, decompensated heart failure, severe arrhythmia"
HEART_REVIEW: Final = "stable cardiac disease, pulmonary hypertension"
HEAD: Final = "raised intracranial pressure, intracranial mass, recent head injury"
GLAUCOMA: Final = "uncontrolled glaucoma"
BREATHING: Final = "severe breathing problem; untreated sleep apnoea"
PSYCHOSIS: Final = "primary psychotic disorder, ever"
RELATIVE: Final = "first-degree relative with psychosis"
MANIA: Final = "acute mania or mixed state"
BIPOLAR: Final = "bipolar disorder or MDQ positive"
SUICIDE: Final = "C-SSRS high; moderate"
SUBSTANCE_STOP: Final = "uncontrolled substance use disorder, DAST-10 ≥ 6"
SUBSTANCE_REVIEW: Final = "DAST-10 3–5, AUDIT-C positive, in remission < 12 months"
KETAMINE: Final = "ketamine use disorder; past non-medical ketamine use"
PREGNANCY: Final = "pregnant; breast-feeding; childbearing potential: contraception statement"
LIVER: Final = "severe hepatic impairment; moderate, or abnormal liver tests"
BLADDER: Final = "active interstitial or ulcerative cystitis; history or urinary symptoms"
NEUROLOGY: Final = "seizure disorder, dementia or delirium, severe personality disorder"
CARE: Final = "no therapist of record: no shipment; no sober chaperone: no session"
UNANSWERED: Final = "a condition that is not answered"
RESULT: Final = "a required result"
NOT_ASKED: Final = "a result that is not required"

_OF = Condition

BODY_RULES: Final = (
    condition("eligibility.ketamine_allergy", STOP, ALLERGY, _OF.KETAMINE_ALLERGY, "Allergy to ketamine."),
    condition(
        "eligibility.aneurysmal_vascular_disease",
        STOP,
        VESSELS,
        _OF.ANEURYSMAL_VASCULAR_DISEASE,
        "Aneurysmal vascular disease.",
    ),
    condition(
        "eligibility.arteriovenous_malformation",
        STOP,
        VESSELS,
        _OF.ARTERIOVENOUS_MALFORMATION,
        "Arteriovenous malformation.",
    ),
    condition(
        "eligibility.intracerebral_haemorrhage",
        STOP,
        VESSELS,
        _OF.INTRACEREBRAL_HAEMORRHAGE,
        "Intracerebral haemorrhage in the history.",
    ),
    condition("eligibility.stroke", STOP, STROKE_THYROID, _OF.STROKE, "Stroke in the history."),
    status(
        "eligibility.thyrotoxicosis",
        STOP,
        STROKE_THYROID,
        _OF.HYPERTHYROIDISM,
        Status.UNCONTROLLED,
        "Thyrotoxicosis.",
    ),
    status(
        "eligibility.controlled_hyperthyroidism",
        REVIEW,
        STROKE_THYROID,
        _OF.HYPERTHYROIDISM,
        Status.CONTROLLED,
        "Controlled hyperthyroidism.",
    ),
    condition("eligibility.unstable_angina", STOP, HEART_STOP, _OF.UNSTABLE_ANGINA, "Unstable angina."),
    condition(
        "eligibility.recent_myocardial_infarction",
        STOP,
        HEART_STOP,
        _OF.RECENT_MYOCARDIAL_INFARCTION,
        "Recent myocardial infarction.",
    ),
    condition(
        "eligibility.decompensated_heart_failure",
        STOP,
        HEART_STOP,
        _OF.DECOMPENSATED_HEART_FAILURE,
        "Decompensated heart failure.",
    ),
    condition("eligibility.severe_arrhythmia", STOP, HEART_STOP, _OF.SEVERE_ARRHYTHMIA, "Severe arrhythmia."),
    condition(
        "eligibility.stable_cardiac_disease",
        REVIEW,
        HEART_REVIEW,
        _OF.STABLE_CARDIAC_DISEASE,
        "Stable cardiac disease.",
    ),
    condition(
        "eligibility.pulmonary_hypertension",
        REVIEW,
        HEART_REVIEW,
        _OF.PULMONARY_HYPERTENSION,
        "Pulmonary hypertension.",
    ),
    condition(
        "eligibility.raised_intracranial_pressure",
        STOP,
        HEAD,
        _OF.RAISED_INTRACRANIAL_PRESSURE,
        "Raised intracranial pressure.",
    ),
    condition("eligibility.intracranial_mass", STOP, HEAD, _OF.INTRACRANIAL_MASS, "Intracranial mass."),
    condition("eligibility.recent_head_injury", STOP, HEAD, _OF.RECENT_HEAD_INJURY, "Recent head injury."),
    status(
        "eligibility.uncontrolled_glaucoma",
        STOP,
        GLAUCOMA,
        _OF.GLAUCOMA,
        Status.UNCONTROLLED,
        "Uncontrolled glaucoma.",
    ),
    condition(
        "eligibility.severe_breathing_problem",
        STOP,
        BREATHING,
        _OF.SEVERE_BREATHING_PROBLEM,
        "Severe breathing problem.",
    ),
    status(
        "eligibility.untreated_sleep_apnoea",
        REVIEW,
        BREATHING,
        _OF.SLEEP_APNOEA,
        Status.UNCONTROLLED,
        "Untreated sleep apnoea.",
    ),
)

MIND_RULES: Final = (
    condition(
        "eligibility.primary_psychotic_disorder",
        STOP,
        PSYCHOSIS,
        _OF.PRIMARY_PSYCHOTIC_DISORDER,
        "A primary psychotic disorder, now or ever.",
    ),
    condition(
        "eligibility.psychosis_in_first_degree_relative",
        REVIEW,
        RELATIVE,
        _OF.PSYCHOSIS_IN_FIRST_DEGREE_RELATIVE,
        "A first-degree relative with psychosis.",
    ),
    condition("eligibility.acute_mania", STOP, MANIA, _OF.ACUTE_MANIA, "Acute mania or a mixed state."),
    rule(
        "eligibility.bipolar_disorder",
        REVIEW,
        BIPOLAR,
        "Bipolar disorder; not a contraindication.",
        when.either(when.has(_OF.BIPOLAR_DISORDER), when.equals("diagnosis", Diagnosis.BIPOLAR.value)),
        fixed=CONDITION,
    ),
    rule(
        "eligibility.mdq_positive",
        REVIEW,
        BIPOLAR,
        "MDQ positive; not a contraindication.",
        when.equals("mdq_positive", True),
        fixed=LEVEL,
    ),
    rule(
        "eligibility.cssrs_high",
        STOP,
        SUICIDE,
        "High suicide risk.",
        when.equals("cssrs", RiskLevel.HIGH.value),
        fixed=LEVEL,
    ),
    rule(
        "eligibility.cssrs_moderate",
        REVIEW,
        SUICIDE,
        "Moderate suicide risk.",
        when.equals("cssrs", RiskLevel.MODERATE.value),
        fixed=LEVEL,
    ),
)

_DAST10_STOP, _DAST10_REVIEW = (f"eligibility.substance_use.dast10_{weight}_from" for weight in ("stop", "review"))
_REMISSION = "eligibility.substance_use.remission_months_least"
_IN_REMISSION = when.has(_OF.SUBSTANCE_USE_DISORDER, Status.CONTROLLED)

SUBSTANCE_RULES: Final = (
    status(
        "eligibility.uncontrolled_substance_use_disorder",
        STOP,
        SUBSTANCE_STOP,
        _OF.SUBSTANCE_USE_DISORDER,
        Status.UNCONTROLLED,
        "Uncontrolled substance use disorder.",
    ),
    rule(
        "eligibility.dast10_stop",
        STOP,
        SUBSTANCE_STOP,
        "The DAST-10 total is {value} or more.",
        when.within("dast10", _DAST10_STOP),
        setting=_DAST10_STOP,
    ),
    rule(
        "eligibility.dast10_review",
        REVIEW,
        SUBSTANCE_REVIEW,
        "The DAST-10 total is {value} or more.",
        when.within("dast10", _DAST10_REVIEW, _DAST10_STOP),
        setting=_DAST10_REVIEW,
    ),
    rule(
        "eligibility.audit_c_positive",
        REVIEW,
        SUBSTANCE_REVIEW,
        "The AUDIT-C is positive.",
        when.equals("audit_c_positive", True),
        fixed=LEVEL,
    ),
    rule(
        "eligibility.remission_recent",
        REVIEW,
        SUBSTANCE_REVIEW,
        "In remission of a substance use disorder for less than {value} months.",
        when.both(_IN_REMISSION, when.under("remission_months", _REMISSION)),
        setting=_REMISSION,
    ),
    rule(
        "eligibility.remission_unknown",
        REVIEW,
        SUBSTANCE_REVIEW,
        "In remission of a substance use disorder; it is not known for how long.",
        when.both(_IN_REMISSION, when.not_known("remission_months")),
        fixed=ANSWER,
    ),
    condition("eligibility.ketamine_use_disorder", STOP, KETAMINE, _OF.KETAMINE_USE_DISORDER, "Ketamine use disorder."),
    condition(
        "eligibility.non_medical_ketamine_use",
        REVIEW,
        KETAMINE,
        _OF.NON_MEDICAL_KETAMINE_USE,
        "Non-medical use of ketamine.",
    ),
)

ORGAN_RULES: Final = (
    condition("eligibility.pregnancy", STOP, PREGNANCY, _OF.PREGNANCY, "Pregnant."),
    rule(
        "eligibility.breast_feeding",
        STOP,
        PREGNANCY,
        "Breast-feeding; the prescriber may lower this to a review with a reason.",
        when.has(_OF.BREAST_FEEDING),
        fixed=CONDITION,
        overridable_by=PRESCRIBER,
    ),
    rule(
        "eligibility.contraception_statement_missing",
        REVIEW,
        PREGNANCY,
        "Could become pregnant; no contraception statement is on record.",
        when.both(when.has(_OF.CHILDBEARING_POTENTIAL), when.not_true("contraception_stated")),
        fixed=ANSWER,
    ),
    status(
        "eligibility.severe_hepatic_impairment",
        STOP,
        LIVER,
        _OF.HEPATIC_IMPAIRMENT,
        Status.SEVERE,
        "Severe hepatic impairment.",
    ),
    status(
        "eligibility.moderate_hepatic_impairment",
        REVIEW,
        LIVER,
        _OF.HEPATIC_IMPAIRMENT,
        Status.MODERATE,
        "Moderate hepatic impairment.",
    ),
    condition("eligibility.abnormal_liver_tests", REVIEW, LIVER, _OF.ABNORMAL_LIVER_TESTS, "Abnormal liver tests."),
    status(
        "eligibility.active_cystitis",
        STOP,
        BLADDER,
        _OF.CYSTITIS,
        Status.PRESENT,
        "Active interstitial or ulcerative cystitis.",
    ),
    status(
        "eligibility.past_cystitis",
        REVIEW,
        BLADDER,
        _OF.CYSTITIS,
        Status.PAST,
        "Interstitial or ulcerative cystitis in the history.",
    ),
    condition("eligibility.urinary_symptoms", REVIEW, BLADDER, _OF.URINARY_SYMPTOMS, "Urinary symptoms."),
    condition("eligibility.seizure_disorder", REVIEW, NEUROLOGY, _OF.SEIZURE_DISORDER, "Seizure disorder."),
    condition("eligibility.dementia", REVIEW, NEUROLOGY, _OF.DEMENTIA, "Dementia."),
    condition("eligibility.delirium", REVIEW, NEUROLOGY, _OF.DELIRIUM, "Delirium."),
    condition(
        "eligibility.severe_personality_disorder",
        REVIEW,
        NEUROLOGY,
        _OF.SEVERE_PERSONALITY_DISORDER,
        "Severe personality disorder.",
    ),
)

# These two inform here; shipping and sessions refuse at their own gates.
CARE_RULES: Final = (
    rule(
        "eligibility.no_therapist_of_record",
        INFORM,
        CARE,
        "No therapist of record: nothing may be shipped until there is one.",
        when.not_true("has_therapist"),
        fixed="there is a therapist of record or there is none",
    ),
    rule(
        "eligibility.no_sober_chaperone",
        INFORM,
        CARE,
        "No sober chaperone is named: no dosing session can start until there is one.",
        when.not_true("has_sober_chaperone"),
        fixed="a chaperone is named or none is",
    ),
)

_REQUIRED: Final = "eligibility.results_required"


def _result(rule_id: str, name: str, title: str) -> Rule:
    return rule(
        rule_id,
        REVIEW,
        RESULT,
        f"There is no {title} result, or it could not be scored.",
        when.result_missing(name),
        setting=_REQUIRED,
        source="DOMAIN 2.1",
    )


def _not_asked(rule_id: str, name: str, title: str) -> Rule:
    """What no programme has to ask, because its texts may not ship, is not passed over in silence either."""
    return rule(
        rule_id,
        INFORM,
        NOT_ASKED,
        f"No {title} was answered, and this programme does not ask for one: the history alone was judged.",
        when.result_not_asked(name),
        setting=_REQUIRED,
        source="DOMAIN 2.1, DOMAIN 3.1",
    )


NOT_KNOWN_RULES: Final = (
    *(
        rule(
            f"eligibility.{each.value}_unanswered",
            REVIEW,
            UNANSWERED,
            f"Not answered: “{asked.text}”",
            when.unanswered(each),
            fixed=ANSWER,
        )
        for each, asked in load_questions().items()
    ),
    _result("eligibility.phq9_missing", "phq9", "PHQ-9"),
    _result("eligibility.gad7_missing", "gad7", "GAD-7"),
    _result("eligibility.cssrs_missing", "cssrs", "C-SSRS"),
    _result("eligibility.dast10_missing", "dast10", "DAST-10"),
    _result("eligibility.audit_c_positive_missing", "audit_c_positive", "AUDIT-C"),
    _result("eligibility.mdq_positive_missing", "mdq_positive", "MDQ"),
    _not_asked("eligibility.dast10_not_asked", "dast10", "DAST-10"),
    _not_asked("eligibility.audit_c_positive_not_asked", "audit_c_positive", "AUDIT-C"),
    _not_asked("eligibility.mdq_positive_not_asked", "mdq_positive", "MDQ"),
)
