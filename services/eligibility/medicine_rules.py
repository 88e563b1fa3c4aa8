"""The rules over the medicines that a patient takes (DOMAIN 3.2), one for each class of ``medicines.toml``."""

from __future__ import annotations

from typing import Final

from services.core.findings import Severity
from services.eligibility import predicates as when
from services.eligibility.medicines import MedicineClass, load_medicines
from services.eligibility.rows import ANSWER, CLASS, Says, rule

SOURCE: Final = "DOMAIN 3.2"
ROW: Final = "an unlisted drug is REV, never silently passed"


def _hold_words(of: MedicineClass) -> Says | None:
    return None if of.setting is None else lambda programme: {"hold": of.hold_words(programme)}


MEDICINE_RULES: Final = (
    rule(
        "eligibility.medicines_unknown",
        Severity.REVIEW,
        ROW,
        "It is not known which medicines are taken.",
        when.not_known("medicines"),
        fixed=ANSWER,
        source=SOURCE,
    ),
    rule(
        "eligibility.medicine_unlisted",
        Severity.REVIEW,
        ROW,
        "Takes a medicine that is not in the table of interactions.",
        when.takes_unlisted,
        fixed="the table of interactions lists a medicine or does not",
        source=SOURCE,
    ),
    rule(
        "eligibility.medicine_unclear",
        Severity.REVIEW,
        ROW,
        "Takes something that may be a misspelt medicine of the table; ask which one is meant.",
        when.takes_unclear,
        setting="eligibility.medicines.one_letter_off_from_letters",
        source=SOURCE,
    ),
    *(
        rule(
            f"eligibility.medicine_{each.name}",
            each.severity,
            each.row,
            each.sentence,
            when.takes(each.name),
            setting=each.setting,
            fixed=CLASS if each.setting is None else None,
            source=SOURCE,
            says=_hold_words(each),
        )
        for each in load_medicines()
    ),
)
