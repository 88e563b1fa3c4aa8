"""Idempotency keys: the same key gives the same answer once; a different request under it is refused.

The answer is kept sealed under a key derived from the keyring, the idempotency key and the request itself, so that the
table alone opens nothing and only whoever repeats the same request can have its answer again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Response, request
from sqlalchemy import Connection, bindparam, delete, select, text, update
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IdempotencyMismatch, InvalidInput
from services.core.models import StoredAnswer
from services.people.attempts import Refused
from services.vault.keyring import keyring

KEPT_FOR = timedelta(hours=24)
HEADERS_KEPT: Final = ("Content-Type", "ETag", "Location")

KEY_PARAMETER: Final[dict[str, Any]] = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A value of your choice, new for each new request. Repeating a request with its key gives the same "
    "answer and no second effect, for 24 hours.",
    "required": True,
    "schema": {"type": "string", "minLength": 8, "maxLength": 100, "pattern": "^[A-Za-z0-9_.:-]{8,100}$"},
}


class CountedRefusal(Exception):
    """A view returned ``Refused``: a failed sign-in or signing, whose count must stay though the request is refused."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self.refused = refused


def answer_once(session: Session, principal: str, answer: Callable[[], Response]) -> Response:
    """The stored answer to this request, or ``answer()``, stored in the same transaction as its effects.

    Raises ``InvalidInput`` without a usable key and ``IdempotencyMismatch`` when the key belongs to another request. A
    refused request stores nothing: it had no effect, so repeating it is judged anew.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not re.fullmatch(KEY_PARAMETER["schema"]["pattern"], key):
        raise InvalidInput(
            "Every POST needs an Idempotency-Key header: 8 to 100 letters, digits or '_.:-', new for each new request.",
            field="Idempotency-Key",
        )
    secret = f"{principal}|{request.method}|{request.path}|{key}|".encode() + request.get_data()
    key_hash = hashlib.sha256(f"{principal}|{request.method}|{request.path}|{key}".encode()).digest()
    request_hash = hmac.new(keyring().index_key, secret, hashlib.sha256).digest()
    connection, now = session.connection(), clock.now()
    # Two at once with the same key: the second waits here until the first has committed, and then finds its answer.
    claim = {"key_hash": key_hash, "request_hash": request_hash, "expires_at": now + KEPT_FOR, "now": now}
    if connection.execute(_CLAIM, claim).one_or_none() is None:
        return _stored(connection, key_hash, request_hash, secret)
    try:
        response = answer()
    except CountedRefusal:
        # What was counted is committed; a claim left behind would answer the next try with nothing.
        connection.execute(_RELEASE, {"of": key_hash})
        raise
    connection.execute(_KEEP, {"of": key_hash, **_sealed(response, key_hash, secret)})
    return response


# A claim is a row without an answer. It exists only inside the transaction that will fill it in; a row that is past its
# time is claimed anew.
_CLAIM: Final = text(
    """
    INSERT INTO stored_answers (key_hash, request_hash, status, headers, answer, expires_at)
    VALUES (:key_hash, :request_hash, 0, '{}', '', :expires_at)
    ON CONFLICT (key_hash) DO UPDATE SET request_hash = excluded.request_hash, expires_at = excluded.expires_at
    WHERE stored_answers.expires_at <= :now
    RETURNING key_hash
    """
)
_RELEASE: Final = delete(StoredAnswer.__table__).where(StoredAnswer.key_hash == bindparam("of"))
_KEEP: Final = (
    update(StoredAnswer.__table__)
    .where(StoredAnswer.key_hash == bindparam("of"))
    .values(status=bindparam("with_status"), headers=bindparam("with_headers"), answer=bindparam("with_answer"))
)


def _stored(connection: Connection, key_hash: bytes, request_hash: bytes, secret: bytes) -> Response:
    """The answer that an earlier request with this key was given."""
    stored = connection.execute(select(StoredAnswer.__table__).where(StoredAnswer.key_hash == key_hash)).one()
    if not hmac.compare_digest(stored.request_hash, request_hash):
        raise IdempotencyMismatch(
            "This Idempotency-Key was used for a different request. Use a new key.", field="Idempotency-Key"
        )
    body = _cipher(secret).decrypt(stored.answer[:12], bytes(stored.answer[12:]), key_hash)
    response = Response(body, stored.status)
    response.headers.update(stored.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _cipher(secret: bytes) -> AESGCM:
    derived = HKDF(hashes.SHA256(), 32, salt=keyring().index_key, info=b"stored answer").derive(secret)
    return AESGCM(derived)


def _sealed(response: Response, key_hash: bytes, secret: bytes) -> dict[str, Any]:
    nonce = os.urandom(12)
    return {
        "with_status": response.status_code,
        "with_headers": {name: response.headers[name] for name in HEADERS_KEPT if name in response.headers},
        "with_answer": nonce + _cipher(secret).encrypt(nonce, response.get_data(), key_hash),
    }
