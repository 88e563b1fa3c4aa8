"""Commands on organisations: the locations of a practice."""

from __future__ import annotations

from uuid import UUID

import click

from services.core.actors import SYSTEM
from services.core.database import transaction
from services.people import locations


@click.command("create-location")
@click.option(
    "--practice", "practice_id", type=click.UUID, required=True, help="The id that create-organisation printed."
)
@click.option("--name", required=True, help="At most 120 characters.")
@click.option("--street", required=True)
@click.option("--city", required=True)
@click.option("--state", required=True, help="Two letters.")
@click.option("--postal-code", required=True)
def create_location(practice_id: UUID, **texts: str) -> None:
    """Add a place where a practice treats besides its own address; prints its id."""
    with transaction() as session:
        details = locations.LocationDetails(practice_id=practice_id, **texts)
        location = locations.create_location(session, SYSTEM, details)
    click.echo(f"location {location.id}")
