"""The eligibility rules (DOMAIN 3, 3.1 and 3.2): facts and programme in, findings out.

``RULES`` is the whole table. A rule stops, asks for review or informs; it never decides. A fact that a rule needs and
nobody gave is a finding of its own that asks for review, never a silent pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final

from services.core.actors import Role
from services.core.errors import InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.eligibility import predicates as when
from services.eligibility.condition_rules import (
    BODY_RULES,
    CARE_RULES,
    MIND_RULES,
    NOT_KNOWN_RULES,
    ORGAN_RULES,
    SUBSTANCE_RULES,
)
from services.eligibility.facts import Facts
from services.eligibility.medicine_rules import MEDICINE_RULES
from services.eligibility.rows import ANSWER, REVIEW, STOP, Rule, rule

_WEIGHT: Final[Mapping[Severity, int]] = {severity: weight for weight, severity in enumerate(Severity)}
_CONTENT: Final = (
    *("*rules.py", "rows.py", "predicates.py", "facts.py"),
    *("medicine_names.py", "medicines.py", "medicines.toml"),
)


def evaluate(facts: Facts, programme: Programme) -> list[Finding]:
    """What all rules say about a case: stops first, then reviews, then information, each in the order of the table."""
    judged = (each.judge(facts, programme) for each in RULES)
    return sorted((finding for finding in judged if finding is not None), key=lambda each: _WEIGHT[each.severity])


def medicine_findings(medicines: tuple[str, ...] | None, programme: Programme) -> list[Finding]:
    """What the table of interactions says about some medicines alone, for a list that changes between decisions."""
    facts = Facts(on=date.min, medicines=medicines)
    judged = (each.judge(facts, programme) for each in MEDICINE_RULES)
    return [finding for finding in judged if finding is not None]


def may_override(rule_id: str, role: Role = Role.PRESCRIBER) -> bool:
    """Whether somebody in that role may lower this rule's stop to a review; a review is decided, not overridden.

    Raises ``InvalidInput`` for an unknown rule.
    """
    found = _by_id().get(rule_id)
    if found is None:
        raise InvalidInput("There is no eligibility rule of that id.", field="rule")
    return role in found.overridable_by


@lru_cache(maxsize=1)
def rule_set_version() -> str:
    """Names the rules by the content of their files; a decision stores it beside the programme's version."""
    content = b"".join(path.read_bytes() for path in rule_files())
    return f"eligibility-{hashlib.sha256(content).hexdigest()[:12]}"


def rule_files() -> list[Path]:
    """The files of this package, code and tables, on which it depends what the rules say."""
    here = Path(__file__).parent
    return [path for pattern in _CONTENT for path in sorted(here.glob(pattern))]


@lru_cache(maxsize=1)
def _by_id() -> Mapping[str, Rule]:
    return {each.id: each for each in RULES}


RISK_OPEN: Final = declare(
    "eligibility.suicide_risk_open",
    STOP,
    "DOMAIN 2.2",
    "A high suicide risk is open; a named prescriber must clear it first.",
    fixed="a flag is open or cleared",
)
REASON_NEEDED: Final = declare(
    "eligibility.reason_needed",
    Severity.STOP,
    "DOMAIN 3.1",
    "A reason is needed.",
    fixed="a text is there or it is not",
)
REASON_WITHOUT_FINDING: Final = declare(
    "eligibility.reason_without_finding",
    Severity.STOP,
    "DOMAIN 3.1",
    "A reason names a finding that does not stand. Read the review again.",
    fixed="a reason answers a finding",
)
"""Not about the facts of a case: asked at the moment of a decision."""

# The rows of the tables, worded as there; a stop and a review of one row share it.
AGE: Final = "18 or older"
STATE: Final = "lives in a state the medical team operates in"
THERAPIST: Final = "has or will have a therapist"
DIAGNOSIS: Final = "an eligible diagnosis"
PRESSURE_STOP: Final = "BP mean of two latest ≥ 160 or ≥ 100 (uncontrolled hypertension)"
PRESSURE_REVIEW: Final = "BP ≥ 140 or ≥ 90"

_INCLUSION = (
    rule(
        "eligibility.age_unknown",
        REVIEW,
        AGE,
        "The birth date is not known.",
        when.not_known("birth_date"),
        fixed=ANSWER,
        source="DOMAIN 3",
    ),
    rule(
        "eligibility.state_not_served",
        STOP,
        STATE,
        "The medical team does not operate in that state under this programme.",
        when.state_not_served,
        setting="eligibility.states",
        source="DOMAIN 3",
    ),
    rule(
        "eligibility.state_unknown",
        REVIEW,
        STATE,
        "The state of residence is not known.",
        when.not_known("state"),
        fixed=ANSWER,
        source="DOMAIN 3",
    ),
    rule(
        "eligibility.no_therapist_expected",
        STOP,
        THERAPIST,
        "There is no therapist and none is expected.",
        when.both(when.equals("has_therapist", False), when.equals("will_have_therapist", False)),
        fixed="there is or will be a therapist, or not",
        source="DOMAIN 3",
    ),
    rule(
        "eligibility.therapist_unknown",
        REVIEW,
        THERAPIST,
        "It is not known whether there is or will be a therapist.",
        when.therapist_not_known,
        fixed=ANSWER,
        source="DOMAIN 3",
    ),
    rule(
        "eligibility.diagnosis_not_treated",
        STOP,
        DIAGNOSIS,
        "The diagnosis is none of those that this programme treats.",
        when.diagnosis_not_treated,
        setting="eligibility.diagnoses",
        source="DOMAIN 3",
    ),
    rule(
        "eligibility.diagnosis_unknown",
        REVIEW,
        DIAGNOSIS,
        "The diagnosis is not known.",
        when.not_known("diagnosis"),
        fixed=ANSWER,
        source="DOMAIN 3",
    ),
)


def _pressure_rules(stop_id: str, review_id: str, name: str) -> tuple[Rule, Rule]:
    stop_from, review_from = (f"eligibility.blood_pressure.{name}_{weight}_from" for weight in ("stop", "review"))
    stopped = when.within(f"{name}_mean", stop_from, read=when.mean_pressure(name))
    raised = when.within(f"{name}_highest", review_from, read=when.highest_pressure(name))
    return (
        rule(
            stop_id,
            STOP,
            PRESSURE_STOP,
            f"Uncontrolled hypertension: the mean {name} pressure is {{value}} mmHg or more.",
            stopped,
            setting=stop_from,
        ),
        rule(
            review_id,
            REVIEW,
            PRESSURE_REVIEW,
            f"Raised: a {name} pressure of the latest readings is {{value}} mmHg or more.",
            when.unless(raised, stopped),
            setting=review_from,
        ),
    )


_NUMBERS = (
    rule(
        "eligibility.age_under_minimum",
        STOP,
        "age < 18",
        "The patient is younger than {value}.",
        when.under("age", "eligibility.age_minimum"),
        setting="eligibility.age_minimum",
    ),
    rule(
        "eligibility.age_from_review",
        REVIEW,
        "age ≥ 65",
        "The patient is {value} or older.",
        when.within("age", "eligibility.age_review_from"),
        setting="eligibility.age_review_from",
    ),
    *_pressure_rules("eligibility.systolic_pressure_stop", "eligibility.systolic_pressure_review", "systolic"),
    *_pressure_rules("eligibility.diastolic_pressure_stop", "eligibility.diastolic_pressure_review", "diastolic"),
    rule(
        "eligibility.pressure_readings_missing",
        REVIEW,
        PRESSURE_STOP,
        "Fewer than {value} blood-pressure readings are at hand.",
        when.too_few_readings,
        setting="eligibility.blood_pressure.readings_averaged",
    ),
)

RULES: Final[tuple[Rule, ...]] = (
    *_INCLUSION,
    *_NUMBERS,
    *BODY_RULES,
    *MIND_RULES,
    *SUBSTANCE_RULES,
    *ORGAN_RULES,
    *CARE_RULES,
    *NOT_KNOWN_RULES,
    *MEDICINE_RULES,
)
"""Every rule, in the order of the tables. Within one severity findings come in this order."""
