"""Whether the treatment helps (DOMAIN 2.1): less than 25 % improvement after 3 sessions, and still so later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.outcomes.change_rules import improvement_percent

SOURCE = "DOMAIN 2.1"

NOT_RESPONDING = declare(
    "outcomes.not_responding",
    Severity.REVIEW,
    SOURCE,
    "Less than {value} % improvement after {number} sessions: the prescriber looks at the treatment.",
    setting="outcomes.response.improvement_percent",
)
DECISION_NEEDED = declare(
    "outcomes.response_decision_needed",
    Severity.STOP,
    SOURCE,
    "Still less than {outcomes.response.improvement_percent} % improvement after {number} sessions (decided on from "
    "{value}): go on with a reason, choose another course, or discontinue.",
    setting="outcomes.response.decide_from_sessions",
)


@dataclass(frozen=True, slots=True, repr=False)
class Scores:
    """A baseline and what became of it, two totals. Clinical data: ``repr`` shows nothing.

    ``positive``: the baseline was high enough to improve. ``sessions``: dosing sessions held before ``current``.
    """

    baseline: int
    current: int
    positive: bool
    sessions: int

    @property
    def percent(self) -> float:
        """The improvement in percent of the baseline."""
        return improvement_percent(self.baseline, self.current)


@dataclass(frozen=True, slots=True, repr=False)
class ResponseFacts:
    """What is judged: ``scores`` by instrument, of those with a baseline; ``judged_by`` is that of the diagnosis.

    ``decided_after`` is how many sessions had been held when a prescriber last decided; None when nobody did.
    """

    scores: Mapping[str, Scores]
    judged_by: str
    decided_after: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """What the scores say: ``helps`` is None when they do not tell. ``finding`` is what the prescriber must hear."""

    helps: bool | None
    finding: Finding | None = None


def judge_response(facts: ResponseFacts, programme: Programme) -> Response:
    """Whether the treatment helps, and what is asked of the prescriber if it does not.

    The instrument of the diagnosis decides where it had something to improve; else the one that improved most.
    """
    judged = _judged(facts)
    if judged is None:
        return Response(None)
    name, scores = judged
    if scores.percent >= programme.number("outcomes.response.improvement_percent"):
        return Response(True)
    if scores.sessions < programme.whole("outcomes.response.review_after_sessions"):
        return Response(None)
    if facts.decided_after is not None:
        wait = programme.whole("outcomes.response.decide_again_after_sessions")
        if scores.sessions < facts.decided_after + wait:
            return Response(False)
    is_late = scores.sessions >= programme.whole(str(DECISION_NEEDED.setting))
    rule = DECISION_NEEDED if is_late else NOT_RESPONDING
    finding = rule.finding(
        programme,
        says={"number": scores.sessions},
        instrument=name,
        baseline=scores.baseline,
        current=scores.current,
        sessions=scores.sessions,
    )
    return Response(False, finding)


def is_helping(facts: ResponseFacts, programme: Programme) -> bool | None:
    """Whether the treatment helped, for counting; None without a score, or before the session that tells it."""
    judged = _judged(facts)
    if judged is None or judged[1].sessions < programme.whole("outcomes.response.review_after_sessions"):
        return None
    return judged[1].percent >= programme.number("outcomes.response.improvement_percent")


def _judged(facts: ResponseFacts) -> tuple[str, Scores] | None:
    counting = {name: scores for name, scores in facts.scores.items() if scores.positive}
    if facts.judged_by in counting:
        return facts.judged_by, counting[facts.judged_by]
    return max(counting.items(), key=lambda each: each[1].percent, default=None)
