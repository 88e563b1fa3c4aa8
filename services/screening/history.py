"""The medical history as a form: conditions, the status each can have, and what the patient is asked.

The rules over it are in ``services/eligibility/rules.py`` (DOMAIN 3.1); the form stands here because screening asks it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core.errors import InvalidConfiguration, InvalidInput

DEFAULT_FILE = Path(__file__).parent / "history.toml"


class Condition(StrEnum):
    """Every condition the history asks for, in the order of DOMAIN 3.1."""

    KETAMINE_ALLERGY = "ketamine_allergy"
    ANEURYSMAL_VASCULAR_DISEASE = "aneurysmal_vascular_disease"
    ARTERIOVENOUS_MALFORMATION = "arteriovenous_malformation"
    INTRACEREBRAL_HAEMORRHAGE = "intracerebral_haemorrhage"
    STROKE = "stroke"
    HYPERTHYROIDISM = "hyperthyroidism"
    UNSTABLE_ANGINA = "unstable_angina"
    RECENT_MYOCARDIAL_INFARCTION = "recent_myocardial_infarction"
    DECOMPENSATED_HEART_FAILURE = "decompensated_heart_failure"
    SEVERE_ARRHYTHMIA = "severe_arrhythmia"
    STABLE_CARDIAC_DISEASE = "stable_cardiac_disease"
    PULMONARY_HYPERTENSION = "pulmonary_hypertension"
    RAISED_INTRACRANIAL_PRESSURE = "raised_intracranial_pressure"
    INTRACRANIAL_MASS = "intracranial_mass"
    RECENT_HEAD_INJURY = "recent_head_injury"
    GLAUCOMA = "glaucoma"
    SEVERE_BREATHING_PROBLEM = "severe_breathing_problem"
    SLEEP_APNOEA = "sleep_apnoea"
    PRIMARY_PSYCHOTIC_DISORDER = "primary_psychotic_disorder"
    PSYCHOSIS_IN_FIRST_DEGREE_RELATIVE = "psychosis_in_first_degree_relative"
    ACUTE_MANIA = "acute_mania"
    BIPOLAR_DISORDER = "bipolar_disorder"
    SUBSTANCE_USE_DISORDER = "substance_use_disorder"
    KETAMINE_USE_DISORDER = "ketamine_use_disorder"
    NON_MEDICAL_KETAMINE_USE = "non_medical_ketamine_use"
    PREGNANCY = "pregnancy"
    BREAST_FEEDING = "breast_feeding"
    CHILDBEARING_POTENTIAL = "childbearing_potential"
    HEPATIC_IMPAIRMENT = "hepatic_impairment"
    ABNORMAL_LIVER_TESTS = "abnormal_liver_tests"
    CYSTITIS = "cystitis"
    URINARY_SYMPTOMS = "urinary_symptoms"
    SEIZURE_DISORDER = "seizure_disorder"
    DEMENTIA = "dementia"
    DELIRIUM = "delirium"
    SEVERE_PERSONALITY_DISORDER = "severe_personality_disorder"


class Status(StrEnum):
    """How a condition stands. Each condition allows only some of these; ``unknown`` counts as not answered."""

    ABSENT = "absent"
    PRESENT = "present"
    PAST = "past"
    CONTROLLED = "controlled"
    UNCONTROLLED = "uncontrolled"
    MODERATE = "moderate"
    SEVERE = "severe"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """What the patient is asked about a condition, and the wording of each allowed status in the order to show."""

    condition: Condition
    text: str
    answers: Mapping[Status, str]


_YES_NO = {"absent": "No", "present": "Yes"}
_UNKNOWN = {Status.UNKNOWN: "I don't know"}


@lru_cache(maxsize=8)
def load_questions(path: Path = DEFAULT_FILE) -> Mapping[Condition, Question]:
    """All questions of a file in the order of the form, read once per process.

    Raises ``InvalidConfiguration`` naming the file, the condition and what is wrong; every condition must be asked.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration(f"The history file {path.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"The history file {path.name} is not valid TOML: {error}") from error
    for name in [*tables, *Condition]:
        if name not in list(Condition):
            raise InvalidConfiguration(f"{path.name}: '{name}' is not a known condition.")
        if name not in tables:
            raise InvalidConfiguration(f"{path.name}: the condition '{name}' has no question.")
    return {Condition(name): _question(Condition(name), table, path.name) for name, table in tables.items()}


def _question(condition: Condition, table: Any, file: str) -> Question:
    if not isinstance(table, dict) or not set(table) <= {"question", "answers"}:
        raise InvalidConfiguration(f"{file}: '{condition}' may hold only 'question' and 'answers'.")
    text, answers = table.get("question"), table.get("answers", _YES_NO)
    if not isinstance(text, str) or not text:
        raise InvalidConfiguration(f"{file}: '{condition}' needs a 'question'.")
    if not isinstance(answers, dict) or not all(isinstance(label, str) for label in answers.values()):
        raise InvalidConfiguration(f"{file}: the 'answers' of '{condition}' must be texts.")
    unfit = [status for status in answers if status not in list(Status) or status == Status.UNKNOWN]
    if unfit or Status.ABSENT not in answers:
        raise InvalidConfiguration(
            f"{file}: the 'answers' of '{condition}' must name 'absent' and others of {', '.join(Status)}, "
            "without 'unknown', which is always there."
        )
    return Question(condition, text, {Status(status): label for status, label in answers.items()} | _UNKNOWN)


def read_history(answers: Mapping[str, str]) -> dict[Condition, Status]:
    """Condition names and status names as they come from a form, checked; unanswered conditions stay out.

    Raises ``InvalidInput`` with ``field`` = ``history.<condition>`` for a status that the condition cannot have, and
    ``history`` for an unknown condition, whose name is not repeated because it could hold anything.
    """
    history: dict[Condition, Status] = {}
    for name, status in answers.items():
        if name not in list(Condition):
            raise InvalidInput("The history holds a condition that is not asked for.", field="history")
        allowed = load_questions()[Condition(name)].answers
        if status not in list(allowed):
            raise InvalidInput(f"The answer must be one of {', '.join(allowed)}.", field=f"history.{name}")
        history[Condition(name)] = Status(status)
    return history
