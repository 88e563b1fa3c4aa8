"""When the result of an instrument is positive, and what a clinician has to know about it (DOMAIN 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, cast

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.screening.definitions import Instrument, Positive
from services.screening.scoring import Score

TOTAL_POSITIVE: Final = declare(
    "screening.total_positive",
    Severity.INFORM,
    "DOMAIN 2.1",
    "{title}: positive, the total is {value} or more.",
    setting="instruments.phq9.positive_from",
)
PTSD_CLUSTERS: Final = declare(
    "screening.ptsd_clusters",
    Severity.INFORM,
    "DOMAIN 2.1",
    "{title}: provisional PTSD, each cluster has as many symptoms as it needs.",
    fixed="how many symptoms each cluster needs is the criterion of the DSM-5",
)
PTSD_TOTAL: Final = declare(
    "screening.ptsd_total",
    Severity.INFORM,
    "DOMAIN 2.1",
    "{title}: provisional PTSD, the total is {value} or more.",
    setting="instruments.pcl5.positive_from",
)
ALCOHOL_POSITIVE: Final = declare(
    "screening.alcohol_positive",
    Severity.INFORM,
    "DOMAIN 2.1",
    "{title}: positive, the total is {value} or more.",
    setting="instruments.audit_c.positive_from_unspecified",
)
ALCOHOL_ONE_QUESTION: Final = declare(
    "screening.alcohol_one_question",
    Severity.REVIEW,
    "DOMAIN 2.1",
    "{title}: all points come from how often the patient drinks; look at how much it is before calling it positive.",
    fixed="that all points come from the first question is the authors' own caution",
)
BIPOLAR_POSITIVE: Final = declare(
    "screening.bipolar_positive",
    Severity.INFORM,
    "DOMAIN 2.1",
    "{title}: positive, {value} or more of the signs, several at the same time, with a moderate or serious problem.",
    setting="instruments.mdq.positive_from",
)
EXPERIENCE_COMPLETE: Final = declare(
    "screening.experience_complete",
    Severity.INFORM,
    "DOMAIN 2.1",
    "{title}: a complete experience, each factor reaches {value} percent.",
    setting="instruments.meq30.complete_from_percent",
)


class Sex(StrEnum):
    """What the cut-off of the AUDIT-C depends on; whoever does not say gets the lower one."""

    MALE = "male"
    FEMALE = "female"
    UNSPECIFIED = "unspecified"


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What a score means. Clinical data: ``repr`` shows nothing.

    ``positive`` is None when the instrument has no such cut-off, or the score gave nothing to judge.
    """

    positive: bool | None
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """The result as plain JSON types, for storing sealed beside the score."""
        return {"positive": self.positive, "findings": [finding.as_dict() for finding in self.findings]}


def read_result(instrument: Instrument, score: Score, programme: Programme, *, sex: Sex = Sex.UNSPECIFIED) -> Result:
    """Whether a score is positive under the programme, and the findings that say why."""
    if instrument.positive is None or score.unscorable_because is not None:
        return Result(None, ())
    # What is scorable and is judged by a total has one.
    match instrument.positive:
        case Positive.CLUSTERS_OR_TOTAL:
            findings = _of_clusters_and_total(instrument, score, programme)
        case Positive.EVERY_GROUP:
            findings = _of_every_group(instrument, score, programme)
        case _:
            findings = _of_total(instrument, score, programme, sex)
    is_positive = any(finding.rule != ALCOHOL_ONE_QUESTION.id for finding in findings)
    return Result(is_positive, tuple(findings))


def _of_total(instrument: Instrument, score: Score, programme: Programme, sex: Sex) -> list[Finding]:
    rule, setting = TOTAL_POSITIVE, f"{instrument.settings}.positive_from"
    if instrument.positive is Positive.TOTAL_BY_SEX:
        people = {Sex.MALE: "men", Sex.FEMALE: "women", Sex.UNSPECIFIED: "unspecified"}
        rule, setting = ALCOHOL_POSITIVE, f"{instrument.settings}.positive_from_{people[sex]}"
    elif instrument.positive is Positive.CONFIRMED_COUNT:
        rule = BIPOLAR_POSITIVE
        if not _is_confirmed(instrument, score.trace["answers"]):
            return []
    total = cast(int, score.total)
    if total < programme.number(setting):
        return []
    says = {"title": instrument.title}
    findings = [rule.finding(programme, setting=setting, says=says, total=total)]
    only = instrument.review_if_all_from
    if only is not None and score.trace["added"][only] == total:
        findings.append(ALCOHOL_ONE_QUESTION.finding(says=says, total=total))
    return findings


def _is_confirmed(instrument: Instrument, answers: Mapping[str, int | bool]) -> bool:
    return all(
        item_id in answers and int(answers[item_id]) >= lowest for item_id, lowest in instrument.confirmed_by.items()
    )


def _of_clusters_and_total(instrument: Instrument, score: Score, programme: Programme) -> list[Finding]:
    setting, says, findings = f"{instrument.settings}.positive_from", {"title": instrument.title}, []
    symptoms = symptoms_of(instrument, score)
    if all(symptoms[group.name] >= group.symptoms_needed for group in instrument.groups):
        findings.append(PTSD_CLUSTERS.finding(says=says, symptoms=symptoms))
    total = cast(int, score.total)
    if total >= programme.whole(setting):
        findings.append(PTSD_TOTAL.finding(programme, setting=setting, says=says, total=total))
    return findings


def symptoms_of(instrument: Instrument, score: Score) -> dict[str, int]:
    """How many items of each group count as a symptom, of a complete score of an instrument with clusters."""
    added: Mapping[str, int] = score.trace["added"]
    least = cast(int, instrument.symptom_from)
    return {group.name: sum(added[item_id] >= least for item_id in group.items) for group in instrument.groups}


def _of_every_group(instrument: Instrument, score: Score, programme: Programme) -> list[Finding]:
    setting = f"{instrument.settings}.complete_from_percent"
    least = programme.number(setting)
    complete = all(
        100 * score.parts[group.name] >= least * instrument.highest_of(group.items) for group in instrument.groups
    )
    if not complete:
        return []
    return [
        EXPERIENCE_COMPLETE.finding(
            programme, setting=setting, says={"title": instrument.title}, parts=dict(score.parts)
        )
    ]
