"""Suicide-risk triage (DOMAIN 2.2): what must happen at once when answers point to a risk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import Rule, declare
from services.core.vocabulary import Party
from services.screening import instruments
from services.screening.answers import asked_items, checked_answers
from services.screening.definitions import Answers, Instrument, RiskLevel

ITEM9_ALERT: Final = declare(
    "triage.phq9_item9_alert",
    Severity.REVIEW,
    "DOMAIN 2.2",
    "PHQ-9 item 9 is positive: show the crisis resources, require a C-SSRS the same day, alert the therapist and the "
    "prescriber.",
    setting="triage.phq9_item9_alert_from",
)
ITEM9_URGENT: Final = declare(
    "triage.phq9_item9_urgent",
    Severity.REVIEW,
    "DOMAIN 2.2",
    "PHQ-9 item 9 is at a level that needs an urgent look; nothing ships until a clinician signs off.",
    setting="triage.phq9_item9_urgent_from",
)
ITEM12_ALERT: Final = declare(
    "triage.qids_item12_alert",
    Severity.REVIEW,
    "DOMAIN 2.2",
    "QIDS item 12 is positive: show the crisis resources, require a C-SSRS the same day, alert the therapist and the "
    "prescriber.",
    setting="triage.qids_item12_alert_from",
)
ITEM12_URGENT: Final = declare(
    "triage.qids_item12_urgent",
    Severity.REVIEW,
    "DOMAIN 2.2",
    "QIDS item 12 is at a level that needs an urgent look; nothing ships until a clinician signs off.",
    setting="triage.qids_item12_urgent_from",
)
CSSRS_LOW: Final = declare(
    "triage.cssrs_low",
    Severity.INFORM,
    "DOMAIN 2.2",
    "Low suicide risk on the C-SSRS screener.",
    fixed="the levels are those of the screener's authors",
)
CSSRS_MODERATE: Final = declare(
    "triage.cssrs_moderate",
    Severity.REVIEW,
    "DOMAIN 2.2",
    "Moderate suicide risk on the C-SSRS screener: nothing ships until a clinician signs off.",
    fixed="the levels are those of the screener's authors",
)
CSSRS_HIGH: Final = declare(
    "triage.cssrs_high",
    Severity.STOP,
    "DOMAIN 2.2",
    "High suicide risk on the C-SSRS screener: no dose, prescription or refill until a named prescriber clears it.",
    fixed="the levels are those of the screener's authors",
)

_OF_LEVEL: Final = {RiskLevel.LOW: CSSRS_LOW, RiskLevel.MODERATE: CSSRS_MODERATE, RiskLevel.HIGH: CSSRS_HIGH}
_ALERTED = (Party.THERAPIST, Party.MEDICAL_TEAM)
_RESOURCES = ("lifeline", "text_line", "emergency")


@dataclass(frozen=True, slots=True)
class CrisisResource:
    """Where a person in crisis gets help at once: a name, how to reach it, and the number or short code alone."""

    name: str
    reach: str
    number: str


@dataclass(frozen=True, slots=True, repr=False)
class Triage:
    """What the answers demand. Clinical data: ``repr`` shows nothing.

    ``level`` is that of the C-SSRS answered today, None when none was; ``requires_cssrs_today`` says that one must be
    answered before the day ends. ``alert_parties`` hear at once, ``urgent_task`` goes to a clinician, ``page`` calls
    the medical team immediately. ``blocks_shipping`` holds until a clinician signs off,
    ``blocks_dosing_prescribing_refills`` until a named prescriber clears it.
    """

    level: RiskLevel | None
    show_crisis_resources: bool
    requires_cssrs_today: bool
    alert_parties: tuple[Party, ...]
    urgent_task: bool
    page: bool
    blocks_shipping: bool
    blocks_dosing_prescribing_refills: bool
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """The triage as plain JSON types, for storing sealed and for answering the API."""
        return {
            "level": None if self.level is None else self.level.value,
            "show_crisis_resources": self.show_crisis_resources,
            "requires_cssrs_today": self.requires_cssrs_today,
            "alert_parties": [party.value for party in self.alert_parties],
            "urgent_task": self.urgent_task,
            "page": self.page,
            "blocks_shipping": self.blocks_shipping,
            "blocks_dosing_prescribing_refills": self.blocks_dosing_prescribing_refills,
            "findings": [finding.as_dict() for finding in self.findings],
        }


def crisis_resources(programme: Programme) -> tuple[CrisisResource, ...]:
    """988, the Crisis Text Line and 911, as the programme words them, in the order to show them."""
    return tuple(
        CrisisResource(*(programme.text(f"triage.crisis.{key}.{part}") for part in ("name", "reach", "number")))
        for key in _RESOURCES
    )


def cssrs_instrument(*, since_last_visit: bool) -> Instrument:
    """The screener to use: the recent one at intake, the one that asks since the last visit at follow-ups."""
    return instruments.get("cssrs_since_last_visit" if since_last_visit else "cssrs")


def cssrs_level(answers: Answers, *, since_last_visit: bool = False) -> RiskLevel:
    """The risk level of one C-SSRS screener; the highest yes wins, answers are never added up.

    Questions 1, 2 and 6 are for everybody, a yes to 2 asks for 3 to 5, a yes to 6 (ever) for the past 3 months. Raises
    ``InvalidInput`` naming the first question that is not answered, except when the answers already give high: nothing
    unanswered could change that, and a person at high risk must not be sent back to a form. A yes to a question that
    should have been skipped counts all the same.
    """
    instrument = cssrs_instrument(since_last_visit=since_last_visit)
    given = checked_answers(instrument, answers)
    level = _highest(item.level_if_yes for item in instrument.items if given.get(item.id) is True)
    if level is RiskLevel.HIGH:
        return level
    for item in asked_items(instrument, given):
        if item.id not in given:
            because = f" because {item.asked_when} was answered yes" if item.asked_when else ""
            raise InvalidInput(f"This question must be answered{because}.", field=f"{instrument.id}.{item.id}")
    return level


def _highest(levels: Iterable[RiskLevel | None]) -> RiskLevel:
    return max((level for level in levels if level is not None), key=lambda level: level.rank, default=RiskLevel.NONE)


def level_so_far(answers: Answers, *, since_last_visit: bool = False) -> RiskLevel | None:
    """The level of a screener that may be left halfway; None while it shows nothing that could not still change.

    What is answered counts as soon as it asks for somebody: nobody escapes triage by not finishing a form.
    """
    try:
        return cssrs_level(answers, since_last_visit=since_last_visit)
    except InvalidInput:
        asked = cssrs_instrument(since_last_visit=since_last_visit).items
        highest = _highest(item.level_if_yes for item in asked if answers.get(item.id) is True)
        return highest if highest.rank >= RiskLevel.MODERATE.rank else None


def risk_answer(instrument: Instrument, answers: Answers) -> int | None:
    """The answer to the item that triage reads; None when the instrument has none, or it is not answered."""
    answer = None if instrument.suicide_risk_item is None else answers.get(instrument.suicide_risk_item)
    return None if answer is None else int(answer)


def triage_of(answers: Mapping[str, Answers], programme: Programme) -> Triage:
    """What the answers to several instruments of one day demand, by the instruments' ids; unknown ids are left out.

    This is the one to call wherever answers come in: it looks at the PHQ-9, the QIDS-SR16 and both forms of the C-SSRS.
    """
    levels = [
        level_so_far(answers[name], since_last_visit=since)
        for name, since in (("cssrs", False), ("cssrs_since_last_visit", True))
        if answers.get(name)
    ]
    known = [level for level in levels if level is not None]
    return triage(
        phq9_item9=risk_answer(instruments.get("phq9"), answers.get("phq9", {})),
        qids_item12=risk_answer(instruments.get("qids_sr16"), answers.get("qids_sr16", {})),
        level=_highest(known) if known else None,
        programme=programme,
    )


def triage(
    *, phq9_item9: int | None, level: RiskLevel | None, programme: Programme, qids_item12: int | None = None
) -> Triage:
    """What follows from item 9 of a PHQ-9, item 12 of a QIDS-SR16 and the C-SSRS level.

    The items are 0–3, None when they were not answered. ``level`` is that of a C-SSRS answered *today*, None when there
    is none: a C-SSRS of another day must not be passed, it would satisfy the same-day duty. A lower result never lifts
    an earlier block; only the clinician's or prescriber's own decision does.
    """
    items = [
        *_item_findings((ITEM9_ALERT, ITEM9_URGENT), "phq9_item9", phq9_item9, programme),
        *_item_findings((ITEM12_ALERT, ITEM12_URGENT), "qids_item12", qids_item12, programme),
    ]
    high = level is RiskLevel.HIGH
    urgent_rules = (ITEM9_URGENT.id, ITEM12_URGENT.id)
    urgent = high or level is RiskLevel.MODERATE or any(each.rule in urgent_rules for each in items)
    shown = level is not None and level.rank >= _shown_from(programme).rank
    return Triage(
        level=level,
        show_crisis_resources=bool(items) or urgent or shown,
        requires_cssrs_today=bool(items) and level is None,
        alert_parties=_ALERTED if items or urgent else (),
        urgent_task=urgent,
        page=high,
        blocks_shipping=urgent,
        blocks_dosing_prescribing_refills=high,
        findings=(*items, *_level_findings(level)),
    )


def _shown_from(programme: Programme) -> RiskLevel:
    setting = "triage.crisis_resources_from_level"
    text = programme.text(setting)
    if text not in list(RiskLevel):
        raise InvalidConfiguration(f"The setting '{setting}' must be one of {', '.join(RiskLevel)}.")
    return RiskLevel(text)


def _item_findings(rules: tuple[Rule, Rule], item: str, answer: int | None, programme: Programme) -> list[Finding]:
    if answer is None:
        return []
    inputs: dict[str, Any] = {item: answer}
    return [rule.finding(programme, **inputs) for rule in rules if answer >= programme.whole(str(rule.setting))]


def _level_findings(level: RiskLevel | None) -> list[Finding]:
    return [_OF_LEVEL[level].finding(cssrs_level=level.value)] if level in _OF_LEVEL else []
