"""A duty is not ticked off: its task ends with the record that it asks for."""

from __future__ import annotations

import pytest

from services.core.vocabulary import TaskKind
from services.messaging.states import TaskStep
from services.messaging.task_rules import RECORDS, ending_findings


@pytest.mark.parametrize("step", [TaskStep.COMPLETE, TaskStep.REJECT])
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (TaskKind.NOTIFY_DEA, "dea-notice"),
        (TaskKind.FILE_FORM_106, "form-106"),
        (TaskKind.REVIEW_DIVERSION, "resolved the diversion review"),
    ],
)
def test_a_duty_ends_with_its_record_alone(kind: TaskKind, names: str, step: TaskStep) -> None:
    (finding,) = ending_findings(kind, step)
    assert (finding.rule, finding.severity) == ("messaging.task_ends_with_its_record", "stop")
    assert names in finding.sentence
    assert finding.inputs == {"kind": kind.value}


@pytest.mark.parametrize("step", [TaskStep.ACCEPT, TaskStep.START, TaskStep.FORWARD, TaskStep.CANCEL])
def test_a_duty_is_taken_up_handed_on_and_falls_away(step: TaskStep) -> None:
    assert [ending_findings(kind, step) for kind in RECORDS] == [[], [], []]


def test_other_tasks_are_ended_by_hand() -> None:
    assert {kind for kind in TaskKind if ending_findings(kind, TaskStep.COMPLETE)} == set(RECORDS)
