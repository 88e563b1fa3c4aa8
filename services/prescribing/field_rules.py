"""What a prescription must carry (21 CFR 1306.05): a rule for each field, so that the one that is missing is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.core.findings import Finding, Severity
from services.core.rules import Rule, declare
from services.prescribing.law import REQUIRED_FIELDS_SOURCE

_THE_LAW: Final = "The law names the fields."

REQUIRED_FIELDS: Final[Mapping[str, Rule]] = {
    "issued_on": declare(
        "prescribing.required_issued_on_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the date of issue.",
        fixed=_THE_LAW,
    ),
    "patient_name": declare(
        "prescribing.required_patient_name_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the patient's full name.",
        fixed=_THE_LAW,
    ),
    "patient_address": declare(
        "prescribing.required_patient_address_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the patient's address.",
        fixed=_THE_LAW,
    ),
    "drug": declare(
        "prescribing.required_drug_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the drug.",
        fixed=_THE_LAW,
    ),
    "strength": declare(
        "prescribing.required_strength_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the strength.",
        fixed=_THE_LAW,
    ),
    "form": declare(
        "prescribing.required_form_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the dosage form.",
        fixed=_THE_LAW,
    ),
    "quantity": declare(
        "prescribing.required_quantity_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the quantity.",
        fixed=_THE_LAW,
    ),
    "directions": declare(
        "prescribing.required_directions_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the directions.",
        fixed=_THE_LAW,
    ),
    "refills": declare(
        "prescribing.required_refills_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the number of refills.",
        fixed=_THE_LAW,
    ),
    "practitioner_name": declare(
        "prescribing.required_practitioner_name_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the practitioner's name.",
        fixed=_THE_LAW,
    ),
    "practitioner_address": declare(
        "prescribing.required_practitioner_address_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the practitioner's address.",
        fixed=_THE_LAW,
    ),
    "dea_number": declare(
        "prescribing.required_dea_number_missing",
        Severity.STOP,
        REQUIRED_FIELDS_SOURCE,
        "The prescription does not carry the practitioner's DEA number.",
        fixed=_THE_LAW,
    ),
}
"""Each field by name, with the rule that speaks when it is missing."""

SIGNING_DISPLAY: Final = (*(name for name in REQUIRED_FIELDS if name != "patient_address"), "route")
"""What the practitioner must see beside ``law.SIGNING_STATEMENT`` before signing; the route, for its doses differ."""


def required_field_findings(fields: Mapping[str, Any]) -> list[Finding]:
    """One stop for each of ``REQUIRED_FIELDS`` that is absent, ``None`` or blank. Zero is a value."""
    return [
        rule.finding(missing=name)
        for name, rule in REQUIRED_FIELDS.items()
        if fields.get(name) is None or not str(fields[name]).strip()
    ]
