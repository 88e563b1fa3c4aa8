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
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from services.core import clock
from services.core.errors import IdempotencyMismatch, InvalidInput
from services.core.models import StoredAnswer
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
    place = f"{principal}|{request.method}|{request.path}|{key}".encode()
    key_hash = hashlib.sha256(place).digest()
    content = request.get_data()
    request_hash = hmac.new(keyring().index_key, key_hash + content, hashlib.sha256).digest()
    # Two at once with the same key: the second waits here until the first has committed, and then finds its answer.
    session.execute(select(func.pg_advisory_xact_lock(int.from_bytes(key_hash[:8], "big", signed=True))))
    stored = session.get(StoredAnswer, key_hash)
    if stored is not None and stored.expires_at > clock.now():
        if not hmac.compare_digest(stored.request_hash, request_hash):
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for a different request. Use a new key.", field="Idempotency-Key"
            )
        return _unsealed(stored, key_hash + content)
    if stored is not None:
        session.execute(delete(StoredAnswer).where(StoredAnswer.key_hash == key_hash))
    response = answer()
    session.execute(insert(StoredAnswer), [_sealed(response, key_hash, request_hash, key_hash + content)])
    return response


def forget_expired(session: Session) -> None:
    """Remove answers past their time."""
    session.execute(delete(StoredAnswer).where(StoredAnswer.expires_at <= clock.now()))


def _cipher(secret: bytes) -> AESGCM:
    derived = HKDF(hashes.SHA256(), 32, salt=keyring().index_key, info=b"stored answer").derive(secret)
    return AESGCM(derived)


def _sealed(response: Response, key_hash: bytes, request_hash: bytes, secret: bytes) -> dict[str, Any]:
    nonce = os.urandom(12)
    return {
        "key_hash": key_hash,
        "request_hash": request_hash,
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in HEADERS_KEPT if name in response.headers},
        "answer": nonce + _cipher(secret).encrypt(nonce, response.get_data(), key_hash),
        "expires_at": clock.now() + KEPT_FOR,
    }


def _unsealed(stored: StoredAnswer, secret: bytes) -> Response:
    body = _cipher(secret).decrypt(stored.answer[:12], bytes(stored.answer[12:]), stored.key_hash)
    response = Response(body, stored.status)
    response.headers.update(stored.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response
