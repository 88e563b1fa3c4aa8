"""Content packs: the texts that an operator brings for instruments whose wording we may not ship (DOMAIN 2.3).

docs/content-packs.md describes the format. A pack gives words and nothing else: items, ranges and scoring stay ours, so
that a score means the same everywhere. A pack that does not fit is refused when the service starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from services.core.errors import InvalidConfiguration
from services.screening.definitions import Instrument, Item, Kind
from services.screening.instrument_files import YES_NO_LABELS
from services.screening.toml_tables import Table, read_toml

_HEADER: Final = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")


def with_content_pack(instruments: Mapping[str, Instrument], pack: Path) -> dict[str, Instrument]:
    """The instruments with the texts of ``pack``, a TOML file or a folder of them, put in.

    Raises ``InvalidConfiguration`` naming the file, the line where it can be told, the key and what is wrong.
    """
    told: dict[str, Instrument] = {}
    for file in _files(pack):
        for name, instrument in _read(file, instruments).items():
            if name in told:
                raise InvalidConfiguration(
                    f"{file.name}: {name}: another file of the content pack gives its texts too."
                )
            told[name] = instrument
    return {**instruments, **told}


def _files(pack: Path) -> list[Path]:
    if not pack.is_dir():
        return [pack]
    files = sorted(pack.glob("*.toml"))
    if not files:
        raise InvalidConfiguration(f"The content pack {pack.name} holds no file that ends in .toml.")
    return files


def _read(file: Path, instruments: Mapping[str, Instrument]) -> dict[str, Instrument]:
    tables = read_toml(file)
    source = _Source(file)
    about = _Part(tables.pop("pack", None), source, ("pack",))
    origin = f"{about.told('name')} {about.told('version')}"
    about.finish()
    return {name: _told(_Part(table, source, (name,)), name, instruments, origin) for name, table in tables.items()}


def _told(part: _Part, name: str, instruments: Mapping[str, Instrument], origin: str) -> Instrument:
    instrument = instruments.get(name)
    if instrument is None:
        known = ", ".join(each.id for each in instruments.values() if not each.is_offered)
        part.refuse(f"there is no such instrument. A content pack may give the texts of {known}")
    if instrument.is_offered:
        part.refuse("its texts are part of this software and are not replaced")
    version = part.told("version")
    if version != instrument.version:
        part.refuse(f"'version' must be '{instrument.version}', the scoring that these texts belong to", "version")
    prompt, licence = part.told("prompt"), part.told("licence")
    credit = part.told("credit") if "credit" in part else instrument.credit
    labels = tuple(part.labels())
    items = _Part(part.take("items", dict), part.source, (name, "items"))
    told = tuple(_item(items, item, labels) for item in instrument.items)
    items.finish()
    part.finish()
    return replace(instrument, prompt=prompt, licence=licence, credit=credit, items=told, texts_from=origin)


def _item(items: _Part, item: Item, shared: tuple[str, ...]) -> Item:
    if item.id not in items:
        items.refuse(f"the item '{item.id}' is missing")
    given = items.taken(item.id)
    own = _Part({"text": given} if isinstance(given, str) else given, items.source, (*items.path, item.id))
    text = own.told("text")
    examples = own.told("examples") if "examples" in own else None
    labels = tuple(own.labels()) or (shared if item.kind is Kind.SCALE else YES_NO_LABELS)
    own.finish()
    if len(labels) != item.high - item.low + 1:
        answers = f"{item.high - item.low + 1} texts, one for each answer from {item.low} to {item.high}"
        own.refuse(f"'labels' must hold {answers}; there are {len(labels)}")
    return replace(item, text=text, examples=examples, labels=labels)


@dataclass(frozen=True, slots=True)
class _Source:
    """The file that a complaint is about."""

    file: Path

    def place(self, path: tuple[str, ...]) -> str:
        """The file, and the line of the key at ``path`` or of the closest table around it, when it can be found."""
        lines = self._lines()
        for length in range(len(path), 0, -1):
            if path[:length] in lines:
                return f"{self.file.name}, line {lines[path[:length]]}"
        return self.file.name

    def _lines(self) -> dict[tuple[str, ...], int]:
        found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, text in enumerate(self.file.read_text(encoding="utf-8").splitlines(), start=1):
            header, key = _HEADER.fullmatch(text), _KEY.match(text)
            if header:
                table = _names(header[1])
                found.setdefault(table, number)
            elif key:
                found.setdefault((*table, *_names(key[1])), number)
        return found


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))


class _Part(Table):
    """A table of a content pack, which knows where it stands."""

    def __init__(self, table: Any, source: _Source, path: tuple[str, ...]) -> None:
        self.source, self.path = source, path
        super().__init__(table, ".".join(path))

    def refuse(self, what: str, key: str | None = None) -> NoReturn:
        """Name the file, the line where it can be told, and the key."""
        place = self.source.place(self.path if key is None else (*self.path, key))
        raise InvalidConfiguration(f"{place}: {self.where}: {what}.")

    def told(self, key: str) -> str:
        """A text that says something."""
        text = self.take(key, str)
        if not text.strip():
            self.refuse(f"'{key}' is empty", key)
        return text

    def labels(self) -> list[str]:
        """The wordings of the answers; an empty list when there are none."""
        labels = self.list_of("labels", str)
        if any(not label.strip() for label in labels):
            self.refuse("one of 'labels' is empty", "labels")
        return labels

    def taken(self, key: str) -> Any:
        """The value of a key, of whatever type."""
        return self._left.pop(key)
