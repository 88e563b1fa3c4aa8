"""Commands on programmes: check a file, put it into force, see which versions are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import click

from services.core.actors import SYSTEM
from services.core.database import transaction
from services.core.programme import Programme, load_programme
from services.people import programmes
from services.screening.instruments import check_asked
from services.wording import check_wording

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("check-programme")
@click.argument("file", type=_FILE)
def check_programme(file: Path) -> None:
    """Check a programme FILE and show what it would change. Nothing is stored.

    What is wrong is named with its line and key.
    """
    given = _loaded(file)
    programmes.check_complete(given)
    with transaction() as session:
        known = programmes.is_known(session, given.name)
        before = programmes.holding(session, given.name) if known else None
    click.echo(f"{file.name}: {given.title}, version {given.version}, from {given.effective_from}")
    click.echo("Starting values: good for trying out, not to be adopted." if given.is_starting else _approver(given))
    _show_changes(programmes.changes_between(before, given), "in force")


@click.command("adopt-programme")
@click.argument("file", type=_FILE)
@click.option("--approver", type=click.UUID, required=True, help="Account of the medical director whom the file names.")
def adopt_programme(file: Path, approver: UUID) -> None:
    """Put a programme FILE into force from its day on.

    New episodes and new decisions follow it; episodes decided before stay with the version they were decided under.
    """
    with transaction() as session:
        adoption = programmes.adopt(session, SYSTEM, approver, _loaded(file))
    click.echo(f"adopted {adoption.programme.version}, in force from {adoption.programme.effective_from}")
    _show_changes(adoption.changes, "in force until then")


@click.command("list-programmes")
def list_programmes() -> None:
    """List the versions of programmes that were adopted, newest first."""
    with transaction() as session:
        adoptions = programmes.list_adoptions(session)
    for each in adoptions:
        click.echo(f"{each.version:<50}  from {each.effective_from}  adopted {each.adopted_at:%Y-%m-%d %H:%M}Z")
    click.echo(f"{len(adoptions)} adoption(s)")


def _loaded(file: Path) -> Programme:
    given = load_programme(file)
    check_asked(given)
    check_wording(given, file)
    return given


def _approver(given: Programme) -> str:
    return f"Approved by {given.approved_by}."


def _show_changes(changes: Mapping[str, tuple[object, object]], against: str) -> None:
    for name, (old, new) in changes.items():
        click.echo(f"  {name}: {_value(old)} → {_value(new)}")
    click.echo(f"{len(changes)} setting(s) differ from what is {against}." if changes else "No setting differs.")


def _value(value: object) -> str:
    return "–" if value is None else str(value)
