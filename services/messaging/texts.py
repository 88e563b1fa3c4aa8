"""The words of each notice (``texts.toml``), filled to one GSM-7 segment that gives nothing away (DOMAIN 7).

A programme may word a text in its own way: ``[texts.<notice kind>] text = "..."`` in its file. ``text_problems`` says
what is wrong with such a text; what it must hold is what the default holds.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from services.core.errors import InvalidConfiguration, InvalidInput
from services.core.findings import Severity
from services.core.programme import Programme
from services.core.rules import declare
from services.core.vocabulary import NoticeKind
from services.messaging.caps import Purpose
from services.messaging.sms import Encoding, plain, segments
from services.people.zones import read_zone

DATA: Final = Path(__file__).with_name("texts.toml")
PLACEHOLDERS: Final = frozenset({"clinic", "phone", "link", "date", "time", "code", "answer"})
# What lets somebody in: a text with one of these is shown to nobody afterwards.
OPENERS: Final = frozenset({"link", "code"})
# Not strftime: its names of days and months follow the locale of the process.
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

ONE_SEGMENT: Final = declare(
    "sms.one_segment",
    Severity.STOP,
    "DOMAIN 7",
    "A text fits one segment of {value} characters at most.",
    setting="sms.max_characters",
)
FORBIDDEN_WORD: Final = declare(
    "sms.forbidden_word",
    Severity.STOP,
    "DOMAIN 7",
    "No word in a text gives the treatment away.",
    fixed="no drug, diagnosis, dose or item stands in a text",
)


class Audience(StrEnum):
    """Who reads a text. A patient's text names the clinic, a phone number and the way to opt out."""

    PATIENT = "patient"
    STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Text:
    """One notice as it stands in the data: its words, why it is sent, to whom, and how long it is worth sending."""

    kind: NoticeKind
    template: str
    purpose: Purpose
    audience: Audience
    expires_after: timedelta
    placeholders: frozenset[str]


@lru_cache(maxsize=1)
def _data() -> tuple[Mapping[NoticeKind, Text], re.Pattern[str], re.Pattern[str]]:
    tables: dict[str, Any] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    if set(tables["texts"]) != {kind.value for kind in NoticeKind}:
        odd = ", ".join(sorted(set(tables["texts"]) ^ {kind.value for kind in NoticeKind}))
        raise InvalidConfiguration(f"texts.toml and the notice kinds differ in: {odd}.")
    texts = {NoticeKind(name): _text(NoticeKind(name), entry) for name, entry in tables["texts"].items()}
    return texts, _any_of(tables["words"]["forbidden"]), _any_of(tables["words"]["revealing"])


def _text(kind: NoticeKind, entry: Mapping[str, Any]) -> Text:
    placeholders = _placeholders(entry["text"])
    if not placeholders <= PLACEHOLDERS:
        raise InvalidConfiguration(f"The text '{kind.value}' has a placeholder other than {sorted(PLACEHOLDERS)}.")
    return Text(
        kind=kind,
        template=entry["text"],
        purpose=Purpose(entry["purpose"]),
        audience=Audience(entry.get("audience", Audience.PATIENT)),
        expires_after=timedelta(hours=entry["expires_after_hours"]),
        placeholders=placeholders,
    )


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    patterns = (re.escape(word[:-1]) if word[-1] == "*" else rf"\b{re.escape(word)}\b" for word in words)
    return re.compile("|".join(patterns))


def text_of(notice: NoticeKind, programme: Programme | None = None) -> Text:
    """The notice's words, purpose, audience and expiry, in the words of ``programme`` if it has its own.

    Raises ``InvalidConfiguration`` when the data is broken, or when the programme's words are not fit to be sent.
    """
    template = None if programme is None else programme.settings.get(f"texts.{notice.value}.text")
    return _data()[0][notice] if template is None else _reworded(notice, template)


@lru_cache(maxsize=256)
def _reworded(notice: NoticeKind, template: str) -> Text:
    default = _data()[0][notice]
    wrong = _wording_problem(default, template)
    if wrong is not None:
        raise InvalidConfiguration(f"texts.{notice.value}.text: {wrong}")
    return replace(default, template=template, placeholders=_placeholders(template))


def _placeholders(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


def _wording_problem(default: Text, template: object) -> str | None:
    """What is wrong with a programme's own words for a text, whatever the length of the values put into it."""
    if not isinstance(template, str):
        return "This must be a text."
    try:
        placeholders = _placeholders(template)
        is_plain = not any(spec or conversion for _, _, spec, conversion in string.Formatter().parse(template))
    except ValueError:
        return "The braces do not match."
    if not is_plain:
        return "A value is named like {phone}, without a format."
    if not placeholders <= default.placeholders:
        return f"There are values for {', '.join(sorted(default.placeholders))} only."
    if placeholders & OPENERS != default.placeholders & OPENERS:
        return "A link or code that the default holds must stay, and none may be added."
    found = forbidden_word(re.sub(r"\{\w+\}", "", template))
    if found is not None:
        return f"The word '{found}' may not stand in a text (DOMAIN 7)."
    if default.audience is Audience.STAFF:
        return None
    if not template.startswith("{clinic}: ") or "{phone}" not in template:
        return "A patient's text begins with the clinic, '{clinic}: ', and names {phone}."
    way_out = default.template.rpartition(". ")[2]
    return None if template.endswith(way_out) else f"A patient's text ends with '{way_out}'."


def text_problems(programme: Programme) -> dict[str, str]:
    """What is wrong with the texts that a programme words in its own way, by setting; empty when nothing is."""
    problems = {}
    for setting, template in programme.settings.items():
        if not setting.startswith("texts."):
            continue
        kind, _, part = setting.removeprefix("texts.").partition(".")
        if kind not in set(NoticeKind) or part != "text":
            problems[setting] = "A programme may set texts.<notice kind>.text, no other part or kind."
            continue
        default = _data()[0][NoticeKind(kind)]
        wrong = _wording_problem(default, template) or _size_problem(template, programme)
        if wrong is not None:
            problems[setting] = wrong
    return problems


def _size_problem(template: str, programme: Programme) -> str | None:
    longest = {name: "W" * programme.whole(f"notices.{name}_max_units") for name in _placeholders(template)}
    finished = template.format_map(longest)
    size = segments(finished)
    if size.encoding is not Encoding.GSM7:
        return "This text has a character that is not in GSM-7."
    if size.parts > 1 or len(finished) > programme.whole("sms.max_characters"):
        return f"With the longest values this text has {size.units} units; one segment has 160."
    return None


def forbidden_word(text: str) -> str | None:
    """The first word in ``text`` that no notice may hold, or ``None``."""
    found = _data()[1].search(text.casefold())
    return found.group() if found else None


def shown_clinic(name: str, programme: Programme) -> str:
    """A clinic's name as it may stand in a text: GSM-7, at most ``notices.clinic_max_units``, cut between words.

    A name that reveals the treatment ("Riverside Ketamine Clinic") is replaced by ``notices.neutral_clinic``: the
    phone number beside it still tells the patient who wrote.
    """
    room = programme.whole("notices.clinic_max_units")
    shown = " ".join(plain(name).split())
    size = segments(shown)
    if not shown or _data()[2].search(shown.casefold()) or size.encoding is not Encoding.GSM7:
        return programme.text("notices.neutral_clinic")
    while segments(shown).units > room:
        shown = shown.rpartition(" ")[0] if " " in shown else shown[:-1]
    return shown.rstrip(" ,;-&")


def when(moment: datetime, zone: str) -> dict[str, str]:
    """The ``date`` ("Wed Nov 25") and ``time`` ("2:30 PM") of a moment by the wall clock of an IANA zone.

    Raises ``InvalidInput`` on field ``zone`` for an unknown zone.
    """
    local = moment.astimezone(read_zone(zone))
    half = "PM" if local.hour >= 12 else "AM"
    return {
        "date": f"{DAYS[local.weekday()]} {MONTHS[local.month - 1]} {local.day}",
        "time": f"{local.hour % 12 or 12}:{local.minute:02} {half}",
    }


def render(notice: NoticeKind, programme: Programme, **values: str) -> str:
    """The finished text of a notice.

    ``values`` may hold more than this notice needs, by the names in ``PLACEHOLDERS``; the clinic's name goes through
    ``shown_clinic``. Raises ``InvalidInput`` naming the field when a value is missing, unknown, empty, too long
    (``notices.<name>_max_units``), not GSM-7 or gives the treatment away; the value itself is never repeated.
    """
    text = text_of(notice, programme)
    for name in values.keys() - PLACEHOLDERS:
        raise InvalidInput("No text has a place for this value.", field=name)
    for name in sorted(text.placeholders - values.keys()):
        raise InvalidInput(f"The text '{notice.value}' needs this value.", field=name)
    filled = {name: _fit(name, values[name], programme) for name in text.placeholders}
    finished = text.template.format_map(filled)
    size = segments(finished)
    if size.encoding is not Encoding.GSM7 or size.parts > 1 or len(finished) > programme.whole("sms.max_characters"):
        raise InvalidInput(f"The text '{notice.value}' would not fit one segment.", rule=ONE_SEGMENT.id)
    return finished


def _fit(name: str, value: str, programme: Programme) -> str:
    if name == "clinic":
        return shown_clinic(value, programme)
    shown = plain(value).strip()
    size = segments(shown)
    room = programme.whole(f"notices.{name}_max_units")
    if not shown or size.encoding is not Encoding.GSM7 or size.units > room or not shown.isprintable():
        raise InvalidInput(f"This value must be 1 to {room} plain characters to fit a text.", field=name)
    if name == "answer" and forbidden_word(shown) is not None:
        raise InvalidInput("A word in this answer gives something away.", field=name, rule=FORBIDDEN_WORD.id)
    if name == "link" and _data()[2].search((urlsplit(shown).hostname or "").casefold()):
        raise InvalidInput("The address of this link gives the treatment away.", field=name, rule=FORBIDDEN_WORD.id)
    return shown
