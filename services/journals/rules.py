"""When a journal entry may be written, and what in one must alarm the care team (DOMAIN 1 and 2.2). Pure."""

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
CRISIS_WORDS: Final = declare(
    "journals.crisis_words",
    Severity.REVIEW,
    "DOMAIN 2.2",
    "The entry may tell of a crisis: show 988, 741741 and 911 at once; the care team is alerted.",
    fixed="better one alarm too many; the words are those of texts that come in",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """An entry about to be written. ``prompt`` counts from 1, None without one; ``prompts`` is how many there are."""

    ended: bool
    prompt: int | None
    prompts: int
    crisis: bool


def entry_findings(facts: EntryFacts, programme: Programme) -> list[Finding]:
    """What speaks against the entry, and whether it alarms. Words of a crisis stop nothing: they are heard."""
    findings = []
    if not programme.value("journal.offered"):
        findings.append(NOT_OFFERED.finding(programme))
    if facts.ended:
        findings.append(EPISODE_ENDED.finding(programme))
    if facts.prompt is not None and not 1 <= facts.prompt <= facts.prompts:
        findings.append(PROMPT_UNKNOWN.finding(programme, says={"count": facts.prompts}))
    if facts.crisis:
        findings.append(CRISIS_WORDS.finding(programme))
    return findings
