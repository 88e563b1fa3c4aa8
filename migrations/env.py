"""Runs the numbered migrations, each in a transaction of its own, against the database of the given connection."""

from alembic import context
from sqlalchemy import Connection

from services.core.database import engine
from services.tables import metadata


def run(connection: Connection) -> None:
    """Bring the database to the asked revision."""
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True, compare_type=True
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with engine().connect() as own:
        run(own)
