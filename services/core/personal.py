"""Values that must not be shown by accident. ``str()``, ``repr()`` and formatting never reveal them."""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")


class _Redacted(Generic[T]):
    """Holds a value that only ``reveal()`` gives back."""

    __slots__ = ("_value",)
    _label = "redacted"

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The value itself. Call it only where the value leaves for the person or provider it is meant for."""
        return self._value

    def __repr__(self) -> str:
        return f"<{self._label}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._value == other._value

    def __hash__(self) -> int:
        return hash((self._label, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {self._label} value is never pickled")


class Personal(_Redacted[T]):
    """A personal or health value: a name, a phone number, an answer, a score."""

    __slots__ = ()
    _label = "personal"


class Secret(_Redacted[T]):
    """A key, password, token or one-time code."""

    __slots__ = ()
    _label = "secret"

    def matches(self, candidate: str | bytes) -> bool:
        """Compare with ``candidate`` in constant time."""
        mine = self._value.encode() if isinstance(self._value, str) else self._value
        theirs = candidate.encode() if isinstance(candidate, str) else candidate
        return isinstance(mine, bytes) and hmac.compare_digest(mine, theirs)
