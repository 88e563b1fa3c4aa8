"""The command line for whoever runs the service. Every command reads the same environment as the processes.

Secrets are asked for or shown once on the terminal; they never stand in the arguments, where other users of the
machine could read them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import click
from sqlalchemy import select

from services import exports
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
from services.vault import keyring, rotation
from services.vault.models import Purpose

ROLES = [role.value for role in Role if role not in (Role.PATIENT, Role.SYSTEM, Role.NOBODY)]


class _Commands(click.Group):
    """Shows what the service refuses as a sentence, not as a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except CoordinationError as error:
            raise click.ClickException(error.message) from None


@click.group(cls=_Commands)
def main() -> None:
    """Run and look after the KAP coordinator."""


@main.command("create-organisation")
@click.option("--kind", type=click.Choice([kind.value for kind in OrganisationKind]), required=True)
@click.option("--name", required=True)
@click.option("--short-name", required=True, help="As patients know it, for text messages; at most 24 characters.")
@click.option("--phone", required=True)
@click.option("--street", required=True)
@click.option("--city", required=True)
@click.option("--state", required=True, help="Two letters.")
@click.option("--postal-code", required=True)
@click.option("--operates-in", multiple=True, help="A medical team's state of operation; repeat for more.")
@click.option("--medical-team", type=click.UUID, help="A practice's medical team.")
@click.option("--pharmacy", type=click.UUID, help="A practice's pharmacy.")
def create_organisation(
    kind: str, operates_in: tuple[str, ...], medical_team: UUID | None, pharmacy: UUID | None, **texts: str
) -> None:
    """Add a practice, medical team, pharmacy or operations desk."""
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
@click.option("--organisation", type=click.UUID, required=True)
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--email", prompt=True)
@click.option("--full-name", prompt=True)
@click.option("--phone", prompt=True)
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True)
def create_account(organisation: UUID, role: str, email: str, full_name: str, phone: str, password: str) -> None:
    """Create an account. Its authenticator address is shown once."""
    details = accounts.AccountDetails(
        organisation_id=organisation,
        role=Role(role),
        email=Personal(email),
        full_name=Personal(full_name),
        phone=Personal(phone),
    )
    with transaction() as session:
        created = accounts.create_account(session, SYSTEM, details, Secret(password))
    click.echo(f"account {created.account.id}")
    click.echo(f"authenticator {created.enrolment.reveal()}")


@main.command("issue-token")
@click.option("--account", type=click.UUID, required=True)
@click.option("--read-only", is_flag=True)
@click.option("--label", default="command line")
def issue_token(account: UUID, read_only: bool, label: str) -> None:
    """Issue a bearer token for an account; it is shown once."""
    scope = tokens.Scope.READ if read_only else tokens.Scope.API
    with transaction() as session:
        holder = accounts.account_of(session, account)
        issued = tokens.issue_token(session, SYSTEM, holder, scopes=(scope,), label=label)
    click.echo(f"token {issued.token.reveal()}")
    click.echo(f"expires {issued.expires_at.isoformat()}")


@main.command("create-keys")
@click.argument("directory", type=click.Path(path_type=Path))
def create_keys(directory: Path) -> None:
    """Create a complete keyring in an empty DIRECTORY. Keep a copy: without it nothing can be read again."""
    keyring.generate(directory, for_laptop=False)
    click.echo(f"keys created in {directory}; give each process only the files it needs (docs/operations.md)")


@main.command("rotate-keys")
@click.option("--reseal/--no-reseal", default=True, help="Also move every sealed column to a fresh data key.")
def rotate_keys(reseal: bool) -> None:
    """Make new key-encryption and party keys, rewrap all data keys, then re-encrypt in the background of the service.

    Older keys stay in the keyring and only decrypt. Can be stopped and run again.
    """
    directory = config().keyring
    for purpose, path in ((Purpose.RECORD, "vault.json"), (Purpose.PSYCHOTHERAPY_NOTES, "psychotherapy_notes.json")):
        name = keyring.add_key(directory / path, "record")
        click.echo(f"{purpose.value}: key {name} is active")
        _count("data keys rewrapped", rotation.rewrap(purpose))
        if reseal:
            _count("data keys renewed", rotation.renew_data_keys(purpose))
    for party in Party:
        keyring.add_party_keys(directory, party)
    click.echo(f"sealing keys renewed for {len(Party)} parties")
    if reseal:
        _count("values sealed anew", (moved for _, moved in rotation.reseal()))
    with transaction() as session:
        record(session, SYSTEM, "keys.rotate", "keyring", None, resealed=reseal)


def _count(what: str, batches: Iterable[int]) -> None:
    total = 0
    for count in batches:
        total += count
        if sys.stderr.isatty():
            click.echo(f"\r{what}: {total}", nl=False, err=True)
    if sys.stderr.isatty():
        click.echo("", err=True)
    click.echo(f"{what}: {total}")


@main.command("verify-audit")
def verify_audit() -> None:
    """Check the whole audit trail; exits 1 and names every damage when it is not whole."""
    with transaction() as session:
        damages = verify(session, config().audit_heads_file)
    for damage in damages:
        click.echo(f"chain {damage.chain}, record {damage.sequence}: {damage.what}")
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
    """Give the event of a dead LETTER another life, after its cause was mended."""
    with transaction() as session:
        outbox.replay(session, letter)
    click.echo("The event will be relayed again.")


@main.command("export-patient")
@click.argument("patient", type=click.UUID)
@click.option("--to", "path", type=click.Path(path_type=Path, dir_okay=False), required=True)
def export_patient(patient: UUID, path: Path) -> None:
    """Write everything held about a PATIENT, opened, to a new file that only you can read. No psychotherapy notes."""
    with transaction() as session:
        document = exports.export_patient(session, SYSTEM, patient)
    with open(path, "x", encoding="utf-8", opener=_private) as stream:
        json.dump(document, stream, indent=2, ensure_ascii=False)
    tables = document["records"]
    click.echo(f"{sum(map(len, tables.values()))} records of {len(tables)} kinds written to {path}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
