"""Passwords: argon2id with the defaults of argon2-cffi (RFC 9106, low memory), and what is too weak."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.core.config import config
from services.core.errors import InvalidInput
from services.core.personal import Personal
from services.people.settings import settings

COMMON = Path(__file__).with_name("common_passwords.txt")


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1) if config().light_passwords else PasswordHasher()


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    lines = COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line.casefold() for line in lines if line and not line.startswith("#"))


def check_new_password(password: str, email: Personal[str], *, field: str = "password") -> None:
    """Refuse a weak password. Raises ``InvalidInput`` on ``field`` without repeating it.

    Length counts, not a mix of signs (NIST SP 800-63B); the e-mail address and the most common ones are refused.
    """
    least = settings().whole("sign_in.password_least_characters")
    most = settings().whole("sign_in.password_most_characters")
    folded, address = password.casefold(), email.reveal().strip().casefold()
    if not least <= len(password) <= most:
        raise InvalidInput(f"A password has {least} to {most} characters.", field=field)
    if folded in (address, address.partition("@")[0]):
        raise InvalidInput("The e-mail address is not a password.", field=field)
    if folded in _common() or len(set(folded)) < 4:
        raise InvalidInput("This password is one of the first that an attacker tries.", field=field)


def hash_password(password: str) -> str:
    """The argon2id hash of a password, with its salt and parameters."""
    return _hasher().hash(password)


@lru_cache(maxsize=1)
def hash_of_nobody() -> str:
    """A hash that no password fits: unknown accounts cost as much effort as known ones."""
    return _hasher().hash("no account has this")


def password_fits(stored: str, password: str) -> bool:
    """Whether ``password`` is the one that was hashed. An over-long one is refused before any work is done on it."""
    if len(password) > settings().whole("sign_in.password_most_characters"):
        return False
    try:
        return _hasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_new_hash(stored: str) -> bool:
    """Whether a hash was made with weaker parameters than today's."""
    return _hasher().check_needs_rehash(stored)
