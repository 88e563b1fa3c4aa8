"""The command that reports the outcomes of a programme."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import UUID

import click

from services.core.actors import SYSTEM
from services.core.database import transaction
from services.core.errors import InvalidConfiguration
from services.outcomes.cohort_cases import Scope
from services.outcomes.cohort_documents import FORMATS, document, format_of
from services.outcomes.cohort_reports import cohort_report

_YEAR = click.IntRange(2000, 2199)


@click.command("cohort-report")
@click.option("--programme", required=True, help="The name of a programme; all its versions count.")
@click.option("--from", "first_year", type=_YEAR, required=True, help="The first year of first doses.")
@click.option("--to", "last_year", type=_YEAR, required=True, help="The last year, included.")
@click.option("--medical-team", type=click.UUID, help="Only the patients of one team, by its id.")
@click.option(
    "--to-file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help=f"A new file; its ending says what to write: {', '.join(FORMATS)}.",
)
def cohort_report_command(
    programme: str, first_year: int, last_year: int, medical_team: UUID | None, path: Path
) -> None:
    """Report what became of the patients of a programme, beside the published figures.

    Counts of many only: cells of few people are left out, and whatever would give them away. Do not hand out two
    reports of the same patients cut differently: their difference may tell of few. Needs requirements/reports.txt.
    """
    wanted = format_of(path)
    scope = Scope(programme, first_year, last_year, medical_team)
    # Opened first: what cannot be written down must not be on the trail as handed out.
    with open(path, "xb", opener=_private) as stream:
        try:
            with (
                transaction() as session,
                click.progressbar(length=1, label="reading patients", file=sys.stderr, show_pos=True) as bar,
            ):

                def show(done: int, total: int) -> None:
                    bar.length = total
                    bar.update(done - bar.pos)

                report = cohort_report(session, SYSTEM, scope, progress=show, at_once=False)
                stream.write(document(report, wanted))
        except ImportError as error:
            path.unlink()
            raise InvalidConfiguration(f"{error.name} is not installed: install requirements/reports.txt.") from None
        except BaseException:
            path.unlink()
            raise
    people = report["tables"].get("people", {}).get("all", {}).get("total", 0)
    click.echo(report["message"] or f"{'few' if people is None else people} patient(s) reported to {path}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
