"""Blind indexes: find a sealed phone number or e-mail address without storing it readable.

HMAC-SHA-256 under a key of its own (NIST SP 800-38D gives none: equal plaintexts must look equal here and only here).
"""

from __future__ import annotations

import hashlib
import hmac

from services.core.personal import Personal
from services.vault.keyring import keyring


def blind_index(field: str, value: Personal[str] | str) -> bytes:
    """32 bytes that are equal for equal values of the same ``field``, ignoring case and outer blanks."""
    text = value.reveal() if isinstance(value, Personal) else value
    message = f"{field}\0{text.strip().casefold()}".encode()
    return hmac.new(keyring().index_key, message, hashlib.sha256).digest()


def token_hash(token: str) -> bytes:
    """What is stored of a bearer or link token. Tokens carry 256 random bits, so a plain SHA-256 keeps them safe."""
    return hashlib.sha256(token.encode()).digest()
