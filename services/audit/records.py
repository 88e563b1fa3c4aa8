"""How a use case writes the audit trail: ``record()`` notes it, and leaving the transaction chains and stores it.

Chaining waits until just before the commit, so that a chain is held for two statements only. A transaction takes
whichever chain is free (``FOR UPDATE SKIP LOCKED``): writers do not queue behind each other, and no deadlock is
possible because a transaction never holds two.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import BigInteger, Connection, SmallInteger, bindparam, event, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, SessionTransaction

from services.audit.models import AuditChain
from services.core import clock
from services.core.actors import Actor
from services.core.database import transaction
from services.core.ids import new_id
from services.vault.keyring import keyring

CHAINS = 16

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject_kind: str,
    subject_id: UUID | None,
    *,
    episode_id: UUID | None = None,
    outcome: str = "done",
    **detail: Any,
) -> None:
    """Note one audited act; it is stored in the same transaction as what it describes.

    ``detail`` takes codes, counts and ids. Free text, names, numbers and scores do not belong here.
    """
    codes = {name: _plain(value) for name, value in detail.items()}
    if request_id.get() is not None:
        codes["request"] = request_id.get()
    values = {
        "id": new_id(),
        "at": clock.now(),
        "actor_id": actor.id,
        "actor_role": actor.role.value,
        "action": action,
        "subject_kind": subject_kind,
        "subject_id": subject_id,
        "episode_id": episode_id or actor.episode_id,
        "outcome": outcome,
        "detail": codes,
    }
    session.info.setdefault("audit", []).append(values)


def record_denial(actor: Actor, action: str, subject_kind: str, subject_id: UUID | None, code: str) -> None:
    """Store a refused attempt in a transaction of its own: the refused one has rolled back."""
    with transaction() as session:
        record(session, actor, action, subject_kind, subject_id, outcome="denied", code=code)


@event.listens_for(Session, "before_commit")
def _store_pending(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a savepoint is kept: the transaction around it goes on, and must not go on with a chain in hand
    if not session.info.get("audit"):
        return
    # What has to wait for another transaction's records waits now, before a chain is taken.
    session.flush()
    pending: list[dict[str, Any]] = session.info.pop("audit")
    connection = session.connection()
    chain = _take_chain(connection)
    sequence, mac = chain.sequence, chain.mac
    for values in pending:
        sequence += 1
        mac = chain_code(mac, chain.chain, sequence, values)
        values |= {"sequence": sequence, "mac": mac}
    head = {"of_chain": chain.chain, "to_sequence": sequence, "to_mac": mac}
    head |= {"to_head": head_code(chain.chain, sequence, mac), "records": json.dumps(pending, default=_as_text)}
    connection.execute(_APPEND, head)


@event.listens_for(Session, "after_transaction_create")
def _mark_pending(session: Session, transaction: SessionTransaction) -> None:
    """Remember how much was noted before a transaction or savepoint began."""
    marks = session.info.setdefault("audit_marks", WeakKeyDictionary())
    marks[transaction] = len(session.info.get("audit", ()))


@event.listens_for(Session, "after_soft_rollback")
def _drop_pending(session: Session, rolled_back: SessionTransaction) -> None:
    """What was noted inside goes with it; what was noted before a savepoint stays."""
    mark = session.info.get("audit_marks", {}).get(rolled_back, 0)
    del session.info.get("audit", [])[mark:]


# Prepared once and run on the bare connection: every transaction of the service passes here.
_CHAINS = select(AuditChain.chain, AuditChain.sequence, AuditChain.mac).order_by(AuditChain.chain).limit(1)
_FREE_CHAIN = _CHAINS.with_for_update(skip_locked=True)
_ANY_CHAIN = _CHAINS.with_for_update()
# The records and the end of their chain, in one round trip.
_APPEND = text(
    """
    WITH moved AS (
        UPDATE audit_chains SET sequence = :to_sequence, mac = :to_mac, head_mac = :to_head WHERE chain = :of_chain
    )
    INSERT INTO audit_records (chain, sequence, id, at, actor_id, actor_role, action, subject_kind, subject_id,
                               episode_id, outcome, detail, mac)
    SELECT :of_chain, sequence, id, at, actor_id, actor_role, action, subject_kind, subject_id,
           episode_id, outcome, detail, decode(mac, 'hex')
    FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS record (
        sequence bigint, id uuid, at timestamptz, actor_id uuid, actor_role text, action text, subject_kind text,
        subject_id uuid, episode_id uuid, outcome text, detail jsonb, mac text)
    """
).bindparams(bindparam("of_chain", type_=SmallInteger), bindparam("to_sequence", type_=BigInteger))


def _as_text(value: Any) -> str:
    """A value of a record as PostgreSQL reads it out of JSON."""
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _take_chain(connection: Connection) -> Any:
    free = connection.execute(_FREE_CHAIN).one_or_none()
    if free is not None:
        return free
    # Either all chains are taken, because more than CHAINS transactions commit at once, or the database is new.
    _create_chains(connection)
    return connection.execute(_ANY_CHAIN).one()


def _create_chains(connection: Connection) -> None:
    rows = []
    for chain in range(CHAINS):
        first = first_code(chain)
        rows.append({"chain": chain, "sequence": 0, "mac": first, "head_mac": head_code(chain, 0, first)})
    connection.execute(postgresql.insert(AuditChain).on_conflict_do_nothing(), rows)


def chain_code(previous: bytes, chain: int, sequence: int, values: dict[str, Any]) -> bytes:
    """The code that ties a record to its place and to everything before it (HMAC-SHA-256, 32 bytes)."""
    content = [
        chain,
        sequence,
        *(_plain(values[name]) for name in ("id", "at", "actor_id", "actor_role", "action", "subject_kind")),
        *(_plain(values[name]) for name in ("subject_id", "episode_id", "outcome", "detail")),
    ]
    message = previous + json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
    return hmac.new(keyring().audit_key, message, hashlib.sha256).digest()


def head_code(chain: int, sequence: int, mac: bytes) -> bytes:
    """The code over a chain's end, which makes cutting records off and moving the end back visible."""
    return hmac.new(keyring().audit_key, f"head|{chain}|{sequence}|".encode() + mac, hashlib.sha256).digest()


def first_code(chain: int) -> bytes:
    """What the first record of a chain is tied to."""
    return hashlib.sha256(f"audit chain {chain}".encode()).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000_000)  # what PostgreSQL keeps: microseconds
    return str(value) if isinstance(value, UUID) else value
