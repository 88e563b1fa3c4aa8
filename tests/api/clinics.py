"""A clinic in full swing in a database of its own, committed, for tests that call everything there is."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

import services.tables  # noqa: F401 - so that every table is known
from services.core import clock
from services.core.actors import Role
from services.core.database import Base, Sessions, engine
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
        if isinstance(body, dict) and body.get("therapist_ids") == [str(AN_ID)]:
            body["therapist_ids"] = [str(self.everything.world.therapist.id)]
        if isinstance(body, dict) and {"starts_at", "ends_at"} <= body.keys():
            begins = clock.now() + timedelta(days=1)
            body |= {"starts_at": begins.isoformat(), "ends_at": (begins + timedelta(hours=1)).isoformat()}
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
    return list(operation.policy)


def call(caller: Caller, clinic: Clinic, operation: Operation, *, turn: int = 0, **options: Any) -> TestResponse:
    """Call with ids that exist and, unless told otherwise, a body that fits and a version where one is needed."""
    if operation.parameters("header").get("If-Match", {}).get("required"):
        options["headers"] = {"If-Match": '"1"', **options.get("headers", {})}
    if operation.body is not None and "data" not in options:
        body = options.pop("json") if "json" in options else clinic.body_for(operation)
        options |= {"data": json.dumps(body), "content_type": "application/json"}
    # Whoever has no token is counted by address, and is somebody else each time here.
    options["environ_overrides"] = {
        "REMOTE_ADDR": f"10.{secrets.randbelow(2**24)}",
        **options.pop("environ_overrides", {}),
    }
    options.pop("json", None)
    return caller.request(operation.method, operation.at(**clinic.ids_for(operation, turn)), **options)


def ways(
    operation: Operation, clinic: Clinic, callers: Mapping[Role, Caller], api: Api
) -> Iterator[tuple[Caller, dict[str, Any]]]:
    """Ways to call an operation of which perhaps one succeeds: each role, several ids, a full body and a bare one."""
    people = [callers[role] for role in allowed(operation)] or [api.anonymous()]
    turns = range(max((len(clinic.everything.ids[name]) for name in operation.path_names), default=1))
    bare, whole = clinic.body_for(operation, full=False), clinic.body_for(operation)
    for caller, turn, body in itertools.product(people, turns, [bare] if bare == whole else [bare, whole]):
        how: dict[str, Any] = {"turn": turn, "json": body}
        if operation.parameters("header").get("If-Match", {}).get("required"):
            present = caller.get(operation.at(**clinic.ids_for(operation, turn))).headers.get("ETag", '"1"')
            how["headers"] = {"If-Match": present}
        yield caller, how


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
