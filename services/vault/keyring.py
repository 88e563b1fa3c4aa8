"""The keyring: a directory of key files, each given only to the processes that need it.

    vault.json                 key-encryption keys of the ordinary record, blind-index key     web, workers, ticker, CLI
    psychotherapy_notes.json   key-encryption keys of psychotherapy notes                      web, CLI
    audit.json                 audit chain key and head-signing key                            all
    signing.json               prescription-signing key                                        web
    parties.json               every party's public sealing keys                               all
    party-<party>.json         one party's private sealing keys                                that party's worker

In every file ``active`` names the key to encrypt with; the others only decrypt. Keys are base64, oldest first. A key
behind the active one was prepared: it can decrypt already, and the next rotation makes it active.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey

from services.core.config import config
from services.core.errors import InvalidConfiguration, Unavailable
from services.core.ids import new_id
from services.core.vocabulary import Party

Parsed = TypeVar("Parsed")

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
    """Reads key files on demand, and again when one changes, so that a rotation needs no restart.

    Raises ``InvalidConfiguration`` when this process was not given a file that it asks for.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files: dict[str, tuple[tuple[int, int, int], Any]] = {}

    def _read(self, name: str, parse: Callable[[Any], Parsed]) -> Parsed:
        """What ``parse`` makes of a key file, remembered until the file changes."""
        path = self.directory / name
        try:
            stat = path.stat()
            # Not the time alone: two changes within one tick of the file system's clock would look like one.
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            known = self._files.get(name)
            if known is None or known[0] != seen:
                known = (seen, parse(json.loads(path.read_bytes())))
                self._files[name] = known
        except OSError as error:
            raise InvalidConfiguration(f"The keyring lacks {name}, which this process needs.") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not chained: what such an error says may hold part of a key.
            raise InvalidConfiguration(f"The keyring's {name} is no key file.") from None
        parsed: Parsed = known[1]
        return parsed

    @property
    def record_keys(self) -> KeySet:
        """Key-encryption keys that wrap the data keys of the ordinary record."""
        return self._read("vault.json", _VaultFile).record

    @property
    def psychotherapy_notes_keys(self) -> KeySet:
        """Key-encryption keys of psychotherapy notes, apart from all others (45 CFR 164.501)."""
        return self._read("psychotherapy_notes.json", lambda document: KeySet(document["record"]))

    @property
    def index_key(self) -> bytes:
        """The HMAC key of blind indexes. It is not rotated: every index would have to be made anew."""
        return self._read("vault.json", _VaultFile).index

    @property
    def audit_key(self) -> bytes:
        """The HMAC key that chains audit records."""
        return self._read("audit.json", _AuditFile).chain

    @property
    def audit_signing_key(self) -> Ed25519PrivateKey:
        """Signs the heads of the audit chains."""
        return self._read("audit.json", _AuditFile).signing

    @property
    def prescription_keys(self) -> KeySet:
        """Ed25519 private keys (raw) that sign prescriptions after the practitioner's two-factor act."""
        return self._read("signing.json", KeySet)

    def sealing_key(self, party: Party) -> tuple[str, MLKEM768X25519PublicKey]:
        """The name and the public key to seal with for ``party``."""
        return self._read("parties.json", _sealing_keys)[party]

    def opening_key(self, party: Party, name: str) -> MLKEM768X25519PrivateKey:
        """The private key ``name`` of ``party``; only that party's worker is given the file."""
        try:
            return self._read(f"party-{party}.json", _opening_keys)[name]
        except KeyError:
            raise InvalidConfiguration(f"The keyring has no key '{name}' of this party.") from None


class _VaultFile:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.record = KeySet(document["record"])
        self.index = base64.b64decode(document["index"])


class _AuditFile:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.chain = base64.b64decode(document["chain"])
        self.signing = Ed25519PrivateKey.from_private_bytes(base64.b64decode(document["signing"]))


def _sealing_keys(document: Mapping[str, Any]) -> dict[Party, tuple[str, MLKEM768X25519PublicKey]]:
    sets = {Party(party): KeySet(keys) for party, keys in document.items()}
    return {party: (keys.active, _public_key(keys[keys.active])) for party, keys in sets.items()}


def _opening_keys(document: Mapping[str, Any]) -> dict[str, MLKEM768X25519PrivateKey]:
    keys = KeySet(document)
    return {name: _private_key(keys[name]) for name in keys.names()}


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
    if any(directory.glob("*.json")):
        raise InvalidConfiguration("This directory already holds key files; keys are never overwritten.")
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


@contextmanager
def changing(directory: Path) -> Iterator[None]:
    """Change the keyring in ``directory`` alone: of two at once, one would write over the other's new keys.

    Raises ``InvalidConfiguration`` unless it is complete, ``Unavailable`` while another process changes it.
    """
    needed = ("vault.json", "psychotherapy_notes.json", "parties.json", *(f"party-{party}.json" for party in Party))
    missing = [name for name in needed if not (directory / name).exists()]
    if missing:
        raise InvalidConfiguration(
            f"The keyring in {directory} lacks {', '.join(missing)}. Keys are changed where all of them are."
        )
    handle = os.open((directory / "vault.json").resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable("Another process is changing this keyring right now.") from None
        yield
    finally:
        os.close(handle)


def renew_key(path: Path, *place: str, activate: bool = True) -> str:
    """Give the key set at ``place`` inside a key file a new active key; the older ones only decrypt from now on.

    A prepared key is taken if there is one. ``activate=False`` only prepares one. Gives the new key's name.
    """
    document = json.loads(path.read_bytes())
    key_set = document
    for step in place:
        key_set = key_set[step]
    if not _is_prepared(key_set):
        key_set["keys"] |= new_key_set()["keys"]
    name = _newest(key_set)
    if activate:
        key_set["active"] = name
    write_key_file(path, document)
    return name


def renew_party_keys(directory: Path, party: Party, *, activate: bool = True) -> str:
    """Give a party a new key pair, as ``renew_key`` does; envelopes sealed to the older ones still open."""
    private_path, public_path = directory / f"party-{party}.json", directory / "parties.json"
    private, parties = json.loads(private_path.read_bytes()), json.loads(public_path.read_bytes())
    public = parties[party.value]
    # Only a pair whose halves are both there was prepared; a crash may have left one without the other.
    if not _is_prepared(public) or _newest(public) not in private["keys"]:
        fresh_private, fresh_public = new_party_keys()
        private["keys"] |= fresh_private["keys"]
        public["keys"] |= fresh_public["keys"]
    name = _newest(public)
    if activate:
        private["active"] = public["active"] = name
    write_key_file(private_path, private)  # first: nobody seals to a key that cannot open
    write_key_file(public_path, parties)
    return name


def _newest(key_set: Mapping[str, Any]) -> str:
    return str(list(key_set["keys"])[-1])


def _is_prepared(key_set: Mapping[str, Any]) -> bool:
    return _newest(key_set) != str(key_set["active"])


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
    """Replace a key file as a whole, so that a crash never leaves half a file; on disk for good when this returns.

    A new file is readable by its owner only; one that exists keeps its owner and mode. A link stays one: what it
    points to is replaced.
    """
    path = path.resolve()
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        json.dump(document, stream, indent=1)
        with suppress(FileNotFoundError):
            before = path.stat()
            os.fchmod(handle, before.st_mode & 0o777)
            # Otherwise root, rotating keys, would take them away from the user that the service runs as.
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, before.st_uid, before.st_gid)
        stream.flush()
        os.fsync(handle)
    draft.replace(path)
    # What is sealed with a new key outlives a power failure; so must the key, which without this may not.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
