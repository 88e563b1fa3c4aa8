"""What a text costs and whom it reaches: segments (GSM-7, UCS-2) and phone numbers (E.164). DOMAIN 7."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers

from services.core.personal import Personal
from services.people.phones import e164

# GSM 03.38: each character of the basic table is one septet; one of the extension table is an escape and a septet.
GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")

# What people paste into names. UCS-2 would more than halve the room of a text for the sake of a curly apostrophe.
TYPOGRAPHY = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "ʼ": "'",
        "`": "'",
        "´": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "‐": "-",
        "‑": "-",
        "–": "-",
        "—": "-",
        "…": "...",
        "•": "-",
        "·": "-",
    }
)


class Encoding(StrEnum):
    """How a text travels: seven-bit units, or UTF-16 code units as soon as one character does not fit."""

    GSM7 = "gsm-7"
    UCS2 = "ucs-2"


# Units that fit a text sent alone, and units that fit each part once a text needs several.
ROOM = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Segments:
    """The size of a text: its ``encoding``, its ``units`` in that encoding, and in how many ``parts`` it is sent."""

    encoding: Encoding
    units: int
    parts: int


def segments(text: str) -> Segments:
    """Count ``text``. An empty text has no parts. A character of two units is never split between two parts."""
    if all(character in GSM7_BASIC or character in GSM7_EXTENSION for character in text):
        encoding = Encoding.GSM7
        widths = [2 if character in GSM7_EXTENSION else 1 for character in text]
    else:
        encoding = Encoding.UCS2
        widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
    units = sum(widths)
    alone, each = ROOM[encoding]
    if units <= alone:
        return Segments(encoding, units, 1 if text else 0)
    return Segments(encoding, units, _parts(widths, each))


def _parts(widths: Iterable[int], room: int) -> int:
    parts, used = 1, 0
    for width in widths:
        if used + width > room:
            parts, used = parts + 1, 0
        used += width
    return parts


def plain(text: str) -> str:
    """``text`` in GSM-7 characters where a faithful one exists: typography is flattened, unknown accents are dropped.

    What has no counterpart stays, so ``segments`` still tells the truth about the result.
    """
    folded = []
    for character in unicodedata.normalize("NFC", text).translate(TYPOGRAPHY):
        if character in GSM7_BASIC or character in GSM7_EXTENSION:
            folded.append(character)
        elif character.isspace():
            folded.append(" ")
        else:
            base = unicodedata.normalize("NFKD", character)
            folded.append("".join(part for part in base if not unicodedata.combining(part)))
    return "".join(folded)


def normalize_number(text: str, region: str = "US") -> str:
    """The number in E.164 (``+14155550100``), read as people of ``region`` write it (``people.phones.e164``).

    Raises ``InvalidInput`` on field ``phone``, without repeating what was written.
    """
    return e164(Personal(text), region=region).reveal()


def shown_number(number: str) -> str:
    """An E.164 number as a US reader knows it: ``(415) 555-0100``; a foreign one keeps its E.164 form.

    Raises ``InvalidInput`` on field ``phone`` for anything else.
    """
    stored = normalize_number(number)
    parsed = phonenumbers.parse(stored, None)
    if parsed.country_code != 1:
        return stored
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
