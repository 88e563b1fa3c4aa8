"""One row of the eligibility tables as a rule: declared like every rule, with the predicate that lets it speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.core import rules
from services.core.actors import Role
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.eligibility import predicates as when
from services.eligibility.facts import Condition, Facts, Status
from services.eligibility.predicates import Predicate

STOP, REVIEW, INFORM = Severity.STOP, Severity.REVIEW, Severity.INFORM

# Why a rule reads no setting.
CONDITION: Final = "a condition, there or not"
STATUS: Final = "one of the statuses of a condition"
ANSWER: Final = "an answer, given or not"
LEVEL: Final = "a level that the instrument's authors set"
CLASS: Final = "a medicine of the class is taken, or none is"

Says = Callable[[Programme], Mapping[str, str]]

PRESCRIBER: Final = frozenset({Role.PRESCRIBER})


@dataclass(frozen=True, slots=True)
class Rule:
    """A declared rule and when it speaks. ``row`` is the row of the table in its source that it implements.

    ``overridable_by`` names the roles that may lower a stop to a review, with a written reason; ``says`` gives words of
    the sentence that depend on the programme.
    """

    declared: rules.Rule
    row: str
    predicate: Predicate
    overridable_by: frozenset[Role] = frozenset()
    says: Says | None = None

    @property
    def id(self) -> str:
        """The rule's id."""
        return self.declared.id

    @property
    def severity(self) -> Severity:
        """How much weight its finding has."""
        return self.declared.severity

    def judge(self, facts: Facts, programme: Programme) -> Finding | None:
        """The rule's finding on these facts, None when it has nothing to say."""
        inputs = self.predicate(facts, programme)
        if inputs is None:
            return None
        return self.declared.finding(programme, says=None if self.says is None else self.says(programme), **inputs)


def rule(
    rule_id: str,
    severity: Severity,
    row: str,
    sentence: str,
    predicate: Predicate,
    *,
    setting: str | None = None,
    fixed: str | None = None,
    source: str = "DOMAIN 3.1",
    overridable_by: frozenset[Role] = frozenset(),
    says: Says | None = None,
) -> Rule:
    """Declare a rule of a row. Raises ``InvalidConfiguration`` as ``declare`` does."""
    declared = rules.declare(rule_id, severity, source, sentence, setting=setting, fixed=fixed)
    return Rule(declared, row, predicate, overridable_by, says)


def condition(rule_id: str, severity: Severity, row: str, asked: Condition, sentence: str) -> Rule:
    """The rule for a condition that is either there or not."""
    return rule(rule_id, severity, row, sentence, when.has(asked), fixed=CONDITION)


def status(rule_id: str, severity: Severity, row: str, asked: Condition, wanted: Status, sentence: str) -> Rule:
    """The rule for one status of a condition that has several."""
    return rule(rule_id, severity, row, sentence, when.has(asked, wanted), fixed=STATUS)
