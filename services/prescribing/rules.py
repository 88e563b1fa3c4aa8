"""Rules of drafting a prescription: what, how strong, how much, how often (DOMAIN 4 and 5).

Pure functions from a draft and a programme to findings. A stop keeps the prescriber from signing; a review needs the
prescriber's written reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import Any

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.prescribing.law import SCHEDULE_III

_AT_LEAST_ONE = ("strength_mg", "quantity_units", "sessions_supply", "dose_mg")
_NOT_NEGATIVE = ("booster_mg", "refills", "home_stock_sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A prescription as drafted, before anybody signed it.

    Milligrams are per session: ``dose_mg`` is taken in two halves, ``booster_mg`` (0 for none) on top of it.
    ``quantity_units`` and ``sessions_supply`` are those of *one* fill. ``first_session_dose_mg`` is all that may be
    taken in the patient's very first session, any booster included; only a first prescription has it.
    ``last_dose_mg`` is the dose of the last dosing session held. ``home_stock_sessions`` is what the patient still
    has, in sessions.

    Raises ``InvalidInput`` naming the field when a number cannot be one of a prescription at all.
    """

    drug: str
    form: str
    strength_mg: int
    quantity_units: int
    sessions_supply: int
    dose_mg: int
    booster_mg: int = 0
    directions: str
    refills: int = 0
    issued_on: date
    patient_state: str
    is_first: bool
    first_session_dose_mg: int | None = None
    last_dose_mg: int | None = None
    weight_kg: float | None = None
    home_stock_sessions: float = 0

    def __post_init__(self) -> None:
        for field in _AT_LEAST_ONE:
            if getattr(self, field) < 1:
                raise InvalidInput("This must be at least 1.", field=field)
        for field in _NOT_NEGATIVE:
            if getattr(self, field) < 0:
                raise InvalidInput("This must not be negative.", field=field)
        if self.first_session_dose_mg is not None and self.first_session_dose_mg < 1:
            raise InvalidInput("This must be at least 1.", field="first_session_dose_mg")
        if self.weight_kg is not None and self.weight_kg <= 0:
            raise InvalidInput("This must be more than 0.", field="weight_kg")

    @property
    def session_mg(self) -> int:
        """The most a patient takes in one session: dose and booster."""
        return self.dose_mg + self.booster_mg


def draft_findings(draft: Draft, programme: Programme) -> list[Finding]:
    """Everything the rules have to say about a draft, in a fixed order; empty when nothing stands out."""
    return [finding for rule in RULES if (finding := rule(draft, programme)) is not None]


def home_stock_finding(home_sessions: float, supply_sessions: float, programme: Programme) -> Finding | None:
    """A stop when what the patient has plus what is to come is more than a home may hold. Both in sessions."""
    setting = "prescribing.home_stock_sessions_at_most"
    if home_sessions + supply_sessions <= programme.number(setting):
        return None
    return _finding(
        "prescribing.home_stock_over_limit",
        "With what is still at home this is more than a patient may have there.",
        programme,
        setting,
        home_sessions=home_sessions,
        supply_sessions=supply_sessions,
    )


def refills_at_most(programme: Programme) -> int:
    """How many refills a prescription may have: the programme's number, never above the law's."""
    return min(programme.whole("prescribing.refills_at_most"), SCHEDULE_III.refills_at_most)


def units_needed(draft: Draft) -> range:
    """The quantities that fit dose × sessions, in whole units.

    More than one only when the first session takes a smaller dose: then the supply may or may not allow for it.
    """
    most = draft.session_mg * draft.sessions_supply
    first = draft.first_session_dose_mg if draft.is_first else None
    least = most if first is None else most - max(draft.session_mg - first, 0)
    return range(ceil(least / draft.strength_mg), ceil(most / draft.strength_mg) + 1)


def _drug_unknown(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.drugs"
    if draft.drug.strip().casefold() in programme.choices(setting):
        return None
    return _finding("prescribing.drug_not_offered", "This programme does not prescribe that drug.", programme, setting)


def _form_unknown(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.forms"
    if draft.form in programme.choices(setting):
        return None
    return _finding("prescribing.form_not_offered", "This programme does not prescribe that form.", programme, setting)


def _strength_unknown(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.strengths_mg"
    offered = programme.value(setting)
    if not isinstance(offered, list) or not all(type(strength) is int for strength in offered):
        raise InvalidConfiguration(f"The setting '{setting}' of '{programme.name}' must be a list of whole numbers.")
    if draft.strength_mg in offered:
        return None
    sentence = f"Units come in {' and '.join(str(strength) for strength in offered)} mg only."
    return _finding("prescribing.strength_not_offered", sentence, programme, setting, strength_mg=draft.strength_mg)


def _directions_missing(draft: Draft, _: Programme) -> Finding | None:
    if draft.directions.strip():
        return None
    return Finding("prescribing.directions_missing", Severity.STOP, "21 CFR 1306.05", "The directions are missing.")


def _refills_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    if draft.refills <= refills_at_most(programme):
        return None
    return _finding(
        "prescribing.refills_over_five"
        if draft.refills > SCHEDULE_III.refills_at_most
        else "prescribing.refills_over_limit",
        f"A prescription of this schedule has {refills_at_most(programme)} refills at most.",
        programme,
        "prescribing.refills_at_most",
        source=SCHEDULE_III.refill_source,
        refills=draft.refills,
    )


def _first_dose_missing(draft: Draft, _: Programme) -> Finding | None:
    if not draft.is_first or draft.first_session_dose_mg is not None:
        return None
    sentence = "A first prescription states the dose of the first session; nobody else may choose it."
    return Finding("prescribing.first_session_dose_missing", Severity.STOP, "DOMAIN 4", sentence)


def _first_dose_over_part(draft: Draft, programme: Programme) -> Finding | None:
    setting, first = "prescribing.first_session_part_of_dose", draft.first_session_dose_mg
    if not draft.is_first or first is None or first <= draft.dose_mg * programme.number(setting):
        return None
    return _finding(
        "prescribing.first_session_over_half_dose",
        "The first session takes half of the later dose at most.",
        programme,
        setting,
        first_session_dose_mg=first,
        dose_mg=draft.dose_mg,
    )


def _first_dose_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    setting, first = "prescribing.first_session_at_most_mg", draft.first_session_dose_mg
    if not draft.is_first or first is None or first <= programme.number(setting):
        return None
    return _finding(
        "prescribing.first_session_over_limit",
        f"The first session takes {programme.whole(setting)} mg at most.",
        programme,
        setting,
        first_session_dose_mg=first,
    )


def _step_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.step_at_most_mg"
    before = draft.first_session_dose_mg if draft.is_first else draft.last_dose_mg
    if before is None or draft.dose_mg - before <= programme.number(setting):
        return None
    return _finding(
        "prescribing.step_over_limit",
        f"From one session to the next the dose rises by {programme.whole(setting)} mg at most.",
        programme,
        setting,
        from_mg=before,
        to_mg=draft.dose_mg,
    )


def _dose_high(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.warn_over_mg"
    if draft.session_mg <= programme.number(setting):
        return None
    return _finding(
        "prescribing.dose_high",
        f"Dose and booster are above {programme.whole(setting)} mg per session.",
        programme,
        setting,
        severity=Severity.REVIEW,
        session_mg=draft.session_mg,
    )


def _dose_high_for_weight(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.warn_over_mg_per_kg"
    if draft.weight_kg is None:
        sentence = "Without the patient's weight the dose per kilogram was not checked."
        return Finding("prescribing.weight_unknown", Severity.INFORM, "DOMAIN 4", sentence, setting)
    if draft.session_mg <= programme.number(setting) * draft.weight_kg:
        return None
    return _finding(
        "prescribing.dose_high_for_weight",
        f"Dose and booster are above {programme.number(setting):g} mg per kg and session.",
        programme,
        setting,
        severity=Severity.REVIEW,
        session_mg=draft.session_mg,
        weight_kg=draft.weight_kg,
    )


def _not_divisible(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.smallest_part_of_unit"
    piece = programme.number(setting) * draft.strength_mg
    doses = [dose for dose in (draft.dose_mg, draft.booster_mg, draft.first_session_dose_mg) if dose]
    if all(dose % piece == 0 for dose in doses):
        return None
    return _finding(
        "prescribing.dose_not_in_halves",
        "A dose cannot be made from whole and half units of this strength.",
        programme,
        setting,
        severity=Severity.REVIEW,
        strength_mg=draft.strength_mg,
    )


def _supply_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    kind = "first_supply_sessions" if draft.is_first else "supply_sessions_at_most"
    setting = f"prescribing.{kind}"
    if draft.sessions_supply <= programme.number(setting):
        return None
    return _finding(
        "prescribing.first_supply_over_limit" if draft.is_first else "prescribing.supply_over_limit",
        f"This supply covers {programme.whole(setting)} sessions at most.",
        programme,
        setting,
        sessions_supply=draft.sessions_supply,
    )


def _supply_with_refills_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    setting = "prescribing.supply_sessions_at_most"
    if draft.sessions_supply * (draft.refills + 1) <= programme.number(setting):
        return None
    return _finding(
        "prescribing.supply_with_refills_over_limit",
        f"With its refills this prescription covers more than {programme.whole(setting)} sessions.",
        programme,
        setting,
        severity=Severity.REVIEW,
        sessions_supply=draft.sessions_supply,
        refills=draft.refills,
    )


def _quantity_off(draft: Draft, _: Programme) -> Finding | None:
    fitting = units_needed(draft)
    if draft.quantity_units in fitting:
        return None
    words = str(fitting[0]) if len(fitting) == 1 else f"{fitting[0]} to {fitting[-1]}"
    return Finding(
        rule="prescribing.quantity_not_dose_times_sessions",
        severity=Severity.STOP,
        source="DOMAIN 4",
        sentence=f"Dose, booster and sessions need {words} units per fill.",
        inputs={"quantity_units": draft.quantity_units, "sessions_supply": draft.sessions_supply},
    )


def _home_stock(draft: Draft, programme: Programme) -> Finding | None:
    return home_stock_finding(draft.home_stock_sessions, draft.sessions_supply, programme)


RULES: tuple[Callable[[Draft, Programme], Finding | None], ...] = (
    _drug_unknown,
    _form_unknown,
    _strength_unknown,
    _directions_missing,
    _refills_over_limit,
    _first_dose_missing,
    _first_dose_over_part,
    _first_dose_over_limit,
    _step_over_limit,
    _dose_high,
    _dose_high_for_weight,
    _not_divisible,
    _supply_over_limit,
    _supply_with_refills_over_limit,
    _quantity_off,
    _home_stock,
)


def _finding(
    rule: str,
    sentence: str,
    programme: Programme,
    setting: str,
    *,
    severity: Severity = Severity.STOP,
    source: str = "DOMAIN 4",
    **inputs: Any,
) -> Finding:
    return Finding(rule, severity, source, sentence, setting, programme.value(setting), inputs)
