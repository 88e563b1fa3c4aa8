"""Check the whole audit trail: every record in place, none altered, no chain cut short, every signed head true."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from services.audit.models import AuditChain, AuditHead, AuditRecord
from services.audit.records import chain_code, first_code, head_code
from services.core import clock
from services.core.ids import new_id
from services.vault.keyring import keyring

COLUMNS = (
    "id",
    "at",
    "actor_id",
    "actor_role",
    "action",
    "subject_kind",
    "subject_id",
    "episode_id",
    "outcome",
    "detail",
)


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: in which chain, from which record on, and what."""

    chain: int
    sequence: int
    what: str


def verify(session: Session, heads_file: Path | None = None) -> list[Damage]:
    """All damage found, empty when the trail is whole. Reads every record once, in batches.

    ``heads_file`` is the copy of the signed heads outside the database; with it, setting back the whole database to an
    earlier backup is found too.
    """
    heads = list(_signed_heads(session, heads_file))
    # The service may go on writing. One statement sees one moment: an end, and the last record that belongs to it.
    last = select(func.max(AuditRecord.sequence)).where(AuditRecord.chain == AuditChain.chain).scalar_subquery()
    ends = session.execute(select(AuditChain, last).order_by(AuditChain.chain)).all()
    damages = [damage for chain, until in ends for damage in _verify_chain(session, chain, until or 0, heads)]
    known = exists().where(AuditChain.chain == AuditRecord.chain)
    strays = session.scalars(select(AuditRecord.chain).where(~known).distinct())
    damages.extend(Damage(chain, 0, "records of a chain that does not exist") for chain in strays)
    damages.extend(Damage(-1, 0, "a signed head whose signature is wrong") for head in heads if head is None)
    return damages


def _verify_chain(
    session: Session, chain: AuditChain, until: int, heads: list[dict[str, Any] | None]
) -> Iterator[Damage]:
    """Walk one chain up to the record ``until``.

    After the first break everything behind it would look broken too, so one damage is reported.
    """
    signed = {
        head[str(chain.chain)][0]: head[str(chain.chain)][1] for head in heads if head and str(chain.chain) in head
    }
    mac, sequence = first_code(chain.chain), 0
    rows = session.scalars(
        select(AuditRecord)
        .where(AuditRecord.chain == chain.chain, AuditRecord.sequence <= until)
        .order_by(AuditRecord.sequence),
        execution_options={"yield_per": 1000},
    )
    for row in rows:
        session.expunge(row)
        if row.sequence != sequence + 1:
            yield Damage(chain.chain, sequence + 1, "a record is missing")
            return
        sequence = row.sequence
        mac = chain_code(mac, chain.chain, sequence, {name: getattr(row, name) for name in COLUMNS})
        if not hmac.compare_digest(mac, row.mac):
            yield Damage(chain.chain, sequence, "a record was changed, replaced or put in another place")
            return
        if sequence in signed and signed[sequence] != mac.hex():
            yield Damage(chain.chain, sequence, "the record differs from a signed head")
            return
    yield from _verify_end(chain, sequence, mac, max(signed, default=0))


def _verify_end(chain: AuditChain, sequence: int, mac: bytes, last_signed: int) -> Iterator[Damage]:
    if not hmac.compare_digest(head_code(chain.chain, chain.sequence, chain.mac), chain.head_mac):
        yield Damage(chain.chain, chain.sequence, "the chain's end was forged")
    elif sequence < chain.sequence or sequence < last_signed:
        yield Damage(chain.chain, sequence + 1, "records were cut off the end")
    elif sequence > chain.sequence or mac != chain.mac:
        yield Damage(chain.chain, sequence, "records were added past the end")


def sign_heads(session: Session, heads_file: Path) -> AuditHead:
    """Sign where all chains end now, store it, and append it to ``heads_file`` outside the database."""
    chains = session.scalars(select(AuditChain).order_by(AuditChain.chain)).all()
    heads = {str(chain.chain): [chain.sequence, chain.mac.hex()] for chain in chains}
    at = clock.now()
    signature = keyring().audit_signing_key.sign(_signed_bytes(at.isoformat(), heads))
    head = AuditHead(id=new_id(), at=at, heads=heads, signature=signature)
    session.add(head)
    with heads_file.open("a", encoding="ascii") as stream:
        stream.write(json.dumps({"at": at.isoformat(), "heads": heads, "signature": signature.hex()}) + "\n")
    return head


def _signed_heads(session: Session, heads_file: Path | None) -> Iterator[dict[str, Any] | None]:
    """The heads whose signature holds; None for each whose does not."""
    entries = [(row.at.isoformat(), row.heads, row.signature) for row in session.scalars(select(AuditHead))]
    if heads_file is not None and heads_file.exists():
        for line in heads_file.read_text(encoding="ascii", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                entries.append((entry["at"], entry["heads"], bytes.fromhex(entry["signature"])))
            except (ValueError, TypeError, KeyError):
                yield None
    public_key = keyring().audit_signing_key.public_key()
    for at, heads, signature in entries:
        try:
            public_key.verify(signature, _signed_bytes(at, heads))
            yield heads
        except InvalidSignature:
            yield None


def _signed_bytes(at: str, heads: dict[str, Any]) -> bytes:
    return json.dumps([at, heads], separators=(",", ":"), sort_keys=True).encode()
