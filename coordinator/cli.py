"""The command line for whoever runs the service. Every command reads the same environment as the processes.

Passwords are asked for, tokens and authenticator addresses shown once on the terminal; none of them ever stands in the
arguments, where other users of the machine could read them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import click
from psycopg import errors as postgres
from sqlalchemy import exc, select

from coordinator.commands import organisations as organisation_commands
from coordinator.commands import programmes as programme_commands
from coordinator.commands.cohorts import cohort_report_command
from coordinator.commands.content_packs import check_content_pack
from coordinator.commands.replays import replay
from services import exports, tables
from services.audit.records import record
from services.audit.verification import sign_heads, verify
from services.core.actors import SYSTEM, Role
from services.core.config import config
from services.core.database import transaction
from services.core.errors import CoordinationError
from services.core.personal import Personal, Secret
from services.core.vocabulary import Party
from services.messaging import outbox
from services.messaging.models import DeadLetter
from services.people import accounts, organisations, tokens
from services.people.models import OrganisationKind
from services.vault import boxes, keyring, rotation
from services.vault.models import Purpose

ROLES: Final = [role.value for role in accounts.WORKPLACES]
VAULTS: Final = ((Purpose.RECORD, "vault.json"), (Purpose.PSYCHOTHERAPY_NOTES, "psychotherapy_notes.json"))


class _Commands(click.Group):
    """Says in a sentence, not in a traceback, what the service refuses or cannot reach."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except CoordinationError as error:
            raise click.ClickException(_sentence(error)) from None
        except exc.ProgrammingError as error:
            if not isinstance(error.orig, postgres.UndefinedTable):
                raise
            raise click.ClickException(
                "The database lacks tables. Migrate it first: python -m alembic -c pyproject.toml upgrade head"
            ) from None
        except (exc.OperationalError, exc.TimeoutError):
            # Not the driver's own words: they may hold the address with its password.
            raise click.ClickException(
                "The database does not answer. Does it run, and is DATABASE_URL right?"
            ) from None
        except (FileExistsError, FileNotFoundError, PermissionError, NotADirectoryError) as error:
            raise click.ClickException(f"{error.filename or 'A file'}: {error.strerror}.") from None


def _sentence(error: CoordinationError) -> str:
    findings = [f"\n  {each.sentence}" for each in error.findings if each.sentence != error.message]
    place = f"--{error.field.replace('_', '-')}: " if error.field else ""
    return place + error.message + "".join(findings)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Reads the environment of the service (DATABASE_URL, COORDINATOR_KEYRING and so on). Where it runs by "
    "'make run', load that first:  . var/run/environment",
)
def main() -> None:
    """Run and look after the KAP coordinator."""


for command in (
    organisation_commands.create_location,
    programme_commands.check_programme,
    programme_commands.adopt_programme,
    programme_commands.list_programmes,
    replay,
    cohort_report_command,
    check_content_pack,
):
    main.add_command(command)


@main.command("create-organisation")
@click.option("--kind", type=click.Choice([kind.value for kind in OrganisationKind]), required=True)
@click.option("--name", required=True, help="At most 120 characters.")
@click.option("--short-name", required=True, help="As patients know it, for text messages; at most 24 characters.")
@click.option("--phone", required=True, help="Which patients may call.")
@click.option("--street", required=True)
@click.option("--city", required=True)
@click.option("--state", required=True, help="Two letters.")
@click.option("--postal-code", required=True)
@click.option("--zone", help="An IANA time zone; default: that of the state.")
@click.option("--operates-in", multiple=True, help="A medical team's state of operation; repeat for more.")
@click.option("--medical-team", type=click.UUID, help="A practice's medical team, by its id.")
@click.option("--pharmacy", type=click.UUID, help="A practice's pharmacy, by its id.")
@click.option("--programme", help="By which programme it works; default: the configured one.")
def create_organisation(
    kind: str, operates_in: tuple[str, ...], medical_team: UUID | None, pharmacy: UUID | None, **texts: Any
) -> None:
    """Add a practice, medical team, pharmacy or operations desk; prints its id.

    Begin with the operations desk, which owns what belongs to nobody else, then the medical team and the pharmacy, then
    the practices that work with them.
    """
    details = organisations.OrganisationDetails(
        kind=OrganisationKind(kind),
        states_of_operation=operates_in,
        partner_medical_team_id=medical_team,
        partner_pharmacy_id=pharmacy,
        **texts,
    )
    with transaction() as session:
        organisation = organisations.create_organisation(session, SYSTEM, details)
    click.echo(f"organisation {organisation.id}")


@main.command("create-account")
@click.option("--organisation", type=click.UUID, required=True, help="The id that create-organisation printed.")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--email", prompt=True, help="Asked for when left out, like name and phone.")
@click.option("--full-name", prompt=True)
@click.option(
    "--phone", prompt="Phone (empty for none)", default="", show_default=False, help="To be paged when on call."
)
@click.option("--on-call", is_flag=True, help="Page this person; needs a phone.")
def create_account(organisation: UUID, role: str, email: str, full_name: str, phone: str, on_call: bool) -> None:
    """Create an account; asks for its password. The authenticator's address is shown once."""
    password = Secret(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    details = accounts.AccountDetails(
        organisation_id=organisation,
        role=Role(role),
        email=Personal(email),
        full_name=Personal(full_name),
        phone=Personal(phone) if phone.strip() else None,
        on_call=on_call,
    )
    with transaction() as session:
        created = accounts.create_account(session, SYSTEM, details, password)
    click.echo(f"account {created.account.id}")
    click.echo(f"authenticator {created.enrolment.reveal()}")
    click.echo("Give the authenticator's address to an authenticator app now: it is not shown again.", err=True)


@main.command("issue-token")
@click.option("--account", type=click.UUID, required=True, help="The id that create-account printed.")
@click.option("--read-only", is_flag=True, help="Good for looking only.")
@click.option("--label", default="command line", show_default=True, help="What it is for, shown to its holder.")
@click.option("--days", type=click.IntRange(1, 365), help="How long it lives; default: as long as a sign-in.")
def issue_token(account: UUID, read_only: bool, label: str, days: int | None) -> None:
    """Issue a bearer token for an account; it is shown once."""
    scope = tokens.Scope.READ if read_only else tokens.Scope.API
    lifetime = None if days is None else timedelta(days=days)
    with transaction() as session:
        holder = accounts.account_of(session, account)
        issued = tokens.issue_token(session, SYSTEM, holder, scopes=(scope,), label=label, lifetime=lifetime)
    click.echo(f"token {issued.token.reveal()}")
    click.echo(f"expires {issued.expires_at.isoformat()}")


@main.command("create-keys")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def create_keys(directory: Path) -> None:
    """Create a complete keyring in an empty DIRECTORY. Keep a copy: without it nothing can be read again."""
    keyring.generate(directory, for_laptop=False)
    click.echo(f"keys created in {directory}; give each process only the files it needs (docs/operations.md)")


@main.command("rotate-keys")
@click.option("--prepare", is_flag=True, help="Only add the new keys to the key files, to be copied to all machines.")
@click.option("--new-keys/--no-new-keys", default=True, help="Without: go on with the keys that are active now.")
@click.option(
    "--reseal/--no-reseal", default=True, help="Without: only rewrap the data keys; all values stay as sealed."
)
@click.option("--wait/--no-wait", default=True, help="Without: no process of the service runs at the moment.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate_keys(prepare: bool, new_keys: bool, reseal: bool, wait: bool, yes: bool) -> None:
    """Make new key-encryption and party keys, rewrap all data keys and re-encrypt every sealed value.

    The service goes on running. Older keys stay in the keyring and only decrypt. It can be stopped at any time; run it
    again, with --no-new-keys, to go on. With several machines: --prepare, copy the key files, rotate, copy them again.
    """
    directory = config().keyring
    with keyring.changing(directory):
        if new_keys or prepare:
            if not yes:
                click.confirm(f"Add new keys to {directory}, of which you keep a copy?", abort=True)
            _renew_keys(directory, activate=not prepare)
        if not prepare:
            _move_to_active_keys(reseal, wait)


def _renew_keys(directory: Path, *, activate: bool) -> None:
    for purpose, file in VAULTS:
        name = keyring.renew_key(directory / file, "record", activate=activate)
        click.echo(f"{purpose.value}: key {name} {'is active' if activate else 'prepared'}")
    for party in Party:
        keyring.renew_party_keys(directory, party, activate=activate)
    click.echo(f"sealing keys of {len(Party)} parties {'renewed' if activate else 'prepared'}")
    with transaction() as session:
        record(session, SYSTEM, "keys.renew" if activate else "keys.prepare", "keyring", None)


def _move_to_active_keys(reseal: bool, wait: bool) -> None:
    unreadable: dict[str, None] = {}  # a set that keeps its order
    for purpose, _ in VAULTS:
        if reseal:
            _follow(f"{purpose.value}: data keys renewed", rotation.renew_data_keys(purpose), unreadable)
        _follow(f"{purpose.value}: data keys rewrapped", rotation.rewrap(purpose), unreadable)
    if reseal:
        if wait:
            _wait_for_processes()
        _follow("values sealed anew", rotation.reseal(tables.metadata), unreadable)
    with transaction() as session:
        record(session, SYSTEM, "keys.rotate", "keyring", None, resealed=reseal, unreadable=len(unreadable))
    for place in unreadable:
        click.echo(f"{place} does not open", err=True)
    if unreadable:
        raise click.ClickException(f"{len(unreadable)} value(s) do not open and were left as they are.")


def _follow(what: str, batches: Iterable[rotation.Batch], unreadable: dict[str, None]) -> None:
    total = 0
    for batch in batches:
        total += batch.moved
        unreadable.update(dict.fromkeys(batch.unreadable))
        _show_progress(f"{what}: {total}")
    _show_progress("")
    click.echo(f"{what}: {total}")


def _wait_for_processes() -> None:
    """Processes of the service remember data keys for a while, and until then seal with the ones they remember."""
    until = time.monotonic() + boxes.CACHE_SECONDS
    click.echo(f"waiting {boxes.CACHE_SECONDS:.0f} seconds, until all running processes use the new data keys")
    while (left := until - time.monotonic()) > 0:
        _show_progress(f"{left:.0f} seconds left")
        time.sleep(min(1.0, left))
    _show_progress("")


def _show_progress(text: str) -> None:
    """One line on a terminal, written over by the next; nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


@main.command("verify-audit")
def verify_audit() -> None:
    """Check the whole audit trail; exits 1 and names every damage when it is not whole."""
    with transaction() as session:
        damages = verify(session, config().audit_heads_file)
    for damage in damages:
        click.echo(
            f"chain {damage.chain}, record {damage.sequence}: {damage.what}" if damage.chain >= 0 else damage.what
        )
    if damages:
        raise click.ClickException(f"The audit trail is damaged in {len(damages)} place(s).")
    with transaction() as session:
        sign_heads(session, config().audit_heads_file)
    click.echo("The audit trail is whole.")


@main.command("list-dead-letters")
@click.option("--all", "show_all", is_flag=True, help="Also those already replayed.")
def list_dead_letters(show_all: bool) -> None:
    """List envelopes that could not be read or handled."""
    query = select(DeadLetter).order_by(DeadLetter.buried_at)
    with transaction() as session:
        letters = session.scalars(query if show_all else query.where(DeadLetter.replayed_at.is_(None))).all()
    for letter in letters:
        state = "replayed" if letter.replayed_at else "waiting"
        buried_at = f"{letter.buried_at:%Y-%m-%d %H:%M:%S}Z"
        click.echo(f"{letter.id}  {buried_at}  {letter.party:<13} {letter.kind:<28} {letter.reason:<20} {state}")
    click.echo(f"{len(letters)} dead letter(s)")


@main.command("replay-dead-letter")
@click.argument("letter", type=click.UUID)
def replay_dead_letter(letter: UUID) -> None:
    """Give the event of a dead LETTER (its id) another life, after its cause was mended."""
    with transaction() as session:
        outbox.replay(session, letter)
    click.echo("The event will be relayed again.")


@main.command("export-patient")
@click.argument("patient", type=click.UUID)
@click.option("--to", "path", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new file.")
def export_patient(patient: UUID, path: Path) -> None:
    """Write everything held about a PATIENT (an id), opened, to a new file that only you can read.

    Psychotherapy notes are never part of it. The export stands on the audit trail.
    """
    # Opened first: what cannot be written down must not be on the trail as handed out.
    with open(path, "x", encoding="utf-8", opener=_private) as stream:
        try:
            with transaction() as session:
                document = exports.export_patient(session, SYSTEM, patient)
                json.dump(document, stream, indent=2, ensure_ascii=False)
        except BaseException:
            path.unlink()
            raise
    records = document["records"]
    click.echo(f"{sum(map(len, records.values()))} records of {len(records)} kinds written to {path}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
