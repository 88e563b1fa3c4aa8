"""Outcomes for the programme: what became of a cohort, beside what practices publish of themselves (DOMAIN 1 and 6).

Only counts of many leave here. Small cells are left out, and whatever would give them away (``suppression.py``).
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from services.audit.records import record
from services.core import clock
from services.core.actors import Actor, Role
from services.core.errors import NotFound, RuleRefused, Unavailable
from services.core.findings import Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.outcomes.change_rules import remits
from services.outcomes.cohort_cases import Scope, count_treated, read_cases, treated
from services.outcomes.cohort_rules import Tally
from services.outcomes.intervals import Confidence
from services.outcomes.suppression import ALL_ROWS, Table, rows_of, shown_counts
from services.people.access import Action, authorize
from services.people.models import Organisation
from services.people.programmes import holding, is_known
from services.people.settings import settings

PUBLISHED: Final = Path(__file__).with_name("published_figures.toml")
EMPTY: Final = "Nobody had a first dose under this programme in these years."
# Of which numbers a rate of the row's total is told.
RATES: Final[Mapping[str, tuple[str, ...]]] = {
    "outcome": ("improved", "responded", "remission", "deteriorated", "negative"),
    "response": ("responded", "not_responded"),
}

TOO_MANY: Final = declare(
    "outcomes.cohort_too_large",
    Severity.STOP,
    "DOMAIN 6",
    "This cohort has {number} patients, more than {value}: make the report with the command cohort-report.",
    setting="outcomes.cohort.asked_at_once",
)
UNKNOWN: Final = declare(
    "outcomes.cohort_programme",
    Severity.STOP,
    "DOMAIN 1",
    "There is no programme of this name.",
    fixed="programmes are adopted, not set",
)
YEARS_IN_ORDER: Final = declare(
    "outcomes.cohort_years",
    Severity.STOP,
    "DOMAIN 6",
    "The last year lies before the first.",
    fixed="the order of the years",
)
YEAR_NOT_OVER: Final = declare(
    "outcomes.cohort_year_not_over",
    Severity.STOP,
    "DOMAIN 6",
    "Only a whole year that is over is reported: two reports of a year that goes on may tell of few.",
    fixed="what could be subtracted is not told",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure and what it is compared with: ``name`` in ``row`` of ``table``; percentages."""

    id: str
    says: str
    table: str
    row: str
    name: str
    low: float
    high: float
    source: str


@lru_cache(maxsize=1)
def published_figures() -> tuple[Figure, ...]:
    """What practices publish of themselves, from ``published_figures.toml``."""
    return tuple(Figure(**each) for each in tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))["figures"])


def scope_of_team(session: Session, team_id: UUID, programme: str | None = None, year: int | None = None) -> Scope:
    """The patients of a medical team in one whole year; what is not named is the team's own programme and last year.

    No years together and none that goes on: the difference of two reports of the same patients may tell of few. Raises
    ``RuleRefused`` for a year that is not over (UTC).
    """
    team = session.get(Organisation, team_id)
    known = programme or (None if team is None else team.programme) or settings().name
    this_year = clock.now().year
    asked = this_year - 1 if year is None else year
    if asked >= this_year:
        raise RuleRefused("This year is not over.", [YEAR_NOT_OVER.finding()], field="year")
    return Scope(known, asked, asked, team_id)


def cohort_report(
    session: Session,
    actor: Actor,
    scope: Scope,
    *,
    progress: Callable[[int, int], None] | None = None,
    at_once: bool = True,
) -> dict[str, Any]:
    """The report of a scope, as plain JSON types; an audited read.

    A prescriber gets that of the own medical team, operations that of any. ``progress`` hears how many of how many
    patients were read. Raises as ``authorize`` does, ``NotFound`` for another team, ``RuleRefused`` for an unknown
    programme, for years in the wrong order and, when somebody waits (``at_once``), for a cohort that takes too long.
    """
    authorize(actor, Action.READ_COHORT)
    if actor.role not in (Role.OPERATIONS, Role.SYSTEM) and scope.medical_team_id != actor.organisation_id:
        raise NotFound("There is no such medical team, or it is not yours.")
    if not is_known(session, scope.programme):
        raise RuleRefused("There is no such programme.", [UNKNOWN.finding()], field="programme")
    if scope.last_year < scope.first_year:
        raise RuleRefused("The last year lies before the first.", [YEARS_IN_ORDER.finding()], field="to")
    programme = holding(session, scope.programme)
    number = count_treated(session, scope)
    if at_once:
        check_size(number, programme)
    record(
        session,
        actor,
        "cohort.read",
        "programme",
        scope.medical_team_id,
        programme=scope.programme,
        years=[scope.first_year, scope.last_year],
    )
    tally = Tally(programme)
    episodes = treated(session, scope)
    for page in read_cases(session, episodes, programme):
        for case in page:
            tally.add(case)
        if progress is not None:
            progress(tally.people, len(episodes))
    try:
        return report_of(tally, scope, programme)
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed here: a report needs requirements/reports.txt.") from None


def check_size(number: int, programme: Programme) -> None:
    """Raise ``RuleRefused`` for more patients than somebody can wait for."""
    if number > programme.whole(str(TOO_MANY.setting)):
        finding = TOO_MANY.finding(programme, says={"number": number})
        raise RuleRefused("This takes too long to wait for.", [finding], field="from")


def report_of(tally: Tally, scope: Scope, programme: Programme) -> dict[str, Any]:
    """The report of what was counted, as plain JSON types; numbers that are left out are null."""
    small, confidence = programme.whole("outcomes.cohort.small_cell_up_to"), Confidence.of(programme)
    tables = tally.tables()
    shown = {name: shown_counts(table, small) for name, table in tables.items()}
    return {
        "programme": scope.programme,
        "programme_version": programme.version,
        "first_year": scope.first_year,
        "last_year": scope.last_year,
        "medical_team": None if scope.medical_team_id is None else str(scope.medical_team_id),
        "method": {
            "interval": {"wilson": "Wilson score", "exact": "Clopper-Pearson"}[confidence.method],
            "confidence_percent": confidence.percent,
            "follow_up_days": programme.whole("outcomes.cohort.follow_up_days"),
            "small_cells_up_to": small,
            "patients": "with a first dose in these years (UTC), each counted once in a table",
        },
        "message": None if tables else EMPTY,
        "figures": _figures(tables, shown, confidence),
        "tables": {name: rows_of(table, shown[name]) for name, table in tables.items()},
        "rates": [rate for name in tables for rate in _rates(name, tables[name], shown[name], programme)],
        "first_dose_days": _waits(tally, shown.get("people", {}), small),
    }


Shown = Mapping[tuple[str, str], int | None]


def _figures(tables: Mapping[str, Table], shown: Mapping[str, Shown], confidence: Confidence) -> list[dict[str, Any]]:
    """The published figures, each with ours beside it; null where nobody was assessed or where it would tell of few."""
    return [
        {
            "id": figure.id,
            "says": figure.says,
            "published_low": figure.low,
            "published_high": figure.high,
            "source": figure.source,
            **_rate(shown.get(figure.table, {}), figure.row, figure.name, confidence),
            "assessed": figure.table in tables and figure.row in (*tables[figure.table].rows, ALL_ROWS),
        }
        for figure in published_figures()
    ]


def _rates(name: str, table: Table, shown: Shown, programme: Programme) -> list[dict[str, Any]]:
    confidence = Confidence.of(programme)
    told = RATES.get(name.partition(".")[0], ())
    return [
        {"table": name, "row": row, "name": each, **_rate(shown, row, each, confidence)}
        for row in (*table.rows, ALL_ROWS)
        for each in told
        if each in table.names(row) and not (each == "remission" and not remits(name.partition(".")[2], programme))
    ]


def _rate(shown: Shown, row: str, name: str, confidence: Confidence) -> dict[str, Any]:
    count, of = shown.get((row, name)), shown.get((row, "total"))
    interval = None if count is None or not of else confidence.interval(count, of).as_dict()
    return {"count": count, "of": of, **(interval or dict.fromkeys(("percent", "low", "high")))}


def _waits(tally: Tally, people: Shown, small: int) -> dict[str, dict[str, Any]]:
    """The days from referral to first dose, by indication; only where the number of patients is shown as well."""
    waits = {**tally.waits(), ALL_ROWS: [days for each in tally.waits().values() for days in each]}
    found = {}
    for row, days in sorted(waits.items(), key=lambda each: (each[0] == ALL_ROWS, each[0])):
        if days:
            is_shown = people.get((row, "total")) is not None and len(days) > small
            found[row] = _quartiles(days) if is_shown else dict.fromkeys(("lower_quartile", "median", "upper_quartile"))
    return found


def _quartiles(days: Sequence[int]) -> dict[str, float | None]:
    lower, median, upper = statistics.quantiles(days, n=4, method="inclusive")
    return {"lower_quartile": lower, "median": median, "upper_quartile": upper}
