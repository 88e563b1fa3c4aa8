"""The keyring: a directory of key files, each given only to the processes that need it.

    vault.json                 key-encryption keys of the ordinary record, blind-index key     web, workers, ticker, CLI
    psychotherapy_notes.json   key-encryption keys of psychotherapy notes                      web, CLI
    audit.json                 audit chain key and head-signing key                            all
    signing.json               prescription-signing key                                        web
    parties.json               every party's public sealing keys                               all
    party-<party>.json         one party's private sealing keys                                that party's worker

In every file ``active`` names the key to encrypt with; the others only decrypt. Keys are base64.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey

from services.core.config import config
from services.core.errors import InvalidConfiguration
from services.core.ids import new_id
from services.core.vocabulary import Party

GENERATED_MARK = "GENERATED"
SEED_BYTES = 64  # of an ML-KEM-768 private key; an X25519 private key of 32 bytes follows it
ENCAPSULATION_BYTES = 1184  # of an ML-KEM-768 public key; an X25519 public key of 32 bytes follows it


class KeySet:
    """Named keys of one purpose: ``active`` encrypts, every one decrypts."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.active: str = document["active"]
        self._keys = {name: base64.b64decode(key) for name, key in document["keys"].items()}
        if self.active not in self._keys:
            raise InvalidConfiguration(f"The active key '{self.active}' is not in its key set.")

    def __getitem__(self, name: str) -> bytes:
        try:
            return self._keys[name]
        except KeyError:
            raise InvalidConfiguration(f"The keyring has no key '{name}'.") from None

    def names(self) -> list[str]:
        """The names of all keys, oldest first as the file lists them."""
        return list(self._keys)


class Keyring:
    """Reads key files on demand. Raises ``InvalidConfiguration`` when this process was not given a file it asks for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _read(self, name: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads((self.directory / name).read_bytes())
        except OSError as error:
            raise InvalidConfiguration(f"The keyring lacks {name}, which this process needs.") from error
        return document

    @cached_property
    def record_keys(self) -> KeySet:
        """Key-encryption keys that wrap the data keys of the ordinary record."""
        return KeySet(self._read("vault.json")["record"])

    @cached_property
    def psychotherapy_notes_keys(self) -> KeySet:
        """Key-encryption keys of psychotherapy notes, apart from all others (45 CFR 164.501)."""
        return KeySet(self._read("psychotherapy_notes.json")["record"])

    @cached_property
    def index_key(self) -> bytes:
        """The HMAC key of blind indexes."""
        return base64.b64decode(self._read("vault.json")["index"])

    @cached_property
    def audit_key(self) -> bytes:
        """The HMAC key that chains audit records."""
        return base64.b64decode(self._read("audit.json")["chain"])

    @cached_property
    def audit_signing_key(self) -> Ed25519PrivateKey:
        """Signs the heads of the audit chains."""
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self._read("audit.json")["signing"]))

    @cached_property
    def prescription_keys(self) -> KeySet:
        """Ed25519 private keys (raw) that sign prescriptions after the practitioner's two-factor act."""
        return KeySet(self._read("signing.json"))

    @cached_property
    def _public_parties(self) -> dict[str, KeySet]:
        return {party: KeySet(keys) for party, keys in self._read("parties.json").items()}

    @cached_property
    def _sealing_keys(self) -> dict[Party, tuple[str, MLKEM768X25519PublicKey]]:
        return {
            Party(party): (keys.active, _public_key(keys[keys.active])) for party, keys in self._public_parties.items()
        }

    def sealing_key(self, party: Party) -> tuple[str, MLKEM768X25519PublicKey]:
        """The name and the public key to seal with for ``party``."""
        return self._sealing_keys[party]

    @lru_cache(maxsize=64)  # noqa: B019 - a keyring lives as long as its process
    def opening_key(self, party: Party, name: str) -> MLKEM768X25519PrivateKey:
        """The private key ``name`` of ``party``; only that party's worker is given the file."""
        return _private_key(KeySet(self._read(f"party-{party}.json"))[name])


@lru_cache(maxsize=1)
def keyring() -> Keyring:
    """This process's keyring, from ``COORDINATOR_KEYRING``."""
    return Keyring(config().keyring)


def _public_key(raw: bytes) -> MLKEM768X25519PublicKey:
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:ENCAPSULATION_BYTES]),
        X25519PublicKey.from_public_bytes(raw[ENCAPSULATION_BYTES:]),
    )


def _private_key(raw: bytes) -> MLKEM768X25519PrivateKey:
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(raw[:SEED_BYTES]), X25519PrivateKey.from_private_bytes(raw[SEED_BYTES:])
    )


def generate(directory: Path, *, for_laptop: bool = True) -> None:
    """Create a complete keyring in an empty ``directory`` (mode 0700, files 0600).

    ``for_laptop`` leaves a mark by which production refuses the keys. Raises ``InvalidConfiguration`` when the
    directory already holds keys: overwriting a key loses every record sealed with it.
    """
    if (directory / "vault.json").exists():
        raise InvalidConfiguration("This directory already holds a keyring; keys are never overwritten.")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    public: dict[str, Any] = {}
    for party in Party:
        private_document, public_document = new_party_keys()
        write_key_file(directory / f"party-{party}.json", private_document)
        public[party] = public_document
    write_key_file(directory / "parties.json", public)
    write_key_file(directory / "vault.json", {"record": new_key_set(), "index": _encode(os.urandom(32))})
    write_key_file(directory / "psychotherapy_notes.json", {"record": new_key_set()})
    write_key_file(directory / "audit.json", {"chain": _encode(os.urandom(32)), "signing": _encode(os.urandom(32))})
    write_key_file(directory / "signing.json", new_key_set())
    if for_laptop:
        (directory / GENERATED_MARK).write_text("Keys made for a laptop. Production refuses them.\n", encoding="ascii")


def new_key_set() -> dict[str, Any]:
    """A document with one fresh 256-bit key, active."""
    name = f"k-{new_id().hex[:12]}"
    return {"active": name, "keys": {name: _encode(os.urandom(32))}}


def new_party_keys() -> tuple[dict[str, Any], dict[str, Any]]:
    """Fresh private and public documents of one party, under the same key name."""
    name = f"k-{new_id().hex[:12]}"
    kem, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    private = kem.private_bytes_raw() + curve.private_bytes_raw()
    public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return (
        {"active": name, "keys": {name: _encode(private)}},
        {"active": name, "keys": {name: _encode(public)}},
    )


def write_key_file(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a key file as a whole, readable by its owner only, so that a crash never leaves half a file."""
    draft = path.with_suffix(".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        json.dump(document, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
