"""Sealed envelopes: HPKE (RFC 9180), ML-KEM-768 + X25519, HKDF-SHA256, AES-256-GCM, to one party's public key.

The ``info`` binds party, event kind and event id: an envelope moved to another queue, relabelled or renumbered does not
open. Sealing needs public keys only, so the web and the relay cannot read what they carry.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from services.core.errors import InvalidConfiguration, UnreadableSeal
from services.core.vocabulary import Party
from services.vault.keyring import keyring

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(party: Party, kind: str, event_id: UUID, payload: Any) -> tuple[str, bytes]:
    """Seal a JSON ``payload``; gives the name of the party's key and the envelope."""
    key_name, public_key = keyring().sealing_key(party)
    plain = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    return key_name, SUITE.encrypt(plain, public_key, info=_binding(party, kind, event_id))


def open_envelope(party: Party, kind: str, event_id: UUID, key_name: str, envelope: bytes) -> Any:
    """Open an envelope with the party's private key. Raises ``UnreadableSeal`` when not this party's, or spoilt."""
    try:
        private_key = keyring().opening_key(party, key_name)
        return json.loads(SUITE.decrypt(envelope, private_key, info=_binding(party, kind, event_id)))
    except (InvalidTag, ValueError, InvalidConfiguration):
        raise UnreadableSeal("The envelope does not open with this party's key.") from None


def _binding(party: Party, kind: str, event_id: UUID) -> bytes:
    return f"{party}|{kind}|{event_id}".encode()
