"""Bodies made from JSON schemas: one that fits, and all that do not for one reason each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

Schema = Mapping[str, Any]
AN_ID = UUID("01890000-0000-7000-8000-000000000001")
BY_FORMAT = {"uuid": str(AN_ID), "date": "2026-11-10", "date-time": "2026-11-10T12:00:00Z"}
OTHER_SPELLINGS = {
    # What Python takes for the same thing, and other mistakes.
    "uuid": [
        "{01890000-0000-7000-8000-000000000001}",
        "01890000000070008000000000000001",
        "urn:uuid:" + str(AN_ID),
        "",
    ],
    "date": ["2026-11-31", "20261110", "2026-W46-2", "10.11.2026", "2026-11-10T12:00:00Z", "0001-01-01", "９999-01-01"],
    "date-time": [
        *("2026-11-10", "2026-11-10T12:00:00", "2026-11-10 12:00:00Z", "20261110T120000Z", "2026-11-10T24:00:00Z"),
        *(
            "2026-11-10T12:00:60Z",
            "2026-11-10T12:00:00+99:00",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
        ),
        *("1e9", "now"),
    ],
}
HUGE = 10**40
# The first that fits a pattern is taken.
TEXTS = (
    *("Made up for a test.", "123456", "94601", "+14155550123", "pat@example.net", "1234567893", "FP1234563"),
    *("America/Los_Angeles", "eligibility.age_65_or_over", "patient_in_clinic", "USPS", "ADULT_SIGNATURE"),
    *("94001000000000000001", "https://meet.example/abc", "prescription.sign", "Abcdefgh_0123456789-Abcdefgh_012"),
    "eligibility.medicine_benzodiazepines",
)


@dataclass(frozen=True)
class Misfit:
    """A body that does not fit, the field that an answer must name, and what is wrong with it."""

    body: Any
    field: str
    fault: str


def fitting(schema: Schema, *, full: bool = True) -> Any:
    """A value that fits: with ``full`` everything optional is there too, except where null stands for nothing."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return fitting(schema["anyOf"][0], full=full)
    match kind_of(schema):
        case "object":
            needed = schema.get("required", ())
            return {
                name: fitting(child, full=full)
                for name, child in schema.get("properties", {}).items()
                if full or name in needed
            }
        case "array":
            return [fitting(schema["items"], full=full) for _ in range(max(1, schema.get("minItems", 0)))]
        case "string":
            return BY_FORMAT[schema["format"]] if "format" in schema else _text(schema)
        case "integer" | "number":
            return schema["minimum"]
        case "boolean":
            return False
    raise AssertionError(f"no value is known that fits {schema}")


def kind_of(schema: Schema) -> str:
    """The one type of a schema besides null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return next((kind for kind in kinds if kind != "null"), "null")


def _text(schema: Schema) -> str:
    for text in TEXTS:
        plain = text[: schema.get("maxLength", 100)]
        if len(plain) >= schema.get("minLength", 0) and re.fullmatch(schema.get("pattern", ".*"), plain):
            return plain
    raise AssertionError(f"put a text that fits {schema} into TEXTS")


def misfits(schema: Schema) -> Iterator[Misfit]:
    """Every way in which a body that fits is spoilt in one place."""
    whole = fitting(schema)
    for wrong in ([], [whole], "text", 7, True, None):
        yield Misfit(wrong, "body", f"the body is {wrong!r:.20}")
    for place, fault, value in _faults(schema, whole, ()):
        body = deepcopy(whole)
        inner = body
        for step in place[:-1]:
            inner = inner[step]
        if value is _MISSING:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        yield Misfit(body, ".".join(map(str, place)), fault)


_MISSING: Any = object()
Place = tuple[str | int, ...]


def _faults(schema: Schema, value: Any, place: Place) -> Iterator[tuple[Place, str, Any]]:
    """What can be put at ``place`` and must be refused."""
    options = schema.get("anyOf", [schema])
    nullable = any(_takes_null(option) for option in options)
    schema = options[0]
    if place:
        if not nullable:
            yield place, "null", None
        for fault, wrong in _wrong_kinds(schema):
            yield place, fault, wrong
    if "enum" in schema:
        return
    match kind_of(schema):
        case "object":
            alike: list[Schema] = []
            for name, child in schema.get("properties", {}).items():
                if name in schema.get("required", ()):
                    yield (*place, name), "missing", _MISSING
                # Of twenty items of one kind each is tried, but only one of them with everything.
                yield from islice(_faults(child, value[name], (*place, name)), 2 if child in alike else None)
                alike.append(child)
            yield (*place, "surprise"), "unknown", "x"
            yield (*place, "a\x00b"), "unknown", 1
        case "array":
            yield from _faults(schema["items"], value[0], (*place, 0))


def _takes_null(schema: Schema) -> bool:
    kinds = schema.get("type")
    return "null" in kinds if isinstance(kinds, list) else kinds == "null"


def _wrong_kinds(schema: Schema) -> Iterator[tuple[str, Any]]:
    kind = kind_of(schema)
    yield from ((f"{wrong!r:.12} for {kind}", wrong) for wrong in _OTHER_KINDS[kind])
    match kind:
        case "string":
            yield from _wrong_texts(schema)
        case "integer" | "number":
            yield from (("below", schema["minimum"] - 1), ("above", schema["maximum"] + 1))
            yield from (("huge", HUGE), ("hugely negative", -HUGE), ("text of a number", str(schema["minimum"])))
            if kind == "integer":
                yield "a fraction", schema["minimum"] + 0.5
        case "array":
            if "minItems" in schema:
                yield "too few", []
            yield "too many", [fitting(schema["items"])] * (schema["maxItems"] + 1)
        case "boolean":
            yield from (("text of a truth", "true"), ("one", 1))


_OTHER_KINDS: dict[str, list[Any]] = {
    "object": ["text", [[]]],
    "array": ["text", {"a": 1}],
    "string": [3, {"a": 1}],
    "boolean": ["text", [[]]],
    "integer": [True, {"a": 1}],
    "number": [True, [[]]],
}


def _wrong_texts(schema: Schema) -> Iterator[tuple[str, Any]]:
    if "enum" in schema:
        yield from (
            ("no choice", "x"),
            ("another case", schema["enum"][0].swapcase()),
            ("padded", f" {schema['enum'][0]}"),
        )
        return
    if "format" in schema:
        yield from ((f"not a {schema['format']}", wrong) for wrong in OTHER_SPELLINGS[schema["format"]])
    fits = fitting(schema)
    yield from ((f"with {character!r}", fits[:-1] + character) for character in ("\x00", "\x1b", "\x7f", "\ud800"))
    if "maxLength" in schema:
        yield "too long", fits[0] * (schema["maxLength"] + 1)
    if schema.get("minLength", 0) > 0:
        yield "too short", fits[: schema["minLength"] - 1]
    if "pattern" in schema and not re.fullmatch(schema["pattern"], fits + "\n"):
        yield "with a line break after it", fits + "\n"
