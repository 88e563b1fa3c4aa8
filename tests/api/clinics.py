"""A clinic in full swing in a database of its own, committed, for tests that call everything there is."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

import services.tables  # noqa: F401 - so that every table is known
from services.core.actors import Role
from services.core.database import Base, Sessions, engine
from services.people.access import POLICY, Action
from services.people.models import Episode
from services.vault import boxes
from tests.api.conftest import Api, Caller
from tests.factories import World, make_episode, make_world
from tests.factories_everything import Everything, make_everything
from tests.operations import Operation
from tests.samples import AN_ID, fitting
from tests.servers import Servers

AUDIT = ("audit_records", "audit_chains")


@dataclass(frozen=True)
class Clinic:
    """One clinic with everything, and another one that has nothing to do with it."""

    engine: Engine
    everything: Everything
    other_world: World
    other_episode: Episode

    def ids_for(self, operation: Operation, turn: int = 0) -> dict[str, Any]:
        """Ids that exist, for the operation's path."""
        known = self.everything.ids
        return {name: known[name][turn % len(known[name])] for name in operation.path_names}

    def body_for(self, operation: Operation, *, full: bool = True) -> Any:
        """A body that fits, about this clinic's patient; None for an operation without one."""
        body = None if operation.body is None else fitting(operation.body, full=full)
        if isinstance(body, dict) and body.get("episode_id") == str(AN_ID):
            body["episode_id"] = str(self.everything.episode.id)
        return body

    def callers(self, api: Api) -> dict[Role, Caller]:
        """Somebody of each role, with a fresh token."""
        staff = {role: api.as_account(account) for role, account in self.everything.role_accounts.items()}
        return {**staff, Role.PATIENT: api.as_patient(self.everything.episode)}

    def strangers(self, api: Api) -> dict[Role, Caller]:
        """Somebody of each role from the other clinic."""
        other = Everything(self.other_world, self.everything.case, {})
        staff = {role: api.as_account(account) for role, account in other.role_accounts.items()}
        return {**staff, Role.PATIENT: api.as_patient(self.other_episode)}


def allowed(operation: Operation) -> list[Role]:
    """The roles that the access table names for an operation; nobody in particular where anybody may call."""
    return [] if operation.is_public else list(POLICY[Action(operation.action)])


@contextmanager
def open_clinic(servers: Servers) -> Iterator[Clinic]:
    """Build a clinic and commit it. The time is that of its last request for a refill until the block ends."""
    name = f"clinic_{secrets.token_hex(6)}"
    engine = create_engine(servers.database(name), connect_args={"options": "-c timezone=UTC"})
    try:
        with Session(engine, expire_on_commit=False) as session, make_everything(session) as everything:
            other = make_world(session)
            clinic = Clinic(engine, everything, other, make_episode(session, world=other))
            session.commit()
            session.expunge_all()
            yield clinic
    finally:
        boxes.forget_boxes()
        engine.dispose()
        servers.postgres.drop_database(name)


@contextmanager
def working_in(clinic_engine: Engine) -> Iterator[Session]:
    """A session on a clinic's database, which the application works in too; all of it is undone afterwards."""
    engine()  # so that nobody makes one later, which would take the place of this
    before = dict(Sessions.kw)
    with clinic_engine.connect() as connection:
        outer = connection.begin()
        Sessions.configure(bind=connection, join_transaction_mode="create_savepoint")
        try:
            with Sessions() as opened:
                yield opened
        finally:
            Sessions.kw.clear()
            Sessions.kw.update(before)
            outer.rollback()


@contextmanager
def undone(session: Session) -> Iterator[None]:
    """Whatever is committed inside did not happen."""
    mark = session.connection().begin_nested()
    try:
        yield
    finally:
        mark.rollback()


def fingerprint(session: Session, *, ignoring: Collection[str] = ()) -> dict[str, tuple[int, int]]:
    """Every table's number of rows and a sum over their contents: equal before and after means nothing was written."""
    tables = [table.name for table in Base.metadata.sorted_tables if table.name not in ignoring]
    query = " UNION ALL ".join(
        f"SELECT '{name}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {name} t" for name in tables
    )
    return {name: (count, int(content)) for name, count, content in session.execute(text(query))}
