"""The one tree of errors the services raise. No HTTP words here: ``coordinator/problems.py`` maps it to answers.

Every sentence given to these errors is shown to a person, so it must never hold personal data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.core.findings import Finding


class CoordinationError(Exception):
    """Something a caller asked for cannot be done; ``message`` says why in a sentence fit for a person.

    ``field`` names the input it concerns, ``rule`` the rule id that refused, which is that of the first of ``findings``
    where rules of the programme speak against it.
    """

    code = "refused"

    def __init__(
        self, message: str, findings: Sequence[Finding] = (), *, field: str | None = None, rule: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.findings = tuple(findings)
        self.field = field
        self.rule = rule or (findings[0].rule if findings else None)


class InvalidInput(CoordinationError):
    """The input has the wrong shape: a wrong type, an unknown name, a value outside its range."""

    code = "invalid_input"


class NotSignedIn(CoordinationError):
    """No valid proof of who is asking."""

    code = "not_signed_in"


class Locked(CoordinationError):
    """Too many failed attempts; ``retry_after_seconds`` says when to come back."""

    code = "locked"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotFound(CoordinationError):
    """It does not exist, or it is not visible to whoever asks; the two must look the same."""

    code = "not_found"


class NotAllowed(CoordinationError):
    """Visible, but this actor may not do this to it."""

    code = "not_allowed"


class Conflict(CoordinationError):
    """The request is well formed but contradicts the present state."""

    code = "conflict"


class StaleVersion(Conflict):
    """Somebody else changed the record since it was read."""

    code = "stale_version"


class IllegalTransition(Conflict):
    """The step does not exist from the present state."""

    code = "illegal_transition"

    def __init__(self, subject: str, state: str, step: str, possible: Sequence[str]) -> None:
        allowed = ", ".join(sorted(possible)) or "none, this state is final"
        super().__init__(
            f"A {subject} that is {state} cannot be moved by '{step}'. Possible steps: {allowed}.",
            rule=f"{subject}.states",
        )
        self.state = state
        self.step = step


class RuleRefused(Conflict):
    """One or more rules refuse; each finding names its rule, its source and a sentence."""

    code = "rule_refused"


class IdempotencyMismatch(CoordinationError):
    """The same idempotency key came with a different request."""

    code = "idempotency_key_reused"


class Unavailable(CoordinationError):
    """A part this work needs does not answer right now; trying again later is right."""

    code = "unavailable"


class UnreadableSeal(CoordinationError):
    """A sealed value or envelope could not be opened: altered, moved, or sealed for somebody else."""

    code = "unreadable_seal"


class InvalidConfiguration(CoordinationError):
    """The environment or a settings file is missing names or holds values that are not allowed."""

    code = "invalid_configuration"
