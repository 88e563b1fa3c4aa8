"""How every gate explains itself: what each rule says, where that comes from, and which facts it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema, fields

from services.core.findings import Finding, Severity, of_severity


class FindingOut(Schema):
    """One rule's answer.

    ``rule`` is listed with its tests in docs/rules.md; ``source`` is the section of the domain reference or the law.
    ``setting`` and ``value`` say which programme setting was read and what it said, null for a rule without one.
    ``inputs`` are the facts used: medical team only, at a session also the therapist; empty for everybody else.
    """

    rule = fields.String(required=True)
    severity = fields.String(required=True)
    source = fields.String(required=True)
    sentence = fields.String(required=True)
    setting = fields.String(required=True, allow_none=True)
    value = fields.Raw(required=True, allow_none=True)
    inputs = fields.Dict(keys=fields.String(), required=True)


class FindingsOut(Schema):
    """Findings by weight: a stop cannot be approved, a review needs a reason, information needs nothing."""

    stop = fields.List(fields.Nested(FindingOut), required=True)
    review = fields.List(fields.Nested(FindingOut), required=True)
    inform = fields.List(fields.Nested(FindingOut), required=True)


def by_weight(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings as ``FindingsOut`` writes them."""
    every = list(findings)
    return {severity.value: of_severity(every, severity) for severity in Severity}
