"""The eligibility rules (DOMAIN 3, 3.1 and 3.2): facts and programme in, findings out.

``RULES`` is the whole table. A rule stops, asks for review or informs; it never decides. A fact that a rule needs and
nobody gave is a finding of its own that asks for review, never a silent pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.core.actors import Role
from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.eligibility import predicates as when
from services.eligibility.facts import Condition, Diagnosis, Facts, RiskLevel, Status
from services.eligibility.medicines import UNLISTED, load_medicines
from services.eligibility.predicates import Predicate
from services.screening.history import load_questions

STOP, REVIEW, INFORM = Severity.STOP, Severity.REVIEW, Severity.INFORM

_WEIGHT: Mapping[Severity, int] = {severity: weight for weight, severity in enumerate(Severity)}
_PLACE = re.compile(r"\{(?:value|([a-z0-9_]+(?:\.[a-z0-9_]+)+))\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``row`` is the row of the table in ``source`` that it implements.

    In the sentence ``{value}`` stands for what the programme says for ``setting``, ``{a.b}`` for its setting ``a.b``.
    ``overridable_by`` names the roles that may lower a stop to a review, with a written reason.
    """

    id: str
    severity: Severity
    source: str
    row: str
    sentence: str
    predicate: Predicate
    setting: str | None = None
    overridable_by: frozenset[Role] = frozenset()

    def judge(self, facts: Facts, programme: Programme) -> Finding | None:
        """The rule's finding on these facts, None when it has nothing to say."""
        inputs = self.predicate(facts, programme)
        if inputs is None:
            return None
        value = None if self.setting is None else programme.value(self.setting)
        sentence = _PLACE.sub(lambda place: str(programme.value(place[1]) if place[1] else value), self.sentence)
        return Finding(self.id, self.severity, self.source, sentence, self.setting, value, dict(inputs))


def evaluate(facts: Facts, programme: Programme) -> list[Finding]:
    """What all rules say about a case: stops first, then reviews, then information, each in the order of the table."""
    judged = (rule.judge(facts, programme) for rule in RULES)
    return sorted((finding for finding in judged if finding is not None), key=lambda each: _WEIGHT[each.severity])


def may_override(rule_id: str, role: Role = Role.PRESCRIBER) -> bool:
    """Whether somebody in that role may lower this rule's stop to a review; a review is decided, not overridden.

    Raises ``InvalidInput`` for an unknown rule.
    """
    rule = _by_id().get(rule_id)
    if rule is None:
        raise InvalidInput("There is no eligibility rule of that id.", field="rule")
    return role in rule.overridable_by


@lru_cache(maxsize=1)
def rule_set_version() -> str:
    """Names the rules by the content of their files; a decision stores it beside the programme's version."""
    here = Path(__file__).parent
    content = b"".join(
        (here / name).read_bytes() for name in ("rules.py", "predicates.py", "facts.py", "medicines.toml")
    )
    return f"eligibility-{hashlib.sha256(content).hexdigest()[:12]}"


@lru_cache(maxsize=1)
def _by_id() -> Mapping[str, Rule]:
    return {rule.id: rule for rule in RULES}


def _rule(
    name: str, severity: Severity, row: str, sentence: str, predicate: Predicate, setting: str | None = None
) -> Rule:
    may = frozenset({Role.PRESCRIBER}) if name in _PRESCRIBER_MAY_OVERRIDE else frozenset[Role]()
    return Rule(
        f"eligibility.{name}", severity, _SOURCES.get(row, "DOMAIN 3.1"), row, sentence, predicate, setting, may
    )


def _is(severity: Severity, row: str, *conditions: tuple[Condition, str]) -> tuple[Rule, ...]:
    """One rule for each condition that is either there or not, named like the condition."""
    return tuple(_rule(each.value, severity, row, sentence, when.has(each)) for each, sentence in conditions)


def _status(name: str, severity: Severity, row: str, condition: Condition, status: Status, sentence: str) -> Rule:
    """The rule for one status of a condition that has several."""
    return _rule(name, severity, row, sentence, when.has(condition, status))


# The rows of the tables, worded as there; a stop and a review of one row share it.
AGE = "18 or older"
STATE = "lives in a state the medical team operates in"
THERAPIST = "has or will have a therapist"
DIAGNOSIS = "an eligible diagnosis"
PRESSURE_STOP = "BP mean of two latest ≥ 160 or ≥ 100 (uncontrolled hypertension)"
PRESSURE_REVIEW = "BP ≥ 140 or ≥ 90"
VESSELS = "aneurysmal vascular disease, arteriovenous malformation, intracerebral haemorrhage"
STROKE_THYROID = "stroke history; thyrotoxicosis; controlled hyperthyroidism"
HEART_STOP = "unstable angina, recent myocardial infarction, decompensated heart failure, severe arrhythmia"
HEART_REVIEW = "stable cardiac disease, pulmonary hypertension"
HEAD = "raised intracranial pressure, intracranial mass, recent head injury"
BREATHING = "severe breathing problem; untreated sleep apnoea"
BIPOLAR = "bipolar disorder or MDQ positive"
SUICIDE = "C-SSRS high; moderate"
SUBSTANCE_STOP = "uncontrolled substance use disorder, DAST-10 ≥ 6"
SUBSTANCE_REVIEW = "DAST-10 3–5, AUDIT-C positive, in remission < 12 months"
KETAMINE = "ketamine use disorder; past non-medical ketamine use"
PREGNANCY = "pregnant; breast-feeding; childbearing potential: contraception statement"
LIVER = "severe hepatic impairment; moderate, or abnormal liver tests"
BLADDER = "active interstitial or ulcerative cystitis; history or urinary symptoms"
NEUROLOGY = "seizure disorder, dementia or delirium, severe personality disorder"
CARE = "no therapist of record: no shipment; no sober chaperone: no session"
UNANSWERED = "a condition that is not answered"
RESULT = "a required result"
UNLISTED_MEDICINE = "an unlisted drug is REV, never silently passed"

_SOURCES: Mapping[str, str] = {
    **dict.fromkeys((AGE, STATE, THERAPIST, DIAGNOSIS), "DOMAIN 3"),
    **dict.fromkeys((UNLISTED_MEDICINE, *(each.row for each in load_medicines())), "DOMAIN 3.2"),
    RESULT: "DOMAIN 2.1",
}
_PRESCRIBER_MAY_OVERRIDE = frozenset({"breast_feeding"})

_INCLUSION = (
    _rule("age_unknown", REVIEW, AGE, "The birth date is not known.", when.not_known("birth_date")),
    _rule("state_not_served", STOP, STATE, "The medical team does not operate in that state.", when.state_not_served),
    _rule("state_unknown", REVIEW, STATE, "The state of residence is not known.", when.not_known("state")),
    _rule(
        "no_therapist_expected",
        STOP,
        THERAPIST,
        "There is no therapist and none is expected.",
        when.both(when.equals("has_therapist", False), when.equals("will_have_therapist", False)),
    ),
    _rule(
        "therapist_unknown",
        REVIEW,
        THERAPIST,
        "It is not known whether there is or will be a therapist.",
        when.therapist_not_known,
    ),
    _rule(
        "diagnosis_not_treated",
        STOP,
        DIAGNOSIS,
        "The diagnosis is none of those that this programme treats.",
        when.diagnosis_not_treated,
        "eligibility.diagnoses",
    ),
    _rule("diagnosis_unknown", REVIEW, DIAGNOSIS, "The diagnosis is not known.", when.not_known("diagnosis")),
)


def _pressure_rules(name: str) -> tuple[Rule, Rule]:
    stop_from, review_from = (f"eligibility.blood_pressure.{name}_{weight}_from" for weight in ("stop", "review"))
    reading = when.mean_pressure(name)
    stopped = when.within(f"{name}_mean", stop_from, read=reading)
    reviewed = when.within(f"{name}_mean", review_from, stop_from, read=reading)
    said = f"the mean {name} pressure is {{value}} mmHg or more."
    return (
        _rule(f"{name}_pressure_stop", STOP, PRESSURE_STOP, f"Uncontrolled hypertension: {said}", stopped, stop_from),
        _rule(f"{name}_pressure_review", REVIEW, PRESSURE_REVIEW, f"Raised: {said}", reviewed, review_from),
    )


_NUMBERS = (
    _rule(
        "age_under_minimum",
        STOP,
        "age < 18",
        "The patient is younger than {value}.",
        when.under("age", "eligibility.age_minimum"),
        "eligibility.age_minimum",
    ),
    _rule(
        "age_from_review",
        REVIEW,
        "age ≥ 65",
        "The patient is {value} or older.",
        when.within("age", "eligibility.age_review_from"),
        "eligibility.age_review_from",
    ),
    *_pressure_rules("systolic"),
    *_pressure_rules("diastolic"),
    _rule(
        "pressure_readings_missing",
        REVIEW,
        PRESSURE_STOP,
        "Fewer than {value} blood-pressure readings are at hand.",
        when.too_few_readings,
        "eligibility.blood_pressure.readings_averaged",
    ),
)

_BODY = (
    *_is(STOP, "ketamine allergy", (Condition.KETAMINE_ALLERGY, "Allergy to ketamine.")),
    *_is(
        STOP,
        VESSELS,
        (Condition.ANEURYSMAL_VASCULAR_DISEASE, "Aneurysmal vascular disease."),
        (Condition.ARTERIOVENOUS_MALFORMATION, "Arteriovenous malformation."),
        (Condition.INTRACEREBRAL_HAEMORRHAGE, "Intracerebral haemorrhage in the history."),
    ),
    *_is(STOP, STROKE_THYROID, (Condition.STROKE, "Stroke in the history.")),
    _status("thyrotoxicosis", STOP, STROKE_THYROID, Condition.HYPERTHYROIDISM, Status.UNCONTROLLED, "Thyrotoxicosis."),
    _status(
        "controlled_hyperthyroidism",
        REVIEW,
        STROKE_THYROID,
        Condition.HYPERTHYROIDISM,
        Status.CONTROLLED,
        "Controlled hyperthyroidism.",
    ),
    *_is(
        STOP,
        HEART_STOP,
        (Condition.UNSTABLE_ANGINA, "Unstable angina."),
        (Condition.RECENT_MYOCARDIAL_INFARCTION, "Recent myocardial infarction."),
        (Condition.DECOMPENSATED_HEART_FAILURE, "Decompensated heart failure."),
        (Condition.SEVERE_ARRHYTHMIA, "Severe arrhythmia."),
    ),
    *_is(
        REVIEW,
        HEART_REVIEW,
        (Condition.STABLE_CARDIAC_DISEASE, "Stable cardiac disease."),
        (Condition.PULMONARY_HYPERTENSION, "Pulmonary hypertension."),
    ),
    *_is(
        STOP,
        HEAD,
        (Condition.RAISED_INTRACRANIAL_PRESSURE, "Raised intracranial pressure."),
        (Condition.INTRACRANIAL_MASS, "Intracranial mass."),
        (Condition.RECENT_HEAD_INJURY, "Recent head injury."),
    ),
    _status(
        "uncontrolled_glaucoma",
        STOP,
        "uncontrolled glaucoma",
        Condition.GLAUCOMA,
        Status.UNCONTROLLED,
        "Uncontrolled glaucoma.",
    ),
    *_is(STOP, BREATHING, (Condition.SEVERE_BREATHING_PROBLEM, "Severe breathing problem.")),
    _status(
        "untreated_sleep_apnoea",
        REVIEW,
        BREATHING,
        Condition.SLEEP_APNOEA,
        Status.UNCONTROLLED,
        "Untreated sleep apnoea.",
    ),
)

_MIND = (
    *_is(
        STOP,
        "primary psychotic disorder, ever",
        (Condition.PRIMARY_PSYCHOTIC_DISORDER, "A primary psychotic disorder, now or ever."),
    ),
    *_is(
        REVIEW,
        "first-degree relative with psychosis",
        (Condition.PSYCHOSIS_IN_FIRST_DEGREE_RELATIVE, "A first-degree relative with psychosis."),
    ),
    *_is(STOP, "acute mania or mixed state", (Condition.ACUTE_MANIA, "Acute mania or a mixed state.")),
    _rule(
        "bipolar_disorder",
        REVIEW,
        BIPOLAR,
        "Bipolar disorder; not a contraindication.",
        when.either(when.has(Condition.BIPOLAR_DISORDER), when.equals("diagnosis", Diagnosis.BIPOLAR.value)),
    ),
    _rule("mdq_positive", REVIEW, BIPOLAR, "MDQ positive; not a contraindication.", when.equals("mdq_positive", True)),
    _rule("cssrs_high", STOP, SUICIDE, "High suicide risk.", when.equals("cssrs", RiskLevel.HIGH.value)),
    _rule("cssrs_moderate", REVIEW, SUICIDE, "Moderate suicide risk.", when.equals("cssrs", RiskLevel.MODERATE.value)),
)

_DAST10_STOP, _DAST10_REVIEW = (f"eligibility.substance_use.dast10_{weight}_from" for weight in ("stop", "review"))
_REMISSION = "eligibility.substance_use.remission_months_least"
_IN_REMISSION = when.has(Condition.SUBSTANCE_USE_DISORDER, Status.CONTROLLED)

_SUBSTANCES = (
    _status(
        "uncontrolled_substance_use_disorder",
        STOP,
        SUBSTANCE_STOP,
        Condition.SUBSTANCE_USE_DISORDER,
        Status.UNCONTROLLED,
        "Uncontrolled substance use disorder.",
    ),
    _rule(
        "dast10_stop",
        STOP,
        SUBSTANCE_STOP,
        "The DAST-10 total is {value} or more.",
        when.within("dast10", _DAST10_STOP),
        _DAST10_STOP,
    ),
    _rule(
        "dast10_review",
        REVIEW,
        SUBSTANCE_REVIEW,
        "The DAST-10 total is {value} or more.",
        when.within("dast10", _DAST10_REVIEW, _DAST10_STOP),
        _DAST10_REVIEW,
    ),
    _rule(
        "audit_c_positive", REVIEW, SUBSTANCE_REVIEW, "The AUDIT-C is positive.", when.equals("audit_c_positive", True)
    ),
    _rule(
        "remission_recent",
        REVIEW,
        SUBSTANCE_REVIEW,
        "In remission of a substance use disorder for less than {value} months.",
        when.both(_IN_REMISSION, when.under("remission_months", _REMISSION)),
        _REMISSION,
    ),
    _rule(
        "remission_unknown",
        REVIEW,
        SUBSTANCE_REVIEW,
        "In remission of a substance use disorder; it is not known for how long.",
        when.both(_IN_REMISSION, when.not_known("remission_months")),
    ),
    *_is(STOP, KETAMINE, (Condition.KETAMINE_USE_DISORDER, "Ketamine use disorder.")),
    *_is(REVIEW, KETAMINE, (Condition.NON_MEDICAL_KETAMINE_USE, "Non-medical use of ketamine.")),
)

_PREGNANCY_LIVER_BLADDER = (
    *_is(
        STOP,
        PREGNANCY,
        (Condition.PREGNANCY, "Pregnant."),
        (Condition.BREAST_FEEDING, "Breast-feeding; the prescriber may lower this to a review with a reason."),
    ),
    _rule(
        "contraception_statement_missing",
        REVIEW,
        PREGNANCY,
        "Could become pregnant; no contraception statement is on record.",
        when.both(when.has(Condition.CHILDBEARING_POTENTIAL), when.not_true("contraception_stated")),
    ),
    _status(
        "severe_hepatic_impairment",
        STOP,
        LIVER,
        Condition.HEPATIC_IMPAIRMENT,
        Status.SEVERE,
        "Severe hepatic impairment.",
    ),
    _status(
        "moderate_hepatic_impairment",
        REVIEW,
        LIVER,
        Condition.HEPATIC_IMPAIRMENT,
        Status.MODERATE,
        "Moderate hepatic impairment.",
    ),
    *_is(REVIEW, LIVER, (Condition.ABNORMAL_LIVER_TESTS, "Abnormal liver tests.")),
    _status(
        "active_cystitis",
        STOP,
        BLADDER,
        Condition.CYSTITIS,
        Status.PRESENT,
        "Active interstitial or ulcerative cystitis.",
    ),
    _status(
        "past_cystitis",
        REVIEW,
        BLADDER,
        Condition.CYSTITIS,
        Status.PAST,
        "Interstitial or ulcerative cystitis in the history.",
    ),
    *_is(REVIEW, BLADDER, (Condition.URINARY_SYMPTOMS, "Urinary symptoms.")),
    *_is(
        REVIEW,
        NEUROLOGY,
        (Condition.SEIZURE_DISORDER, "Seizure disorder."),
        (Condition.DEMENTIA, "Dementia."),
        (Condition.DELIRIUM, "Delirium."),
        (Condition.SEVERE_PERSONALITY_DISORDER, "Severe personality disorder."),
    ),
)

# These two inform here; shipping and sessions refuse at their own gates.
_CARE = (
    _rule(
        "no_therapist_of_record",
        INFORM,
        CARE,
        "No therapist of record: nothing may be shipped until there is one.",
        when.not_true("has_therapist"),
    ),
    _rule(
        "no_sober_chaperone",
        INFORM,
        CARE,
        "No sober chaperone is named: no dosing session can start until there is one.",
        when.not_true("has_sober_chaperone"),
    ),
)

_NOT_KNOWN = (
    *(
        _rule(f"{each.value}_unanswered", REVIEW, UNANSWERED, f"Not answered: “{asked.text}”", when.unanswered(each))
        for each, asked in load_questions().items()
    ),
    *(
        _rule(
            f"{name}_missing",
            REVIEW,
            RESULT,
            f"There is no {title} result, or it could not be scored.",
            when.result_missing(name),
            "eligibility.results_required",
        )
        for name, title in {
            "phq9": "PHQ-9",
            "gad7": "GAD-7",
            "cssrs": "C-SSRS",
            "dast10": "DAST-10",
            "audit_c_positive": "AUDIT-C",
            "mdq_positive": "MDQ",
        }.items()
    ),
)

_MEDICINES = (
    _rule(
        "medicines_unknown",
        REVIEW,
        UNLISTED_MEDICINE,
        "It is not known which medicines are taken.",
        when.not_known("medicines"),
    ),
    _rule(
        "medicine_unlisted",
        REVIEW,
        UNLISTED_MEDICINE,
        "Takes a medicine that is not in the table of interactions.",
        when.takes(UNLISTED),
    ),
    *(
        _rule(f"medicine_{each.name}", each.severity, each.row, each.sentence, when.takes(each.name), each.setting)
        for each in load_medicines()
    ),
)

RULES: tuple[Rule, ...] = (
    *_INCLUSION,
    *_NUMBERS,
    *_BODY,
    *_MIND,
    *_SUBSTANCES,
    *_PREGNANCY_LIVER_BLADDER,
    *_CARE,
    *_NOT_KNOWN,
    *_MEDICINES,
)
"""Every rule, in the order of the tables. Within one severity findings come in this order."""
