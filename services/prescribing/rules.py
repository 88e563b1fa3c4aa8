"""Rules of drafting a prescription: what, how strong, how much, how often (DOMAIN 4 and 5).

Pure functions from a draft and a programme to findings. A stop keeps the prescriber from signing; a review needs the
prescriber's written reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import Final

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.findings import Finding, Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.prescribing.law import SCHEDULE_III
from services.prescribing.routes import Route, Supplied, setting_of, supplied_by

DRUG_NOT_OFFERED: Final = declare(
    "prescribing.drug_not_offered",
    Severity.STOP,
    "DOMAIN 4",
    "This programme does not prescribe that drug.",
    setting="prescribing.drugs",
)
ROUTE_NOT_OFFERED: Final = declare(
    "prescribing.route_not_offered",
    Severity.STOP,
    "DOMAIN 1",
    "This programme does not give the medicine by that route; it offers {value}.",
    setting="prescribing.routes",
)
FORM_NOT_OFFERED: Final = declare(
    "prescribing.form_not_offered",
    Severity.STOP,
    "DOMAIN 4",
    "This programme does not prescribe that form.",
    setting="prescribing.route.sublingual.forms",
)
STRENGTH_NOT_OFFERED: Final = declare(
    "prescribing.strength_not_offered",
    Severity.STOP,
    "DOMAIN 4",
    "Units come in {offered} mg only.",
    setting="prescribing.route.sublingual.strengths_mg",
)
DIRECTIONS_MISSING: Final = declare(
    "prescribing.directions_missing",
    Severity.STOP,
    "21 CFR 1306.05",
    "The directions are missing.",
    fixed="The law asks for directions.",
)
REFILLS_OVER_FIVE: Final = declare(
    "prescribing.refills_over_five",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "A prescription of this schedule has {limit} refills at most.",
    setting="prescribing.refills_at_most",
)
REFILLS_OVER_LIMIT: Final = declare(
    "prescribing.refills_over_limit",
    Severity.STOP,
    SCHEDULE_III.refill_source,
    "A prescription of this schedule has {limit} refills at most.",
    setting="prescribing.refills_at_most",
)
CLINIC_ORDER_WITH_REFILLS: Final = declare(
    "prescribing.clinic_order_with_refills",
    Severity.STOP,
    "DOMAIN 1",
    "What the clinic gives is not filled, so it has no refills: order it anew.",
    fixed="What is never filled cannot be refilled.",
)
FIRST_SESSION_DOSE_MISSING: Final = declare(
    "prescribing.first_session_dose_missing",
    Severity.STOP,
    "DOMAIN 4",
    "A first prescription states the dose of the first session; nobody else may choose it.",
    fixed="Neither therapist nor patient chooses a dose.",
)
FIRST_SESSION_OVER_HALF_DOSE: Final = declare(
    "prescribing.first_session_over_half_dose",
    Severity.STOP,
    "DOMAIN 4",
    "The first session takes half of the later dose at most.",
    setting="prescribing.first_session_part_of_dose",
)
FIRST_SESSION_OVER_LIMIT: Final = declare(
    "prescribing.first_session_over_limit",
    Severity.STOP,
    "DOMAIN 4",
    "The first session takes {value} mg at most.",
    setting="prescribing.first_session_at_most_mg",
)
STEP_OVER_LIMIT: Final = declare(
    "prescribing.step_over_limit",
    Severity.STOP,
    "DOMAIN 4",
    "From one session to the next the dose rises by {value} mg at most.",
    setting="prescribing.step_at_most_mg",
)
DOSE_HIGH: Final = declare(
    "prescribing.dose_high",
    Severity.REVIEW,
    "DOMAIN 4",
    "Dose and booster are above {value} mg per session.",
    setting="prescribing.warn_over_mg",
)
DOSE_HIGH_FOR_WEIGHT: Final = declare(
    "prescribing.dose_high_for_weight",
    Severity.REVIEW,
    "DOMAIN 4",
    "Dose and booster are above {value} mg per kg and session.",
    setting="prescribing.warn_over_mg_per_kg",
)
WEIGHT_UNKNOWN: Final = declare(
    "prescribing.weight_unknown",
    Severity.INFORM,
    "DOMAIN 4",
    "Without the patient's weight the dose per kilogram was not checked.",
    setting="prescribing.warn_over_mg_per_kg",
)
DOSE_NOT_IN_HALVES: Final = declare(
    "prescribing.dose_not_in_halves",
    Severity.REVIEW,
    "DOMAIN 4",
    "A dose cannot be made from whole and half units of this strength.",
    setting="prescribing.smallest_part_of_unit",
)
FIRST_SUPPLY_OVER_LIMIT: Final = declare(
    "prescribing.first_supply_over_limit",
    Severity.STOP,
    "DOMAIN 4",
    "This supply covers {value} sessions at most.",
    setting="prescribing.first_supply_sessions",
)
SUPPLY_OVER_LIMIT: Final = declare(
    "prescribing.supply_over_limit",
    Severity.STOP,
    "DOMAIN 4",
    "This supply covers {value} sessions at most.",
    setting="prescribing.supply_sessions_at_most",
)
SUPPLY_WITH_REFILLS_OVER_LIMIT: Final = declare(
    "prescribing.supply_with_refills_over_limit",
    Severity.REVIEW,
    "DOMAIN 4",
    "With its refills this prescription covers more than {value} sessions.",
    setting="prescribing.supply_sessions_at_most",
)
QUANTITY_OFF: Final = declare(
    "prescribing.quantity_not_dose_times_sessions",
    Severity.STOP,
    "DOMAIN 4",
    "Dose, booster and sessions need {units} units per fill.",
    fixed="The quantity follows from dose and sessions.",
)
HOME_STOCK_OVER_LIMIT: Final = declare(
    "prescribing.home_stock_over_limit",
    Severity.STOP,
    "DOMAIN 4",
    "With what is still at home this is more than a patient may have there.",
    setting="prescribing.home_stock_sessions_at_most",
)

DUPLICATE_ACTIVE: Final = declare(
    "prescribing.duplicate_active",
    Severity.REVIEW,
    "DOMAIN 4",
    "This patient has the same drug by the same route prescribed already. Replace that one, or say why there are two.",
    fixed="One supply at a time keeps the stock at home within its limit.",
)

_AT_LEAST_ONE = ("strength_mg", "quantity_units", "sessions_supply", "dose_mg")
_NOT_NEGATIVE = ("booster_mg", "refills", "home_stock_sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A prescription as drafted, before anybody signed it.

    Milligrams are per session: ``dose_mg`` is taken in two halves, ``booster_mg`` (0 for none) on top of it.
    ``quantity_units`` and ``sessions_supply`` are those of *one* fill. ``first_session_dose_mg`` is all that may be
    taken in the patient's very first session, any booster included; only a first prescription has it.
    ``last_dose_mg`` is the dose of the last dosing session held by this route, and ``is_first`` says that there was
    none. ``home_stock_sessions`` is what the patient still has, in sessions.

    Raises ``InvalidInput`` naming the field when a number cannot be one of a prescription at all.
    """

    drug: str
    form: str
    route: Route = Route.SUBLINGUAL
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
    # Rounded, so that thirds of a session which add up to the limit are not taken for more.
    if round(home_sessions + supply_sessions, 6) <= programme.number("prescribing.home_stock_sessions_at_most"):
        return None
    return HOME_STOCK_OVER_LIMIT.finding(programme, home_sessions=home_sessions, supply_sessions=supply_sessions)


def duplicate_findings(others: int) -> list[Finding]:
    """A review when so many other prescriptions of the patient supply the same medicine by the same route."""
    return [DUPLICATE_ACTIVE.finding(others=others)] if others else []


def substance_of(drug: str) -> str:
    """What a drug is, whichever salt of it: ketamine hydrochloride is ketamine, esketamine is not."""
    return (drug.casefold().split() or [""])[0]


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
    if draft.drug.strip().casefold() in programme.choices("prescribing.drugs"):
        return None
    return DRUG_NOT_OFFERED.finding(programme, drug=draft.drug)


def _route_unknown(draft: Draft, programme: Programme) -> Finding | None:
    if draft.route in programme.choices("prescribing.routes"):
        return None
    return ROUTE_NOT_OFFERED.finding(programme, route=draft.route.value)


def _form_unknown(draft: Draft, programme: Programme) -> Finding | None:
    setting = f"prescribing.route.{draft.route}.forms"
    if draft.form in programme.choices(setting):
        return None
    return FORM_NOT_OFFERED.finding(programme, setting=setting, form=draft.form)


def _strength_unknown(draft: Draft, programme: Programme) -> Finding | None:
    setting = f"prescribing.route.{draft.route}.strengths_mg"
    offered = programme.value(setting)
    if not isinstance(offered, list) or not all(type(strength) is int for strength in offered):
        raise InvalidConfiguration(f"The setting '{setting}' of '{programme.name}' must be a list of whole numbers.")
    if draft.strength_mg in offered:
        return None
    words = " and ".join(str(strength) for strength in offered)
    return STRENGTH_NOT_OFFERED.finding(
        programme, setting=setting, says={"offered": words}, strength_mg=draft.strength_mg
    )


def _directions_missing(draft: Draft, _: Programme) -> Finding | None:
    return None if draft.directions.strip() else DIRECTIONS_MISSING.finding(directions="")


def _refills_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    limit = refills_at_most(programme)
    if draft.refills <= limit:
        return None
    rule = REFILLS_OVER_FIVE if draft.refills > SCHEDULE_III.refills_at_most else REFILLS_OVER_LIMIT
    return rule.finding(programme, says={"limit": limit}, refills=draft.refills)


def _clinic_order_with_refills(draft: Draft, programme: Programme) -> Finding | None:
    if draft.refills == 0 or _is_shipped(draft, programme):
        return None
    return CLINIC_ORDER_WITH_REFILLS.finding(refills=draft.refills)


def _first_dose_missing(draft: Draft, _: Programme) -> Finding | None:
    if not draft.is_first or draft.first_session_dose_mg is not None:
        return None
    return FIRST_SESSION_DOSE_MISSING.finding(is_first=True, first_session_dose_mg=None)


def _first_dose_over_part(draft: Draft, programme: Programme) -> Finding | None:
    part, first = programme.number("prescribing.first_session_part_of_dose"), draft.first_session_dose_mg
    if not draft.is_first or first is None or first <= draft.dose_mg * part:
        return None
    return FIRST_SESSION_OVER_HALF_DOSE.finding(programme, first_session_dose_mg=first, dose_mg=draft.dose_mg)


def _first_dose_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    setting = setting_of(draft.route, "first_session_at_most_mg", programme)
    first = draft.first_session_dose_mg
    if not draft.is_first or first is None or first <= programme.number(setting):
        return None
    return FIRST_SESSION_OVER_LIMIT.finding(programme, setting=setting, first_session_dose_mg=first)


def _step_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    setting = setting_of(draft.route, "step_at_most_mg", programme)
    before = draft.first_session_dose_mg if draft.is_first else draft.last_dose_mg
    if before is None or draft.dose_mg - before <= programme.number(setting):
        return None
    return STEP_OVER_LIMIT.finding(programme, setting=setting, from_mg=before, to_mg=draft.dose_mg)


def _dose_high(draft: Draft, programme: Programme) -> Finding | None:
    setting = setting_of(draft.route, "warn_over_mg", programme)
    if draft.session_mg <= programme.number(setting):
        return None
    return DOSE_HIGH.finding(programme, setting=setting, session_mg=draft.session_mg)


def _dose_high_for_weight(draft: Draft, programme: Programme) -> Finding | None:
    setting = setting_of(draft.route, "warn_over_mg_per_kg", programme)
    if draft.weight_kg is None:
        return WEIGHT_UNKNOWN.finding(programme, setting=setting, weight_kg=None)
    if draft.session_mg <= programme.number(setting) * draft.weight_kg:
        return None
    return DOSE_HIGH_FOR_WEIGHT.finding(
        programme, setting=setting, session_mg=draft.session_mg, weight_kg=draft.weight_kg
    )


def _not_divisible(draft: Draft, programme: Programme) -> Finding | None:
    if draft.route is not Route.SUBLINGUAL:
        return None  # sprays are counted and fluids measured
    piece = programme.number("prescribing.smallest_part_of_unit") * draft.strength_mg
    doses = [dose for dose in (draft.dose_mg, draft.booster_mg, draft.first_session_dose_mg) if dose]
    if all(dose % piece == 0 for dose in doses):
        return None
    return DOSE_NOT_IN_HALVES.finding(programme, strength_mg=draft.strength_mg, doses_mg=doses)


def _supply_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    rule = FIRST_SUPPLY_OVER_LIMIT if draft.is_first else SUPPLY_OVER_LIMIT
    limit = "prescribing.first_supply_sessions" if draft.is_first else "prescribing.supply_sessions_at_most"
    if draft.sessions_supply <= programme.number(limit):
        return None
    return rule.finding(programme, sessions_supply=draft.sessions_supply)


def _supply_with_refills_over_limit(draft: Draft, programme: Programme) -> Finding | None:
    if draft.sessions_supply * (draft.refills + 1) <= programme.number("prescribing.supply_sessions_at_most"):
        return None
    return SUPPLY_WITH_REFILLS_OVER_LIMIT.finding(
        programme, sessions_supply=draft.sessions_supply, refills=draft.refills
    )


def _quantity_off(draft: Draft, programme: Programme) -> Finding | None:
    fitting = units_needed(draft)
    if draft.quantity_units in fitting or not _is_shipped(draft, programme):
        return None
    words = " to ".join(dict.fromkeys((str(fitting[0]), str(fitting[-1]))))
    return QUANTITY_OFF.finding(
        says={"units": words}, quantity_units=draft.quantity_units, sessions_supply=draft.sessions_supply
    )


def _home_stock(draft: Draft, programme: Programme) -> Finding | None:
    if not _is_shipped(draft, programme):
        return None
    return home_stock_finding(draft.home_stock_sessions, draft.sessions_supply, programme)


def _is_shipped(draft: Draft, programme: Programme) -> bool:
    return supplied_by(draft.route, programme) is Supplied.SHIPPED


RULES: tuple[Callable[[Draft, Programme], Finding | None], ...] = (
    _drug_unknown,
    _route_unknown,
    _form_unknown,
    _strength_unknown,
    _directions_missing,
    _refills_over_limit,
    _clinic_order_with_refills,
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
