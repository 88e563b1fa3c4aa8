"""When a journal entry may be written (DOMAIN 1). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare

NOT_OFFERED: Final = declare(
    "journals.not_offered",
    Severity.STOP,
    "DOMAIN 1",
    "This programme has no journal.",
    setting="journal.offered",
)
EPISODE_ENDED: Final = declare(
    "journals.episode_ended",
    Severity.STOP,
    "DOMAIN 1",
    "The episode was declined or has ended; what was written stays readable.",
    fixed="nobody looks after what would be written then",
)
PROMPT_UNKNOWN: Final = declare(
    "journals.prompt_unknown",
    Severity.STOP,
    "DOMAIN 1",
    "There are {count} prompts for this occasion.",
    fixed="the prompts themselves are the programme's",
)
TEXT_NEEDED: Final = declare(
    "journals.text_needed",
    Severity.STOP,
    "DOMAIN 1",
    "An entry needs words.",
    fixed="a text is there or it is not",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """An entry about to be written. ``prompt`` counts from 1, None without one; ``prompts`` is how many there are."""

    ended: bool
    prompt: int | None
    prompts: int


def entry_findings(facts: EntryFacts, programme: Programme) -> list[Finding]:
    """What speaks against the entry. What is in it is nobody's to judge; words of a crisis are heeded elsewhere."""
    findings = []
    if not programme.value("journal.offered"):
        findings.append(NOT_OFFERED.finding(programme))
    if facts.ended:
        findings.append(EPISODE_ENDED.finding(programme))
    if facts.prompt is not None and not 1 <= facts.prompt <= facts.prompts:
        findings.append(PROMPT_UNKNOWN.finding(programme, says={"count": facts.prompts}))
    return findings
