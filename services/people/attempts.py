"""What came of an attempt to prove who one is.

A refused attempt has to be counted, so it must not raise inside the transaction: the count would roll back with it.
Functions that count failures therefore *return* what came of the attempt; the edge lets the transaction commit and only
then calls ``require()``, which raises what is to be answered::

    with transaction() as session:
        attempt = attempt_sign_in(session, email, password, code)
    issued = attempt.require()
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from services.core.errors import CoordinationError
from services.people.tokens import IssuedToken


@dataclass(frozen=True, slots=True)
class Refused:
    """The attempt failed and was counted. ``error`` (such as ``NotSignedIn`` or ``Locked``) is what to answer."""

    error: CoordinationError

    def require(self) -> NoReturn:
        """Raise ``error``. Call it only after the transaction was committed."""
        raise self.error


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The attempt succeeded and gave a token."""

    issued: IssuedToken

    def require(self) -> IssuedToken:
        """The token."""
        return self.issued


@dataclass(frozen=True, slots=True)
class Proven:
    """The holder of ``account_id`` proved at ``proven_at`` who they are; the code they used is spent."""

    account_id: UUID
    proven_at: datetime

    def require(self) -> Proven:
        """The proof itself."""
        return self
