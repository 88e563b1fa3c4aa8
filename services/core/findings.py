"""What a rule says about the facts it was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much weight a finding has, strongest first."""

    STOP = "stop"
    REVIEW = "review"
    INFORM = "inform"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's answer.

    ``rule`` is the rule's id (``eligibility.age_under_18``), ``source`` the section of the domain reference or the
    law it comes from, ``sentence`` what a clinician reads. ``setting`` and ``value`` tell which programme setting was
    read and what it said; ``inputs`` the facts used. Inputs are clinical data: store a finding only sealed.
    """

    rule: str
    severity: Severity
    source: str
    sentence: str
    setting: str | None = None
    value: Any = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON types, for storing sealed and for answering the API."""
        return {**asdict(self), "severity": self.severity.value, "inputs": dict(self.inputs)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Finding:
        """The finding that ``as_dict`` wrote."""
        return cls(**{**document, "severity": Severity(document["severity"])})


def of_severity(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    """Only the findings of one severity, order kept."""
    return [finding for finding in findings if finding.severity is severity]
