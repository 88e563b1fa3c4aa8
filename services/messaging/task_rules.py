"""Which tasks end only with the record that they ask for: nobody ticks a duty off without it. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.core.findings import Finding, Severity
from services.core.rules import declare
from services.core.vocabulary import TaskKind
from services.messaging.states import TaskStep

ENDS_WITH_ITS_RECORD: Final = declare(
    "messaging.task_ends_with_its_record",
    Severity.STOP,
    "21 CFR 1301.76(b), DOMAIN 5, DOMAIN 8",
    "This task ends by itself once {record}; forward it to a colleague if it is not yours to do.",
    fixed="what has to be on record",
)
# The task kind, and what ends it: the use case and where the API has it.
RECORDS: Final[Mapping[TaskKind, str]] = {
    TaskKind.NOTIFY_DEA: "the notice to DEA is on record with the loss (dea-notice)",
    TaskKind.FILE_FORM_106: "the filing of Form 106 is on record with the loss (form-106)",
    TaskKind.REVIEW_DIVERSION: "a prescriber resolved the diversion review with a reason (diversion-reviews, resolve)",
}
_ENDINGS: Final = frozenset({TaskStep.COMPLETE, TaskStep.REJECT})


def ending_findings(kind: TaskKind, step: TaskStep) -> list[Finding]:
    """Why somebody may not end a task by hand; empty when they may."""
    if step not in _ENDINGS or kind not in RECORDS:
        return []
    return [ENDS_WITH_ITS_RECORD.finding(says={"record": RECORDS[kind]}, kind=kind.value)]
