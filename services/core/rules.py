"""How a rule is declared: once, with its id, its source, its setting and its sentence (docs/rules.md lists them all).

A package's ``rules.py`` declares its rules as constants and its functions decide when one speaks::

    TOO_EARLY = declare(
        "refills.too_early", Severity.STOP, "DOMAIN 4", "Too early: more than {value} doses are left.",
        setting="refills.doses_left_at_most",
    )
    …
    findings.append(TOO_EARLY.finding(programme, doses_left=facts.doses_left))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.core.errors import Conflict, InvalidConfiguration, NotAllowed, RuleRefused
from services.core.findings import Finding, Severity
from services.core.programme import Programme

_ID: Final = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")
_PLACE: Final = re.compile(r"\{([a-z0-9_]+(?:\.[a-z0-9_]+)*)\}")
_DECLARED: Final[dict[str, Rule]] = {}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. In ``sentence`` ``{value}`` stands for the value of ``setting`` and ``{a.b}`` for the setting ``a.b``.

    Other places are filled by what the caller ``says``. A rule that compares nothing with a number or list of the
    programme has no setting; ``fixed`` then says why there is nothing for a clinic to set.
    """

    id: str
    severity: Severity
    source: str
    sentence: str
    setting: str | None = None
    fixed: str | None = None

    def finding(
        self,
        programme: Programme | None = None,
        *,
        setting: str | None = None,
        says: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Finding:
        """What the rule says about the facts in ``inputs``.

        ``programme`` is needed by a rule with a setting. ``setting`` names another one of the same meaning, such as
        the one for maintenance. Inputs are clinical data and stay out of the sentence; ``says`` goes into it.
        """
        name = setting or self.setting
        value = None if name is None else _of(programme, self).value(name)
        words = {**(says or {}), "value": value}

        def word(place: re.Match[str]) -> str:
            return _spelled(words[place[1]] if place[1] in words else _of(programme, self).value(place[1]))

        return Finding(self.id, self.severity, self.source, _PLACE.sub(word, self.sentence), name, value, inputs)

    def refused(
        self,
        programme: Programme | None = None,
        *,
        field: str | None = None,
        setting: str | None = None,
        says: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> RuleRefused:
        """The refusal of an act that breaks this rule alone, about ``field``; the rest as in ``finding``."""
        finding = self.finding(programme, setting=setting, says=says, **inputs)
        return RuleRefused(finding.sentence, [finding], field=field)

    def conflict(self, **inputs: Any) -> Conflict:
        """As ``refused``, of an act that contradicts the present state."""
        finding = self.finding(**inputs)
        return Conflict(finding.sentence, [finding])

    def forbidden(self, programme: Programme | None = None, **inputs: Any) -> NotAllowed:
        """As ``refused``, of an act that is somebody else's."""
        finding = self.finding(programme, **inputs)
        return NotAllowed(finding.sentence, [finding])


def declare(
    rule_id: str,
    severity: Severity,
    source: str,
    sentence: str,
    *,
    setting: str | None = None,
    fixed: str | None = None,
) -> Rule:
    """Declare a rule. Raises ``InvalidConfiguration`` when its id is taken or one of its parts is missing."""
    if not _ID.fullmatch(rule_id) or not source or not sentence:
        raise InvalidConfiguration(f"The rule '{rule_id}' needs an id such as package.name, a source and a sentence.")
    if (setting is None) == (fixed is None):
        raise InvalidConfiguration(f"The rule '{rule_id}' needs a setting, or a word on why there is none.")
    if rule_id in _DECLARED:
        raise InvalidConfiguration(f"The rule '{rule_id}' is declared twice.")
    rule = Rule(rule_id, severity, source, sentence, setting, fixed)
    _DECLARED[rule_id] = rule
    return rule


def declared() -> Mapping[str, Rule]:
    """All rules declared by the modules that were imported so far, by id."""
    return dict(_DECLARED)


def _of(programme: Programme | None, rule: Rule) -> Programme:
    if programme is None:
        raise InvalidConfiguration(f"The rule '{rule.id}' reads the programme, and none was given.")
    return programme


def _spelled(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
