"""Boxes seal and open the columns of one owner's rows with AES-256-GCM (NIST SP 800-38D).

A sealed value is ``version (1) | data key id (16) | nonce (12) | ciphertext and tag``. The additional data binds
tenant, table, column, row and data key, so that a value copied to another place does not open. Nonces are random 96-bit
values; an owner's key seals far fewer than the 2^32 values that the standard allows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.config import config
from services.core.errors import UnreadableSeal
from services.core.ids import new_id
from services.core.personal import Personal
from services.vault.keyring import KeySet, keyring
from services.vault.models import DataKey, Purpose

VERSION = b"\x01"
NONCE_BYTES = 12
CACHE_SECONDS = 60.0
CACHE_OWNERS = 4096


class SealedRow(Protocol):
    """Any table row with an id and sealed columns."""

    @property
    def __tablename__(self) -> str: ...
    @property
    def id(self) -> Any:
        """What tells the rows of its table apart."""


@dataclass(frozen=True, slots=True)
class _Keys:
    """The unwrapped data keys of an owner; ``active`` names the one that seals."""

    active: UUID
    ciphers: Mapping[UUID, AESGCM]


class Box:
    """The data keys of one owner for one purpose, unwrapped and ready; of use as long as its session is."""

    __slots__ = ("_keys", "_owner", "_session")

    def __init__(self, session: Session, owner: tuple[UUID, Purpose], keys: _Keys) -> None:
        self._session = session
        self._owner = owner
        self._keys = keys

    @property
    def active(self) -> UUID:
        """The id of the data key that seals."""
        return self._keys.active

    def seal(self, row: SealedRow, column: str, value: Any) -> None:
        """Encrypt ``value`` (any JSON value, or one wrapped as ``Personal``) into ``row.column``; None clears it."""
        plain = value.reveal() if isinstance(value, Personal) else value
        setattr(row, column, None if plain is None else self.seal_bytes(row, column, _to_bytes(plain)))

    def open(self, row: SealedRow, column: str) -> Personal[Any]:
        """Decrypt ``row.column``. An empty one opens to ``Personal(None)``; a spoilt one raises ``UnreadableSeal``."""
        stored = getattr(row, column)
        return Personal(None if stored is None else json.loads(self.open_bytes(row, column, stored)))

    def seal_bytes(self, row: SealedRow, column: str, plain: bytes) -> bytes:
        """The sealed form of ``plain`` for that place."""
        nonce = os.urandom(NONCE_BYTES)
        active = self._keys.active
        sealed = self._keys.ciphers[active].encrypt(nonce, plain, _binding(row, column, active))
        return VERSION + active.bytes + nonce + sealed

    def open_bytes(self, row: SealedRow, column: str, stored: bytes) -> bytes:
        """The plain bytes of a stored value, once its tag is checked. Raises ``UnreadableSeal``."""
        key_id = sealing_key_of(stored)
        key = self._keys.ciphers.get(key_id) or self._fresh_key(key_id)
        if key is None:
            raise UnreadableSeal("A sealed value names a data key that its owner does not have.")
        try:
            return key.decrypt(stored[17:29], bytes(stored[29:]), _binding(row, column, key_id))
        except InvalidTag:
            raise UnreadableSeal(f"A sealed value in {row.__tablename__}.{column} was altered or moved.") from None

    def _fresh_key(self, key_id: UUID) -> AESGCM | None:
        """A data key that came to be after this box was remembered: the value was sealed anew by a key rotation."""
        _cache.pop(self._owner, None)
        keys = _load(self._session, self._owner)
        if keys is None:
            return None
        self._keys = keys
        return keys.ciphers.get(key_id)


def sealing_key_of(stored: bytes) -> UUID:
    """The id of the data key that sealed a stored value. Raises ``UnreadableSeal`` for anything that is not one."""
    if len(stored) < 1 + 16 + NONCE_BYTES + 16 or stored[:1] != VERSION:
        raise UnreadableSeal("A stored value does not have the form of a sealed value.")
    return UUID(bytes=bytes(stored[1:17]))


def _binding(row: SealedRow, column: str, key_id: UUID) -> bytes:
    return f"{config().tenant}|{row.__tablename__}|{column}|{row.id}|{key_id}".encode()


def _to_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def wrapping_keys(purpose: Purpose) -> KeySet:
    """The key-encryption keys of a purpose."""
    ring = keyring()
    return ring.record_keys if purpose is Purpose.RECORD else ring.psychotherapy_notes_keys


def wrap(data_key_id: UUID, owner_id: UUID, purpose: Purpose, raw: bytes) -> tuple[str, bytes]:
    """Encrypt a data key under the active key-encryption key: its name and the wrapped bytes."""
    keys = wrapping_keys(purpose)
    nonce = os.urandom(NONCE_BYTES)
    binding = f"{config().tenant}|data_keys|{data_key_id}|{owner_id}|{purpose}|{keys.active}".encode()
    return keys.active, nonce + AESGCM(keys[keys.active]).encrypt(nonce, raw, binding)


def unwrap(row: DataKey) -> bytes:
    """The raw data key of a stored row. Raises ``UnreadableSeal`` when it was altered or belongs elsewhere."""
    binding = f"{config().tenant}|data_keys|{row.id}|{row.owner_id}|{row.purpose}|{row.wrapping_key}".encode()
    key = wrapping_keys(Purpose(row.purpose))[row.wrapping_key]
    try:
        return AESGCM(key).decrypt(row.wrapped[:NONCE_BYTES], bytes(row.wrapped[NONCE_BYTES:]), binding)
    except InvalidTag:
        raise UnreadableSeal("A wrapped data key was altered or moved.") from None


_cache: dict[tuple[UUID, Purpose], tuple[float, _Keys]] = {}


def box(session: Session, owner_id: UUID, purpose: Purpose = Purpose.RECORD) -> Box:
    """The box of an owner; its first data key is created when there is none yet.

    Data keys are remembered for a minute. That is safe across rotation: a value sealed by a newer key makes its box
    look again, and what the older key seals meanwhile is found through the key id in front of each value, because
    re-encryption begins only after that minute.
    """
    owner = (owner_id, purpose)
    created: dict[tuple[UUID, Purpose], _Keys] = session.info.get("created_data_keys", {})
    if owner in created:
        return Box(session, owner, created[owner])
    remembered = _cache.get(owner)
    if remembered is not None and time.monotonic() - remembered[0] < CACHE_SECONDS:
        return Box(session, owner, remembered[1])
    keys = _load(session, owner)
    if keys is None:
        return first_box(session, owner_id, purpose)
    if not session.info.get("fresh_data_keys"):
        if len(_cache) >= CACHE_OWNERS:
            _cache.clear()
        _cache[owner] = (time.monotonic(), keys)
    return Box(session, owner, keys)


def boxes(session: Session, owner_ids: Iterable[UUID], purpose: Purpose = Purpose.RECORD) -> dict[UUID, Box]:
    """The boxes of many owners by one query, for reading; an owner without a data key has none. None is remembered."""
    query = select(DataKey).where(DataKey.owner_id.in_(set(owner_ids)), DataKey.purpose == purpose)
    found: dict[UUID, list[DataKey]] = {}
    for row in session.scalars(query.order_by(DataKey.created_at, DataKey.id)):
        found.setdefault(row.owner_id, []).append(row)
    return {
        owner_id: Box(session, (owner_id, purpose), _Keys(rows[-1].id, {row.id: AESGCM(unwrap(row)) for row in rows}))
        for owner_id, rows in found.items()
    }


def boxes_of(session: Session, owner_ids: Iterable[UUID], purpose: Purpose = Purpose.RECORD) -> dict[UUID, Box]:
    """The boxes of many owners in one query, for reading in bulk; whoever has no data key yet has none.

    They are not remembered: a report over thousands would push out those of the people who are being treated.
    """
    query = select(DataKey).where(DataKey.owner_id.in_(list(owner_ids)), DataKey.purpose == purpose)
    found: dict[UUID, list[DataKey]] = {}
    for row in session.scalars(query.order_by(DataKey.created_at, DataKey.id)):
        found.setdefault(row.owner_id, []).append(row)
    boxes = {}
    for owner_id, rows in found.items():
        keys = _Keys(rows[-1].id, {row.id: AESGCM(unwrap(row)) for row in rows})
        boxes[owner_id] = Box(session, (owner_id, purpose), keys)
    return boxes


def first_box(session: Session, owner_id: UUID, purpose: Purpose = Purpose.RECORD) -> Box:
    """The box of an owner who has no data key yet, with a first one; for an id that was made just now."""
    owner = (owner_id, purpose)
    row = _store_data_key(session, owner_id, purpose, None)
    keys = _Keys(row.id, {row.id: AESGCM(unwrap(row))})
    # Remembered by this transaction only, which may still roll back; a savepoint in it may do so before it ends.
    if not session.in_nested_transaction():
        session.info.setdefault("created_data_keys", {})[owner] = keys
    return Box(session, owner, keys)


def _load(session: Session, owner: tuple[UUID, Purpose]) -> _Keys | None:
    """The stored data keys of an owner, the newest active; None when there is none."""
    owner_id, purpose = owner
    with session.no_autoflush:  # a box is asked for while its row is still being filled in
        rows = session.scalars(
            select(DataKey)
            .where(DataKey.owner_id == owner_id, DataKey.purpose == purpose)
            .order_by(DataKey.created_at, DataKey.id)
        ).all()
    return _Keys(rows[-1].id, {row.id: AESGCM(unwrap(row)) for row in rows}) if rows else None


def add_data_key(session: Session, owner_id: UUID, purpose: Purpose) -> DataKey:
    """Give an owner a fresh data key, which seals from now on; also how re-encryption begins."""
    known = select(func.max(DataKey.created_at)).where(DataKey.owner_id == owner_id, DataKey.purpose == purpose)
    latest = session.scalar(known)
    # The newest key seals. It has to be the newest even where the clock was set back since the one before it.
    return _store_data_key(session, owner_id, purpose, None if latest is None else latest + timedelta(microseconds=1))


def _store_data_key(session: Session, owner_id: UUID, purpose: Purpose, earliest: datetime | None) -> DataKey:
    key_id, now = new_id(), clock.now()
    wrapping_key, wrapped = wrap(key_id, owner_id, purpose, AESGCM.generate_key(256))
    row = DataKey(
        id=key_id,
        owner_id=owner_id,
        purpose=purpose,
        wrapping_key=wrapping_key,
        wrapped=wrapped,
        created_at=now if earliest is None else max(now, earliest),
    )
    session.add(row)
    session.flush()
    session.info["fresh_data_keys"] = True
    session.info.get("created_data_keys", {}).pop((owner_id, purpose), None)
    return row


def forget_boxes() -> None:
    """Drop every remembered box, so that the next use reads the stored keys again."""
    _cache.clear()
