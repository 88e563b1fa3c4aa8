"""Rules on who may be given access to signing, and by whom (21 CFR 1311.125). Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.core.findings import Finding, Severity
from services.core.rules import declare
from services.people.paper_rules import DeaFacts, LicenceFacts, valid_on

_SOURCE: Final = "21 CFR 1311.125"
_THE_LAW: Final = "The law leaves nothing to set."

GRANT_BY_NOMINEE: Final = declare(
    "people.grant_by_nominee",
    Severity.STOP,
    _SOURCE,
    "Nobody approves their own access to signing; another DEA registrant does.",
    fixed=_THE_LAW,
)
APPROVER_WITHOUT_DEA: Final = declare(
    "people.approver_without_dea",
    Severity.STOP,
    _SOURCE,
    "Whoever approves access to signing needs a DEA registration that is valid today.",
    fixed=_THE_LAW,
)
NOT_THE_NAMED_APPROVER: Final = declare(
    "people.grant_by_unnamed_approver",
    Severity.STOP,
    _SOURCE,
    "A registrant of another team was named to approve this nomination; nobody else does.",
    fixed=_THE_LAW,
)
NOMINEE_WITHOUT_PAPERS: Final = declare(
    "people.nominee_without_papers",
    Severity.STOP,
    _SOURCE,
    "Access to signing needs a licence and a DEA registration that are valid today.",
    fixed=_THE_LAW,
)
GRANT_OPEN: Final = declare(
    "people.grant_open",
    Severity.STOP,
    "21 CFR 1311.125",
    "This prescriber is nominated or may sign already.",
    fixed="one grant at a time",
)


@dataclass(frozen=True, slots=True)
class Papers:
    """All licences and DEA registrations of one practitioner, in whichever states."""

    licences: Iterable[LicenceFacts]
    registrations: Iterable[DeaFacts]

    def are_valid(self, on: date) -> bool:
        """Whether there is at least one of each on a day. For which patients they do is asked at signing."""
        return any(valid_on(each, on) for each in self.licences) and self.is_registrant(on)

    def is_registrant(self, on: date) -> bool:
        """Whether there is a valid DEA registration on a day."""
        return any(valid_on(each, on) for each in self.registrations)


def nomination_findings(nominee: Papers, on: date) -> list[Finding]:
    """Why a practitioner may not be given access to signing."""
    return [] if nominee.are_valid(on) else [NOMINEE_WITHOUT_PAPERS.finding(on=on.isoformat(), papers_valid=False)]


def naming_findings(approver: Papers, on: date) -> list[Finding]:
    """Why somebody may not be named to approve a nomination."""
    return [] if approver.is_registrant(on) else [APPROVER_WITHOUT_DEA.finding(on=on.isoformat(), is_registrant=False)]


def approval_findings(
    *, is_nominee: bool, may_approve: bool, nominee: Papers, approver: Papers, on: date
) -> list[Finding]:
    """Why a nomination may not be approved; empty when the second of the two people is fit to do so.

    ``may_approve`` is false when somebody else was named to approve.
    """
    findings = []
    if is_nominee:
        findings.append(GRANT_BY_NOMINEE.finding(is_nominee=True))
    if not may_approve:
        findings.append(NOT_THE_NAMED_APPROVER.finding(may_approve=False))
    return [*findings, *naming_findings(approver, on), *nomination_findings(nominee, on)]
