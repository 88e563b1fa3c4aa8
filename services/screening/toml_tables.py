"""Reading a TOML file of ours or of an operator so that every mistake in it is told by its place and key."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from services.core.errors import InvalidConfiguration

_WORDS: Final = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}

V = TypeVar("V")
E = TypeVar("E", bound=StrEnum)


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ``InvalidConfiguration`` naming the file, and the line where it is not TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfiguration(f"{file.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"{file.name} is not valid TOML: {error}") from error


class Table:
    """A TOML table from which each key is taken once; whatever is left over at the end was misspelled."""

    def __init__(self, table: Any, where: str) -> None:
        self.where = where
        if not isinstance(table, dict):
            self.refuse("must be a table")
        self._left = dict(table)

    def refuse(self, what: str, key: str | None = None) -> NoReturn:
        """Say what is wrong, and where. ``key`` is the one it concerns, for readers that know its line."""
        raise InvalidConfiguration(f"{self.where}: {what}.")

    def take(self, key: str, kind: type[V], default: V | None = None) -> V:
        """The value of a required key, or of an optional one that has a default."""
        value = self.maybe(key, kind)
        if value is None:
            value = default
        if value is None:
            self.refuse(f"'{key}' is missing")
        return value

    def maybe(self, key: str, kind: type[V]) -> V | None:
        """The value of an optional key."""
        value = self._left.pop(key, None)
        if value is not None and type(value) is not kind:
            self.refuse(f"'{key}' must be {_WORDS[kind]}", key)
        return value

    def word(self, key: str, words: type[E], default: E | None = None) -> E:
        """The value of a key that allows only the words of an enumeration."""
        text = str(self.take(key, str, default))
        if text not in list(words):
            self.refuse(f"'{key}' must be one of {', '.join(words)}", key)
        return words(text)

    def list_of(self, key: str, kind: type[V]) -> list[V]:
        """A list of values of one type; empty when the key is absent."""
        values = self.take(key, list, [])
        if any(type(value) is not kind for value in values):
            self.refuse(f"every entry of '{key}' must be {_WORDS[kind]}", key)
        return values

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def finish(self) -> None:
        """Refuse keys that nobody took."""
        if self._left:
            self.refuse(f"unknown key '{min(self._left)}'", min(self._left))
