"""Reading programme files: TOML, checked line by line before anybody is treated under it.

A file begins with ``[programme]``: ``name``, ``version``, and

- ``title``           what people read
- ``extends``         the file (name without ending) whose settings hold where this one says nothing
- ``effective_from``  the day from which this version may be used
- ``approved_by``     the medical director who answers for its values
- ``starting_values`` true in what is shipped: nobody has approved it, and production refuses it

and goes on with settings. ``[approvals]`` gives single settings a day and an approver of their own::

    [approvals]
    "vitals.start.systolic_below" = { effective_from = 2026-10-01, approved_by = "Dr. Ada Example" }

A setting must exist in the file that is extended, be of the type it has there and lie within
``setting_bounds.toml``. Every error names file, line and key.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from services.core.errors import InvalidConfiguration
from services.core.programme_settings import NOBODY_YET, Approval, Programme
from services.core.setting_bounds import bounds, order

__all__ = [
    "DEFAULT_FILE",
    "Approval",
    "Programme",
    "line_of",
    "load_programme",
    "missing_settings",
    "programme",
    "shipped",
]

DIRECTORY: Final = Path(__file__).parent / "programmes"
DEFAULT_FILE: Final = DIRECTORY / "default.toml"

FREE_SECTIONS: Final = ("texts", "consents", "journal")
"""Sections that may hold texts under names that the extended file does not have; their readers check the names."""

_HEADER: Final = frozenset({"name", "version", "title", "extends", "effective_from", "approved_by", "starting_values"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")
_TABLE: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY: Final = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]+\")(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]+\"))*)\s*=")


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is being read: what it says and in which line."""

    path: Path
    tables: Mapping[str, Any]
    lines: Mapping[str, int]

    def refuse(self, key: str | None, what: str) -> NoReturn:
        line = None if key is None else self.lines.get(key)
        place = f"{self.path.name}, line {line}" if line else self.path.name
        raise InvalidConfiguration(f"{place}: {what}")


def load_programme(path: Path, *, extended_by: tuple[Path, ...] = ()) -> Programme:
    """Read and check one programme file. Raises ``InvalidConfiguration`` naming file, line and key."""
    file = _read(path)
    header = _checked_header(file)
    base = _extended(file, header, extended_by)
    settings = dict(_flatten({name: each for name, each in file.tables.items() if name not in _NOT_SETTINGS}))
    for name, value in settings.items():
        _check_setting(file, name, value, base)
    known = {**(base.settings if base else {}), **settings}
    for smaller, larger in order():
        if smaller in known and larger in known and known[smaller] > known[larger]:
            key = smaller if smaller in settings else larger
            file.refuse(key, f"'{smaller}' ({known[smaller]}) must not be more than '{larger}' ({known[larger]}).")
    effective_from = header.get("effective_from") or date.min
    own = Approval(effective_from, header.get("approved_by") or NOBODY_YET)
    approvals = {
        **(_approvals_of(base) if base else {}),
        **dict.fromkeys(settings, own),
        **_own_approvals(file, known, own),
    }
    programme = Programme(
        name=header["name"],
        version="",
        settings=MappingProxyType(known),
        title=header.get("title", header["name"]),
        effective_from=own.effective_from,
        approved_by=own.approved_by,
        is_starting=header.get("starting_values", False),
        approvals=MappingProxyType(approvals),
    )
    return replace(programme, version=f"{programme.name}-{header['version']}-{programme.digest()}")


@lru_cache(maxsize=16)
def programme(path: Path = DEFAULT_FILE) -> Programme:
    """The programme at ``path``, read once per process."""
    return load_programme(path)


@lru_cache(maxsize=1)
def shipped() -> Mapping[str, Path]:
    """The files that come with the service, by the name of their programme; looked for once per process."""
    return MappingProxyType({path.stem: path for path in sorted(DIRECTORY.glob("*.toml"))})


def line_of(path: Path, setting: str) -> int | None:
    """The line in which a file sets something; None when it does not, but takes it from the file that it extends."""
    return _lines(path.read_text(encoding="utf-8")).get(setting)


def missing_settings(given: Programme) -> list[str]:
    """The settings that a programme lacks of those that the service reads: none in one that extends the default."""
    return sorted(programme(DEFAULT_FILE).settings.keys() - given.settings.keys())


_NOT_SETTINGS: Final = frozenset({"programme", "approvals"})


def _read(path: Path) -> _File:
    try:
        text = path.read_bytes().decode("utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise InvalidConfiguration(f"The programme file {path.name} cannot be read.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"The programme file {path.name} is not valid TOML: {error}") from error
    return _File(path, tables, _lines(text))


def _lines(text: str) -> dict[str, int]:
    """The line of each key by its dotted name; of an array over several lines the first."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            table = _dotted(match[1]) + "."
            found.setdefault(table[:-1], number)
        elif match := _KEY.match(line):
            found.setdefault(table + _dotted(match[1]), number)
    return found


def _dotted(key: str) -> str:
    return ".".join(part.strip().strip('"') for part in re.findall(r'"[^"]+"|[^.]+', key))


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _checked_header(file: _File) -> dict[str, Any]:
    header = file.tables.get("programme")
    if not isinstance(header, dict):
        file.refuse(None, "it lacks 'programme', a table with name and version.")
    for key in ("name", "version"):
        if key not in header:
            file.refuse("programme", f"[programme] lacks '{key}'.")
    for key, value in header.items():
        where = f"programme.{key}"
        if key not in _HEADER:
            file.refuse(where, f"[programme] knows no '{key}', only {', '.join(sorted(_HEADER))}.")
        kind = bool if key == "starting_values" else date if key == "effective_from" else str
        if type(value) is not kind:
            file.refuse(where, f"'{key}' must be {_WORDS[kind]}.")
        longest = _LONGEST.get(key, 30)
        if isinstance(value, str) and (not value.strip() or len(value) > longest):
            file.refuse(where, f"'{key}' must have 1 to {longest} characters.")
    if not _NAME.fullmatch(header["name"]):
        file.refuse("programme.name", "'name' must be a small letter followed by small letters, digits or _.")
    return header


_WORDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    date: "a date such as 2026-12-01",
}
_LONGEST: Final = {"title": 120, "approved_by": 120}


def _extended(file: _File, header: Mapping[str, Any], extended_by: tuple[Path, ...]) -> Programme | None:
    name = header.get("extends")
    if name is None:
        return None
    if not _NAME.fullmatch(name):
        file.refuse("programme.extends", "'extends' must be the name of a programme file, without its ending.")
    beside, ours = file.path.parent / f"{name}.toml", DIRECTORY / f"{name}.toml"
    path = beside if beside.exists() else ours
    if not path.exists():
        file.refuse("programme.extends", f"there is no programme file '{name}.toml' to extend.")
    if path.resolve() in (*extended_by, file.path.resolve()):
        file.refuse("programme.extends", f"'{name}' extends itself.")
    return load_programme(path, extended_by=(*extended_by, file.path.resolve()))


def _approvals_of(base: Programme) -> dict[str, Approval]:
    return {setting: base.approval_of(setting) for setting in base.settings}


def _own_approvals(file: _File, settings: Mapping[str, Any], own: Approval) -> dict[str, Approval]:
    given = file.tables.get("approvals", {})
    if not isinstance(given, dict):
        file.refuse("approvals", "'approvals' must be a table.")
    approvals = {}
    for setting, entry in given.items():
        key = f"approvals.{setting}"
        if setting not in settings:
            file.refuse(key, f"there is no setting '{setting}'{_meant(setting, settings)}.")
        if not isinstance(entry, dict) or entry.keys() != {"effective_from", "approved_by"}:
            file.refuse(key, f"the approval of '{setting}' must be {{ effective_from = …, approved_by = … }}.")
        day, who = entry["effective_from"], entry["approved_by"]
        if type(day) is not date or type(who) is not str or not 0 < len(who.strip()) <= _LONGEST["approved_by"]:
            file.refuse(key, f"the approval of '{setting}' needs a date such as 2026-12-01 and a name.")
        if day > own.effective_from:
            file.refuse(key, f"the approval of '{setting}' begins later than this version, on {day}.")
        approvals[setting] = Approval(day, who)
    return approvals


def _check_setting(file: _File, name: str, value: Any, base: Programme | None) -> None:
    if base is not None and not name.startswith(tuple(f"{free}." for free in FREE_SECTIONS)):
        if name not in base.settings:
            file.refuse(name, f"there is no setting '{name}'{_meant(name, base.settings)}.")
        _check_type(file, name, value, base.settings[name])
    if isinstance(value, date | datetime):
        file.refuse(name, f"'{name}' must be a text such as \"2026-12-31\".")
    if isinstance(value, float) and not math.isfinite(value):
        file.refuse(name, f"'{name}' must be a finite number.")
    problem = bounds().problem(name, value)
    if problem is not None:
        file.refuse(name, f"'{name}' {problem}")


def _check_type(file: _File, name: str, value: Any, example: Any) -> None:
    kind = type(example)
    is_fraction = kind is int and type(value) is float and bounds().may_be_fraction(name)
    if type(value) is not kind and not is_fraction and not (kind is float and type(value) is int):
        file.refuse(name, f"'{name}' must be {_WORDS[kind]}, such as {example!r}.")
    entry = type(example[0]) if kind is list and example else str
    if kind is list and any(type(item) is not entry for item in value):
        file.refuse(name, f"each entry of '{name}' must be {_WORDS.get(entry, 'like those before')}.")


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean '{near[0]}'" if near else ""
